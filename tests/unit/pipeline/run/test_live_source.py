"""Live sources: what a driver reads is stamped, numbered and published, and nothing is lost without being told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from nodes.sources.live.camera import CameraSettings
from nodes.sources.live.config import load_live, open_driver
from nodes.sources.live.packet_replayer import Datagram, Faults, disturbed
from nodes.sources.live.radar_udp import RadarUdpSettings, encode_scan
from pipeline.core.clock import ManualClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import (
    RADAR_POINT,
    CameraImage,
    ClockState,
    Message,
    NodeStatus,
    RadarScan,
    RunInfo,
    StreamStatus,
)
from pipeline.core.settings import convert, to_yaml
from pipeline.graph import Graph
from pipeline.run.config import RunConfig, run_info
from pipeline.run.live_source import LiveSource, live_config
from pipeline.sync.sequence import Arrival, Sequencer
from pipeline.transport.in_process import InProcessBus

CONFIGS = Path(__file__).resolve().parents[4] / "configs"
NO_GRAPH = Graph(name="record", nodes=())
T0 = 1_700_000_000_000_000_000
CYCLE_NS = 50_000_000
OFFSET_NS = 123_456_789_000  # the radar's clock is behind by so much


class Air:
    """Datagrams from the air: what was sent before the run first, then the rest, each at its time; then silence."""

    def __init__(self, datagrams, clock: ManualClock, stale=()) -> None:
        self.losses: Counter[str] = Counter()
        self.over = False
        self._datagrams, self._stale, self._clock = iter(datagrams), list(stale), clock

    def receive(self, timeout_s: float) -> bytes | None:
        if timeout_s == 0.0:
            return self._stale.pop(0) if self._stale else None
        entry = next(self._datagrams, None)
        if entry is None:
            self.over = True
            return None
        self._clock.sleep_until(entry.time_ns)
        return entry.data

    def close(self) -> None:
        self.closed = True


def cycles(count: int, first: int = 0) -> list[Datagram]:
    """A radar at 20 Hz whose datagrams take 2 to 5 ms."""
    rng = np.random.default_rng(0)
    out = []
    for k in range(first, first + count):
        scan = RadarScan(points=np.zeros(3, RADAR_POINT))
        sent_ns = T0 + k * CYCLE_NS
        late_ns = 2_000_000 + int(rng.exponential(1_000_000))
        out += [Datagram(sent_ns + late_ns, data) for data in encode_scan(scan, sent_ns - OFFSET_NS, k)]
    return out


def config() -> RunConfig:
    """The radar of the rehearsal rig, whose clock is free."""
    made = live_config(CONFIGS / "live/three_sensors.yaml", NO_GRAPH, 60.0, ManualClock(T0))
    drivers = {**made.drivers, "radar_front": RadarUdpSettings()}
    return msgspec.structs.replace(made, drivers=drivers)


def run_radar(datagrams, stale=(), restart: int = 0):
    """All messages of a live radar that is stopped once the air is silent."""
    bus, clock = InProcessBus(), ManualClock(T0)
    air = Air(datagrams, clock, stale)
    heard = bus.subscribe(["radar/*", "stream/*", "clock/*", "status/*"])
    topic = "radar/radar_front"
    messages = []

    def stopping() -> bool:
        while (message := heard.receive(0.0)) is not None:
            messages.append(message)
        return air.over

    source = LiveSource(config(), topic, bus, restart, stopping, lambda: True, clock, lambda _: air)
    bus.publish(run_info(config(), T0, 0))
    source.play()
    stopping()
    assert air.closed
    return messages


def of_kind(messages, kind):
    return [m for m in messages if isinstance(m.payload, kind)]


def test_what_a_driver_reads_is_published_with_corrected_time():
    messages = run_radar(cycles(200))
    scans = of_kind(messages, RadarScan)
    assert [m.stamp.sequence for m in scans] == list(range(200))
    for k, m in enumerate(scans):
        assert m.stamp.sensor_ns == T0 + k * CYCLE_NS - OFFSET_NS
        assert m.stamp.arrival_ns > T0 + k * CYCLE_NS
    # The smallest delay, 2 ms, cannot be seen in the stamps; the rest of it must be gone.
    late_ns = np.array([m.stamp.time_ns - (T0 + k * CYCLE_NS) for k, m in enumerate(scans)][100:])
    assert (np.abs(late_ns - 2_000_000) < 200_000).all()
    assert of_kind(messages, ClockState)[-1].payload.method == "envelope"


def test_the_end_is_told():
    messages = run_radar(cycles(5))
    assert of_kind(messages, StreamStatus)[-1].payload.ended
    assert of_kind(messages, StreamStatus)[-1].payload.sent == 5
    last = of_kind(messages, NodeStatus)[-1].payload
    assert (last.node, last.ended, last.published) == ("source_radar_front", True, 5)


@pytest.mark.parametrize("seed", range(3))
def test_every_number_is_accounted_for_on_a_bad_network(seed):
    faults = Faults(drop=0.05, duplicate=0.05, reorder=0.05, corrupt=0.05, seed=seed)
    done: Counter[str] = Counter()
    messages = run_radar(disturbed(cycles(200), faults, done))
    sequencer: Sequencer[Message] = Sequencer(depth=0)
    for message in messages:
        if isinstance(message.payload, StreamStatus):
            sequencer.status(message.stamp.epoch, message.payload)
        elif isinstance(message.payload, RadarScan):
            assert sequencer.push(message) is Arrival.NEW
    sequencer.close()
    scans = of_kind(messages, RadarScan)
    numbers = sequencer.numbers
    lost = of_kind(messages, StreamStatus)[-1].payload.losses["lost_cycle"]
    assert (numbers.lost, numbers.awaited) == (0, 0)
    assert numbers.source == {"lost_cycle": lost}
    assert numbers.known == len(scans) + lost
    assert 200 - 4 <= numbers.known <= 200  # the very last cycles, and those before the first, are never missed
    losses = of_kind(messages, NodeStatus)[-1].payload.losses
    assert sum(n for reason, n in losses.items() if reason.startswith("malformed")) >= done["corrupt"]
    assert losses["lost_cycle"] == lost


def test_what_was_sent_before_the_run_is_no_part_of_it():
    messages = run_radar(cycles(3, first=50), stale=[d.data for d in cycles(50)])
    scans = of_kind(messages, RadarScan)
    assert [m.stamp.sequence for m in scans] == [0, 1, 2]
    assert of_kind(messages, StreamStatus)[-1].payload.losses == {}


def test_it_ends_when_its_time_is_over():
    messages = run_radar(cycles(2000))  # 100 s, of which the run takes 60
    assert len(of_kind(messages, RadarScan)) == pytest.approx(1200, abs=2)
    assert of_kind(messages, StreamStatus)[-1].payload.ended


def test_a_source_that_was_started_again_has_new_epochs():
    first, again = run_radar(cycles(2)), run_radar(cycles(2), restart=1)
    assert min(m.stamp.epoch for m in of_kind(again, RadarScan)) > max(m.stamp.epoch for m in of_kind(first, RadarScan))


def test_a_video_file_is_a_camera_until_its_end(tmp_path):
    path = str(tmp_path / "video.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (1280, 720))
    for k in range(4):
        writer.write(np.full((720, 1280, 3), 50 * k, np.uint8))
    writer.release()
    bus, clock = InProcessBus(), ManualClock(T0)
    made = msgspec.structs.replace(config(), drivers={"camera_front": CameraSettings(source=path)})
    heard = bus.subscribe(["camera/*", "stream/*"])
    source = LiveSource(made, "camera/camera_front", bus, 0, lambda: False, lambda: True, clock)
    bus.publish(run_info(made, T0, 0))
    source.play()
    messages = []
    while (message := heard.receive(0.0)) is not None:
        messages.append(message)
    images = of_kind(messages, CameraImage)
    assert [m.stamp.sequence for m in images] == [0, 1, 2, 3]
    assert [m.stamp.sensor_ns for m in images] == pytest.approx([k * 1e9 / 30 for k in range(4)], abs=1000)
    assert of_kind(messages, StreamStatus)[-1].payload.ended
    times = [m.stamp.time_ns for m in images]
    assert times == pytest.approx([T0 + k * 1e9 / 30 for k in range(4)], abs=10_000_000)


def test_the_run_tells_that_its_time_is_the_hosts():
    info = run_info(config(), T0 + 7, 0).payload
    assert isinstance(info, RunInfo)
    assert (info.started_ns, info.start_ns, info.rate) == (T0 + 7, T0 + 7, 1.0)


# --- configuration


@pytest.mark.parametrize("path", sorted((CONFIGS / "live").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_live_configurations_can_be_run(path):
    made = live_config(path, NO_GRAPH, 1.0, ManualClock(T0))
    assert {t.rpartition("/")[2] for t in made.topics} == set(made.drivers)
    assert made.begins_ns(T0 + 5) == T0 + 5
    written = msgspec.yaml.decode(to_yaml(made).encode())
    assert convert(written, RunConfig, "run.yaml") == made


def live_yaml(tmp_path, text: str) -> Path:
    path = tmp_path / "live.yaml"
    path.write_text(f"rig: {CONFIGS / 'rigs/three_sensors.yaml'}\nsensors:\n{text}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("  radar_rear: {driver: radar_udp}", "radar_rear"),
        ("  radar_front: {driver: velodyne}", "VelodyneSettings"),
        ("  radar_front: {driver: radar_tcp}", "radar_tcp"),
        ("  radar_front: {driver: radar_udp, radar_id: 256}", "radar_id"),
        ("  radar_front: {driver: radar_udp, speed: 1}", "speed"),
        ("  camera_front: {driver: camera, jpeg_quality: 101}", "jpeg_quality"),
        ("  lidar_top: {driver: velodyne, cut_deg: 360}", "cut_deg"),
        ("  {}", "at least one"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, text, match):
    with pytest.raises(BadInput, match=match):
        load_live(live_yaml(tmp_path, text))


def test_a_driver_refuses_a_sensor_of_another_kind():
    _, rig = load_live(CONFIGS / "live/three_sensors.yaml")
    with pytest.raises(BadInput, match="radar_front"):
        open_driver(CameraSettings(), rig["radar_front"], ManualClock(), lambda _: pytest.fail("opened"))
