"""The packet replayer: a drive's sensors over UDP and back, captures, faults, and whom it may send to."""

from __future__ import annotations

import contextlib
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from nodes.sources.drive import Drive
from nodes.sources.live.driver import FeedSettings
from nodes.sources.live.packet_replayer import (
    Datagram,
    Faults,
    capture_datagrams,
    disturbed,
    drive_datagrams,
    main,
    replay,
    udp_sender,
)
from nodes.sources.live.pcap import CapturedDatagram, read_pcap, write_pcap
from nodes.sources.live.radar_udp import RadarUdp, RadarUdpSettings, parse_datagram
from nodes.sources.live.velodyne import Velodyne, VelodyneSettings
from pipeline.core.clock import ManualClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, RunInfo, Stamp
from pipeline.core.recording_writer import RecordingWriter
from pipeline.core.settings import to_yaml
from pipeline.transport.feed import UdpFeed
from tests.simulated import street_drive

BEAMS = tuple(np.linspace(-22.0, 8.0, 32))
T0 = 1_800_000_000_000_000_000


@pytest.fixture(scope="module")
def drive() -> Drive:
    return street_drive(0.5, ("camera_front", "lidar_top", "radar_front", "radar_front_left"))


def messages(drive, topic):
    return list(drive.messages([topic]))


def read_all(driver):
    raws = []
    while (raw := driver.read(3600.0)) is not None:
        raws.append(raw)
    return raws


def test_a_drives_radar_comes_back_as_it_was(drive, listed):
    topic = "radar/radar_front"
    clock = ManualClock(T0)
    datagrams = drive_datagrams(drive, topic, RadarUdpSettings(), T0 - drive.start_ns)
    raws = read_all(RadarUdp(RadarUdpSettings(), listed(datagrams, clock), clock))
    assert len(raws) == drive.counts[topic] > 5
    for raw, message in zip(raws, messages(drive, topic), strict=True):
        np.testing.assert_array_equal(raw.payload.points, message.payload.points)
        assert raw.sensor_ns - T0 == message.stamp.time_ns - drive.start_ns
        assert raw.payload.ambiguity_mps == pytest.approx(message.payload.ambiguity_mps)


def test_a_drives_lidar_comes_back_within_quantisation(drive, listed):
    topic = "lidar/lidar_top"
    clock = ManualClock(T0)
    settings = VelodyneSettings(model="HDL-32E", elevation_deg=BEAMS)
    datagrams = drive_datagrams(drive, topic, settings, T0 - drive.start_ns)
    driver = Velodyne(settings, listed(datagrams, clock), clock)
    raws = read_all(driver)
    sent = messages(drive, topic)
    assert len(raws) == len(sent) - 1  # before the first cut there is no sweep
    assert driver.losses == driver.given_up == {}
    for raw, before, message in zip(raws, sent, sent[1:], strict=False):
        assert raw.sensor_ns - T0 == pytest.approx(message.stamp.time_ns - drive.start_ns, abs=500)
        cloud, points = message.payload.points, raw.payload.points
        assert len(points) == len(cloud)
        sent_at, came_at = (np.c_[c["x"], c["y"], c["z"], 1000.0 * c["ring"]].astype("f8") for c in (cloud, points))
        away, nearest = cKDTree(came_at).query(sent_at)
        assert len(np.unique(nearest)) == len(cloud)
        points = points[nearest]
        away_deg = np.rad2deg((away - 0.0015) / np.hypot(cloud["x"], cloud["y"]))
        assert np.quantile(away_deg, 0.99) < 0.1  # half of the 1/6 degree between two firings, and rounding
        assert away_deg.max() < 0.18  # the last column lies on the cut
        shaken_ns = abs(message.stamp.time_ns - before.stamp.time_ns - 100_000_000)  # it turns not quite evenly
        np.testing.assert_allclose(points["t_ns"], cloud["t_ns"], atol=80_000 + shaken_ns)


