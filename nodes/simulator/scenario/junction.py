"""Where a street crosses the road at right angles: its arms, the ways through it, and its stop lines.

An arm begins at the road's kerb and leads away; it has one lane each way and pavements as wide as the road's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nodes.simulator.scenario.mover import Stop
from nodes.simulator.scenario.path import FloatArray, Path, Piece
from nodes.simulator.scenario.road import Lane, Road
from nodes.simulator.scenario.settings import Turn
from pipeline.core.errors import BadInput

ARM_LENGTH = 160.0
_STRAIGHT = 30.0  # m of road on both sides that must not bend
_RAMP = 0.3  # share of a turn on which its curvature grows, and falls again
_TIGHT, _WIDE = 6.5, 11.0  # m from where the lines cross to where a right and a left turn begin
_YELLOW, _CLEAR = 3.0, 2.0  # s


class Way(NamedTuple):
    """Through the junction. turns: (from, to, manoeuvre) on the path."""

    path: Path
    stops: tuple[Stop, ...]
    turns: tuple[tuple[float, float, str], ...]


class Crossing:
    """The junction of a road that has one.

    Raises:
        BadInput: the road bends there.
    """

    def __init__(self, name: str, road: Road) -> None:
        assert road.settings.junction is not None
        self.road, self.of = road, road.settings.junction
        self.s = road.start + self.of.ahead
        near = np.abs(road.middle.s - self.s) < _STRAIGHT
        if np.abs(road.middle.curvature[near]).max(initial=0.0) > 1e-6:
            expected = f"a place with {_STRAIGHT:.0f} m of straight road on both sides"
            raise BadInput(name, "$.road.junction.ahead", expected, self.of.ahead)

    @property
    def kerb(self) -> float:
        """From the middle of an arm to its kerb."""
        return self.of.lane_width + 0.3

    @property
    def corner(self) -> float:
        """Radius of the kerbs' corners: the pavement's width."""
        return max(self.road.settings.pavement, 3.0)

    @property
    def half(self) -> float:
        """Half of the road that it takes up, pavements included."""
        return self.kerb + self.corner

    @property
    def line(self) -> float:
        """From the junction's middle to the stop lines on the road; before them lies a crosswalk."""
        return self.half + 4.5

    def arm(self, side: int) -> Path:
        """The middle line of an arm, from the kerb outwards; side +1 left, -1 right of the road."""
        x, y = self.road.across(self.s, side * self.road.kerb(side))
        heading = float(self.road.middle.at(self.s).heading) + side * 0.5 * np.pi
        return Path.of([Piece(ARM_LENGTH)], float(x), float(y), heading)

    def arm_line(self) -> float:
        """Arc length on an arm of its stop line."""
        return self.corner + 4.5

    def along(self, lane: Lane, turn: Turn) -> Way:
        """For those who come along the road in a lane."""
        middle = float(self.road.along(lane, self.s))
        stop = middle - self.line
        side = 1 if lane.oncoming else -1
        if turn == "straight":
            return Way(lane.path, (Stop(stop, self._main_closed),) if self._lights else (), ())
        to = side if turn == "right" else -side
        exit_lane = self.arm(to).beside(-0.5 * self.of.lane_width)
        way = _turn(lane.path, exit_lane, turn)
        stops = (Stop(stop, self._main_closed),) if self._lights else ()
        return way._replace(stops=(*stops, Stop(stop)) if turn == "left" else stops)

    def out_of(self, side: int, turn: Turn) -> Way:
        """For those who come out of an arm."""
        entry = self.arm(side).reversed().beside(-0.5 * self.of.lane_width)
        stop = entry.length - self.arm_line()
        if turn == "straight":
            across = float(np.linalg.norm(self.arm(-side).at(0.0).xy - self.arm(side).at(0.0).xy))
            bridge = entry.part(entry.length, entry.length + across)
            way = Way(entry.then(bridge).then(self.arm(-side).beside(-0.5 * self.of.lane_width)), (), ())
        else:
            # who comes from the right and turns right drives with the road's forward lanes, and so does left from left
            oncoming = (side > 0) == (turn == "right")
            way = _turn(entry, self.road.lane(1, oncoming).path, turn)
        lights = (Stop(stop, self._arm_closed),) if self._lights else ()
        return way._replace(stops=(*lights, Stop(stop)) if turn == "left" or not self._lights else lights)

    def light_posts(self) -> list[tuple[FloatArray, float]]:
        """Position (2,) and heading of the traffic that each light is for."""
        if not self._lights:
            return []
        posts = []
        heading = float(self.road.middle.at(self.s).heading)
        for side in (-1, 1):
            at = self.road.across(self.s + side * self.line, side * (self.road.kerb(side) + 0.6))
            posts.append((at, heading if side < 0 else heading + np.pi))
            arm = self.arm(side)
            place = arm.at(self.arm_line())
            posts.append((place.xy + (self.kerb + 0.6) * place.left, float(place.heading) + np.pi))
        return posts

    @property
    def _lights(self) -> bool:
        return self.of.control == "lights"

    def _main_closed(self, t: float) -> bool:
        start, end = self.of.green
        return not start <= (t - start) % self.of.cycle + start < end

    def _arm_closed(self, t: float) -> bool:
        start, end = self.of.green
        into = (t - end) % self.of.cycle
        red_of_main = self.of.cycle - (end - start)
        return not _YELLOW + _CLEAR <= into < red_of_main - _YELLOW - _CLEAR


def _turn(entry: Path, out: Path, turn: Turn) -> Way:
    """From one straight line into another at right angles: curvature grows, stays and falls."""
    cut = _WIDE if turn == "left" else _TIGHT
    meet_in, meet_out = _meeting(entry, out)
    scale = Path.of(_bend(100.0, 1.0))
    length = 100.0 * cut / float(scale.x[-1])
    start = entry.part(0.0, meet_in - cut)
    end = start.at(start.length)
    bend = Path.of(
        _bend(length, 1.0 if turn == "left" else -1.0), float(end.x), float(end.y), float(end.heading)
    )  # fmt: skip
    path = start.then(bend).then(out.part(meet_out + cut, out.length))
    return Way(path, (), ((start.length - 2.0, start.length + bend.length, f"turn_{turn}"),))


def _meeting(entry: Path, out: Path) -> tuple[float, float]:
    """Arc lengths at which two paths, or their straight continuations, cross each other."""
    cross = np.hypot(entry.x[:, None] - out.x, entry.y[:, None] - out.y)
    i, j = np.unravel_index(cross.argmin(), cross.shape)
    a, b = entry.at(entry.s[i]), out.at(out.s[j])
    u, v = np.array([np.cos(a.heading), np.sin(a.heading)]), np.array([np.cos(b.heading), np.sin(b.heading)])
    along = np.linalg.solve(np.stack([u, -v], axis=1), b.xy - a.xy)
    return float(entry.s[i] + along[0]), float(out.s[j] + along[1])


def _bend(length: float, sign: float) -> list[Piece]:
    """A right angle of this length."""
    sharp = sign * 0.5 * np.pi / ((1.0 - _RAMP) * length)
    ramp = _RAMP * length
    return [Piece(ramp, 0.0, sharp), Piece(length - 2.0 * ramp, sharp, sharp), Piece(ramp, sharp, 0.0)]
