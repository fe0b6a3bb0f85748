"""The frame tree: where any frame is seen from any other, at any time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from calibration.se3 import SE3
from calibration.trajectory import Trajectory


class Edge(NamedTuple):
    """pose: ``parent_SE3_child``, one transform for a mounted sensor, a trajectory for what moves."""

    parent: str
    child: str
    pose: SE3 | Trajectory


class FrameTree:
    """Frames joined by edges, each child under one parent.

    Args:
        edges: in any order; together one tree.

    Raises:
        ValueError: no edge, a frame with two parents, a loop, parts that do not hang together, or a batch of transforms
            where a single one belongs.
    """

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._above: dict[str, Edge] = {}
        for edge in edges:
            if edge.child in self._above:
                parents = sorted((self._above[edge.child].parent, edge.parent))
                raise ValueError(f"frame {edge.child!r} has two parents: {parents[0]!r} and {parents[1]!r}")
            if isinstance(edge.pose, SE3) and edge.pose.shape != ():
                raise ValueError(f"edge {edge.parent!r} -> {edge.child!r}: expected a single transform, got a batch")
            self._above[edge.child] = edge
        roots = {self._way_up(child)[-1].parent for child in self._above}
        if len(roots) != 1:
            raise ValueError(f"a frame tree has one root, got {sorted(roots)}")
        self.root = roots.pop()

    @staticmethod
    def from_rig(rig: Rig, odom_SE3_ego: Trajectory | None = None) -> FrameTree:
        """All sensors of a rig under ``ego``, and ``ego`` under ``odom`` where its motion is given."""
        edges = [Edge("ego", sensor.name, sensor.ego_SE3_sensor) for sensor in rig.sensors]
        if odom_SE3_ego is not None:
            edges.append(Edge("odom", "ego", odom_SE3_ego))
        return FrameTree(edges)

    @property
    def frames(self) -> tuple[str, ...]:
        return (self.root, *self._above)

    def transform(self, destination: str, source: str, time_ns: npt.ArrayLike) -> SE3:
        """``destination_SE3_source`` at a time, or a batch of them at times of any shape (int64, vehicle clock).

        ``tree.transform("odom", "lidar_top", t) @ points`` moves points from the LiDAR to the odom frame.

        Raises:
            KeyError: a frame that is not in the tree.
            ValueError: an edge on the way does not know where it was at that time; the message names it.
        """
        for frame in (destination, source):
            if frame not in self._above and frame != self.root:
                raise KeyError(f"no frame {frame!r}; there are {sorted(self.frames)}")
        up, down = self._way_up(source), self._way_up(destination)
        while up and down and up[-1].child == down[-1].child:  # shared by both ways: nothing to go up and down again
            up.pop()
            down.pop()
        times = np.asarray(time_ns, dtype=np.int64)
        return _along(down, times).inverse() @ _along(up, times)

    def _way_up(self, frame: str) -> list[Edge]:
        """Edges from a frame to the root."""
        way: list[Edge] = []
        while frame in self._above:
            edge = self._above[frame]
            if edge in way:
                raise ValueError(f"frames form a loop: {' under '.join(repr(e.child) for e in way)}")
            way.append(edge)
            frame = edge.parent
        return way


def _along(way: list[Edge], times: npt.NDArray[np.int64]) -> SE3:
    """``top_SE3_bottom`` of edges listed from bottom to top, at each time."""
    total = SE3(np.broadcast_to(np.eye(3), (*times.shape, 3, 3)), np.zeros((*times.shape, 3)))
    for edge in way:
        pose = edge.pose
        if isinstance(pose, Trajectory):
            try:
                pose = pose.at(times)
            except ValueError as error:
                raise ValueError(f"edge {edge.parent!r} -> {edge.child!r}: {error}") from error
        total = pose @ total
    return total
