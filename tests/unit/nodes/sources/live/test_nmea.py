"""NMEA 0183: checksums, both orders, lines cut anywhere, garbage, and what a drive's fixes become and come back as."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sources.live.driver import FeedSettings
from nodes.sources.live.nmea import Gga, Nmea, NmeaSettings, Rmc, encode_fix, parse_sentence
from nodes.sources.live.packet_replayer import drive_datagrams
from nodes.sources.open_drive import open_drive
from pipeline.core.clock import ManualClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import GnssFix
from pipeline.transport.byte_stream import ByteFeed

RMC = b"$GPRMC,123519.50,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*"
GGA = b"$GPGGA,123519.50,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*"
T_NS = 1_764_156_919_500_000_000


def signed(sentence: bytes) -> bytes:
    value = 0
    for byte in sentence[1:-1]:
        value ^= byte
    return sentence + b"%02X" % value


class Chunks:
    """Datagrams or pieces of a stream, from a list."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.losses: Counter[str] = Counter()
        self._chunks = list(chunks)

    def receive(self, timeout_s: float) -> bytes | None:
        return self._chunks.pop(0) if self._chunks else None

    def close(self) -> None:
        pass


def driver(chunks: list[bytes], transport: str = "udp") -> Nmea:
    receive = FeedSettings(transport=transport, address="127.0.0.1:1")  # type: ignore[arg-type]
    return Nmea(NmeaSettings(receive=receive), Chunks(chunks), ManualClock())


def read_all(nmea: Nmea, tries: int = 1000) -> list[tuple[int, GnssFix]]:
    out = []
    for _ in range(tries):
        raw = nmea.read(0.01)
        if raw is not None:
            assert isinstance(raw.payload, GnssFix)
            out.append((raw.sensor_ns, raw.payload))
    return out


def test_the_textbook_sentences() -> None:
    rmc, gga = parse_sentence(signed(RMC)), parse_sentence(signed(GGA))
    assert isinstance(rmc, Rmc)
    assert isinstance(gga, Gga)
    assert rmc.date_ns + rmc.time_ns == 764_426_119_500_000_000, "1994-03-23 12:35:19.5 UTC"
    assert gga.fix is not None
    assert gga.fix.latitude == pytest.approx(48.1173)
    assert gga.fix.longitude == pytest.approx(11.516667, abs=1e-6)
    assert gga.fix.height == pytest.approx(545.4 + 46.9)
    assert gga.fix.accuracy == pytest.approx(0.9 * 5)
    assert parse_sentence(b"$GPGSV,3,1,11*74") is None


@pytest.mark.parametrize(
    ("sentence", "field"),
    [
        (RMC + b"00", "checksum"),
        (signed(RMC.replace(b"123519", b"253519")), "time"),
        (signed(RMC.replace(b"230394", b"310294")), "date"),
        (signed(GGA.replace(b"4807.038", b"9107.038")), "latitude"),
        (signed(GGA.replace(b",E,", b",Q,")), "longitude"),
        (signed(GGA.replace(b"545.4", b"nan")), "altitude"),
        (signed(GGA.replace(b"0.9", b"1e9")), "HDOP"),
        (signed(b"$GPGGA,1,2*"), "GGA fields"),
        (b"$GPRMC,123519", "checksum"),
    ],
)
def test_each_damaged_field_is_named(sentence: bytes, field: str) -> None:
    with pytest.raises(BadInput, match=f"sentence: {field}"):
        parse_sentence(sentence)


@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    height=st.floats(-100, 9000),
    step=st.integers(0, 10**9),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_a_fix_comes_back_however_the_stream_is_cut(
    latitude: float, longitude: float, height: float, step: int, cuts: list[int]
) -> None:
    time_ns = T_NS + step * 1_000_000
    data = encode_fix(GnssFix(latitude=latitude, longitude=longitude, height=height, accuracy=4.5), time_ns)
    pieces, at, n = [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + cuts[n % len(cuts)]])
        at, n = at + cuts[n % len(cuts)], n + 1
    ((stamp, fix),) = read_all(driver(pieces, "tcp"), len(pieces) + 1)
    assert stamp == time_ns
    assert fix.latitude == pytest.approx(latitude, abs=2e-9)
    assert fix.longitude == pytest.approx(longitude, abs=2e-9)
    assert fix.height == pytest.approx(height, abs=6e-4)
    assert fix.accuracy == pytest.approx(4.5)