def test_a_topic_that_the_drive_does_not_have_is_refused(drive):
    with pytest.raises(BadInput, match="lidar/none"):
        drive_datagrams(drive, "lidar/none", VelodyneSettings())


def test_over_a_real_socket(drive):
    with contextlib.closing(UdpFeed(FeedSettings(address="127.0.0.1:0"))) as feed:
        clock = ManualClock(T0)
        with udp_sender("{}:{}".format(*feed.address)) as send:
            datagrams = drive_datagrams(drive, "radar/radar_front", RadarUdpSettings())
            count = replay([(datagrams, send)], clock, T0, rate=0.0)
        driver = RadarUdp(RadarUdpSettings(), feed, clock)
        raws = [driver.read(10.0) for _ in range(count)]
        assert [raw.counter for raw in raws] == list(range(count))


def test_it_sends_all_streams_when_due():
    clock = ManualClock(T0)
    sent = []
    streams = [
        ([Datagram(T0 + k * 100 + own, b"x") for k in range(2)], lambda _, own=own: sent.append((clock.now_ns(), own)))
        for own in (0, 50)
    ]
    assert replay(streams, clock, T0, rate=2.0) == 4
    assert sent == [(T0, 0), (T0 + 25, 50), (T0 + 50, 0), (T0 + 75, 50)]


def test_it_sends_to_this_machine_only_unless_told():
    with pytest.raises(BadInput, match="allow-remote"), udp_sender("192.0.2.1:2368"):
        pass
    with udp_sender("192.0.2.1:2368", allow_remote=True) as send:
        assert callable(send)
    with pytest.raises(BadInput, match="HOST:PORT"), udp_sender("127.0.0.1"):
        pass


# --- faults


def test_faults_are_the_same_for_the_same_seed_and_counted():
    datagrams = [Datagram(k, bytes([k % 256]) * 8) for k in range(1000)]
    faults = Faults(drop=0.1, duplicate=0.1, reorder=0.1, corrupt=0.1, seed=5)
    done: Counter[str] = Counter()
    first = list(disturbed(datagrams, faults, done))
    assert first == list(disturbed(datagrams, faults, Counter()))
    assert first != list(disturbed(datagrams, Faults(drop=0.1, seed=6), Counter()))
    for fault in ("drop", "duplicate", "reorder", "corrupt"):
        assert 40 < done[fault] < 160
    assert len(first) == 1000 - done["drop"] + done["duplicate"]
    assert sum(data not in {d.data for d in datagrams} for _, data in first) >= done["corrupt"] / 2


@given(st.lists(st.binary(max_size=3), max_size=30), st.integers(0, 100))
def test_without_faults_nothing_changes_and_with_reorder_nothing_is_lost(data, seed):
    datagrams = [Datagram(k, d) for k, d in enumerate(data)]
    assert list(disturbed(datagrams, Faults(seed=seed), Counter())) == datagrams
    shuffled = list(disturbed(datagrams, Faults(reorder=0.5, seed=seed), Counter()))
    assert sorted(d for _, d in shuffled) == sorted(data)


def test_a_rehearsal_sends_what_the_live_configuration_hears(drive, tmp_path, capsys):
    """The whole vehicle from one recording: each sensor's datagrams go to where its driver listens."""
    recording = tmp_path / "run.mcap"
    info = RunInfo(drive="street", version="", rig_yaml=to_yaml(drive.rig), graph_yaml="")
    stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=drive.start_ns, sequence=0)
    with contextlib.closing(RecordingWriter(recording, Message("run/info", stamp, info))) as writer:
        for message in drive.messages(["radar/radar_front", "radar/radar_front_left"]):
            writer.write(message)
    feeds = [UdpFeed(FeedSettings(address="127.0.0.1:0")) for _ in range(2)]
    live = tmp_path / "live.yaml"
    (tmp_path / "rig.yaml").write_text(to_yaml(drive.rig), encoding="utf-8")
    sensors = "".join(
        f"  {name}: {{driver: radar_udp, radar_id: {k}, receive: {{address: '0.0.0.0:{feed.address[1]}'}}}}\n"
        for k, (name, feed) in enumerate(zip(("radar_front", "radar_front_left"), feeds, strict=True))
    )
    live.write_text(f"rig: rig.yaml\nsensors:\n{sensors}  camera_front: {{driver: camera}}\n", encoding="utf-8")
    assert main([str(recording), "--live", str(live), "--rate", "0"]) == 0
    assert "sent 20 datagrams" in capsys.readouterr().out
    for k, feed in enumerate(feeds):
        with contextlib.closing(feed):
            assert [parse_datagram(feed.receive(10.0)).radar_id for _ in range(10)] == [k] * 10


