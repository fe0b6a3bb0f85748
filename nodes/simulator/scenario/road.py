"""`Road`: where lanes, kerbs and pavements lie along a middle line.

Across the road, ``d`` is metres left of the middle line; along it, ``s`` is metres from the road's beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nodes.simulator.scenario.path import FloatArray, Path, Piece
from nodes.simulator.scenario.road_settings import RoadSettings, Stretch

KERB_HEIGHT = 0.12
LEAD_IN = 120.0
"""Road behind the ego's start, m, so that traffic and view do not end behind it."""


class Lane(NamedTuple):
    """number: from the outside, 1 is the slow one. d: of its middle. path: in its direction of travel."""

    number: int
    oncoming: bool
    d: float
    path: Path


@dataclass(frozen=True)
class Road:
    """settings: as written. middle: the middle line in the ego's direction. start: s of the ego at t = 0."""

    settings: RoadSettings
    middle: Path
    start: float

    @cached_property
    def lanes(self) -> tuple[Lane, ...]:
        """The ego's direction first, each from the outside."""
        of = self.settings
        there = [self._lane(n, of.lanes, oncoming=False) for n in range(1, of.lanes + 1)]
        return tuple(there + [self._lane(n, of.oncoming, oncoming=True) for n in range(1, of.oncoming + 1)])

    def lane(self, number: int, oncoming: bool = False) -> Lane:
        """Raises KeyError where there is none; its argument says so."""
        count = self.settings.oncoming if oncoming else self.settings.lanes
        if not 1 <= number <= count:
            raise KeyError(f"lane {number} of {count} does not exist")
        return self.lanes[number - 1 + (self.settings.lanes if oncoming else 0)]

    def _lane(self, number: int, count: int, oncoming: bool) -> Lane:
        d = 0.5 * self.settings.median + (count - number + 0.5) * self.settings.lane_width
        path = self.middle.beside(d if oncoming else -d)
        return Lane(number, oncoming, d if oncoming else -d, path.reversed() if oncoming else path)

    def along(self, lane: Lane, s: npt.ArrayLike) -> FloatArray:
        """Arc length on a lane's own path at ``s`` of the road."""
        line = self.middle
        turned = np.interp(np.asarray(s, dtype=np.float64), line.s, line.heading) - line.heading[0]
        # beyond the ends both go on straight
        here = np.asarray(s, dtype=np.float64) - lane.d * turned
        return np.asarray(lane.path.length - here if lane.oncoming else here)

    def across(self, s: npt.ArrayLike, d: float) -> FloatArray:
        """(..., 2) point at ``s``, ``d``."""
        place = self.middle.at(s)
        return place.xy + d * place.left

    def lanes_edge(self, side: int) -> float:
        """|d| of the outer edge of the outermost lane; side +1 left, -1 right."""
        count = self.settings.oncoming if side > 0 else self.settings.lanes
        return 0.5 * self.settings.median + count * self.settings.lane_width

    def cycle_middle(self, side: int) -> float:
        """|d| of the middle of the cycle lane."""
        return self.lanes_edge(side) + 0.5 * self.settings.cycle_lane

    def parking_middle(self, side: int) -> float:
        of = self.settings
        return self.lanes_edge(side) + of.cycle_lane + of.shoulder + 0.5 * of.parking

    def kerb(self, side: int) -> float:
        """|d| of where the asphalt ends."""
        of = self.settings
        return self.lanes_edge(side) + of.cycle_lane + of.shoulder + of.parking

    def outside(self, side: int) -> float:
        """|d| of where everything that belongs to the road ends."""
        return self.kerb(side) + self.settings.pavement


def lay_out(settings: RoadSettings, at: float, needed: float) -> Road:
    """The road of a scenario whose ego starts ``at`` m along the written line and needs ``needed`` m of it.

    A straight stretch of `LEAD_IN` m leads to the beginning of the line.
    """
    stretches = [Stretch(length=LEAD_IN), *settings.line]
    missing = LEAD_IN + at + needed - sum(stretch.length for stretch in stretches)
    stretches.append(Stretch(length=max(missing, settings.ease)))  # or the last bend would end with a jerk
    pieces = _eased(stretches, settings.ease)
    return Road(settings, Path.of(pieces, x=-LEAD_IN), LEAD_IN + at)


def _eased(stretches: list[Stretch], ease: float) -> list[Piece]:
    """Arcs and straight lines with clothoids between them, which take their length from both neighbours in equal parts,
    so that the line turns by as much as it would without them."""
    turn = [1.0 / stretch.radius if stretch.radius else 0.0 for stretch in stretches]
    cuts = [
        min(ease, a.length, b.length) if ka != kb else 0.0
        for a, b, ka, kb in zip(stretches[:-1], stretches[1:], turn[:-1], turn[1:], strict=True)
    ]
    pieces = []
    for i, stretch in enumerate(stretches):
        before, after = cuts[i - 1] if i else 0.0, cuts[i] if i < len(cuts) else 0.0
        pieces.append(Piece(stretch.length - 0.5 * (before + after), turn[i], turn[i]))
        if after:
            pieces.append(Piece(after, turn[i], turn[i + 1]))
    return [piece for piece in pieces if piece.length > 1e-9]
