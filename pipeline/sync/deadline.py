"""How long to wait: a quantile of what was measured lately, so that no hiccup raises the latency for good."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

from pipeline.core.settings import Settings


class RunningQuantile:
    """A quantile of the last ``size`` values, by nearest rank.

    With quantile q, the largest floor(size * (1 - q)) values of a full window do not count, and none counts for longer
    than ``size`` values. Adding costs one binary search and two moves within a few kilobytes.
    """

    def __init__(self, quantile: float, size: int) -> None:
        if not (0.0 <= quantile <= 1.0 and size > 0):
            raise ValueError(f"expected a quantile in 0..1 and a size > 0, got {quantile}, {size}")
        self._quantile = quantile
        self._size = size
        self._recent: deque[int] = deque()
        self._sorted: list[int] = []
        self._rank = 0

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, value: int) -> int:
        """Add a value; returns the quantile."""
        ordered = self._sorted
        if len(ordered) == self._size:
            del ordered[bisect_left(ordered, self._recent.popleft())]
        else:
            self._rank = max(0, math.ceil(self._quantile * (len(ordered) + 1)) - 1)
        self._recent.append(value)
        insort(ordered, value)
        return ordered[self._rank]


class WaitSettings(Settings, frozen=True):
    """How a wait follows from measured delays: their ``quantile`` over the last ``window`` plus ``margin_ns``, bounded.

    Until ``enough`` delays are known, ``initial_ns``.
    """

    quantile: float = 0.995
    window: int = 256
    enough: int = 16
    margin_ns: int = 5_000_000
    initial_ns: int = 200_000_000
    min_ns: int = 5_000_000
    max_ns: int = 500_000_000

    def __post_init__(self) -> None:
        if not 0.0 <= self.quantile <= 1.0:
            raise ValueError(f"quantile: expected 0..1, got {self.quantile}")
        if not 0 <= self.min_ns <= self.max_ns:
            raise ValueError(f"min_ns, max_ns: expected 0 <= min <= max, got {self.min_ns}, {self.max_ns}")
        if self.window < 1:
            raise ValueError(f"window: expected >= 1, got {self.window}")


class Wait:
    """The wait for one stream, `ns`, from the delays of its own messages once enough are `measured`."""

    def __init__(self, settings: WaitSettings) -> None:
        self.ns = settings.initial_ns
        self.measured = False
        self._settings = settings
        self._delays = RunningQuantile(settings.quantile, settings.window)

    def add(self, delay_ns: int) -> None:
        """Take a measured delay in."""
        s = self._settings
        quantile_ns = self._delays.add(delay_ns)
        if len(self._delays) >= s.enough:
            self.measured = True
            self.ns = min(max(quantile_ns + s.margin_ns, s.min_ns), s.max_ns)
