"""Who is near, and what a camera needs to know of each: its transforms at the first and last row, paint and lamps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, trusted
from nodes.simulator.sensors.render.model import INSTANCE
from nodes.simulator.sensors.render.triangles import Records
from nodes.simulator.world.gait import phase
from nodes.simulator.world.world import Actor, World

_FAR = 300.0  # m; a car is then 2 pixels high
_BRAKES = -0.9  # m/s2
_PARKED = 0.5  # m; who never goes farther has nobody at the wheel
_BLINK_HZ, _AHEAD = 1.5, 2.0  # ECE R6 allows 1 to 2 Hz; s
_TO_LEFT, _TO_RIGHT = {"change_left", "turn_left"}, {"change_right", "turn_right"}
_LAMPED = frozenset(("car", "truck", "bus", "motorcycle", "construction_vehicle", "trailer", "bicycle"))

Groups: TypeAlias = dict[tuple[str, int], Records]
"""(shape, phase of its gait) -> (N,) of `INSTANCE`."""


class Moment(NamedTuple):
    """An exposure with a rolling shutter: seconds of the first row, the middle and the last; the camera at each.

    camera: odom_SE3_camera, a batch of three.
    """

    times: npt.NDArray[np.float64]
    camera: SE3


class Near(NamedTuple):
    """Actors within 300 m of a camera, N of them.

    of: (N,) their shapes and phases. copies: (N,) of `INSTANCE`. middle: (N, 3) m, odom, of their boxes. reach: (N,) m,
    half a diagonal of each. distance: (N,) m from the camera. stands: (N,) whether it never moves.
    """

    of: Sequence[tuple[str, int]]
    copies: Records
    middle: npt.NDArray[np.float64]
    reach: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float64]
    stands: npt.NDArray[np.bool_]

    def grouped(self, which: npt.NDArray[np.bool_]) -> Groups:
        """Those where ``which`` (N,) is true, by what they look like."""
        groups: dict[tuple[str, int], list[int]] = {}
        for i in np.flatnonzero(which).tolist():
            groups.setdefault(self.of[i], []).append(i)
        return {key: self.copies[rows] for key, rows in groups.items()}


class Cast:
    """The actors of a world."""

    def __init__(self, world: World) -> None:
        self._actors = world.actors
        self._half = np.array([0.5 * actor.size[2] for actor in world.actors])
        self._reach = np.array([0.5 * float(np.linalg.norm(actor.size)) for actor in world.actors])
        self._paint = np.array([(*_linear(actor.paint), actor.object_id) for actor in world.actors], np.float32)
        spans = [_span(actor) for actor in world.actors]
        self._driven = [
            actor.kind in _LAMPED and span > _PARKED for actor, span in zip(world.actors, spans, strict=True)
        ]
        self._stands = np.array([actor.motion.stands for actor in world.actors], bool)
        poses = [actor.motion.pose(np.zeros(3)) for actor in world.actors]
        self._rotation = np.array([pose.rotation for pose in poses]).reshape(-1, 3, 3, 3)
        self._translation = np.array([pose.translation for pose in poses]).reshape(-1, 3, 3)

    def near(self, moment: Moment, lamps: bool) -> Near:
        """lamps: whether vehicles have them on."""
        rotation, translation = self._rotation.copy(), self._translation.copy()
        for i in np.flatnonzero(~self._stands).tolist():
            pose = self._actors[i].motion.pose(moment.times)
            rotation[i], translation[i] = pose.rotation, pose.translation
        distance = np.linalg.norm(translation[:, 1] - moment.camera.translation[1], axis=1)
        rows = np.flatnonzero(distance < _FAR)
        copies = copies_at(trusted(rotation[rows], translation[rows]), moment)
        copies["paint"] = self._paint[rows] if len(rows) else -1.0
        t = float(moment.times[1])
        for at, i in enumerate(rows.tolist()):
            if self._driven[i]:
                copies["lamps"][at] = self._lamps(i, copies["odom"][at, :, 0], t, lamps)
        middle = translation[rows, 1] + self._half[rows, None] * [0.0, 0.0, 1.0]
        of = [(self._actors[i].shape, int(phase(self._actors[i], t))) for i in rows.tolist()]
        return Near(of, copies, middle, self._reach[rows], distance[rows], self._stands[rows])

    def _lamps(
        self, index: int, ahead: npt.NDArray[np.float32], t: float, on: bool
    ) -> tuple[float, float, float, float]:
        actor = self._actors[index]
        brakes = float(ahead @ actor.motion.acceleration(t)) < _BRAKES or float(ahead @ actor.motion.velocity(t)) < 0.2
        return float(on), float(on), float(brakes), _signal(actor, t)


def copies_at(odom_SE3_mesh: SE3, moment: Moment) -> Records:
    """(N,) of `INSTANCE` of what is at these poses, a batch of (N, 3), at the times of a moment; no paint: id -1."""
    camera_SE3_odom = moment.camera.inverse()
    rotation = camera_SE3_odom.rotation @ odom_SE3_mesh.rotation
    translation = (camera_SE3_odom.rotation @ odom_SE3_mesh.translation[..., None])[..., 0]
    translation = translation + camera_SE3_odom.translation
    out = np.zeros(len(rotation), INSTANCE)
    for name, row in (("first", 0), ("last", 2)):
        out[name][:, :, :3], out[name][:, :, 3] = rotation[:, row], translation[:, row]
    out["odom"][:, :, :3], out["odom"][:, :, 3] = odom_SE3_mesh.rotation[:, 1], odom_SE3_mesh.translation[:, 1]
    out["paint"][:, 3] = -1.0
    return out


def _signal(actor: Actor, t: float) -> float:
    """Of the turn signal at this instant: 1 left, -1 right, 0 dark. It blinks from two seconds before a manoeuvre."""
    if not actor.manoeuvres or (t * _BLINK_HZ + 0.37 * actor.object_id) % 1.0 > 0.5:
        return 0.0
    names = {actor.manoeuvre(t).name, actor.manoeuvre(t + _AHEAD).name}
    return float(bool(names & _TO_LEFT)) - float(bool(names & _TO_RIGHT))


def _span(actor: Actor) -> float:
    """Diagonal of where an actor ever is, m."""
    places = actor.motion.position(actor.motion.times)
    return float(np.linalg.norm(np.ptp(places, axis=0)))


def _linear(rgb: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    return (np.array(rgb, dtype=np.float64) / 255.0) ** 2.2
