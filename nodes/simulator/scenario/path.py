"""`Path`: a smooth line on the ground, by its arc length. Lanes, turns and walks are paths."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]

STEP = 0.5
"""Distance of the samples of a path, m."""

_BEFORE, _BEHIND = 20, 200  # m
_GAUSS = ((-np.sqrt(0.6), 5 / 18), (0.0, 8 / 18), (np.sqrt(0.6), 5 / 18))


class Piece(NamedTuple):
    """Part of a line whose curvature, 1/m and positive to the left, goes linearly from one end to the other: a straight
    line, an arc, or a clothoid between them."""

    length: float
    start: float = 0.0
    end: float = 0.0


class Place(NamedTuple):
    """Points of a path: x, y (m), heading (rad), curvature (1/m), each (...)."""

    x: FloatArray
    y: FloatArray
    heading: FloatArray
    curvature: FloatArray

    @property
    def xy(self) -> FloatArray:
        """(..., 2)."""
        return np.stack([self.x, self.y], axis=-1)

    @property
    def left(self) -> FloatArray:
        """(..., 2), the unit vector to the left."""
        return np.stack([-np.sin(self.heading), np.cos(self.heading)], axis=-1)


class Path:
    """Samples at most `STEP` apart along a line; between them a cubic Hermite curve.

    Args:
        s: (K,) arc length, m, from 0, increasing. x, y: (K,) m. heading: (K,) rad, unwrapped. curvature: (K,) 1/m.
    """

    def __init__(self, s: FloatArray, x: FloatArray, y: FloatArray, heading: FloatArray, curvature: FloatArray) -> None:
        self.s, self.x, self.y, self.heading, self.curvature = s, x, y, heading, curvature

    @property
    def length(self) -> float:
        return float(self.s[-1])

    @staticmethod
    def of(pieces: Sequence[Piece], x: float = 0.0, y: float = 0.0, heading: float = 0.0) -> Path:
        """The line that begins at a pose and goes through all pieces."""
        ends = np.cumsum([0.0, *(piece.length for piece in pieces)])
        rates = np.array([(piece.end - piece.start) / max(piece.length, 1e-9) for piece in pieces])
        starts = np.array([piece.start for piece in pieces])
        turned = np.cumsum([heading, *(0.5 * (piece.start + piece.end) * piece.length for piece in pieces)])

        def look(s: FloatArray) -> tuple[FloatArray, FloatArray]:
            i = np.clip(np.searchsorted(ends, s, side="right") - 1, 0, len(pieces) - 1)
            into = s - ends[i]
            return turned[i] + starts[i] * into + 0.5 * rates[i] * into**2, starts[i] + rates[i] * into

        parts = [
            np.linspace(a, b, int(np.ceil((b - a) / STEP)), endpoint=False) for a, b in itertools.pairwise(ends)
        ]  # every piece begins at a sample, so that none has a kink inside
        s = np.concatenate([*parts, ends[-1:]])
        half, middle = 0.5 * np.diff(s), 0.5 * (s[1:] + s[:-1])
        steps = np.zeros((2, len(half)))
        for at, weight in _GAUSS:
            angle, _ = look(middle + at * half)
            steps += weight * 2 * half * np.stack([np.cos(angle), np.sin(angle)])
        along = np.cumsum(np.concatenate([[[x], [y]], steps], axis=1), axis=1)
        return Path(s, along[0], along[1], *look(s))

    def at(self, s: npt.ArrayLike) -> Place:
        """Where the path is at arc lengths ``s`` (...); beyond its ends it goes on straight."""
        wanted = np.asarray(s, dtype=np.float64)
        inside = np.minimum(np.maximum(wanted, 0.0), self.s[-1])  # np.clip takes ten times as long on a few numbers
        i = np.minimum(np.searchsorted(self.s, inside, side="right") - 1, len(self.s) - 2)
        h = self.s[i + 1] - self.s[i]
        u = (inside - self.s[i]) / h
        a, b = self.heading[i], self.heading[i + 1]
        h00, h10, h01, h11 = (1 + 2 * u) * (1 - u) ** 2, u * (1 - u) ** 2, u * u * (3 - 2 * u), u * u * (u - 1)
        curvature = self.curvature[i] + u * (self.curvature[i + 1] - self.curvature[i])
        heading = h00 * a + h01 * b + h * (h10 * self.curvature[i] + h11 * self.curvature[i + 1])
        beyond = wanted - inside
        x = h00 * self.x[i] + h01 * self.x[i + 1] + h * (h10 * np.cos(a) + h11 * np.cos(b)) + beyond * np.cos(heading)
        y = h00 * self.y[i] + h01 * self.y[i + 1] + h * (h10 * np.sin(a) + h11 * np.sin(b)) + beyond * np.sin(heading)
        return Place(x, y, heading, np.where(beyond == 0.0, curvature, 0.0))

    def strip(self, start: float, end: float) -> tuple[FloatArray, Place]:
        """Arc lengths 1 m apart that cover at least [start, end], and the places there."""
        first, last = int(np.floor(start)) + _BEFORE, int(np.ceil(end)) + _BEFORE + 1
        s, places = self._metres
        if first < 0 or last > len(s):
            s = np.arange(first, last, dtype=np.float64) - _BEFORE
            return s, self.at(s)
        return s[first:last], Place._make(column[first:last] for column in places)

    @functools.cached_property
    def _metres(self) -> tuple[FloatArray, Place]:
        """Every metre from a little before the path to as far behind it as drivers look."""
        s = np.arange(-_BEFORE, int(self.length) + _BEHIND, dtype=np.float64)
        return s, self.at(s)

    def beside(self, d: float) -> Path:
        """The parallel line ``d`` m to the left (right where negative), by its own arc length."""
        widening = 1.0 - d * self.curvature
        if widening.min() <= 0.0:
            raise ValueError(f"a line {d:.1f} m beside a curve of radius {1 / np.abs(self.curvature).max():.1f} m")
        x, y = self.x - d * np.sin(self.heading), self.y + d * np.cos(self.heading)
        s = self.s - d * (self.heading - self.heading[0])
        return Path(s, x, y, self.heading, self.curvature / widening)

    def reversed(self) -> Path:
        """The same line travelled the other way."""
        return Path(
            self.s[-1] - self.s[::-1], self.x[::-1], self.y[::-1], self.heading[::-1] + np.pi, -self.curvature[::-1]
        )

    def part(self, start: float, end: float) -> Path:
        """From one arc length to another; beyond the path's ends, straight on."""
        inside = self.s[(self.s > start + 1e-6) & (self.s < end - 1e-6)]
        ahead = np.arange(max(self.s[-1], start) + STEP, end - 1e-6, STEP) if end > self.s[-1] else np.zeros(0)
        s = np.concatenate([[start], inside, ahead, [end]])
        return Path(s - start, *self.at(s))

    def then(self, other: Path) -> Path:
        """This path and then another, which begins where this one ends."""
        turns = 2 * np.pi * np.round((self.heading[-1] - other.heading[0]) / (2 * np.pi))
        return Path(
            np.concatenate([self.s, other.s[1:] + self.s[-1]]),
            np.concatenate([self.x, other.x[1:]]),
            np.concatenate([self.y, other.y[1:]]),
            np.concatenate([self.heading, other.heading[1:] + turns]),
            np.concatenate([self.curvature, other.curvature[1:]]),
        )

    def project(self, xy: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Arc length and offset to the left, m, each (K,), of the point of the path nearest to ``xy`` (K, 2)."""
        points = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        distance = (points[:, 0, None] - self.x) ** 2 + (points[:, 1, None] - self.y) ** 2
        near = distance.argmin(axis=1)
        c, n = np.cos(self.heading[near]), np.sin(self.heading[near])
        dx, dy = points[:, 0] - self.x[near], points[:, 1] - self.y[near]
        along, d = c * dx + n * dy, c * dy - n * dx
        turn = self.curvature[near]
        return self.s[near] + along / (1.0 - turn * d), d - 0.5 * turn * along**2
