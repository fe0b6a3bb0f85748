"""Velodyne packets: geometry and timing by the manual, sweeps, and what a bad network does to them."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sources.indexed import finite_points
from nodes.sources.live.packet_replayer import Datagram, Faults, disturbed
from nodes.sources.live.velodyne import HOUR_NS, HourClock, Velodyne, VelodyneSettings
from nodes.sources.live.velodyne_encoder import encode_sweep
from nodes.sources.live.velodyne_packets import BLOCK, MODELS, PACKET, parse_packet, points_of
from nodes.sources.open_drive import open_drive
from pipeline.core.clock import ManualClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT

VLP16 = MODELS["VLP-16"]
T0 = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000


def packet(azimuths, returns=None, time_us=0, mode=0x37, product=0x22, flag=b"\xff\xee") -> bytes:
    """A packet put together by hand: returns[block, channel] = (distance in 2 mm, reflectivity)."""
    data = b""
    for block, azimuth in enumerate(azimuths):
        data += flag + struct.pack("<H", azimuth)
        for channel in range(32):
            data += struct.pack("<HB", *(returns or {}).get((block, channel), (0, 0)))
    return data + struct.pack("<IBB", time_us, mode, product)


def cloud(seed: int = 0, count: int = 2000) -> np.ndarray:
    """Points that a VLP-16 sees: on its beams, at random azimuths and distances, clockwise from behind."""
    rng = np.random.default_rng(seed)
    turned = np.sort(rng.random(count))
    beam = rng.integers(0, 16, count)
    distance, elevation = rng.uniform(2.0, 100.0, count), VLP16.elevation[beam]
    azimuth = np.pi - 2 * np.pi * turned
    points = np.zeros(count, POINT)
    points["x"] = distance * np.cos(elevation) * np.cos(azimuth)
    points["y"] = distance * np.cos(elevation) * np.sin(azimuth)
    points["z"] = distance * np.sin(elevation) + VLP16.height[beam]
    points["intensity"] = rng.integers(0, 256, count) / 255.0
    points["t_ns"] = np.rint((turned - 1.0) * PERIOD_NS)
    points["ring"] = VLP16.rings[beam]
    return points


def stream(sweeps: int, seed: int = 0) -> list[Datagram]:
    """A sensor that turns for so many sweeps, each packet sent when it is complete."""
    out = []
    for k in range(sweeps):
        encoded = encode_sweep(cloud(seed + k), T0 + (k + 1) * PERIOD_NS, VLP16)
        out += [Datagram(t + VLP16.packet_ns, data) for t, data in encoded.packets]
    return out


def read_all(listed, datagrams, **kwargs):
    clock = ManualClock(T0)
    driver = Velodyne(VelodyneSettings(**kwargs), listed(datagrams, clock), clock)
    raws = []
    while (raw := driver.read(3600.0)) is not None:
        raws.append(raw)
    return driver, raws


# --- the packet


def test_a_return_lies_where_and_when_the_manual_says():
    # Block 3, channel 16 + 5: second firing sequence, laser 5 at +5 degrees.
    azimuths = [100 + 40 * k for k in range(12)]
    parsed = parse_packet(packet(azimuths, {(3, 21): (5000, 51)}), VLP16)
    points, end_ns = points_of(np.frombuffer(parsed.blocks, BLOCK), np.arange(12) * 110_592, VLP16, "x_forward")
    fired_us = 3 * 110.592 + 55.296 + 5 * 2.304
    azimuth = np.deg2rad((220 + 40 * (55.296 + 5 * 2.304) / 110.592) / 100.0)
    across = 10.0 * np.cos(np.deg2rad(5.0))
    (point,) = points
    assert point["x"] == pytest.approx(across * np.cos(azimuth), abs=1e-5)
    assert point["y"] == pytest.approx(-across * np.sin(azimuth), abs=1e-5)
    assert point["z"] == pytest.approx(10.0 * np.sin(np.deg2rad(5.0)) - 0.0037, abs=1e-5)
    assert point["intensity"] == pytest.approx(0.2)
    assert end_ns == round(1e3 * (11 * 110.592 + 55.296 + 15 * 2.304))
    assert point["t_ns"] + end_ns == round(fired_us * 1e3)
    assert point["ring"] == 10  # -15, -13, ... upwards: +5 is the eleventh


def test_hdl32e_fires_one_sequence_per_block():
    model = MODELS["HDL-32E"]
    parsed = parse_packet(packet([17 * k for k in range(12)], {(1, 2): (1000, 0)}, product=0x21), model)
    points, end_ns = points_of(np.frombuffer(parsed.blocks, BLOCK), np.arange(12) * 46_080, model, "x_forward")
    assert points["t_ns"][0] + end_ns == 46_080 + 2 * 1_152
    assert np.rad2deg(np.arcsin(points["z"][0] / 2.0)) == pytest.approx(-29.333, abs=1e-3)
    assert points["ring"][0] == 1


@pytest.mark.parametrize(
    ("name", "lowest", "highest"), [("VLP-16", -15, 15), ("Puck Hi-Res", -10, 10), ("HDL-32E", -92 / 3, 32 / 3)]
)
def test_beam_tables(name, lowest, highest):
    model = MODELS[name]
    degrees = np.rad2deg(model.elevation)
    assert degrees.min() == pytest.approx(lowest)
    assert degrees.max() == pytest.approx(highest)
    assert np.ptp(np.diff(np.sort(degrees))) < 1e-6  # evenly spaced
    assert sorted(model.rings) == list(range(model.beams))
    assert PACKET.itemsize == 1206


def test_the_makers_axes_are_the_others_turned():
    parsed = parse_packet(packet([9000] * 12, {(0, 0): (5000, 0)}), VLP16)
    (ours,) = points_of(np.frombuffer(parsed.blocks, BLOCK), np.arange(12) * 110_592, VLP16, "x_forward")[0]
    (makers,) = points_of(np.frombuffer(parsed.blocks, BLOCK), np.arange(12) * 110_592, VLP16, "y_forward")[0]
    assert ours["y"] < 0  # azimuth 90 is to the right
    assert (makers["x"], makers["y"]) == pytest.approx((-ours["y"], ours["x"]))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "size"),
        (bytes(1205), "size"),
        (bytes(1206), "return mode"),
        (packet(range(12), mode=0x39), "dual return"),
        (packet(range(12), product=0x28), "product"),
        (packet(range(12), flag=b"\xff\xdd"), "block flag"),
        (packet([36_000] * 12), "azimuth"),
        (packet([0, 40, 30, *range(80, 89)]), "azimuth"),
        (packet(range(12), time_us=3_600_000_000), "time"),
    ],
)
def test_a_malformed_packet_is_named(data, field):
    with pytest.raises(BadInput) as error:
        parse_packet(data, VLP16)
    assert error.value.field == field


def test_a_beam_table_must_fit_the_model():
    with pytest.raises(BadInput, match="elevation_deg"):
        VelodyneSettings(elevation_deg=(1.0,) * 15)
    assert VelodyneSettings(elevation_deg=tuple(range(16))).sensor_model().elevation[3] == pytest.approx(np.deg2rad(3))


# --- sweeps


def test_sweep_in_is_sweep_out_within_quantisation(listed):
    _, raws = read_all(listed, stream(4))
    assert [raw.sensor_ns for raw in raws] == pytest.approx([T0 + k * PERIOD_NS for k in (2, 3)], abs=500)
    for seed, raw in zip((1, 2), raws, strict=True):
        sent, got = cloud(seed), raw.payload.points
        hidden = encode_sweep(sent, T0, VLP16).unsent  # two points of one firing: the nearer one is seen
        assert hidden < 0.05 * len(sent)
        assert len(got) == len(sent) - hidden
        nearest, off = nearest_points(sent, got)
        off_deg = np.rad2deg(off / np.hypot(got["x"], got["y"]))
        assert np.quantile(off_deg, 0.99) < 0.11  # half of the 0.2 degrees between two firings, and rounding
        assert off_deg.max() < 0.21  # beside the cut, where there is a firing on one side only
        np.testing.assert_allclose(got["intensity"], sent["intensity"][nearest], atol=1e-6)
        np.testing.assert_array_equal(got["ring"], sent["ring"][nearest])
        np.testing.assert_allclose(got["t_ns"], sent["t_ns"][nearest], atol=80_000)


def nearest_points(sent, got):
    """Index of, and distance to, the point of the same ring and nearly the same distance that is nearest."""
    a = np.stack([sent[f] for f in "xyz"], axis=1).astype(np.float64)
    b = np.stack([got[f] for f in "xyz"], axis=1).astype(np.float64)
    d2 = ((b[:, None] - a[None]) ** 2).sum(axis=-1)
    nearest = d2.argmin(axis=1)
    return nearest, np.sqrt(d2[np.arange(len(b)), nearest])


def test_what_the_sensor_saw_is_encoded_and_read_back_exactly(listed):
    _, (first, *_) = read_all(listed, stream(3))
    datagrams = []
    for k in range(3):
        encoded = encode_sweep(first.payload.points, T0 + (k + 1) * PERIOD_NS, VLP16)
        assert encoded.unsent == 0
        datagrams += [Datagram(t + VLP16.packet_ns, data) for t, data in encoded.packets]
    _, (again, *_) = read_all(listed, datagrams)
    np.testing.assert_array_equal(again.payload.points, first.payload.points)


def test_the_first_turn_before_the_cut_is_no_sweep(listed):
    driver, raws = read_all(listed, stream(3)[20:])
    assert len(raws) == 1  # the second; the third has no end yet
    assert driver.losses == driver.given_up == {}


def test_points_are_in_the_past_of_the_stamp_and_arrival_follows_it(listed):
    _, raws = read_all(listed, stream(4))
    for raw in raws:
        t_ns = raw.payload.points["t_ns"]
        assert -PERIOD_NS <= t_ns.min() <= t_ns.max() <= 0
        assert 0 < raw.arrival_ns - raw.sensor_ns < 5_000_000


def test_lost_packets_are_counted_and_their_points_missing(listed):
    datagrams = stream(4)
    _, whole = read_all(listed, datagrams)
    missing = {80, 90, 91, 92}
    driver, raws = read_all(listed, [d for k, d in enumerate(datagrams) if k not in missing])
    assert driver.losses == {"lost_packets": 4}
    assert driver.given_up == {}
    assert len(whole[0].payload.points) - len(raws[0].payload.points) > 100
    np.testing.assert_array_equal(raws[1].payload.points, whole[1].payload.points)


def test_a_sweep_that_lacks_more_than_a_quarter_is_given_up(listed):
    datagrams = stream(5)
    driver, raws = read_all(listed, datagrams[:100] + datagrams[125:])
    assert driver.given_up == {"broken_sweep": 1}
    assert [raw.sensor_ns for raw in raws] == pytest.approx([T0 + k * PERIOD_NS for k in (3, 4)], abs=500)


def test_duplicates_and_late_packets_are_left_out_and_counted(listed):
    datagrams = stream(4)
    late = [*datagrams[:85], *datagrams[86:88], datagrams[85], *datagrams[88:]]
    driver, _ = read_all(listed, [d for d in late for _ in range(2 if d in late[110:112] else 1)])
    assert driver.losses == {"lost_packets": 1, "out_of_order": 1, "duplicate": 2}


def test_a_motor_that_stands_still_holds_no_memory(listed):
    datagrams = stream(2)
    at_rest = [
        Datagram(T0 + 2 * PERIOD_NS + k * VLP16.packet_ns, packet([1234] * 12, time_us=us_of(T0 + 2 * PERIOD_NS, k)))
        for k in range(1, 1000)
    ]
    clock = ManualClock(T0)
    driver = Velodyne(VelodyneSettings(), listed(datagrams + at_rest, clock), clock)
    while driver.read(3600.0) is not None:
        pass
    assert driver.given_up == {"no_turn": 1}
    assert len(driver._sweeps._held) <= 300 * 10**6 // VLP16.packet_ns + 2


def us_of(base_ns: int, k: int) -> int:
    return (base_ns + k * VLP16.packet_ns) // 1000 % 3_600_000_000


def test_an_empty_sweep_is_told_and_not_given(listed):
    datagrams = [
        Datagram(t + VLP16.packet_ns, data)
        for k in range(4)
        for t, data in encode_sweep(cloud(k)[: 0 if k == 1 else None], T0 + (k + 1) * PERIOD_NS, VLP16).packets
    ]
    driver, raws = read_all(listed, datagrams)
    assert driver.given_up == {"empty_sweep": 1}
    assert len(raws) == 1


def test_time_goes_on_over_the_hour(listed):
    begin_ns = T0 // HOUR_NS * HOUR_NS + HOUR_NS - 250_000_000
    datagrams = []
    for k in range(6):
        encoded = encode_sweep(cloud(k), begin_ns + (k + 1) * PERIOD_NS, VLP16)
        datagrams += [Datagram(t + VLP16.packet_ns, data) for t, data in encoded.packets]
    driver, raws = read_all(listed, datagrams)
    assert np.diff([raw.sensor_ns for raw in raws]).tolist() == pytest.approx([PERIOD_NS] * 3, abs=1000)
    assert raws[0].sensor_ns == pytest.approx(begin_ns + 2 * PERIOD_NS, abs=500)
    assert driver.losses == {}


@given(st.integers(-1_799, 1_799), st.lists(st.integers(1, 1_700_000), min_size=1, max_size=20))
def test_the_hour_is_resolved_for_any_clock_that_was_never_set(minus_host_s, passed_ms):
    """Whatever the sensor's clock is off by, its times go on as they passed, also when it drifts past half an hour."""
    hours, host_ns = HourClock(), T0
    device_ns = T0 + minus_host_s * 10**9
    assert abs(hours.ns(device_ns // 1000 % 3_600_000_000, host_ns) - T0) <= HOUR_NS // 2
    before = None
    for ms in passed_ms:
        host_ns += ms * 10**6
        device_ns += ms * 10**6 + 100_000 * ms  # 10 % too fast
        found = hours.ns(device_ns // 1000 % 3_600_000_000, host_ns)
        if before is not None:
            assert found - before[0] == pytest.approx(device_ns - before[1], abs=1000)
        before = (found, device_ns)


def test_old_hdl32e_firmware_stamps_the_last_firing(listed):
    model = MODELS["HDL-32E"]
    datagrams = [
        Datagram(t + model.packet_ns, data)
        for k in range(3)
        for t, data in encode_sweep(cloud(k), T0 + (k + 1) * PERIOD_NS, model).packets
    ]
    (first,) = read_all(listed, datagrams, model="HDL-32E")[1]
    (last,) = read_all(listed, datagrams, model="HDL-32E", stamp_marks="last")[1]
    assert first.sensor_ns - last.sensor_ns == 542_592  # the manual's figure


# --- a bad network, and worse


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_network_costs_what_it_lost_and_is_accounted_for(listed, seed):
    done: Counter[str] = Counter()
    faults = Faults(drop=0.02, duplicate=0.02, reorder=0.02, seed=seed)
    datagrams = stream(6, seed)
    driver, raws = read_all(listed, disturbed(datagrams, faults, done))
    assert len(raws) == 4
    losses = driver.losses
    assert losses["duplicate"] + losses["out_of_order"] >= done["duplicate"]
    received = len(datagrams) - done["drop"] + done["duplicate"]
    used = received - losses["duplicate"] - losses["out_of_order"]
    assert used + losses["lost_packets"] <= len(datagrams) + 1  # the last ones cannot be known to be lost
    assert used + losses["lost_packets"] >= len(datagrams) - 3


_SWEEPS = stream(3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=64),
            st.binary(min_size=1206, max_size=1206),
            st.tuples(
                st.integers(0, len(_SWEEPS) - 1),
                st.lists(st.tuples(st.integers(0, 1205), st.integers(0, 255)), max_size=6),
            ),
        ),
        max_size=40,
    )
)
def test_whatever_comes_is_read_or_counted(listed, what):
    """Random bytes and mutated packets: never an exception, never more memory than 0.3 s of packets."""
    datagrams = []
    for k, item in enumerate(what):
        data = item if isinstance(item, bytes) else mutated(_SWEEPS[item[0]].data, item[1])
        datagrams.append(Datagram(T0 + k * VLP16.packet_ns, data))
    driver, raws = read_all(listed, datagrams)
    malformed = sum(n for reason, n in driver.losses.items() if reason.startswith("malformed"))
    assert malformed <= len(datagrams)
    assert len(driver._sweeps._held) <= len(datagrams)
    for raw in raws:
        assert np.isfinite(raw.payload.xyz).all()
        assert (np.abs(raw.payload.points["t_ns"]) <= 400_000_000).all()


