"""What every driver of a real sensor is, and where those that hear a network get their datagrams from."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol, TypeAlias

from nodes.sources.stamp import StampSettings
from pipeline.core.arrays import Payload
from pipeline.core.clock import Clock
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings

logger = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES = 65_507
"""The most that one UDP datagram over IPv4 can carry: 65535 less 20 and 8 bytes of headers."""

_MAX_WAITING = 100_000  # datagrams; a flood must not keep `discard` from returning


class Raw(NamedTuple):
    """One message as a device gave it.

    sensor_ns: by the device's clock, of the instant that the payload's docstring names. arrival_ns: host clock, when it
    was here whole. counter: of the exposure or cycle, where the device counts them.
    """

    sensor_ns: int
    arrival_ns: int
    payload: Payload
    counter: int | None = None


class Driver(Protocol):
    """A device that is open. One thread uses it."""

    def read(self, timeout_s: float) -> Raw | None:
        """The next message, or None when there was none within ``timeout_s``, give or take one datagram.

        Nothing that a device says raises: what cannot be used is counted in `losses` and `given_up`.
        """
        ...

    def discard(self) -> None:
        """Throw away what is waiting to be read: it came before the run began. A file stays where it is."""
        ...

    @property
    def given_up(self) -> Mapping[str, int]:
        """Messages that the device or the driver had to give up so far, by reason: each leaves a gap in the stream."""
        ...

    @property
    def losses(self) -> Mapping[str, int]:
        """What was lost so far below the level of messages (datagrams, points, connections), by reason."""
        ...

    @property
    def ended(self) -> bool:
        """Nothing will ever follow, as at the end of a file. A device that is silent has not ended."""
        ...

    def close(self) -> None: ...


class Datagrams(Protocol):
    """Where datagrams come from: a UDP socket, a ZeroMQ socket (`pipeline.transport.feed`), or a list in a test."""

    def receive(self, timeout_s: float) -> bytes | None:
        """The next datagram, or None when none came within ``timeout_s``."""
        ...

    @property
    def losses(self) -> Mapping[str, int]:
        """Datagrams lost before they got here, by reason."""
        ...

    def close(self) -> None: ...


class FeedSettings(Settings, frozen=True):
    """Which datagrams a driver hears.

    transport: ``udp`` binds ``address``, HOST:PORT; use the host's address on the sensors' network, or 0.0.0.0.
    ``zmq_pull`` and ``zmq_sub`` connect to (with ``bind``: bind) ``address``, such as tcp://127.0.0.1:5601.
    ``tcp`` connects to HOST:PORT, ``serial`` opens a device such as /dev/ttyUSB0 with ``baud``; both give bytes cut
    anywhere, for drivers that find their own beginnings (nmea).
    sender: IP address from which alone UDP datagrams are taken; empty = anyone's. max_bytes: of one datagram.
    buffer_bytes: asked of the system for UDP, which may grant less; a ZeroMQ queue is bounded by ``queue`` datagrams.
    """

    transport: Literal["udp", "tcp", "serial", "zmq_pull", "zmq_sub"] = "udp"
    address: str = "127.0.0.1:2368"
    bind: bool = False
    sender: str = ""
    max_bytes: int = MAX_DATAGRAM_BYTES
    buffer_bytes: int = 4 << 20
    queue: int = 4096
    baud: int = 115200

    def __post_init__(self) -> None:
        if not 0 < self.max_bytes <= 1 << 24 or not 0 < self.buffer_bytes <= 1 << 30 or not 0 < self.queue <= 1 << 20:
            raise ValueError("max_bytes, buffer_bytes, queue: expected 1..16 MiB, 1..1 GiB, 1..1048576")


OpenFeed: TypeAlias = Callable[[FeedSettings], Datagrams]


class DriverSettings(Settings, frozen=True):
    """What all drivers share. stamp: how the device's clock is modelled and how often the stream tells its state."""

    stamp: StampSettings = StampSettings()


class DatagramDriver(ABC):
    """What drivers that hear datagrams share: waiting, the time of arrival, and counting what is malformed."""

    ended = False

    def __init__(self, name: str, datagrams: Datagrams, clock: Clock) -> None:
        self._name = name
        self._datagrams = datagrams
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._given_up: Counter[str] = Counter()

    @property
    def losses(self) -> Mapping[str, int]:
        return {**self._datagrams.losses, **self._counts}

    @property
    def given_up(self) -> Mapping[str, int]:
        return dict(self._given_up)

    def read(self, timeout_s: float) -> Raw | None:
        """The next message; a flood of datagrams that make none keeps it no longer than ``timeout_s``."""
        give_up_ns = self._clock.now_ns() + round(timeout_s * 1e9)
        while True:
            data = self._datagrams.receive(max(give_up_ns - self._clock.now_ns(), 0) * 1e-9)
            if data is None:
                return None
            arrival_ns = self._clock.now_ns()
            raw = self._take_or_count(data, arrival_ns)
            if raw is not None or arrival_ns >= give_up_ns:
                return raw

    def discard(self) -> None:
        for _ in range(_MAX_WAITING):
            if self._datagrams.receive(0.0) is None:
                return

    def close(self) -> None:
        self._datagrams.close()

    @abstractmethod
    def _take(self, data: bytes, arrival_ns: int) -> Raw | None:
        """The message that this datagram completes, if it does. Raises BadInput where it is malformed."""

    def _take_or_count(self, data: bytes, arrival_ns: int) -> Raw | None:
        try:
            return self._take(data, arrival_ns)
        except BadInput as error:
            self._malformed(error)
            return None

    def _malformed(self, error: BadInput) -> None:
        reason = f"malformed {error.field}"
        self._counts[reason] += 1
        if self._counts[reason] == 1:  # a device that is set up wrongly says it a thousand times a second
            logger.warning("%s: %s", self._name, error)
