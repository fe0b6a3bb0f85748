"""Lines that are closed: a red light, or others who have the right of way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nodes.simulator.scenario.mover import Mover, Stop
from nodes.simulator.scenario.path import Path

_WIDTH = 2.6  # m: paths that come nearer than this cannot be used at once
_SLACK = 1.2  # s
_LOOKAHEAD = 60.0  # m before a line at which it begins to matter


class Conflicts:
    """Where pairs of paths meet, worked out once for each pair."""

    def __init__(self) -> None:
        self._met: dict[tuple[int, int], tuple[float, float, float, float] | None] = {}
        self._paths: list[Path] = []  # keeps ids alive

    def nearest_closed(self, movers: Sequence[Mover], me: int, t: float) -> float:
        """Arc length of the next line that ``me`` must not pass at ``t``; inf where there is none."""
        mover = movers[me]
        if mover.heedless:
            return np.inf
        for stop in mover.stops:
            away = stop.s - mover.front
            if away < -1.0 or away > _LOOKAHEAD + 2.0 * mover.speed:
                continue
            if stop.closed is not None:
                # who can no longer stop in comfort drives on: that is what yellow is for
                if stop.closed(t) and away > mover.speed**2 / (2.0 * 4.5) - 0.5:
                    return stop.s
            elif self._must_wait(movers, mover, stop) and away > mover.speed**2 / (2.0 * 6.0) - 1.0:
                return stop.s
        return np.inf

    def _must_wait(self, movers: Sequence[Mover], mover: Mover, stop: Stop) -> bool:
        here = mover.pose(mover.s)
        for other in movers:
            if other is mover or other.fixed or other.on_foot or other.path is mover.path:
                continue
            met = self._meet(mover.path, other.path, stop.s)
            if met is None:
                continue
            my_end, its_start, its_end = met[1], met[2], met[3]
            if other.s - other.tail > its_end or other.hold < its_start:
                continue
            s, d = other.path.project([float(here.x), float(here.y)])
            if abs(d[0]) < 1.0 and s[0] > 0.0 and np.cos(here.yaw - other.path.at(s[0]).heading) > 0.9:
                continue  # it comes the same way as I do
            mine = (my_end - mover.s + mover.tail) / max(mover.speed, 4.0) + _SLACK
            its = (its_start - other.front) / max(other.speed, 0.5 * other.wanted, 1.0)
            if its < mine:
                return True
        return False

    def _meet(self, path: Path, other: Path, after: float) -> tuple[float, float, float, float] | None:
        """Stretches of both, from and to, on which they are too near to each other, within 50 m of a line."""
        key = id(path), id(other)
        if key not in self._met:
            self._paths += [path, other]
            mine, its = np.flatnonzero((path.s > after) & (path.s < after + 50.0))[::2], slice(None, None, 2)
            near = np.hypot(
                path.x[mine][:, None] - other.x[its], path.y[mine][:, None] - other.y[its]
            ) < _WIDTH  # fmt: skip
            rows, columns = np.nonzero(near)
            self._met[key] = (
                (
                    float(path.s[mine[rows.min()]]),
                    float(path.s[mine[rows.max()]]),
                    float(other.s[its][columns.min()]),
                    float(other.s[its][columns.max()]),
                )
                if len(rows)
                else None
            )
        return self._met[key]
