"""`Mover`: one road user while the traffic is being worked out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nodes.simulator.scenario.idm import Driver
from nodes.simulator.scenario.path import FloatArray, Path
from nodes.simulator.scenario.road import Lane
from nodes.simulator.scenario.settings import Act, When

_CORNERING, _EASING = 2.2, 1.4  # m/s2: across, and along before a bend


class Pose(NamedTuple):
    """The point that a path leads (rear axle; middle of a person), each (...): x, y m, yaw rad."""

    x: FloatArray
    y: FloatArray
    yaw: FloatArray


class Stop(NamedTuple):
    """Where a front must not pass while it is closed. s: on the path. closed: at a time; None: gives way to others."""

    s: float
    closed: Callable[[float], bool] | None = None


class Hitch(NamedTuple):
    """What draws a trailer. behind: how far behind the tractor's point its own follows the path, m. angle: heading at
    the start, rad."""

    tractor: Mover
    behind: float
    angle: float


@dataclass
class Mover:
    """label: how errors call it. tail: how far its box reaches behind the point that follows the path, m. fixed: never
    moves. sees: how far ahead it expects others to go on as they do, s. starts: when it begins to move at all."""

    label: str
    shape: str
    kind: str
    size: tuple[float, float, float]
    tail: float
    path: Path
    s: float
    speed: float
    wanted: float
    driver: Driver = field(default_factory=Driver)
    lane: Lane | None = None
    offset: float = 0.0
    fixed: bool = False
    on_foot: bool = False
    changes_lanes: bool = False
    heedless: bool = False
    sees: float = 2.0
    starts: When = field(default_factory=When)
    acts: list[Act] = field(default_factory=list)
    stops: tuple[Stop, ...] = ()
    turns: tuple[tuple[float, float, str], ...] = ()  # from, to on the path, manoeuvre
    hitch: Hitch | None = None  # of a trailer

    acceleration: float = 0.0
    started: bool = False
    hold: float = np.inf  # s that its front will not pass for now
    braking: float = 0.0  # rate of a scripted braking, 0 = none
    brake_to: float = 0.0
    released: float = 0.0  # time at which a scripted braking ends
    change_done: float = -np.inf  # s at which the last change of lanes ends

    def __post_init__(self) -> None:
        self.turn_from = self.turn_to = self.offset
        self.turn_at, self.turn_length = self.s, 1.0
        self.started = self.starts == When()
        self._bends = _bend_speed(self.path)

    @property
    def front(self) -> float:
        """Arc length of the foremost point of its box."""
        return self.s - self.tail + self.size[0]

    @property
    def half(self) -> tuple[float, float]:
        return 0.5 * self.size[0], 0.5 * self.size[1]

    @property
    def turn(self) -> FloatArray:
        """(4,) of the way across: from which offset, to which, from which arc length on, over how much of it."""
        return np.array([self.turn_from, self.turn_to, self.turn_at, self.turn_length])

    @property
    def to_middle(self) -> float:
        """From the point that follows the path to the middle of the box, m."""
        return 0.5 * self.size[0] - self.tail

    def drift(self, s: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Offset left of the path, m, and its slope at arc lengths ``s``: a quintic while it moves across."""
        return _drift(np.asarray(s, dtype=np.float64), self.turn)

    def move_across(self, to: float, length: float, was: float | None = None) -> None:
        """Begin to go to another offset over ``length`` m of road."""
        self.turn_from = float(self.drift(self.s)[0]) if was is None else was
        self.turn_to, self.turn_at, self.turn_length = to, self.s, max(length, 1.0)

    def take(self, lane: Lane, s: float, over: float) -> None:
        """Begin to change into another lane of the same direction; ``s`` is this place on that lane's path."""
        assert self.lane is not None
        across = (self.lane.d - lane.d) * (-1.0 if lane.oncoming else 1.0)
        was = float(self.drift(self.s)[0]) + across
        self.lane, self.path, self.s = lane, lane.path, s
        self._bends = _bend_speed(lane.path)
        self.move_across(0.0, max(self.speed * over, 6.0 * abs(was)), was)
        self.change_done = self.s + self.turn_length

    def follow(self, path: Path) -> None:
        """Leave the lane, with whose path another begins."""
        self.lane, self.path, self._bends = None, path, _bend_speed(path)

    def keep_up(self) -> None:
        """Of a trailer: go where its tractor went, on the same path and in the same change of lanes."""
        assert self.hitch is not None
        tractor = self.hitch.tractor
        self.lane, self.path, self.s = tractor.lane, tractor.path, tractor.s - self.hitch.behind
        self.speed, self.acceleration, self.started = tractor.speed, tractor.acceleration, tractor.started
        self.turns, self.change_done, self.hold = tractor.turns, tractor.change_done, tractor.hold - self.hitch.behind
        self.turn_from, self.turn_to = tractor.turn_from, tractor.turn_to
        self.turn_at, self.turn_length = tractor.turn_at, tractor.turn_length

    def draws(self, other: Mover) -> bool:
        """Whether one of the two is the other's trailer; they overlap at the hitch."""
        return any(a.hitch is not None and a.hitch.tractor is b for a, b in ((self, other), (other, self)))

    def pose(self, s: npt.ArrayLike) -> Pose:
        return _pose(self.path, np.asarray(s, dtype=np.float64), self.turn)

    def middle(self, s: npt.ArrayLike) -> Pose:
        """Of its box."""
        at = self.pose(s)
        return Pose(at.x + self.to_middle * np.cos(at.yaw), at.y + self.to_middle * np.sin(at.yaw), at.yaw)

    def progress(self) -> float:
        """Arc length of its path for each metre that it drives beside and across it."""
        if self.turn_from == 0.0 == self.turn_to:
            return 1.0
        d, slope = self.drift(self.s)
        turn = float(np.interp(self.s, self.path.s, self.path.curvature))
        return 1.0 / float(np.hypot(1.0 - turn * d, slope))

    def speed_here(self) -> float:
        """What it wants to drive, no faster than the bends ahead allow."""
        ahead = self.s + np.array([0.0, 0.8]) * self.speed  # a driver is never quite as slow as it means to be
        return min(self.wanted, float(np.interp(ahead, self.path.s, self._bends).min()))


