"""Radar datagrams: what is encoded is read back, what is damaged is counted, cycles are accounted for."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sources.live.radar_udp import MAX_RECORDS, RadarUdp, RadarUdpSettings, encode_scan, parse_datagram
from pipeline.core.clock import ManualClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import RADAR_POINT, RadarScan

T0 = 1_700_000_000_000_000_000
CYCLE_NS = 50_000_000


def scan(seed: int, count: int = 20) -> RadarScan:
    rng = np.random.default_rng(seed)
    points = np.zeros(count, RADAR_POINT)
    for field in RADAR_POINT.names or ():
        points[field] = rng.normal(0.0, 20.0, count)
    return RadarScan(points=points, ambiguity_mps=10.3)


def sent(cycles, first: int = 0, count: int = 20) -> list[tuple[int, bytes]]:
    """(time, datagram) of cycles with these numbers."""
    return [
        (T0 + k * CYCLE_NS, data)
        for k, cycle in enumerate(cycles)
        for data in encode_scan(scan(first + k, count), T0 + k * CYCLE_NS - 1, cycle)
    ]


def read_all(listed, datagrams, **kwargs):
    clock = ManualClock(T0)
    driver = RadarUdp(RadarUdpSettings(**kwargs), listed(datagrams, clock), clock)
    raws = []
    while (raw := driver.read(3600.0)) is not None:
        raws.append(raw)
    return driver, raws


def test_a_cycle_is_read_as_it_was_sent(listed):
    driver, raws = read_all(listed, sent(range(7, 10)))
    assert [raw.counter for raw in raws] == [7, 8, 9]
    for k, raw in enumerate(raws):
        np.testing.assert_array_equal(raw.payload.points, scan(k).points)
        assert raw.payload.ambiguity_mps == pytest.approx(10.3)
        assert raw.sensor_ns == T0 + k * CYCLE_NS - 1
        assert raw.arrival_ns == T0 + k * CYCLE_NS + 100_000
    assert driver.losses == driver.given_up == {}


def test_the_layout_is_the_documented_one():
    body = struct.pack("<6f", 1, 2, 3, -4, 5, float("nan"))
    head = struct.pack("<4sBBBBIqIf", b"SLRD", 1, 9, 0, 1, 77, -5, 1, 0.5)
    data = head + struct.pack("<I", zlib.crc32(head + bytes(4) + body)) + body
    part = parse_datagram(data)
    assert part[:6] == (9, 77, 0, 1, -5, 0.5)
    assert part.points.tolist()[0][:5] == (1, 2, 3, -4, 5)


@pytest.mark.parametrize("count", [MAX_RECORDS, MAX_RECORDS + 1, 2 * MAX_RECORDS + 3])
def test_a_large_cycle_comes_in_parts_in_any_order(listed, count):
    datagrams = sent([3], count=count)
    random.Random(0).shuffle(datagrams)
    driver, (raw,) = read_all(listed, datagrams)
    np.testing.assert_array_equal(raw.payload.points, scan(0, count).points)
    assert driver.losses == {}


def test_a_cycle_without_one_of_its_parts_is_lost(listed):
    datagrams = sent(range(4), count=MAX_RECORDS + 1)
    del datagrams[3]  # second part of cycle 1
    driver, raws = read_all(listed, datagrams)
    assert [raw.counter for raw in raws] == [0, 2, 3]
    assert driver.given_up == {"lost_cycle": 1}


def test_lost_duplicate_and_late_cycles_are_counted(listed):
    driver, raws = read_all(listed, sent([0, 1, 1, 4, 3, 5]))
    assert [raw.counter for raw in raws] == [0, 1, 4, 5]
    assert driver.given_up == {"lost_cycle": 2}
    assert driver.losses == {"duplicate": 1, "out_of_order": 1}


def test_a_late_part_does_not_disturb_the_cycle_that_is_coming_in(listed):
    a, b = sent([0], count=MAX_RECORDS + 1), sent([1], count=MAX_RECORDS + 1)
    driver, raws = read_all(listed, [a[0], b[0], a[1], b[1]])
    assert [raw.counter for raw in raws] == [1]
    assert driver.losses == {"out_of_order": 1}


def test_the_counter_may_wrap_and_begin_anew(listed):
    driver, raws = read_all(listed, sent([2**32 - 1, 0, 1, 500_000, 500_001, 0, 1]))
    assert len(raws) == 7
    assert driver.given_up == driver.losses == {}


def test_another_radars_datagrams_are_not_ours(listed):
    driver, raws = read_all(listed, sent([0, 1]), radar_id=4)
    assert raws == []
    assert driver.losses == {"other_radar": 2}


def test_points_that_are_no_numbers_are_left_out_and_counted(listed):
    points = scan(0).points.copy()
    points["x"][3] = np.nan
    points["range_rate"][5] = np.inf
    points["rcs"][7] = np.nan  # says only that it is not known
    driver, (raw,) = read_all(listed, [(T0, encode_scan(RadarScan(points=points), T0, 0)[0])])
    assert len(raw.payload.points) == 18
    assert driver.losses == {"points not finite": 2}


@pytest.mark.parametrize(
    ("at", "value", "field"),
    [(0, b"X", "magic"), (4, b"\2", "version"), (20, b"\0", "count"), (40, b"\x55", "CRC-32"), (6, b"\1", "CRC-32")],
)
def test_a_damaged_datagram_is_named(at, value, field):
    data = encode_scan(scan(0), T0, 0)[0]
    damaged = data[:at] + value + data[at + 1 :]
    with pytest.raises(BadInput) as error:
        parse_datagram(damaged)
    assert error.value.field == field


def test_too_many_points_are_refused():
    with pytest.raises(BadInput, match="points"):
        encode_scan(RadarScan(points=np.zeros(17 * MAX_RECORDS, RADAR_POINT)), T0, 0)


_DATA = encode_scan(scan(0), T0, 0)[0]


def resealed(data: bytes) -> bytes:
    """With the right checksum, so that what lies behind it is reached."""
    return data[:28] + struct.pack("<I", zlib.crc32(data[:28] + bytes(4) + data[32:])) + data[32:]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(
                lambda changes, seal, size: (resealed if seal else bytes)(mutated(_DATA[:size], changes)),
                st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
                st.booleans(),
                st.sampled_from([len(_DATA), len(_DATA) - 1, 32, 56]),
            ),
        ),
        max_size=20,
    )
)
def test_whatever_comes_is_read_or_counted(listed, what):
    driver, raws = read_all(listed, [(T0 + k * CYCLE_NS, data) for k, data in enumerate(what)])
    assert len(driver._parts) <= 16
    for raw in raws:
        assert np.isfinite(raw.payload.xyz).all()


def mutated(data: bytes, changes) -> bytes:
    out = bytearray(data)
    for at, value in changes:
        if at < len(out):
            out[at] = value
    return bytes(out)
