"""Hosts one node: steps it, times each step, counts failures, knows when its inputs have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import psutil

from pipeline.core.clock import Clock
from pipeline.core.messages import FrameSet, Message, NodeStatus, Stamp, Timing
from pipeline.core.node import Node
from pipeline.core.topics import topic_matches, topic_row
from pipeline.graph import Instance

logger = logging.getLogger(__name__)

Losses: TypeAlias = Mapping[tuple[str, str], int]

_UNTIMED = ("run", "truth")  # roles whose handling is bookkeeping, not work on sensor data


class NodeHost:
    """One node between its inputs and what it publishes.

    ``host_clock`` measures; ``run_clock`` is the time the node is told: the drive's own, so that a recorded drive
    played live meets the deadlines it met on the road.
    """

    def __init__(self, instance: Instance, node: Node, host_clock: Clock, run_clock: Clock) -> None:
        self.instance = instance
        self.ended = False
        self._node = node
        self._host_clock = host_clock
        self._run_clock = run_clock
        self._waiting = set(instance.waits_for)
        self._received = self._published = self._failed = self._sequence = 0
        self._last_error = ""
        self._process = psutil.Process()

    def wants(self, topic: str) -> bool:
        return any(topic_matches(pattern, topic) for pattern in self.instance.inputs)

    def take(self, message: Message, received_ns: int) -> Iterator[Message]:
        """Step the node with one message; yields what to publish, the step's `Timing` last."""
        self._received += 1
        started_ns = self._host_clock.now_ns()
        yield from self._guarded(lambda: self._node.step(message, self._run_clock.now_ns()), f"step on {message.topic}")
        if topic_row(message.topic).role not in _UNTIMED:
            yield self._timing(message, received_ns, started_ns)

    def tick(self) -> Iterator[Message]:
        yield from self._guarded(lambda: self._node.tick(self._run_clock.now_ns()), "tick")

    def upstream_ended(self, name: str, losses: Losses) -> Iterator[Message]:
        """Tell that ``name`` will publish nothing more; when it was the last one, the node finishes and says so."""
        self._waiting.discard(name)
        if not self._waiting and not self.ended:
            yield from self.finish(losses)

    def finish(self, losses: Losses) -> Iterator[Message]:
        yield from self._guarded(self._node.finish, "finish")
        self.ended = True
        yield self.status(losses)

    def status(self, losses: Losses) -> Message:
        """The heartbeat."""
        times = self._process.cpu_times()
        payload = NodeStatus(
            node=self.instance.name,
            received=self._received,
            published=self._published,
            failed=self._failed,
            losses={f"{topic} {reason}": count for (topic, reason), count in losses.items()},
            cpu_s=times.user + times.system,
            rss_bytes=self._process.memory_info().rss,
            last_error=self._last_error,
            ended=self.ended,
        )
        return self._about_run(f"status/{self.instance.name}", payload)

    def _guarded(self, act: Callable[[], Iterable[Message]], what: str) -> Iterator[Message]:
        """Run one call of the node. A node must not take the run down: its failure is logged, counted and told."""
        try:
            for output in act():
                self._published += 1
                yield output
        except Exception as error:
            self._failed += 1
            self._last_error = f"{type(error).__name__}: {error}"[:500]
            logger.exception("%s: %s failed", self.instance.name, what)

    def _timing(self, message: Message, received_ns: int, started_ns: int) -> Message:
        sequence = message.payload.index if isinstance(message.payload, FrameSet) else message.stamp.sequence
        payload = Timing(
            node=self.instance.name,
            sensor=message.source,
            sequence=sequence,
            epoch=message.stamp.epoch,
            arrival_ns=message.stamp.arrival_ns,
            received_ns=received_ns,
            started_ns=started_ns,
            ended_ns=self._host_clock.now_ns(),
        )
        return self._about_run(f"timing/{self.instance.name}", payload)

    def _about_run(self, topic: str, payload: NodeStatus | Timing) -> Message:
        now_ns = self._host_clock.now_ns()
        self._sequence += 1
        stamp = Stamp(sensor_ns=now_ns, arrival_ns=now_ns, time_ns=now_ns, sequence=self._sequence)
        return Message(topic, stamp, payload)
