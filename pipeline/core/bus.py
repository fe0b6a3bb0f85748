"""The bus as nodes see it: publish a message, receive messages, ask what was lost.

Implementations: `pipeline.transport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pipeline.core.messages import Message


class Subscription(Protocol):
    """Messages of some topics, in the order they came."""

    def receive(self, timeout_s: float) -> Message | None:
        """The next message, or None when none came within ``timeout_s`` (0 = only what is already here).

        A message that cannot be decoded is counted in `losses` as ``malformed`` and skipped, never raised.
        """
        ...

    @property
    def losses(self) -> Mapping[tuple[str, str], int]:
        """Messages lost between publisher and here: (topic, reason) -> count.

        Reasons: ``overwritten`` (reader too slow for the ring), ``queue_full``, ``malformed``, ``not_connected`` (said
        by a publisher that started after this subscription, before the two had met). A topic that queues `latest`
        loses nothing when a newer message takes the place of an older one.
        """
        ...

    def close(self) -> None: ...


class Bus(Protocol):
    """One process's access to the bus. A slow, dead or absent subscriber never blocks `publish`."""

    def publish(self, message: Message) -> None: ...

    def subscribe(self, topics: Sequence[str]) -> Subscription:
        """Subscribe to exact topic names or `prefix/*` patterns; only messages published from now on are seen."""
        ...

    def wait_for_subscribers(self, topic: str, count: int, timeout_s: float) -> bool:
        """True once at least ``count`` subscriptions will see what is published on ``topic``; False on time-out.

        A subscriber in another process finds a new publisher while it is in `receive` or waits here itself.
        """
        ...

    def close(self) -> None: ...