def poses(movers: Sequence[Mover], s: FloatArray) -> Pose:
    """(K, T) where each of K movers is at arc lengths s (K, T) of its own path; those on one path are worked out at
    once."""
    of_path: dict[int, list[int]] = {}
    for k, mover in enumerate(movers):
        of_path.setdefault(id(mover.path), []).append(k)
    out = Pose(*np.empty((3, *s.shape)))
    for rows in of_path.values():
        turn = np.stack([movers[k].turn for k in rows], axis=-1)[..., None]
        for column, values in zip(out, _pose(movers[rows[0]].path, s[rows], turn), strict=True):
            column[rows] = values
    return out


def _pose(path: Path, s: FloatArray, turn: FloatArray) -> Pose:
    place, (d, slope) = path.at(s), _drift(s, turn)
    x, y = place.x - d * np.sin(place.heading), place.y + d * np.cos(place.heading)
    return Pose(x, y, place.heading + np.arctan2(slope, 1.0 - d * place.curvature))


def _drift(s: FloatArray, turn: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`Mover.drift`; turn: (4, ...) as `Mover.turn` has them."""
    start, end, at, length = turn
    u = np.minimum(np.maximum((s - at) / length, 0.0), 1.0)
    span = end - start
    slope = span * 30.0 * u**2 * (1.0 - u) ** 2 / length
    return start + span * u**3 * (10.0 - 15.0 * u + 6.0 * u**2), slope


def _bend_speed(path: Path) -> FloatArray:
    """(K,) m/s at each sample of a path, such that bends are taken, and braked for, in comfort."""
    with np.errstate(divide="ignore"):
        allowed = np.minimum(_CORNERING / np.abs(path.curvature), 60.0**2)
    # v^2 may fall by 2 b ds at most: the smallest of v^2 + 2 b s further on, less 2 b s here
    lowered = np.minimum.accumulate((allowed + 2.0 * _EASING * path.s)[::-1])[::-1] - 2.0 * _EASING * path.s
    return np.sqrt(np.maximum(lowered, 1.0))
