"""Raw datagrams of sensors, from a UDP or a ZeroMQ socket: the `Datagrams` that live drivers read.

Neither authenticates its sender: a UDP feed can be held to one IP address, a ZeroMQ feed to a loopback or ipc address;
both belong on a network that carries sensors only.
"""

from __future__ import annotations

import math
import select
import socket
import struct
import sys
from collections import Counter
from collections.abc import Mapping

import zmq

from nodes.sources.live.driver import Datagrams, FeedSettings
from pipeline.core.errors import BadInput
from pipeline.transport.byte_stream import ByteFeed

_SO_RXQ_OVFL = 40  # Linux, asm-generic/socket.h: how many datagrams the socket's full queue has dropped
_COUNTER = struct.Struct("=I")


def open_feed(settings: FeedSettings) -> Datagrams:
    """Raises BadInput: an address that is none, or that cannot be bound."""
    if settings.transport in ("tcp", "serial"):
        return ByteFeed(settings)
    return UdpFeed(settings) if settings.transport == "udp" else ZmqFeed(settings)


class UdpFeed:
    """A bound UDP socket.

    losses: ``too_large``, ``other_sender``; ``queue_full``: what the system dropped because nobody read in time, where
    it tells (Linux).

    Raises:
        BadInput: no HOST:PORT, or it cannot be bound.
    """

    def __init__(self, settings: FeedSettings) -> None:
        self._settings = settings
        self._counts: Counter[str] = Counter()
        host, _, port = settings.address.rpartition(":")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.buffer_bytes)
            if sys.platform == "linux":
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            self._socket.bind((host, int(port)))
        except (OSError, ValueError, OverflowError) as error:
            self._socket.close()
            expected = "HOST:PORT of this machine that is free"
            raise BadInput("feed", "address", expected, f"{settings.address}: {error}") from error
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the port that was chosen where 0 was asked for."""
        host, port = self._socket.getsockname()
        return host, port

    @property
    def losses(self) -> Mapping[str, int]:
        return dict(self._counts)

    def receive(self, timeout_s: float) -> bytes | None:
        if not self._poll.poll(math.ceil(timeout_s * 1e3)):
            return None
        try:
            received = self._socket.recvmsg(self._settings.max_bytes, socket.CMSG_SPACE(_COUNTER.size))
        except OSError:  # an error that waited on the socket (such as an ICMP message), or a false alarm
            self._counts["socket_error"] += 1
            return None
        data, ancillary, flags, sender = received
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL and len(value) >= _COUNTER.size:
                self._counts["queue_full"] = _COUNTER.unpack_from(value)[0]
        if flags & socket.MSG_TRUNC:
            self._counts["too_large"] += 1
            return None
        if self._settings.sender and sender[0] != self._settings.sender:
            self._counts["other_sender"] += 1
            return None
        return data

    def close(self) -> None:
        self._socket.close()


class ZmqFeed:
    """A ZeroMQ PULL or SUB socket; each message of one part is a datagram, a message of several is counted and dropped.

    A message over ``max_bytes`` ends the connection it came on before memory is given to it; ZeroMQ tells nobody.

    Raises:
        BadInput: an address that is none, or that cannot be bound.
    """

    def __init__(self, settings: FeedSettings) -> None:
        self._counts: Counter[str] = Counter()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PULL if settings.transport == "zmq_pull" else zmq.SUB)
        self._socket.maxmsgsize = settings.max_bytes
        self._socket.rcvhwm = settings.queue
        self._socket.linger = 0
        if settings.transport == "zmq_sub":
            self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            (self._socket.bind if settings.bind else self._socket.connect)(settings.address)
        except zmq.ZMQError as error:
            self.close()
            expected = "a ZeroMQ address such as tcp://127.0.0.1:5601"
            raise BadInput("feed", "address", expected, f"{settings.address}: {error}") from error

    @property
    def address(self) -> str:
        """With the port that was chosen where none was named."""
        return bytes(self._socket.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()

    @property
    def losses(self) -> Mapping[str, int]:
        return dict(self._counts)

    def receive(self, timeout_s: float) -> bytes | None:
        if not self._socket.poll(math.ceil(timeout_s * 1e3)):
            return None
        parts = self._socket.recv_multipart(zmq.DONTWAIT)
        if len(parts) > 1:
            self._counts["several_parts"] += 1
            return None
        return parts[0]

    def close(self) -> None:
        self._socket.close()
        self._context.term()
