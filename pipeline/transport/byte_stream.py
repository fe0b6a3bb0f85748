"""Bytes of a device that sends no datagrams, over TCP or a serial line: chunks as they come, cut anywhere."""

from __future__ import annotations

import os
import select
import socket
import termios
import tty
from collections import Counter
from collections.abc import Callable, Mapping

from nodes.sources.live.driver import FeedSettings
from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput

_AGAIN_NS = 1_000_000_000
_CONNECT_S = 2.0


class ByteFeed:
    """Reads a file descriptor that is opened again, at most once a second, when the other end has gone.

    losses: ``disconnected`` = how often it went, or could not be opened.

    Raises:
        BadInput: an address that can be none.
    """

    def __init__(self, settings: FeedSettings) -> None:
        self._open = _tcp(settings) if settings.transport == "tcp" else _serial(settings)
        self._max_bytes = settings.max_bytes
        self._clock = SystemClock()
        self._counts: Counter[str] = Counter()
        self._descriptor: int | None = None
        self._next_ns = 0

    @property
    def losses(self) -> Mapping[str, int]:
        return dict(self._counts)

    def receive(self, timeout_s: float) -> bytes | None:
        if self._descriptor is None and not self._opened():
            if timeout_s:
                self._clock.sleep_until(min(self._clock.now_ns() + round(timeout_s * 1e9), self._next_ns))
            return None
        assert self._descriptor is not None
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return None
        try:
            data = os.read(self._descriptor, self._max_bytes)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.close()
            self._counts["disconnected"] += 1
            self._next_ns = self._clock.now_ns() + _AGAIN_NS
        return data or None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> bool:
        if self._clock.now_ns() < self._next_ns:
            return False
        try:
            self._descriptor = self._open()
        except (OSError, termios.error):
            self._counts["disconnected"] += 1
            self._next_ns = self._clock.now_ns() + _AGAIN_NS
        return self._descriptor is not None


def _tcp(settings: FeedSettings) -> Callable[[], int]:
    host, _, port = settings.address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInput("feed", "address", "HOST:PORT", settings.address)

    def connect() -> int:
        connection = socket.create_connection((host, int(port)), timeout=_CONNECT_S)
        connection.setblocking(False)
        return connection.detach()

    return connect


def _serial(settings: FeedSettings) -> Callable[[], int]:
    speed = getattr(termios, f"B{settings.baud}", None)
    if speed is None:
        raise BadInput("feed", "baud", "a rate that the system knows, such as 115200", settings.baud)

    def open_line() -> int:
        descriptor = os.open(settings.address, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            tty.setraw(descriptor)
            mode = termios.tcgetattr(descriptor)
            mode[4] = mode[5] = speed
            termios.tcsetattr(descriptor, termios.TCSANOW, mode)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    return open_line
