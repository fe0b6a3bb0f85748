"""Publisher and subscription over ZeroMQ, shared by the bus of one host and the bus between hosts.

A publisher binds an XPUB socket, which tells it who subscribes; a subscription connects one SUB socket to all
publishers and is reconnected by ZeroMQ when one comes back. ZeroMQ drops silently what a full queue cannot take; each
publisher's counter per topic shows it.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

import zmq

from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message
from pipeline.core.wire import Buffer, decode
from pipeline.transport.inbox import Inbox
from pipeline.transport.notify import Notify, unpack
from pipeline.transport.ring import Place, RingReader, Segment

# Plain integers: on the way of every message ZeroMQ's enumerations cost more than the calls they are for.
_EVENTS, _READABLE, _DONTWAIT, _SNDMORE = (int(flag) for flag in (zmq.EVENTS, zmq.POLLIN, zmq.DONTWAIT, zmq.SNDMORE))

RECONNECT_MS, RECONNECT_MAX_MS = 50, 500
_LOOK_AROUND_NS = 100_000_000  # how often a waiting subscription looks for new publishers
EVERYTHING = b""
"""The filter of a spectator."""

_MAX_STREAMS = 4096  # a peer that makes up names must not fill the memory
_DRAIN = 256  # notifies taken in one go, so that a flood cannot keep `receive` from returning


class Publisher:
    """The sending end of one node. The caller makes, configures and binds the XPUB socket."""

    def __init__(self, socket: zmq.Socket[bytes], node: str) -> None:
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # every subscription and its end, also of a subscriber that was killed
        self._socket = socket
        self._node = node
        self.instance = int.from_bytes(os.urandom(8), "little")
        self._counters: Counter[str] = Counter()
        self._subscribers: Counter[bytes] = Counter()  # by prefix
        self._counts: dict[str, int] = {}  # by topic, until a subscriber comes or goes
        self._clock = SystemClock()

    def wanted(self, topic: str) -> bool:
        """Whether anyone subscribes to ``topic`` now."""
        return self._count(topic) > 0

    def send(self, topic: str, place: Place | None, data: Buffer | None = None) -> None:
        """Say that a message lies (or is just being laid) at ``place``, or send it as ``data``. Never waits."""
        notify = Notify(topic, self._node, self.instance, self._counters[topic], place).pack()
        self._counters[topic] += 1
        if data is None:
            self._socket.send(notify, _DONTWAIT)
        else:
            self._socket.send(notify, _DONTWAIT | _SNDMORE)
            self._socket.send(data, _DONTWAIT)

    def skip(self, topic: str) -> None:
        """Count a message that nobody wants."""
        self._counters[topic] += 1

    def wait_for_subscribers(
        self, topic: str, count: int, timeout_s: float, own: Iterable[ZmqSubscription] = ()
    ) -> bool:
        """Wait until ``count`` subscribe to ``topic``; meanwhile our ``own`` subscriptions find who waits for us.

        Spectators, who subscribe to everything at once, do not count.
        """
        deadline_ns = self._clock.now_ns() + round(timeout_s * 1e9)
        while self._count(topic) - self._subscribers[EVERYTHING] < count:
            remaining_ms = (deadline_ns - self._clock.now_ns()) / 1e6
            if remaining_ms <= 0:
                return False
            self._socket.poll(math.ceil(min(remaining_ms, _LOOK_AROUND_NS / 1e6)))
            for subscription in own:
                subscription.look_around()
        return True

    def _count(self, topic: str) -> int:
        while _is_readable(self._socket):
            said = self._socket.recv(_DONTWAIT)
            if said[:1] in (b"\0", b"\1"):
                self._subscribers[said[1:]] += 1 if said[0] else -1
                self._subscribers += Counter()  # forgets what fell to zero
                self._counts.clear()
        count = self._counts.get(topic)
        if count is None:
            name = f"{topic}\0".encode()
            count = sum(number for prefix, number in self._subscribers.items() if name.startswith(prefix))
            self._counts[topic] = count
        return count


def _is_readable(socket: zmq.Socket[bytes]) -> bool:
    return bool(int(socket.get(_EVENTS)) & _READABLE)


class Gaps:
    """Finds from the publishers' counters what never arrived.

    present: nodes that may have published before this subscription began; of all others nothing may be missing.
    """

    def __init__(self, present: frozenset[str]) -> None:
        self._present = present
        self._instances: dict[str, int] = {}
        self._complete: set[str] = set()  # nodes whose current life began under our eyes
        self._next: dict[tuple[str, str], int] = {}

    def missing(self, notify: Notify) -> tuple[int, str]:
        """How many messages of the topic are missing before this one, and why.

        Raises:
            ValueError: a counter that goes backwards, more streams than there can be.
        """
        node, key = notify.node, (notify.node, notify.topic)
        if key not in self._next and len(self._next) >= _MAX_STREAMS:
            raise ValueError(f"more than {_MAX_STREAMS} publishers and topics")
        if self._instances.get(node) != notify.instance:
            if node in self._instances or node not in self._present:
                self._complete.add(node)
            self._instances[node] = notify.instance
            self._next = {known: n for known, n in self._next.items() if known[0] != node}
        expected = self._next.get(key)
        reason = "queue_full" if expected is not None else "not_connected"
        if expected is None:
            expected = 0 if node in self._complete else notify.counter
        if notify.counter < expected:
            raise ValueError(f"{notify}: expected counter {expected}")
        self._next[key] = notify.counter + 1
        return notify.counter - expected, reason


class Peers(Protocol):
    """Keeps a subscription's socket connected to its publishers."""

    @property
    def present(self) -> frozenset[str]:
        """Nodes that may have published before the subscription began."""
        ...

    def look_around(self) -> None:
        """Called now and then while the subscription receives."""
        ...

    def close(self) -> None: ...


