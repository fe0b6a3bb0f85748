"""Who is near, and what a camera needs to know of each: its transforms at the first and last row, paint and lamps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
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


class Moment(NamedTuple):
    """An exposure with a rolling shutter: seconds of the first row, the middle and the last; the camera at each.

    camera: odom_SE3_camera, a batch of three.
    """

    times: npt.NDArray[np.float64]
    camera: SE3


class Cast:
    """The actors of a world."""

    def __init__(self, world: World) -> None:
        self._actors = world.actors
        self._reach = np.array([0.5 * float(np.linalg.norm(actor.size)) for actor in world.actors])
        self._paint = np.array([(*_linear(actor.paint), actor.object_id) for actor in world.actors], np.float32)
        self._driven = [actor.kind in _LAMPED and _span(actor) > _PARKED for actor in world.actors]

    def near(self, moment: Moment, lamps: bool) -> dict[tuple[str, int], Records]:
        """(shape, phase of its gait) -> (N,) of `INSTANCE`, for all within 300 m; lamps: whether they have them on."""
        t = float(moment.times[1])
        eye = moment.camera.translation[1]
        found: dict[tuple[str, int], list[Records]] = {}
        for index, actor in enumerate(self._actors):
            place = actor.motion.position(t)
            if np.hypot(*(place - eye)[:2]) < _FAR:
                key = (actor.shape, int(phase(actor, t)))
                found.setdefault(key, []).append(self._copy(index, actor, moment, lamps))
        return {key: np.concatenate(copies) for key, copies in found.items()}

    def _copy(self, index: int, actor: Actor, moment: Moment, lamps: bool) -> Records:
        out = copies_at(actor.motion.pose(moment.times), moment)
        out["paint"] = self._paint[index]
        if self._driven[index]:
            t = float(moment.times[1])
            ahead = out["odom"][0, :, 0]
            brakes = (
                float(ahead @ actor.motion.acceleration(t)) < _BRAKES or float(ahead @ actor.motion.velocity(t)) < 0.2
            )
            out["lamps"] = (float(lamps), float(lamps), float(brakes), _signal(actor, t))
        return out


def copies_at(odom_SE3_mesh: SE3, moment: Moment) -> Records:
    """(1,) of `INSTANCE` of what is at these poses (a batch of three) at the times of a moment; no paint: id -1."""
    camera_SE3_mesh = moment.camera.inverse() @ odom_SE3_mesh
    out = np.zeros(1, INSTANCE)
    for name, pose, row in (("first", camera_SE3_mesh, 0), ("last", camera_SE3_mesh, 2), ("odom", odom_SE3_mesh, 1)):
        out[name][0, :, :3], out[name][0, :, 3] = pose.rotation[row], pose.translation[row]
    out["paint"][0, 3] = -1.0
    return out


def _signal(actor: Actor, t: float) -> float:
    """Of the turn signal at this instant: 1 left, -1 right, 0 dark. It blinks from two seconds before a manoeuvre."""
    if (t * _BLINK_HZ + 0.37 * actor.object_id) % 1.0 > 0.5:
        return 0.0
    names = {actor.manoeuvre(t).name, actor.manoeuvre(t + _AHEAD).name}
    return float(bool(names & _TO_LEFT)) - float(bool(names & _TO_RIGHT))


def _span(actor: Actor) -> float:
    """Diagonal of where an actor ever is, m."""
    places = actor.motion.position(actor.motion.times)
    return float(np.linalg.norm(np.ptp(places, axis=0)))


def _linear(rgb: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    return (np.array(rgb, dtype=np.float64) / 255.0) ** 2.2
