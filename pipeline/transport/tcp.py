"""The bus between hosts: ZeroMQ over TCP, encrypted and authenticated both ways with CURVE.

Each host publishes from one address, loopback unless told otherwise, to subscribers whose public key it has
(`keys.py`); a subscriber connects to the peers it names and knows each by its public key. Messages go whole; a size
beyond the bound ends the connection before memory is given to it. Encryption costs throughput: within one host use
`shared_memory.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from pipeline.core.errors import BadInput
from pipeline.core.messages import Message
from pipeline.core.settings import Settings
from pipeline.core.wire import encode_bytes
from pipeline.transport.inbox import topic_filters
from pipeline.transport.keys import load_allowed, load_secret
from pipeline.transport.zeromq import RECONNECT_MAX_MS, RECONNECT_MS, Publisher, ZmqSubscription

_SUBSCRIBER_SAYS = 1024  # bytes; a subscriber has nothing to say but prefixes of topics
_LOOKS_BEFORE_RETRY = 10  # about a second
_DOMAIN = "syncline"
_log = logging.getLogger(__name__)


class TcpSettings(Settings, frozen=True, kw_only=True):
    """keys: folder with `<node>.secret` and the public key of every peer. bind: address to publish at, port 0 = any
    free one. peers: name -> address of those to subscribe to. queue: messages that may wait for one subscriber before
    they are lost. linger_s: how long `close` may wait for the last messages to leave. silent_s: a peer that shows no
    life for this long is given up and connected anew."""

    keys: str
    bind: str = "tcp://127.0.0.1:0"
    peers: dict[str, str] = {}
    max_message_bytes: int = 64 << 20
    queue: int = 128
    linger_s: float = 1.0
    silent_s: float = 5.0


class TcpBus:
    """One host's access. One thread uses a bus and its subscriptions.

    Raises:
        BadInput: a key that is missing or no key, a secret that others may read, an address that cannot be bound.
    """

    def __init__(self, node: str, settings: TcpSettings) -> None:
        self._settings = settings
        keys = Path(settings.keys)
        self._public, self._secret = load_secret(keys, node)
        self._allowed = load_allowed(keys)
        if missing := settings.peers.keys() - self._allowed.keys():
            raise BadInput(
                keys, "public keys", f"one for each of {sorted(settings.peers)}", f"none of {sorted(missing)}"
            )
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._subscriptions: list[ZmqSubscription] = []
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(_DOMAIN, _AllowList(self._allowed.values()))
        self._socket = self._encrypted(zmq.XPUB, _SUBSCRIBER_SAYS)
        self._socket.curve_server = True
        self._socket.zap_domain = _DOMAIN.encode()
        self._socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # no authenticator, no connection
        self._socket.sndhwm = settings.queue
        self._socket.linger = round(settings.linger_s * 1e3)
        self._publisher = Publisher(self._socket, node)
        try:
            self._socket.bind(settings.bind)
        except zmq.ZMQError as error:
            self.close()
            raise BadInput(
                "tcp bus", "bind", "an address of this host that is free", f"{settings.bind}: {error}"
            ) from error

    @property
    def address(self) -> str:
        """Where this host publishes, with the port that was chosen."""
        return bytes(self._socket.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()

    def publish(self, message: Message) -> None:
        """Raises:
        ValueError: larger than `max_message_bytes`, which no peer would take.
        """
        data = encode_bytes(message)
        if len(data) > self._settings.max_message_bytes:
            raise ValueError(f"{message.topic}: {len(data)} bytes, at most {self._settings.max_message_bytes}")
        if self._publisher.wanted(message.topic):
            self._publisher.send(message.topic, None, data)
        else:
            self._publisher.skip(message.topic)

    def subscribe(self, topics: Sequence[str]) -> ZmqSubscription:
        """Raises:
        KeyError: a topic that the topics table does not have.
        """
        filters = topic_filters(topics)
        socket = self._encrypted(zmq.SUB, self._settings.max_message_bytes)
        socket.rcvhwm = self._settings.queue
        socket.reconnect_ivl, socket.reconnect_ivl_max = RECONNECT_MS, RECONNECT_MAX_MS
        servers = {address: self._allowed[name] for name, address in self._settings.peers.items()}
        peers = _Servers(socket, servers, frozenset(self._settings.peers))
        subscription = ZmqSubscription(socket, filters, peers, ring_of=None)
        self._subscriptions.append(subscription)
        return subscription

    def wait_for_subscribers(self, topic: str, count: int, timeout_s: float) -> bool:
        return self._publisher.wait_for_subscribers(topic, count, timeout_s, self._subscriptions)

    def close(self) -> None:
        if self._context.closed:
            return
        for subscription in self._subscriptions:
            subscription.close()
        self._socket.close()
        self._authenticator.stop()
        self._context.term()

    def _encrypted(self, kind: int, max_bytes: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.curve_publickey, socket.curve_secretkey = self._public, self._secret
        socket.maxmsgsize = max_bytes
        socket.heartbeat_ivl = max(1, round(self._settings.silent_s * 1e3 / 3))
        socket.heartbeat_timeout = round(self._settings.silent_s * 1e3)
        return socket


class _Servers:
    """Connects to each peer, and again to one that ZeroMQ has given up.

    ZeroMQ reconnects by itself after a loss of connection, but not after what it takes for bad will: a key that the
    peer does not have yet, or a message over the bound.
    """

    def __init__(self, socket: zmq.Socket[bytes], keys: Mapping[str, bytes], present: frozenset[str]) -> None:
        self.present = present
        self._socket = socket
        self._keys = keys  # by address
        self._given_up: Counter[str] = Counter()  # for how many looks
        name = f"inproc://monitor-{id(self)}"
        socket.monitor(name, zmq.EVENT_CONNECT_DELAYED | zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_DISCONNECTED)
        self._monitor = socket.context.socket(zmq.PAIR)
        self._monitor.connect(name)
        for address in keys:
            self._connect(address)

    def look_around(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            address = event["endpoint"].decode()
            if event["event"] == zmq.EVENT_DISCONNECTED:
                self._given_up[address] = 0
            else:
                del self._given_up[address]
        for address in self._given_up.keys() & self._keys.keys():
            self._given_up[address] += 1
            if self._given_up[address] == _LOOKS_BEFORE_RETRY:
                self._socket.disconnect(address)
                self._connect(address)

    def close(self) -> None:
        self._monitor.close(linger=0)

    def _connect(self, address: str) -> None:
        self._socket.curve_serverkey = self._keys[address]
        self._socket.connect(address)


class _AllowList:
    """Asked by the authenticator's thread about every peer that connects."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = frozenset(keys)
        self._last_refused = b""

    def callback(self, domain: str, key: bytes) -> bool:
        if key in self._keys:
            return True
        if key != self._last_refused:  # it will try again and again
            _log.warning("refused a subscriber with public key %s", key.decode("ascii", "replace"))
        self._last_refused = key
        return False