class ZmqSubscription:
    """The receiving end. One thread uses it.

    socket: a configured SUB socket, connected by ``peers``. ring_of: reader of a publisher's ring, or None where all
    comes inline.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        filters: tuple[str, ...],
        peers: Peers,
        ring_of: Callable[[Notify], RingReader] | None,
    ) -> None:
        self._socket = socket
        self._filters = filters
        self._peers = peers
        self._gaps = Gaps(peers.present)
        self._ring_of = ring_of
        self._rings: dict[tuple[str, str], tuple[int, RingReader]] = {}
        self._inbox: Inbox[bytes | tuple[RingReader, Segment, Place]] = Inbox()
        self._clock = SystemClock()
        self._looked_ns = self._clock.now_ns()
        for prefix in filters:
            socket.subscribe(prefix)

    def receive(self, timeout_s: float) -> Message | None:
        now_ns = self._clock.now_ns()
        deadline_ns = now_ns + round(timeout_s * 1e9)
        while not self._socket.closed:
            if now_ns - self._looked_ns >= _LOOK_AROUND_NS:
                self.look_around()
                self._looked_ns = now_ns
            self._drain()
            message = self._next()
            if message is not None or now_ns >= deadline_ns:
                return message
            self._socket.poll(max(1, min(deadline_ns - now_ns, _LOOK_AROUND_NS) // 1_000_000))
            now_ns = self._clock.now_ns()
        return None

    def look_around(self) -> None:
        """Connect to publishers that were not there before. `receive` does so now and then."""
        if not self._socket.closed:
            self._peers.look_around()

    @property
    def losses(self) -> Mapping[tuple[str, str], int]:
        return dict(self._inbox.losses)

    def close(self) -> None:
        self._socket.close(linger=0)
        self._peers.close()
        self._rings.clear()

    def _drain(self) -> None:
        """Take in what has come. Ring segments are opened now, before their files can go."""
        for _ in range(_DRAIN):
            if not _is_readable(self._socket):
                return
            frame, *rest = self._socket.recv_multipart(_DONTWAIT)
            try:
                notify = unpack(frame)
                missing, reason = self._gaps.missing(notify)
            except ValueError:
                self._inbox.lose("*", "malformed")
                continue
            topic = notify.topic
            if missing:
                self._inbox.lose(topic, reason, missing)
            try:
                self._inbox.put(topic, self._item(notify, rest))
            except FileNotFoundError:
                self._inbox.lose(topic, "overwritten")
            except (ValueError, OSError):
                self._inbox.lose(topic, "malformed")

    def _item(self, notify: Notify, rest: list[bytes]) -> bytes | tuple[RingReader, Segment, Place]:
        if notify.place is None and len(rest) == 1:
            return rest[0]
        if notify.place is None or rest or self._ring_of is None:
            raise ValueError(f"{notify}: expected a place in a ring or one frame of data")
        key = notify.node, notify.topic
        instance, ring = self._rings.get(key, (0, None))
        if ring is None or instance != notify.instance:
            ring = self._ring_of(notify)
            self._rings[key] = notify.instance, ring
        return ring, ring.open(notify.place.segment), notify.place

    def _next(self) -> Message | None:
        while (entry := self._inbox.pop()) is not None:
            topic, item = entry
            try:
                if isinstance(item, bytes):
                    return decode(topic, item)
                ring, segment, place = item
                message = ring.read(segment, place, partial(decode, topic))
                if message is not None:
                    return message
                self._inbox.lose(topic, "overwritten")
            except (BadInput, ValueError):
                self._inbox.lose(topic, "malformed")
        return None
