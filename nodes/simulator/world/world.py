"""`World`: everything that exists in a simulated drive, where it is at any time, and what it is about to do.

A sensor is a function of a world, a time and a random generator. Nothing here depends on a sensor; nothing is random
once it is made. Times are seconds since the start of the scenario; positions are metres in the odom frame, whose z = 0
is the road.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, trusted
from nodes.simulator.world.environment import Light, Weather
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.motion import Motion, Motions
from pipeline.core.messages import CLASSES
from pipeline.core.truth import MANOEUVRES


class Manoeuvre(NamedTuple):
    """name: of `MANOEUVRES`. start, end: s. hazard: whether the ego must react to it."""

    name: str
    start: float
    end: float
    hazard: bool = False

    def __contains__(self, t: object) -> bool:
        return isinstance(t, float) and self.start <= t < self.end


class Actor(NamedTuple):
    """A road user or a movable thing that is labelled.

    kind: of `CLASSES`. size: length, width, height of its box, m. shape: name of a mesh, see `shapes/`. paint: sRGB.
    motion: of the middle of the underside of its box, x forward. Its mesh fills the box and lies within it. towed_by:
    object_id of what draws a trailer, whose box overlaps with its own at the hitch; 0 = nothing.
    """

    object_id: int
    kind: str
    size: tuple[float, float, float]
    shape: str
    paint: tuple[int, int, int]
    motion: Motion
    manoeuvres: tuple[Manoeuvre, ...] = ()
    towed_by: int = 0

    def box(self, t: npt.ArrayLike) -> SE3:
        """``odom_SE3_box`` at times ``t`` (...), origin at the box's centre."""
        return self.motion.pose(t) @ SE3(np.eye(3), np.array([0.0, 0.0, 0.5 * self.size[2]]))

    @property
    def class_id(self) -> int:
        return CLASSES.index(self.kind)

    def manoeuvre(self, t: float) -> Manoeuvre:
        """The one under way at ``t``; where there is none, `keep`. Of several, the last named."""
        return next((m for m in reversed(self.manoeuvres) if t in m), Manoeuvre(MANOEUVRES[0], 0.0, 0.0))


class Lamp(NamedTuple):
    """A street lamp: position (3,) m, sRGB colour, luminous intensity in candela straight down."""

    position: tuple[float, float, float]
    colour: tuple[int, int, int] = (255, 214, 170)
    candela: float = 4000.0


@dataclass(frozen=True)
class World:
    """One scenario, placed.

    ego: motion of the ego frame (on the ground under the rear axle). ego_size: of the ego vehicle's box, for others to
    keep away from, which ends ego_tail m behind the rear axle. static: everything that never moves and is not labelled
    (ground, road, markings, buildings, trees), odom frame. roofed: intervals (start, end) of ego time without sky and
    satellites, such as in a tunnel.
    """

    name: str
    seed: int
    duration: float
    ego: Motion
    actors: tuple[Actor, ...]
    static: Mesh
    weather: Weather = field(default_factory=Weather)
    light: Light = field(default_factory=Light)
    lamps: tuple[Lamp, ...] = ()
    roofed: tuple[tuple[float, float], ...] = ()
    ego_size: tuple[float, float, float] = (4.6, 1.9, 1.6)
    ego_tail: float = 0.9

    def ego_box(self, t: npt.ArrayLike) -> SE3:
        """``odom_SE3_box`` of the ego vehicle at times ``t`` (...), origin at the box's centre."""
        length, _, height = self.ego_size
        return self.ego.pose(t) @ SE3(np.eye(3), np.array([0.5 * length - self.ego_tail, 0.0, 0.5 * height]))

    @cached_property
    def motions(self) -> Motions:
        """Of all actors, in their order."""
        return Motions([actor.motion for actor in self.actors])

    @cached_property
    def sizes(self) -> npt.NDArray[np.float64]:
        """(K, 3) length, width, height of all actors' boxes, m."""
        return np.array([actor.size for actor in self.actors], dtype=np.float64).reshape(-1, 3)

    def boxes(self, t: float) -> SE3:
        """``odom_SE3_box`` of all K actors, origin at the box's centre."""
        poses = self.motions.pose(t)
        return trusted(poses.rotation, poses.translation + 0.5 * self.sizes[:, 2:] * poses.rotation[..., 2])
