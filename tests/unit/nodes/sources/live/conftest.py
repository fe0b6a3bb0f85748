"""Datagrams without a network, for tests of drivers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest

from pipeline.core.clock import ManualClock


class ListedDatagrams:
    """Gives out a list, setting the clock to each one's time as it is received."""

    def __init__(self, datagrams: Iterable[tuple[int, bytes]], clock: ManualClock, latency_ns: int = 100_000) -> None:
        self.losses: Mapping[str, int] = {}
        self.closed = False
        self._datagrams = iter(datagrams)
        self._clock = clock
        self._latency_ns = latency_ns

    def receive(self, timeout_s: float) -> bytes | None:
        entry = next(self._datagrams, None)
        if entry is None:
            return None
        self._clock.sleep_until(entry[0] + self._latency_ns)
        return entry[1]

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="session")
def listed() -> Callable[..., ListedDatagrams]:
    return ListedDatagrams
