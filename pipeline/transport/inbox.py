"""What has come and was not yet received: bounded per topic as the topics table says, every loss counted.

All three buses keep their waiting messages in an `Inbox`, so they drop, order and count alike.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import Generic, TypeVar

from pipeline.core.topics import topic_row

T = TypeVar("T")


def topic_filters(topics: Iterable[str]) -> tuple[str, ...]:
    """Prefixes that stand for exact names (closed by NUL) and `prefix/*` patterns; a name within a pattern is left out.

    A topic is wanted when ``(topic + "\\0").startswith(filters)``.

    Raises:
        KeyError: a name or pattern that the topics table does not have.
    """
    prefixes: set[str] = set()
    names: set[str] = set()
    for topic in topics:
        topic_row(topic)  # refuses what the table does not have; a pattern finds its own row
        if topic.endswith("/*"):
            prefixes.add(topic[:-1])
        else:
            names.add(f"{topic}\0")
    return (*sorted(prefixes), *sorted(name for name in names if not name.startswith(tuple(prefixes))))


class Inbox(Generic[T]):
    """Waiting items of many topics in the order they came.

    A `lossless` topic holds up to its depth, then its oldest item is lost as ``queue_full``. A `latest` topic holds
    only the newest; what that replaces is by design no loss. Not thread-safe.
    """

    def __init__(self) -> None:
        self.losses: Counter[tuple[str, str]] = Counter()
        self._waiting: OrderedDict[int, tuple[str, T]] = OrderedDict()  # by ticket
        self._tickets: dict[str, deque[int]] = {}
        self._next_ticket = 0

    def put(self, topic: str, item: T) -> None:
        tickets = self._tickets.get(topic)
        if tickets is None:
            tickets = self._tickets[topic] = deque(maxlen=topic_row(topic).depth)
        if len(tickets) == tickets.maxlen:
            del self._waiting[tickets[0]]
            self.lose(topic, "queue_full")
        tickets.append(self._next_ticket)
        self._waiting[self._next_ticket] = (topic, item)
        self._next_ticket += 1

    def pop(self) -> tuple[str, T] | None:
        """The oldest item and its topic."""
        if not self._waiting:
            return None
        _, (topic, item) = self._waiting.popitem(last=False)
        self._tickets[topic].popleft()
        return topic, item

    def lose(self, topic: str, reason: str, count: int = 1) -> None:
        """Count a loss. A `latest` topic cannot be too slow, only malformed."""
        if reason == "malformed" or topic_row(topic).queue == "lossless":
            self.losses[topic, reason] += count

    def __len__(self) -> int:
        return len(self._waiting)
