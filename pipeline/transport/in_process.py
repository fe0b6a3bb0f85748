"""The bus within one process, for tests and single-process runs; threads may share it.

Messages cross as bytes, as on every other bus: the receiver holds what was said at the moment of `publish`, read-only,
whatever the publisher does to its arrays afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from pipeline.core.messages import Message
from pipeline.core.wire import decode, encode_bytes
from pipeline.transport.inbox import Inbox, topic_filters


class InProcessBus:
    """Every subscriber has its own bounded queue per topic; `publish` never waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._subscriptions: tuple[InProcessSubscription, ...] = ()

    def publish(self, message: Message) -> None:
        received = decode(message.topic, encode_bytes(message))
        with self._changed:
            for subscription in self._subscriptions:
                subscription.put(received)
            self._changed.notify_all()

    def subscribe(self, topics: Sequence[str]) -> InProcessSubscription:
        """Raises:
        KeyError: a topic that the topics table does not have.
        """
        subscription = InProcessSubscription(self._changed, topic_filters(topics))
        with self._changed:
            open_ones = tuple(s for s in self._subscriptions if not s.closed)
            self._subscriptions = (*open_ones, subscription)
            self._changed.notify_all()
        return subscription

    def wait_for_subscribers(self, topic: str, count: int, timeout_s: float) -> bool:
        """True once at least ``count`` subscriptions take ``topic``, False when they did not within ``timeout_s``."""

        def enough() -> bool:
            return sum(not s.closed and s.wants(topic) for s in self._subscriptions) >= count

        with self._changed:
            return self._changed.wait_for(enough, timeout_s)

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()


class InProcessSubscription:
    def __init__(self, changed: threading.Condition, filters: tuple[str, ...]) -> None:
        self._changed = changed
        self._filters = filters
        self._inbox: Inbox[Message] = Inbox()
        self.closed = False

    def wants(self, topic: str) -> bool:
        return f"{topic}\0".startswith(self._filters)

    def put(self, message: Message) -> None:
        """Called by the bus, which holds the lock."""
        if not self.closed and self.wants(message.topic):
            self._inbox.put(message.topic, message)

    def receive(self, timeout_s: float) -> Message | None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._inbox) > 0 or self.closed, timeout_s)
            entry = self._inbox.pop()
        return entry[1] if entry else None

    @property
    def losses(self) -> Mapping[tuple[str, str], int]:
        with self._changed:
            return dict(self._inbox.losses)

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()
