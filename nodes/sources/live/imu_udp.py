"""An IMU over UDP or ZeroMQ in a small datagram format of our own, into which a gateway translates its maker's.

Several samples, evenly spaced, may share a datagram. Little-endian, no padding:

    offset size
    0      4    magic, the bytes "SLIM"
    4      1    version, 1
    5      1    IMU id, 0..255; a driver takes only its own
    6      2    number of samples, 1..1000
    8      4    counter of the first sample, up by one per sample, wraps
    12     8    time of the first sample in ns by the IMU's clock, signed
    20     4    from one sample to the next in ns
    24     4    CRC-32 (zlib) of the whole datagram with these four bytes 0
    28     24   per sample, float32: angular rate x, y, z (rad/s), acceleration x, y, z (m/s2, gravity included)
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nodes.sources.live.driver import DatagramDriver, Datagrams, DriverSettings, FeedSettings, Raw
from pipeline.core.clock import Clock
from pipeline.core.errors import BadInput
from pipeline.core.messages import ImuSample

MAGIC, VERSION = b"SLIM", 1
MAX_SAMPLES = 1000
_HEADER = struct.Struct("<4sBBHIqII")
_CRC_AT = 24
_SAMPLE_BYTES = 24
_COUNTERS = 1 << 32
_REORDERED = 1000
_MAX_GAP = 10_000


class ImuUdpSettings(DriverSettings, frozen=True, tag_field="driver", tag="imu_udp"):
    """imu_id: the one whose datagrams are taken; others may share the address."""

    receive: FeedSettings = FeedSettings(address="127.0.0.1:5610")
    imu_id: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.imu_id <= 255:
            raise ValueError(f"imu_id: expected 0..255, got {self.imu_id}")


class ImuBatch(NamedTuple):
    """One datagram. samples: (N, 6) float32, rad/s and m/s2."""

    imu_id: int
    counter: int
    first_ns: int
    period_ns: int
    samples: npt.NDArray[np.float32]


def parse_datagram(data: bytes) -> ImuBatch:
    """One datagram.

    Raises:
        BadInput: not such a datagram, or damaged; the field says in which respect.
    """
    if not _HEADER.size <= len(data) <= _HEADER.size + MAX_SAMPLES * _SAMPLE_BYTES:
        raise BadInput("datagram", "size", f"{_HEADER.size} bytes and up to {MAX_SAMPLES} samples", len(data))
    magic, version, imu_id, count, counter, first_ns, period_ns, crc = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise BadInput("datagram", "magic", str(MAGIC), magic)
    if version != VERSION:
        raise BadInput("datagram", "version", str(VERSION), version)
    if not count or len(data) != _HEADER.size + count * _SAMPLE_BYTES:
        raise BadInput("datagram", "count", f"as many samples as {len(data)} bytes hold, at least 1", count)
    if crc != _crc(data):
        raise BadInput("datagram", "CRC-32", hex(_crc(data)), hex(crc))
    samples = np.frombuffer(data, "<f4", offset=_HEADER.size).reshape(count, 6)
    return ImuBatch(imu_id, counter, first_ns, period_ns, samples)


def encode_samples(samples: Sequence[ImuSample], first_ns: int, period_ns: int, counter: int, imu_id: int = 0) -> bytes:
    """What a gateway sends: 1 to 1000 samples as one datagram."""
    rows = [(*s.angular_velocity, *s.linear_acceleration) for s in samples]
    body = np.array(rows, "<f4").tobytes()
    fields = (MAGIC, VERSION, imu_id, len(rows), counter % _COUNTERS, first_ns, period_ns)
    crc = zlib.crc32(body, zlib.crc32(_HEADER.pack(*fields, 0)))
    return _HEADER.pack(*fields, crc) + body


class ImuUdp(DatagramDriver):
    """Driver; sensor_ns = the sample's own time, counter = its number.

    losses: ``malformed ...`` by what was wrong with a datagram, ``other_imu``, ``out_of_order`` (or twice; all its
    samples are lost). given_up: ``lost_sample`` by the counter, ``not_finite``.
    """

    def __init__(self, settings: ImuUdpSettings, datagrams: Datagrams, clock: Clock) -> None:
        super().__init__(f"imu {settings.receive.address}", datagrams, clock)
        self._settings = settings
        self._next: int | None = None
        self._ready: deque[Raw] = deque()

    def read(self, timeout_s: float) -> Raw | None:
        return self._ready.popleft() if self._ready else super().read(timeout_s)

    def discard(self) -> None:
        super().discard()
        self._ready.clear()

    def _take(self, data: bytes, arrival_ns: int) -> Raw | None:
        batch = parse_datagram(data)
        if batch.imu_id != self._settings.imu_id:
            self._counts["other_imu"] += 1
            return None
        missing = 0 if self._next is None else (batch.counter - self._next) % _COUNTERS
        if missing >= _COUNTERS - _REORDERED:
            self._counts["out_of_order"] += 1
            return None
        if 0 < missing <= _MAX_GAP:  # more: the counter began anew
            self._given_up["lost_sample"] += missing
        self._next = (batch.counter + len(batch.samples)) % _COUNTERS
        for i, row in enumerate(batch.samples.astype(np.float64)):
            if not np.isfinite(row).all():
                self._given_up["not_finite"] += 1
                continue
            x, y, z, ax, ay, az = row.tolist()
            sample = ImuSample(angular_velocity=(x, y, z), linear_acceleration=(ax, ay, az))
            stamp_ns = batch.first_ns + i * batch.period_ns
            self._ready.append(Raw(stamp_ns, arrival_ns, sample, (batch.counter + i) % _COUNTERS))
        return self._ready.popleft() if self._ready else None


def _crc(data: bytes) -> int:
    before, after = memoryview(data)[:_CRC_AT], memoryview(data)[_CRC_AT + 4 :]
    return zlib.crc32(after, zlib.crc32(b"\0\0\0\0", zlib.crc32(before)))
