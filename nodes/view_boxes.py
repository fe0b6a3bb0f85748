"""Boxes in the viewer: in the world, and projected into each image at the instant of its exposure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import rerun as rr

from calibration.rig import CameraSensor, Rig
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.view_geometry import project_wires, weight_bars, wire_points
from pipeline.core.messages import Scene

_TRAIL = 30  # scenes
_POSES = 400
_EXPOSURES = 16
_BEYOND_NS = 100_000_000  # how far a pose is extrapolated
_BAR_M = 1.2
_LABELLED_PX = 40  # a box that is less high in the image has no label there


class Boxes(NamedTuple):
    """N boxes: position (N, 3) and velocity (N, 3) in one frame, size (N, 3), yaw (N,), colors (N, 3 or 4), labels."""

    position: npt.NDArray[np.floating]
    size: npt.NDArray[np.floating]
    yaw: npt.NDArray[np.floating]
    velocity: npt.NDArray[np.floating]
    colors: npt.NDArray[np.uint8]
    labels: list[str]

    def only(self, chosen: npt.NDArray[np.bool_]) -> Boxes:
        labels = [label for label, keep in zip(self.labels, chosen, strict=True) if keep]
        position, size, yaw = self.position[chosen], self.size[chosen], self.yaw[chosen]
        return Boxes(position, size, yaw, self.velocity[chosen], self.colors[chosen], labels)


class BoxDrawing:
    """Draws boxes into ``stream``.

    Args:
        at: sets the stream's time.
    """

    def __init__(self, stream: rr.RecordingStream, rig: Rig, at: Callable[[int], None]) -> None:
        self._stream = stream
        self._rig = rig
        self._at = at
        self._poses: deque[tuple[int, SE3]] = deque(maxlen=_POSES)
        self._exposures: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_EXPOSURES))
        self._drawn: dict[tuple[str, str], int] = defaultdict(lambda: -1)  # newest exposure drawn, by layer and camera
        self._trails: dict[int, deque[npt.NDArray[np.float64]]] = {}

    def pose(self, time_ns: int, odom_SE3_ego: SE3) -> None:
        """Where the vehicle was; times rise."""
        self._poses.append((time_ns, odom_SE3_ego))

    def exposure(self, camera: str, time_ns: int) -> None:
        """An image was taken: the next boxes are to be drawn into it."""
        self._exposures[camera].append(time_ns)

    def draw_in_world(self, path: str, boxes: Boxes, labels: bool = True) -> None:
        yaw = np.nan_to_num(np.asarray(boxes.yaw, dtype=np.float64))
        quaternions = np.column_stack([np.zeros((len(yaw), 2)), np.sin(yaw / 2), np.cos(yaw / 2)])
        drawn = rr.Boxes3D(
            centers=boxes.position,
            half_sizes=np.asarray(boxes.size) / 2,
            quaternions=quaternions,
            colors=boxes.colors,
            labels=boxes.labels,
            show_labels=labels,
            radii=rr.Radius.ui_points(0.9),
        )
        self._stream.log(path, drawn)
        moving = np.linalg.norm(np.nan_to_num(boxes.velocity), axis=1) > 0.3
        arrows = rr.Arrows3D(
            origins=boxes.position[moving],
            vectors=boxes.velocity[moving],
            colors=boxes.colors[moving],
            radii=rr.Radius.ui_points(1.5),
        )
        self._stream.log(f"{path}/velocity", arrows)

    def draw_in_images(self, layer: str, boxes: Boxes, time_ns: int, odom_SE3_ego: SE3 | None) -> None:
        """Project boxes, given in odom at ``time_ns``, into the images up to then that have none of this layer yet.

        Each box goes with its velocity to the instant of the exposure. The ego pose is that of the exposure, or
        ``odom_SE3_ego`` where the poses do not reach.
        """
        for camera in self._rig.cameras:
            for exposure_ns in list(self._exposures[camera.name]):
                if self._drawn[layer, camera.name] < exposure_ns <= time_ns:
                    pose = self._pose_at(exposure_ns) or odom_SE3_ego
                    if pose is not None:
                        self._at(exposure_ns)
                        self._overlay(camera, layer, boxes, (exposure_ns - time_ns) * 1e-9, pose)
                    self._drawn[layer, camera.name] = exposure_ns
        self._at(time_ns)

    def trails(self, scene: Scene, indices: npt.NDArray[np.intp], colors: npt.NDArray[np.uint8]) -> None:
        """The way each drawn track has come."""
        ids = scene.track_id[indices].tolist()
        self._trails = {number: self._trails.get(number, deque(maxlen=_TRAIL)) for number in ids}
        for number, i in zip(ids, indices, strict=True):
            self._trails[number].append(scene.track_position[i])
        long = [k for k, number in enumerate(ids) if len(self._trails[number]) > 1]
        strips = [np.array(self._trails[ids[k]], dtype=np.float32) for k in long]
        trails = rr.LineStrips3D(strips, colors=colors[long], radii=rr.Radius.ui_points(1.0))
        self._stream.log("world/tracks/trail", trails)

    def weights(
        self, scene: Scene, indices: npt.NDArray[np.intp], color: Callable[[str], tuple[int, int, int]]
    ) -> None:
        """A bar above each drawn track: which sensor gave how much of its last update."""
        up = np.array([0.0, 0.0, 1.0])
        base = scene.track_position[indices] + (scene.track_size[indices, 2:3] / 2 + 0.3) * up
        bars = weight_bars(base, up, np.full(len(indices), _BAR_M), scene.weight[indices])
        strips = rr.LineStrips3D(
            [bar.segment for bar in bars], colors=[color(scene.sensors[bar.sensor]) for bar in bars], radii=0.12
        )
        self._stream.log("world/tracks/weights", strips)

    def _pose_at(self, time_ns: int) -> SE3 | None:
        if not self._poses:
            return None
        times = [t for t, _ in self._poses]
        trajectory = Trajectory(times, SE3.stack([p for _, p in self._poses]), _BEYOND_NS)
        return trajectory.at(time_ns) if trajectory.covers(time_ns) else None

    def _overlay(self, camera: CameraSensor, layer: str, boxes: Boxes, after_s: float, odom_SE3_ego: SE3) -> None:
        moved = boxes.position + np.nan_to_num(boxes.velocity) * after_s
        camera_SE3_odom = (odom_SE3_ego @ camera.ego_SE3_sensor).inverse()
        wires = wire_points(moved, np.nan_to_num(boxes.size, nan=0.5), np.nan_to_num(boxes.yaw))
        drawn = project_wires(wires, camera_SE3_odom, camera.intrinsics, camera.width, camera.height)
        strips = [strip for box in drawn for strip in box]
        colors = [boxes.colors[i] for i, box in enumerate(drawn) for _ in box]
        path = f"world/ego/{camera.name}/{layer}"
        width = 0.5 if layer == "truth" else 0.9
        self._stream.log(path, rr.LineStrips2D(strips, colors=colors, radii=rr.Radius.ui_points(width)))
        if layer == "truth":
            return
        spans = {i: np.concatenate(box) for i, box in enumerate(drawn) if box and boxes.labels[i]}
        named = [i for i, points in spans.items() if np.ptp(points[:, 1]) > _LABELLED_PX]
        tops = [[spans[i][:, 0].mean(), spans[i][:, 1].min()] for i in named]
        labels = rr.Points2D(
            tops, labels=[boxes.labels[i] for i in named], colors=boxes.colors[named], radii=rr.Radius.ui_points(0.5)
        )
        self._stream.log(f"{path}/labels", labels)