def mutated(data: bytes, changes) -> bytes:
    out = bytearray(data)
    for at, value in changes:
        out[at] = value
    return bytes(out)


# --- a real VLP-16's sweeps


@pytest.mark.drives
def test_a_real_vlp16s_sweeps_survive_packets(drives_folder, listed):
    drive = open_drive(drives_folder / "astyx")
    topic = next(t for t in drive.topics if t.startswith("lidar/"))
    message = next(drive.messages([topic]))
    sent = finite_points(message.payload, "astyx")[0].points
    datagrams = []
    for k in range(3):
        encoded = encode_sweep(sent, T0 + (k + 1) * PERIOD_NS, VLP16)
        datagrams += [Datagram(t + VLP16.packet_ns, data) for t, data in encoded.packets]
    _, (raw,) = read_all(listed, datagrams)
    got = raw.payload.points
    assert len(got) > 0.9 * len(sent)  # this sensor turned at its own pace, and its points were rounded to 1 cm
    for sensor_ring in range(16):  # a beam at a time: the data set's number of a laser is its place in firing order
        mine = got[got["ring"] == VLP16.rings[sensor_ring]]
        theirs = sent[sent["ring"] == sensor_ring]
        _, off = nearest_points(theirs, mine)
        allowed = 0.02 + np.deg2rad(0.11) * np.hypot(mine["x"], mine["y"])  # its rounding, and half a firing
        assert np.mean(off < allowed) > 0.98
