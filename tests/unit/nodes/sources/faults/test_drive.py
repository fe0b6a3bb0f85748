from __future__ import annotations

import numpy as np
import pytest

from calibration.rig import Clock
from nodes.sources.faults.drive import FaultyDrive
from pipeline.core.messages import CameraImage, EgoPose, GnssFix, Message, PointCloud
from pipeline.core.truth import TruthSensor
from tests.small_drive import START_NS, small_drive

MS = 1_000_000


def read(*faults: str, topic: str = "camera/front", seconds: float = 3.0, seed: int = 0) -> list[Message]:
    return list(FaultyDrive(small_drive(seconds), faults, seed).messages([topic]))


def frame(message: Message) -> int:
    """Which frame of the small drive the payload is."""
    payload = message.payload
    if isinstance(payload, CameraImage):
        return int(payload.data[0])
    if isinstance(payload, PointCloud):
        return -int(payload.points["t_ns"][0])
    assert isinstance(payload, GnssFix)
    return int(payload.height)


def sequences(messages: list[Message]) -> list[int]:
    return [message.stamp.sequence for message in messages]


def since_ms(message: Message) -> float:
    return (message.stamp.arrival_ns - message.stamp.time_ns) / MS


def test_without_faults_it_is_the_drive() -> None:
    clean, same = small_drive(), FaultyDrive(small_drive(), ())
    assert same.topics == clean.topics
    assert same.counts == clean.counts
    assert [m.stamp for m in same.messages()] == [m.stamp for m in clean.messages()]


def test_a_fault_leaves_other_sensors_alone() -> None:
    faulty = FaultyDrive(small_drive(), ["front.dirt:3"])
    before = next(iter(small_drive().messages(["lidar/top"])))
    after = next(iter(faulty.messages(["lidar/top"])))
    assert np.array_equal(before.payload.points, after.payload.points)  # type: ignore[attr-defined]


def test_dead_is_silent_for_its_time_and_leaves_a_gap() -> None:
    messages = read("front.dead@1-2")
    assert sequences(messages) == [*range(10), *range(20, 30)]
    assert read("front.dead") == []


def test_gnss_is_lost_in_the_middle_of_every_ten_seconds() -> None:
    assert sequences(read("gnss_loss:1", topic="gnss/roof", seconds=10.0)) == [*range(35), *range(65, 100)]
    faulty = FaultyDrive(small_drive(10.0), ["gnss_loss:1"])
    told = [(m.stamp.time_ns - START_NS, m.payload) for m in faulty.messages(["truth/sensor/roof"])]
    lost = [t for t, p in told if isinstance(p, TruthSensor) and p.faults]
    assert min(lost) == pytest.approx(3.5e9, abs=10)
    assert max(lost) == 6e9, "the truth tells it while it is lost"


def test_frozen_gives_the_last_payload_under_fresh_stamps() -> None:
    messages = read("front.frozen@1-2")
    assert sequences(messages) == list(range(30))
    assert [frame(m) for m in messages] == [*range(10), *[9] * 10, *range(20, 30)]
    assert len({m.stamp.time_ns for m in messages}) == 30


def test_stale_repeats_what_was_delivered_before() -> None:
    messages = read("top.stale=0.4", topic="lidar/top", seconds=20.0)
    behind = [m.stamp.sequence - frame(m) for m in messages]
    assert min(behind) == 0
    assert 0.3 < np.mean([b > 0 for b in behind]) < 0.5
    for this, before in zip(messages[1:], messages, strict=False):
        assert frame(this) in (this.stamp.sequence, frame(before))


def test_delay_moves_arrival_only() -> None:
    for message, clean in zip(read("front.delay=80"), small_drive().messages(["camera/front"]), strict=True):
        assert message.stamp.arrival_ns - clean.stamp.arrival_ns == 80 * MS
        assert message.stamp.time_ns == clean.stamp.time_ns


def test_duplicates_bear_the_same_stamp_and_come_soon_after() -> None:
    messages = read("front.duplicate=0.5", seconds=10.0)
    assert set(sequences(messages)) == set(range(100))
    assert 130 < len(messages) < 170
    assert max(since_ms(m) for m in messages) < 18 + 50


def test_reordered_messages_are_all_there() -> None:
    messages = read("front.reorder=0.4", seconds=10.0)
    assert sorted(sequences(messages)) == list(range(100))
    assert sequences(messages) != sorted(sequences(messages))
    assert max(abs(place - number) for place, number in enumerate(sequences(messages))) == 1


def test_too_little_bandwidth_delays_and_then_drops() -> None:
    messages = read("front.bandwidth=0.5", seconds=20.0)
    assert len(messages) == pytest.approx(100, abs=10)
    gaps = np.diff([m.stamp.arrival_ns for m in messages][10:]) / MS
    assert np.median(gaps) == pytest.approx(200, abs=5)
    assert max(since_ms(m) for m in messages) <= 18 + 500
    assert len(read("front.bandwidth=1.5")) == 30


def test_a_small_step_of_a_clock_on_vehicle_time_is_believed() -> None:
    """Silent: nothing but residuals can show it."""
    messages = read("front.clock_step=50@1-")
    for message in messages:
        wrong = message.stamp.sequence >= 10
        assert message.stamp.time_ns == START_NS + message.stamp.sequence * 100 * MS + 50 * MS * wrong
        assert message.stamp.sensor_ns == message.stamp.time_ns