@given(st.lists(st.binary(max_size=2000), max_size=8))
def test_garbage_raises_nothing_and_fills_nothing(chunks: list[bytes]) -> None:
    nmea = driver(chunks, "tcp")
    assert read_all(nmea, 20) == []
    assert len(nmea._rest) <= 257


def test_orders_many_in_one_chunk_no_fix_and_noise_between() -> None:
    rmc, gga = signed(RMC) + b"\r\n", signed(GGA) + b"\r\n"
    later = [encode_fix(GnssFix(latitude=1.0, longitude=-2.0, height=3.0), T_NS + i * 100_000_000) for i in range(3)]
    lost = signed(RMC.replace(b",A,", b",V,")) + b"\n" + gga
    nmea = driver([gga + rmc, b"".join(later), b"x" * 300 + b"\n" + lost, gga[:20], rmc + gga.rstrip()])
    found = read_all(nmea)
    assert [stamp for stamp, _ in found][1:4] == [T_NS + i * 100_000_000 for i in range(3)]
    assert len(found) == 5
    assert math.isnan(found[1][1].accuracy)
    assert nmea.given_up == {"no_fix": 1}
    assert nmea.losses == {"malformed line": 1, "malformed checksum": 1}


def test_over_tcp_with_a_receiver_that_goes_and_comes_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with contextlib.closing(ByteFeed(FeedSettings(transport="tcp", address=f"127.0.0.1:{port}"))) as feed:
            for n in (1, 2):
                accepted = None
                for _ in range(40):
                    server.settimeout(0.05)
                    feed.receive(0.05)
                    with contextlib.suppress(TimeoutError):
                        accepted = server.accept()[0]
                        break
                assert accepted is not None
                accepted.sendall(b"hello")
                assert feed.receive(5.0) == b"hello"
                accepted.close()
                assert feed.receive(5.0) is None
                assert feed.losses == {"disconnected": n}


def test_over_a_serial_line() -> None:
    master, slave = os.openpty()
    try:
        with contextlib.closing(ByteFeed(FeedSettings(transport="serial", address=os.ttyname(slave)))) as feed:
            assert feed.receive(0.0) is None
            os.write(master, signed(RMC) + b"\r\n")
            assert feed.receive(5.0) == signed(RMC) + b"\r\n", "raw: nothing is echoed or translated"
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (FeedSettings(transport="tcp", address="here"), "address"),
        (FeedSettings(transport="serial", address="/dev/null", baud=7), "baud"),
    ],
)
def test_addresses_that_are_none(settings: FeedSettings, field: str) -> None:
    with pytest.raises(BadInput, match=field):
        ByteFeed(settings)


@pytest.mark.drives
def test_a_drive_s_fixes_through_the_packet_replayer() -> None:
    path = Path(__file__).resolve().parents[5].parent / "shared" / "drives" / "kitti_raw_0002"
    if not path.is_dir():
        pytest.skip("needs the recorded KITTI drive under ../shared/drives")
    drive = open_drive(path)
    topic = next(t for t in drive.topics if t.startswith("gnss/"))
    sent = [m for m in drive.messages([topic]) if isinstance(m.payload, GnssFix)]
    found = read_all(driver([d.data for d in drive_datagrams(drive, topic, NmeaSettings())]))
    assert len(found) == len(sent) > 0
    for (stamp, fix), message in zip(found, sent, strict=True):
        assert abs(stamp - message.stamp.time_ns) <= 500_000, "NMEA's milliseconds"
        assert fix.latitude == pytest.approx(message.payload.latitude, abs=2e-9)