# --- captures


def captured(count: int = 5) -> list[CapturedDatagram]:
    return [CapturedDatagram(T0 + 1_234_567 * k, 2368 + k % 2, bytes([k]) * (k * 10)) for k in range(count)]


def test_a_capture_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "a.pcap"
    write_pcap(path, captured())
    assert list(read_pcap(path)) == captured()
    skipped: Counter[str] = Counter()
    assert list(read_pcap(path, 2369, skipped)) == captured()[1::2]
    assert skipped == {"other_port": 3}
    assert [d.time_ns for d in capture_datagrams(path, 50)] == [50 + 1_234_567 * k for k in range(5)]


def test_microseconds_big_endian_and_vlan_tags_are_read(tmp_path):
    path = tmp_path / "a.pcap"
    write_pcap(path, [CapturedDatagram(T0, 2368, b"hello")])
    frame = path.read_bytes()[40:]
    tagged = frame[:12] + b"\x81\x00\x00\x07" + frame[12:]
    head = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(head + struct.pack(">IIII", 7, 8, len(tagged), len(tagged)) + tagged)
    assert list(read_pcap(path)) == [CapturedDatagram(7_000_008_000, 2368, b"hello")]


def test_what_is_no_capture_is_said(tmp_path):
    path = tmp_path / "a.pcap"
    write_pcap(path, captured())
    data = path.read_bytes()
    for content, match in [
        (b"", "classic pcap"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "editcap"),
        (data[:20] + struct.pack("<I", 113) + data[24:], "Ethernet"),
        (data[:-3], "truncated"),
        (data + b"\0" * 7, "truncated"),
        (data + struct.pack("<IIII", 0, 0, 1 << 31, 0), "record size"),
    ]:
        path.write_bytes(content)
        with pytest.raises(BadInput, match=match):
            list(read_pcap(path))
    with pytest.raises(BadInput, match="file"):
        list(read_pcap(tmp_path / "none.pcap"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8), st.integers(0, 500))
def test_a_damaged_capture_is_read_or_refused(tmp_path_factory, changes, size):
    path = tmp_path_factory.mktemp("pcap") / "a.pcap"
    write_pcap(path, captured())
    data = bytearray(path.read_bytes()[:size])
    for at, value in changes:
        if at < len(data):
            data[at] = value
    path.write_bytes(data)
    with contextlib.suppress(BadInput):
        assert len(list(read_pcap(path))) <= 500


# --- the command


def test_the_command_replays_a_capture(tmp_path, capsys):
    path = tmp_path / "a.pcap"
    write_pcap(path, captured())
    with contextlib.closing(UdpFeed(FeedSettings(address="127.0.0.1:0"))) as feed:
        to = "{}:{}".format(*feed.address)
        assert main([str(path), "--to", to, "--rate", "0", "--duplicate", "1"]) == 0
        assert [feed.receive(10.0) for _ in range(4)] == [b"", b"", bytes([1]) * 10, bytes([1]) * 10]
    assert "sent 10 datagrams, 5 duplicate" in capsys.readouterr().out
    assert main([str(path), "--to", "192.0.2.1:1"]) == 2
    assert main([str(tmp_path), "--live", "none.yaml"]) == 2
    assert main([str(tmp_path / "none.pcap")]) == 2
    assert main([str(path), "--to", "127.0.0.1:1", "--drop", "2"]) == 2
    assert "error:" in capsys.readouterr().err