def test_a_large_step_is_refused_and_begins_a_new_epoch() -> None:
    messages = read("front.clock_step=300@1-")
    assert [m.stamp.epoch for m in messages] == [0] * 10 + [1] * 18, "three are needed to believe it"
    assert sequences(messages) == [*range(10), *range(18)]
    true_ns = START_NS + 12 * 100 * MS
    assert messages[10].stamp.sensor_ns == true_ns + 300 * MS
    assert abs(messages[10].stamp.time_ns - true_ns) < 25 * MS, "from then on its arrival is what is known"


def test_a_free_clock_drifts_without_harm() -> None:
    clock = Clock(discipline="free", has_arrival=True)
    faulty = FaultyDrive(small_drive(10.0, clock=clock), ["front.clock_drift=200"])
    messages = list(faulty.messages(["camera/front"]))
    assert len(messages) == 100
    last = messages[-1].stamp
    assert last.sensor_ns - (START_NS + 9_900 * MS) == pytest.approx(9.9 * 200e-6 * 1e9, rel=0.01)
    assert abs(last.time_ns - (START_NS + 9_900 * MS)) < 1 * MS


def test_a_step_of_a_clock_is_nothing_to_a_camera_that_a_pulse_fires() -> None:
    clock = Clock(discipline="trigger", trigger_period_ns=100 * MS)
    faulty = FaultyDrive(small_drive(3.0, clock=clock), ["front.clock_step=50@1-"])
    stamps = [m.stamp for m in faulty.messages(["camera/front"])]
    assert [s.time_ns for s in stamps] == [START_NS + k * 100 * MS for k in range(30)]
    assert stamps[-1].sensor_ns - stamps[-1].time_ns == 50 * MS


def test_a_step_of_a_locked_clock_is_believed_like_one_of_vehicle_time() -> None:
    faulty = FaultyDrive(small_drive(3.0, clock=Clock(discipline="ptp")), ["front.clock_step=15@1-"])
    late = [m.stamp for m in faulty.messages(["camera/front"])][15:]
    assert all(abs(s.time_ns - (START_NS + s.sequence * 100 * MS) - 15 * MS) < MS for s in late)


def test_the_rig_that_is_told_is_wrong_and_the_truth_is_right() -> None:
    clean = small_drive().rig["top"].ego_SE3_sensor
    for text, shift in (("top.miscalibrated:2", 2.0), ("top.misaligned=2", 0.0)):
        faulty = FaultyDrive(small_drive(), [text])
        told = faulty.rig["top"].ego_SE3_sensor
        assert np.linalg.norm(told.translation - clean.translation) == pytest.approx(shift)
        angle = np.degrees(np.linalg.norm((told.inverse() @ clean).rotation_vector))
        assert angle == pytest.approx(2.0 * np.sqrt(3), rel=0.02)
        assert faulty.rig["front"] == small_drive().rig["front"]
        truth = next(iter(faulty.messages(["truth/sensor/top"]))).payload
        assert isinstance(truth, TruthSensor)
        assert truth.translation == small_drive().rig["top"].extrinsic.translation


def test_the_truth_tells_each_change() -> None:
    faulty = FaultyDrive(small_drive(3.0), ["front.dark:2@0.5-1.25", "fog=80", "top.clock_step=20@1-"])
    told = {
        (m.source, (m.stamp.time_ns - START_NS) / 1e9): m.payload
        for m in faulty.messages([t for t in faulty.topics if t.startswith("truth/sensor/")])
    }
    front = {t: p.faults for (name, t), p in told.items() if name == "front" and isinstance(p, TruthSensor)}
    assert front == {
        0.0: ("fog=80",),
        0.5: ("dark:2", "fog=80"),
        1.0: ("dark:2", "fog=80"),
        1.25: ("fog=80",),
        2.0: ("fog=80",),
    }
    top = told["top", 1.0]
    assert isinstance(top, TruthSensor)
    assert (top.clock_offset_ns, top.faults) == (20 * MS, ("fog=80", "clock_step=20"))
    assert told["roof", 0.0].faults == ()  # type: ignore[attr-defined]


def test_the_truth_of_a_drive_that_is_faulty_already_is_kept() -> None:
    twice = FaultyDrive(FaultyDrive(small_drive(), ["front.dirt:1"]), ["front.blur:2"])
    assert twice.topics.count("truth/sensor/front") == 1
    for message in twice.messages(["truth/sensor/front"]):
        assert message.payload.faults == ("dirt:1", "blur:2")  # type: ignore[attr-defined]


def test_poses_can_be_lost() -> None:
    messages = read("ego.dead@0-1", topic="pose/ego")
    assert sequences(messages) == list(range(10, 30))
    assert isinstance(messages[0].payload, EgoPose)


def test_a_topic_that_is_not_there() -> None:
    faulty = FaultyDrive(small_drive(), ["fog"])
    with pytest.raises(KeyError):
        list(faulty.messages(["camera/rear"]))
    with pytest.raises(KeyError):
        faulty.arrivals("camera/rear")
