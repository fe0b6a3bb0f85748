"""What every source process says of itself, and the signal that it waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psutil

from pipeline.core.bus import Bus
from pipeline.core.clock import Clock
from pipeline.core.messages import Message, NodeStatus, RunInfo, Stamp

HEARTBEAT_NS = 500_000_000


class Heartbeat:
    """Speaks for the source ``name``.

    Args:
        ready: whether everyone who must hear it listens; before that it does not beat, and nothing begins.

    subscription: `run/info`, `run/control` and `progress`.
    """

    def __init__(
        self, name: str, bus: Bus, clock: Clock, stopping: Callable[[], bool], ready: Callable[[], bool]
    ) -> None:
        self.subscription = bus.subscribe(["run/info", "run/control", "progress", "progress/*"])
        self._name = name
        self._bus = bus
        self._clock = clock
        self._stopping = stopping
        self._ready = ready
        self._next_ns = 0
        self._sequence = 0
        self._process = psutil.Process()

    def signal(self, meanwhile: Callable[[], object] = lambda: None) -> RunInfo | None:
        """Wait for `run/info`, heartbeats going out meanwhile; None when told to stop before it came."""
        while not self._stopping():
            message = self.subscription.receive(0.02)
            if message is not None and isinstance(message.payload, RunInfo):
                return message.payload
            self.beat(0, {})
            meanwhile()
        return None

    def beat(self, published: int, losses: Mapping[str, int]) -> None:
        """Say that the source lives, when it is time to."""
        if self._clock.now_ns() >= self._next_ns and self._ready():
            self._next_ns = self._clock.now_ns() + HEARTBEAT_NS
            self.status(published, losses, ended=False)

    def status(self, published: int, losses: Mapping[str, int], *, ended: bool) -> None:
        times = self._process.cpu_times()
        payload = NodeStatus(
            node=self._name,
            received=published,
            published=published,
            failed=0,
            losses=dict(losses),
            cpu_s=times.user + times.system,
            rss_bytes=self._process.memory_info().rss,
            ended=ended,
        )
        now_ns = self._clock.now_ns()
        stamp = Stamp(sensor_ns=now_ns, arrival_ns=now_ns, time_ns=now_ns, sequence=self._sequence)
        self._bus.publish(Message(f"status/{self._name}", stamp, payload))
        self._sequence += 1
