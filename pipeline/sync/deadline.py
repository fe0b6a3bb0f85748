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

    def __len__(self) -> int:
        return len(self._recent)

    def add(self, value: int) -> None:
        if len(self._recent) == self._size:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(value)
        insort(self._sorted, value)

    @property
    def value(self) -> int:
        """The quantile.

        Raises:
            ValueError: nothing was added yet.
        """
        if not self._sorted:
            raise ValueError("no quantile of no values")
        return self._sorted[max(0, math.ceil(self._quantile * len(self._sorted)) - 1)]


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
    """The wait for one stream, from the delays of its own messages."""

    def __init__(self, settings: WaitSettings) -> None:
        self._settings = settings
        self._delays = RunningQuantile(settings.quantile, settings.window)

    def add(self, delay_ns: int) -> None:
        self._delays.add(delay_ns)

    @property
    def ns(self) -> int:
        s = self._settings
        if len(self._delays) < s.enough:
            return s.initial_ns
        return min(max(self._delays.value + s.margin_ns, s.min_ns), s.max_ns)
