"""UDP datagrams in a capture file of the classic libpcap format, as tcpdump, Wireshark and VeloView write it."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline.core.errors import BadInput

_MAGIC = {b"\xd4\xc3\xb2\xa1": ("<", 1_000), b"\xa1\xb2\xc3\xd4": (">", 1_000)}
_MAGIC |= {b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1)}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_ETHERNET = 1
_IPV4, _VLAN, _UDP = 0x0800, (0x8100, 0x88A8), 17
_MAX_RECORD_BYTES = 262_144  # tcpdump's own bound on a snapshot


class CapturedDatagram(NamedTuple):
    """time_ns: when it was captured. port: where it was sent to. data: its payload."""

    time_ns: int
    port: int
    data: bytes


def read_pcap(path: Path, port: int = 0, skipped: Counter[str] | None = None) -> Iterator[CapturedDatagram]:
    """Datagrams to ``port`` (0 = any), one by one; memory does not grow with the file.

    Args:
        skipped: counts what is passed over, by reason: ``not_udp``, ``other_port``, ``fragment``, ``cut_short``.

    Raises:
        BadInput: not readable, no classic pcap, not of Ethernet, an absurd record, or truncated in one.
    """
    skipped = Counter() if skipped is None else skipped
    try:
        with path.open("rb") as file:
            order, unit_ns = _header(path, file)
            record = struct.Struct(order + "IIII")
            while head := file.read(record.size):
                if len(head) < record.size:
                    raise BadInput(path, "record", "a whole record header", f"{len(head)} bytes: truncated")
                seconds, fraction, size, _ = record.unpack(head)
                if size > _MAX_RECORD_BYTES:
                    raise BadInput(path, "record size", f"at most {_MAX_RECORD_BYTES} bytes", size)
                frame = file.read(size)
                if len(frame) < size:
                    raise BadInput(path, "record", f"{size} bytes", f"{len(frame)}: truncated")
                found = _datagram(frame, port)
                if isinstance(found, str):
                    skipped[found] += 1
                else:
                    yield CapturedDatagram(seconds * 10**9 + fraction * unit_ns, *found)
    except OSError as error:
        raise BadInput(path, "file", "a readable file", error.strerror or error) from error


def write_pcap(path: Path, datagrams: list[CapturedDatagram]) -> None:
    """Datagrams as a capture with nanosecond times, from 127.0.0.1 to 127.0.0.1; checksums are left 0 (none)."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _MAX_RECORD_BYTES, _ETHERNET))
        for time_ns, port, data in datagrams:
            udp = struct.pack(">HHHH", port, port, 8 + len(data), 0) + data
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, _UDP, 0) + b"\x7f\0\0\1" * 2
            frame = bytes(12) + struct.pack(">H", _IPV4) + ip + udp
            file.write(struct.pack("<IIII", time_ns // 10**9, time_ns % 10**9, len(frame), len(frame)) + frame)


def _header(path: Path, file: BinaryIO) -> tuple[str, int]:
    """Byte order and the unit of a time's fraction."""
    head = file.read(24)
    if head[:4] == _PCAPNG:
        raise BadInput(path, "format", "classic pcap; convert with: editcap -F pcap IN OUT", "pcapng")
    if head[:4] not in _MAGIC or len(head) < 24:
        raise BadInput(path, "format", "classic pcap", head[:4].hex(" ") or "an empty file")
    order, unit_ns = _MAGIC[head[:4]]
    (link,) = struct.unpack_from(order + "I", head, 20)
    if link & 0xFFFF != _ETHERNET:
        raise BadInput(path, "link type", "1, Ethernet", link)
    return order, unit_ns


def _datagram(frame: bytes, port: int) -> tuple[int, bytes] | str:
    """(port, payload) of a UDP datagram over IPv4 (RFC 791, RFC 768), or why the frame is none that is wanted."""
    at = 12
    while len(frame) >= at + 6 and int.from_bytes(frame[at : at + 2], "big") in _VLAN:
        at += 4
    if int.from_bytes(frame[at : at + 2], "big") != _IPV4:
        return "not_udp"
    ip = frame[at + 2 :]
    if len(ip) < 20 or ip[0] >> 4 != 4 or ip[9] != _UDP:
        return "not_udp"
    if int.from_bytes(ip[6:8], "big") & 0x3FFF:  # more fragments, or not the first
        return "fragment"
    udp = ip[(ip[0] & 0xF) * 4 :]
    size = int.from_bytes(udp[4:6], "big")
    if (ip[0] & 0xF) < 5 or len(udp) < 8 or not 8 <= size <= len(udp):
        return "cut_short"
    to = int.from_bytes(udp[2:4], "big")
    return (to, udp[8:size]) if port in (0, to) else "other_port"
