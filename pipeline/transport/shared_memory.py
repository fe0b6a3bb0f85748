"""The bus of one host: large messages in shared-memory rings, small ones inline, ZeroMQ says where.

No broker: each node publishes from a socket of its own in the run's folder, where subscribers look for new ones; a
restarted node binds the same name and is reconnected by itself. See `run_folder.py` for who cleans up, `ring.py` for
why a slow or dead reader never blocks or tears, `zeromq.py` for how losses are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import zmq

from pipeline.core.messages import Message
from pipeline.core.settings import Settings
from pipeline.core.topics import topic_row
from pipeline.core.wire import encode
from pipeline.transport.inbox import topic_filters
from pipeline.transport.notify import Notify
from pipeline.transport.ring import RingReader, RingWriter
from pipeline.transport.run_folder import RunFolder
from pipeline.transport.zeromq import EVERYTHING, RECONNECT_MAX_MS, RECONNECT_MS, Publisher, ZmqSubscription

_SPARE_SLOTS = 4  # beyond a topic's depth: those being read and the one being written


class SharedMemorySettings(Settings, frozen=True, kw_only=True):
    """folder: where runs are kept, empty = shared memory. inline_bytes: larger messages go through a ring; up to about
    64 kB an inline frame is as fast, but `queue` of them may wait for a stalled subscriber on each side. queue:
    notifies and inline messages that may wait for one subscriber before they are lost. max_borrowed: messages per topic
    that a subscription leaves in the ring while they are in use, any further one is copied. linger_s: how long `close`
    may wait for subscribers to take the last notifies."""

    folder: str = ""
    inline_bytes: int = 32 << 10
    queue: int = 1024
    max_borrowed: int = 2
    linger_s: float = 1.0


class SharedMemoryBus:
    """One node's access. One thread uses a bus and its subscriptions; not to be used across `fork`.

    Raises:
        BadInput: a node name that is none or that a living process of the run has, a folder that others may write to.
    """

    def __init__(self, run: str, node: str, settings: SharedMemorySettings | None = None) -> None:
        self._settings = settings or SharedMemorySettings()
        self._folder = RunFolder(run, node, Path(self._settings.folder) if self._settings.folder else None)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = self._context.socket(zmq.XPUB)
        socket.sndhwm = self._settings.queue
        self._publisher = Publisher(socket, node)
        socket.linger = round(self._settings.linger_s * 1e3)
        socket.bind(f"ipc://{self._folder.socket(node)}")
        self._socket = socket
        self._rings: dict[str, RingWriter] = {}
        self._subscriptions: list[ZmqSubscription] = []

    def publish(self, message: Message) -> None:
        """Raises:
        OSError: shared memory is full.
        """
        topic = message.topic
        parts = encode(message)
        size = sum(len(part) for part in parts)
        if not self._publisher.wanted(topic):
            self._publisher.skip(topic)
        elif size <= self._settings.inline_bytes:
            self._publisher.send(topic, None, b"".join(parts))
        else:
            self._ring(topic).write(parts, size, lambda place: self._publisher.send(topic, place))

    def subscribe(self, topics: Sequence[str]) -> ZmqSubscription:
        """Raises:
        KeyError: a topic that the topics table does not have.
        """
        return self._subscribe(topic_filters(topics))

    def spectate(self) -> ZmqSubscription:
        """Subscribe to everything, for who only looks: nobody who waits for subscribers waits for this one."""
        return self._subscribe((EVERYTHING.decode(),))

    def _subscribe(self, filters: tuple[str, ...]) -> ZmqSubscription:
        socket = self._context.socket(zmq.SUB)
        socket.rcvhwm = self._settings.queue
        socket.reconnect_ivl, socket.reconnect_ivl_max = RECONNECT_MS, RECONNECT_MAX_MS
        subscription = ZmqSubscription(socket, filters, _Neighbours(socket, self._folder), self._ring_of)
        self._subscriptions.append(subscription)
        return subscription

    def wait_for_subscribers(self, topic: str, count: int, timeout_s: float) -> bool:
        return self._publisher.wait_for_subscribers(topic, count, timeout_s, self._subscriptions)

    def close(self) -> None:
        """Messages that were received stay valid."""
        if self._context.closed:
            return
        for subscription in self._subscriptions:
            subscription.close()
        self._socket.close()
        self._context.term()
        self._rings.clear()
        self._folder.close()

    def _ring(self, topic: str) -> RingWriter:
        ring = self._rings.get(topic)
        if ring is None:
            folder, instance = self._folder, self._publisher.instance
            ring = RingWriter(
                lambda n: folder.ring(folder.node, topic, instance, n), topic_row(topic).depth + _SPARE_SLOTS
            )
            self._rings[topic] = ring
        return ring

    def _ring_of(self, notify: Notify) -> RingReader:
        return RingReader(
            lambda n: self._folder.ring(notify.node, notify.topic, notify.instance, n), self._settings.max_borrowed
        )


class _Neighbours:
    """Connects to every publisher of the run, those that come later included.

    One that has gone stays connected: ZeroMQ finds it again when it comes back under its name.
    """

    def __init__(self, socket: zmq.Socket[bytes], folder: RunFolder) -> None:
        self._socket = socket
        self._folder = folder
        self._connected: set[str] = set()
        self.look_around()
        self.present = frozenset(self._connected)

    def look_around(self) -> None:
        for node in self._folder.publishers() - self._connected:
            self._socket.connect(f"ipc://{self._folder.socket(node)}")
            self._connected.add(node)

    def close(self) -> None:
        """The sockets close with the subscription."""
