"""The only place that reads the machine's clocks. Time is int64 nanoseconds everywhere."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Host time: UNIX epoch, nanoseconds, never backwards within a process."""
        ...

    def sleep_until(self, time_ns: int) -> None:
        """Wait until `now_ns` has reached `time_ns`; returns at once when it already has."""
        ...


class SystemClock:
    """UNIX time at start, advanced by the monotonic clock: it cannot be stepped under a running pipeline."""

    def __init__(self) -> None:
        self._unix_minus_monotonic = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        return time.monotonic_ns() + self._unix_minus_monotonic

    def sleep_until(self, time_ns: int) -> None:
        remaining = time_ns - self.now_ns()
        if remaining > 0:
            time.sleep(remaining / 1e9)


class ManualClock:
    """Time that stands until it is told to move; for tests and for replay as fast as possible."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until(self, time_ns: int) -> None:
        self._now_ns = max(self._now_ns, time_ns)
