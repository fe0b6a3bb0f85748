"""A radar over UDP or ZeroMQ in a small datagram format of our own, into which a gateway translates its maker's.

A cycle is one datagram, or several parts of at most 65507 bytes. Little-endian, no padding:

    offset size
    0      4    magic, the bytes "SLRD"
    4      1    version, 1
    5      1    radar id, 0..255; a driver takes only its own
    6      1    part, 0..parts-1
    7      1    parts of this cycle, 1..16
    8      4    cycle counter, up by one per cycle, wraps
    12     8    middle of the cycle in ns by the radar's clock, signed
    20     4    number of records in this part
    24     4    width of the unambiguous interval of range rate in m/s, float32; 0 = unambiguous
    28     4    CRC-32 (zlib) of the whole datagram with these four bytes 0
    32     24   per record, float32: x, y, z (m, radar frame), range rate (m/s, positive = receding), RCS (dBsm),
                SNR (dB); NaN for an RCS or SNR that the radar does not give
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import NamedTuple

import numpy as np

from nodes.sources.live.driver import MAX_DATAGRAM_BYTES, DatagramDriver, Datagrams, DriverSettings, FeedSettings, Raw
from pipeline.core.clock import Clock
from pipeline.core.errors import BadInput
from pipeline.core.messages import RADAR_POINT, RadarScan

MAGIC, VERSION = b"SLRD", 1
MAX_PARTS = 16
_HEADER = struct.Struct("<4sBBBBIqIfI")
_CRC_AT = 28
MAX_RECORDS = (MAX_DATAGRAM_BYTES - _HEADER.size) // RADAR_POINT.itemsize
"""In one part."""
_CYCLES = 1 << 32
_REORDERED = 64
_MAX_GAP = 1_000


class RadarUdpSettings(DriverSettings, frozen=True, tag_field="driver", tag="radar_udp"):
    """radar_id: the one whose datagrams are taken; others may share the address."""

    receive: FeedSettings = FeedSettings(address="127.0.0.1:5600")
    radar_id: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.radar_id <= 255:
            raise ValueError(f"radar_id: expected 0..255, got {self.radar_id}")


class ScanPart(NamedTuple):
    """One datagram. points: (N,) RADAR_POINT."""

    radar_id: int
    cycle: int
    part: int
    parts: int
    sensor_ns: int
    ambiguity_mps: float
    points: np.ndarray


def parse_datagram(data: bytes) -> ScanPart:
    """One datagram.

    Raises:
        BadInput: not such a datagram, or damaged; the field says in which respect, one of a fixed few.
    """
    if not _HEADER.size <= len(data) <= MAX_DATAGRAM_BYTES:
        raise BadInput("datagram", "size", f"{_HEADER.size}..{MAX_DATAGRAM_BYTES} bytes", len(data))
    magic, version, radar_id, part, parts, cycle, sensor_ns, count, ambiguity, crc = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise BadInput("datagram", "magic", str(MAGIC), magic)
    if version != VERSION:
        raise BadInput("datagram", "version", str(VERSION), version)
    if len(data) != _HEADER.size + count * RADAR_POINT.itemsize:
        raise BadInput("datagram", "count", f"as many records as {len(data)} bytes hold", count)
    if crc != _crc(data):
        raise BadInput("datagram", "CRC-32", hex(_crc(data)), hex(crc))
    if not part < parts <= MAX_PARTS:
        raise BadInput("datagram", "part", f"part < parts <= {MAX_PARTS}", f"{part} of {parts}")
    if not (math.isfinite(ambiguity) and ambiguity >= 0):
        raise BadInput("datagram", "ambiguity", "0 or more", ambiguity)
    points = np.frombuffer(data, RADAR_POINT, offset=_HEADER.size)
    return ScanPart(radar_id, cycle, part, parts, sensor_ns, ambiguity, points)


def encode_scan(scan: RadarScan, sensor_ns: int, cycle: int, radar_id: int = 0) -> list[bytes]:
    """A cycle as datagrams: what a gateway sends.

    Raises:
        BadInput: more points than 16 parts hold.
    """
    parts = max(1, math.ceil(len(scan.points) / MAX_RECORDS))
    if parts > MAX_PARTS:
        raise BadInput("radar scan", "points", f"at most {MAX_PARTS * MAX_RECORDS}", len(scan.points))
    out = []
    for part in range(parts):
        points = scan.points[part * MAX_RECORDS : (part + 1) * MAX_RECORDS]
        fields = (MAGIC, VERSION, radar_id, part, parts, cycle % _CYCLES, sensor_ns, len(points), scan.ambiguity_mps)
        body = points.tobytes()
        crc = zlib.crc32(body, zlib.crc32(_HEADER.pack(*fields, 0)))
        out.append(_HEADER.pack(*fields, crc) + body)
    return out


def _crc(data: bytes) -> int:
    before, after = memoryview(data)[:_CRC_AT], memoryview(data)[_CRC_AT + 4 :]
    return zlib.crc32(after, zlib.crc32(b"\0\0\0\0", zlib.crc32(before)))


class RadarUdp(DatagramDriver):
    """Driver; sensor_ns = middle of the cycle, counter = its number.

    losses: ``malformed ...`` by what was wrong with a datagram, ``other_radar``, ``duplicate``, ``out_of_order``;
    ``points not finite``. given_up: ``lost_cycle``, by the counter (one that came in part is one of them).
    """

    def __init__(self, settings: RadarUdpSettings, datagrams: Datagrams, clock: Clock) -> None:
        super().__init__(f"radar {settings.receive.address}", datagrams, clock)
        self._settings = settings
        self._parts: dict[int, ScanPart] = {}  # of the cycle that is coming in
        self._done: int | None = None  # the last cycle given out

    def _take(self, data: bytes, arrival_ns: int) -> Raw | None:
        part = parse_datagram(data)
        if part.radar_id != self._settings.radar_id:
            self._counts["other_radar"] += 1
            return None
        open_part = next(iter(self._parts.values()), part)
        if part.cycle == self._done or (part.part in self._parts and part.cycle == open_part.cycle):
            self._counts["duplicate"] += 1
            return None
        newest = open_part.cycle if self._parts else self._done
        if newest is not None and (newest - part.cycle - 1) % _CYCLES < _REORDERED:
            self._counts["out_of_order"] += 1
            return None
        if (part.cycle, part.parts, part.sensor_ns) != (open_part.cycle, open_part.parts, open_part.sensor_ns):
            self._parts.clear()  # it will not be whole any more; the counter shows that it is lost
        self._parts[part.part] = part
        return self._whole(part, arrival_ns) if len(self._parts) == part.parts else None

    def _whole(self, last: ScanPart, arrival_ns: int) -> Raw:
        """The cycle whose last part came."""
        points = np.concatenate([self._parts[i].points for i in range(last.parts)])
        self._parts.clear()
        missing = 0 if self._done is None else (last.cycle - self._done - 1) % _CYCLES
        self._done = last.cycle
        finite = np.isfinite(points["range_rate"])
        for axis in ("x", "y", "z"):
            finite &= np.isfinite(points[axis])
        if not finite.all():
            self._counts["points not finite"] += int((~finite).sum())
        scan = RadarScan(points=points[finite], ambiguity_mps=last.ambiguity_mps)
        if 0 < missing <= _MAX_GAP:  # more: the counter began anew
            self._given_up["lost_cycle"] += missing
        return Raw(last.sensor_ns, arrival_ns, scan, counter=last.cycle)
