"""The align node: frame sets with their pose, detections at the instant, residuals in numbers, and the ledger."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic, GnssSensor, LidarSensor, RadarSensor, Rig
from nodes.align import Align, AlignSettings
from pipeline.core.messages import (
    C,
    Detections,
    EgoPose,
    FrameSet,
    GnssFix,
    LedgerState,
    Message,
    NodeStatus,
    SensorSlot,
    Stamp,
    StreamStatus,
)
from pipeline.core.node import Life
from pipeline.core.topics import topic_row
from pipeline.core.wire import digest
from pipeline.sync.ego import EgoSettings

MS = 1_000_000
START = 1_700_000_000_000_000_000
MOUNT = Extrinsic(translation=(1.0, 0.0, 1.5), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
RIG = Rig(
    vehicle="test",
    sensors=(
        CameraSensor(
            name="front", extrinsic=MOUNT, width=640, height=480, intrinsics=Pinhole(fx=500, fy=500, cx=320, cy=240)
        ),
        LidarSensor(name="top", extrinsic=MOUNT),
        RadarSensor(name="radar", extrinsic=MOUNT, rate_hz=13.0),
        GnssSensor(name="gnss", extrinsic=MOUNT),
    ),
)
SPEED = 10.0


def detections(sensor: str, modality: str, x: float, count: int = 2) -> Detections:
    """Objects ``x`` metres ahead."""

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros((count, *shape), np.float32)

    return Detections(
        sensor=sensor,
        modality=modality,  # type: ignore[arg-type]
        origin=(1.0, 0.0, 1.5),
        position=np.tile(np.float32([x, 0, 1]), (count, 1)),
        position_cov=np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)),
        size=zeros(3),
        size_sigma=zeros(3),
        yaw=zeros(),
        yaw_sigma=zeros(),
        velocity=zeros(2),
        velocity_cov=zeros(2, 2),
        radial_speed=zeros(),
        radial_sigma=zeros(),
        class_score=zeros(C),
        score=zeros(),
        box2d=zeros(4),
        time_offset_ns=np.zeros(count, np.int32),
        points=np.zeros(count, np.int32),
        embedding=np.zeros((count, 0), np.float32),
    )


def stamp(ms: float, delay: float, sequence: int, sigma_ns: int = 0, epoch: int = 0) -> Stamp:
    time = START + round(ms * MS)
    return Stamp(
        sensor_ns=time - 77,
        arrival_ns=time + round(delay * MS),
        time_ns=time,
        sigma_ns=sigma_ns,
        sequence=sequence,
        epoch=epoch,
    )


def seen(sensor: str, modality: str, ms: float, delay: float, sequence: int, sigma_ns: int = 0) -> Message:
    """A static object 50 m ahead of the start, seen while the vehicle drives towards it at 10 m/s."""
    x = 50.0 - SPEED * ms * 1e-3
    return Message(f"detections/{sensor}", stamp(ms, delay, sequence, sigma_ns), detections(sensor, modality, x))


def pose(ms: float, sequence: int) -> Message:
    where = EgoPose(position=(SPEED * ms * 1e-3, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
    return Message("pose/ego", stamp(ms, 1, sequence), where)


def drive(sets: int = 30, poses: bool = True) -> list[Message]:
    """Messages in order of arrival: LiDAR at 10 Hz, camera half a period before it, radar at 13 Hz, poses at 100 Hz."""
    out = [seen("top", "lidar", 100 * n, 30, n) for n in range(sets)]
    out += [seen("front", "camera", 100 * n - 50, 25, n, sigma_ns=2 * MS) for n in range(sets)]
    out += [seen("radar", "radar", 77 * n, 10, n) for n in range(sets * 100 // 77)]
    if poses:
        out += [pose(10 * n - 100, n) for n in range(sets * 10 + 20)]
    return sorted(out, key=lambda m: m.stamp.arrival_ns)


def run(node: Align, messages: Iterable[Message], now_ns: int = 0) -> list[Message]:
    out = [o for m in messages for o in node.step(m, now_ns)]
    return out + list(node.finish())


def frames(messages: Iterable[Message]) -> list[FrameSet]:
    return [m.payload for m in messages if isinstance(m.payload, FrameSet)]


def slot(of: FrameSet, sensor: str) -> SensorSlot:
    return next(s for s in of.slots if s.sensor == sensor)


def digests(messages: Sequence[Message]) -> list[str]:
    return [digest(m) for m in messages if m.topic == "frames"]


def test_static_objects_stand_still_whichever_sensor_saw_them_and_when() -> None:
    sets = frames(run(Align(AlignSettings(), RIG), drive()))
    assert len(sets) == 30
    for index, of in enumerate(sets[2:-1], start=2):
        assert of.index == index
        assert of.pose == "interpolated"
        assert of.position == pytest.approx((SPEED * 0.1 * index, 0.0, 0.0))
        for part in of.slots:
            if part.detections is not None:
                in_odom = of.odom_SE3_ego @ part.detections.position.astype(float)
                np.testing.assert_allclose(in_odom[:, 0], 50.0, atol=1e-4)


def test_an_aligner_that_was_started_again_numbers_on_and_books_only_what_is_its_own() -> None:
    came_before = 12  # sets, of which the first aligner was making the eighth
    late = [m for m in drive() if m.stamp.time_ns >= START + came_before * 100 * MS]
    node = Align(AlignSettings(), RIG, life=Life(restart=1, epoch=3, number=8))
    stamps = [m.stamp for m in run(node, late) if m.topic == "frames"]
    assert [stamp.epoch for stamp in stamps] == [3] * len(stamps)
    assert stamps[0].sequence > 8 + topic_row("frames").depth
    assert [stamp.sequence - stamps[0].sequence for stamp in stamps] == list(range(len(stamps)))
    row = node.ledger.row("top")
    assert row.dropped == {"aligner_died": came_before}
    assert row.received == row.fused + came_before == 30
    first = Align(AlignSettings(), RIG)
    run(first, late)
    assert first.ledger.row("top").dropped == {"lost_in_transit": came_before}


def test_where_the_recorder_lost_a_message_the_set_is_given_out_as_it_was_recorded() -> None:
    messages = drive()
    live = run(Align(AlignSettings(), RIG), messages)
    lost = {("detections/front", 7), ("detections/top", 9), ("pose/ego", frames(live)[12].pose_sequence)}
    kept = [m for m in messages if (m.topic, m.stamp.sequence) not in lost]
    again = run(Align(AlignSettings(), RIG, follow=frames(live)), kept)
    assert digests(again) == digests(live)


def test_slots_tell_time_and_what_is_left_of_its_error() -> None:
    of = frames(run(Align(AlignSettings(ego=EgoSettings(acceleration_sigma=0.0)), RIG), drive()))[10]
    camera, lidar = slot(of, "front"), slot(of, "top")
    assert [s.sensor for s in of.slots] == ["front", "top", "radar"], "cameras, LiDARs, radars as the rig lists them"
    assert (camera.offset_ns, camera.modality, camera.sequence, camera.epoch) == (-50 * MS, "camera", 10, 0)
    assert camera.time_ns == START + 950 * MS
    assert camera.residual_ns == 2 * MS
    assert camera.residual_m == pytest.approx(SPEED * 2e-3, rel=1e-6)
    assert (lidar.offset_ns, lidar.residual_ns, lidar.residual_m) == (0, 0, 0.0)
    assert camera.detections is not None
    assert set(camera.detections.time_offset_ns) == {-50 * MS}


def test_a_frame_sets_stamp_is_made_of_stamps() -> None:
    (message,) = [
        m for m in run(Align(AlignSettings(), RIG), drive(8)) if m.topic == "frames" and m.stamp.sequence == 5
    ]
    assert message.stamp.time_ns == message.stamp.sensor_ns == START + 500 * MS
    used = [s for s in frames([message])[0].slots if s.sequence >= 0]
    arrivals = {"front": 25, "top": 30, "radar": 10}
    assert message.stamp.arrival_ns == max(s.time_ns + arrivals[s.sensor] * MS for s in used)


def test_order_of_processing_does_not_change_a_byte() -> None:
    rng = np.random.default_rng(2)
    settings = AlignSettings(lane=AlignSettings().lane.__class__(reorder_depth=64), ego=EgoSettings(reorder_depth=64))
    messages = drive()
    shuffled = list(messages)
    for start in range(0, len(shuffled), 40):
        part = shuffled[start : start + 40]
        shuffled[start : start + 40] = [part[i] for i in rng.permutation(len(part))]
    assert digests(run(Align(settings, RIG), shuffled)) == digests(run(Align(settings, RIG), messages))


def test_a_live_run_that_could_not_wait_is_repeated_to_the_byte() -> None:
    """The camera's detector hangs, the poses stutter; its recording, followed, gives the same bytes with no clock."""
    node, live = Align(AlignSettings(), RIG), []
    hung = [m for m in drive() if m.source != "front" or m.stamp.sequence < 12]
    late = [m for m in drive() if m.source == "front" and m.stamp.sequence >= 12]
    for message in hung:
        now_ns = message.stamp.arrival_ns + 5 * MS
        live += node.step(message, now_ns)
        live += node.tick(now_ns + 150 * MS if 12 <= message.stamp.sequence < 14 else now_ns)
    live += [o for m in late for o in node.step(m, START + 3200 * MS)]
    live += node.finish()
    recorded = frames(live)
    reasons = {slot(of, "front").missing for of in recorded}
    assert "late_processing" in reasons

    again = run(Align(AlignSettings(), RIG, follow=recorded), drive())
    assert digests(again) == digests(live)
    assert digests(run(Align(AlignSettings(), RIG), drive())) != digests(live), "or following proved nothing"


def test_own_backlog_is_not_taken_for_silence() -> None:
    """After a pause of this process everything is overdue by the clock, yet in the queue in front of it."""
    node = Align(AlignSettings(), RIG)
    out = []
    for message in drive():
        out += node.step(message, message.stamp.arrival_ns + 60_000 * MS)
    out += node.finish()
    assert not {s.missing for of in frames(out)[2:-1] for s in of.slots} & {"late_processing", "silent", "late"}


def test_without_poses_in_settings_the_ego_stands_still() -> None:
    sets = frames(run(Align(AlignSettings(ego=EgoSettings(source="identity")), RIG), drive(poses=False)))
    assert {of.pose for of in sets} == {"identity"}
    assert {of.position for of in sets} == {(0.0, 0.0, 0.0)}
    assert {slot(of, "top").residual_m for of in sets} == {0.0}


def test_without_a_pose_near_enough_detections_are_not_used_and_the_ledger_says_so() -> None:
    messages = [m for m in drive() if m.topic != "pose/ego" or m.stamp.time_ns < START + 1000 * MS]
    node = Align(AlignSettings(), RIG)
    sets = frames(run(node, messages))
    blind = [of for of in sets if of.pose == "none"]
    assert 10 <= len(blind) <= 18
    assert all(s.detections is None and s.missing for of in blind for s in of.slots)
    row = node.ledger.row("top")
    assert row.dropped == {"no_pose": len(blind)}
    assert row.fused + len(blind) == row.received


def test_the_ledger_is_published_and_balances() -> None:
    node = Align(AlignSettings(ledger_every=5), RIG)
    out = run(node, drive())
    states = [m.payload for m in out if isinstance(m.payload, LedgerState)]
    assert len(states) == 7
    assert [row.sensor for row in states[0].rows] == ["front", "top", "radar"]
    for state in states:
        for row in state.rows:
            assert row.received == row.fused + sum(row.dropped.values()) + row.in_flight
    assert all(row.in_flight == 0 for row in states[-1].rows)
    assert states[-1].rows[1].fused == 30


def test_counts_and_heartbeats_are_heard() -> None:
    node = Align(AlignSettings(), RIG)
    told = StreamStatus(sent=3, watermark_ns=START, losses={"stuck_stamp": 1})
    node.step(Message("stream/top", stamp(0, 0, 0), told), 0)
    node.step(Message("stream/ego", stamp(0, 0, 0), told), 0)
    node.step(Message("stream/gnss", stamp(0, 0, 0), told), 0)
    beat = NodeStatus(node="detect_top", received=3, published=0, failed=2)
    node.step(Message("status/detect_top", stamp(0, 0, 0), beat), 0)
    list(node.finish())
    assert node.ledger.row("top").dropped == {"stuck_stamp": 1, "detector_failed": 2, "lost_in_transit": 1}


def test_poses_that_were_not_taken_are_counted() -> None:
    node = Align(AlignSettings(), RIG)
    run(node, [*drive(5), pose(0, 10)])
    assert node.refused_poses["duplicate"] == 1


def test_what_does_not_belong_here_is_refused() -> None:
    node = Align(AlignSettings(), RIG)
    with pytest.raises(TypeError, match="GnssFix"):
        node.step(Message("gnss/gnss", stamp(0, 0, 0), GnssFix(latitude=0, longitude=0, height=0)), 0)
    with pytest.raises(KeyError, match="rear"):
        node.step(seen("rear", "camera", 0, 0, 0), 0)
    with pytest.raises(ValueError, match="camera, LiDAR or radar"):
        Align(AlignSettings(), Rig(vehicle="blind", sensors=()))
    with pytest.raises(ValueError, match="period_ns"):
        AlignSettings(period_ns=0)
    empty = FrameSet(index=0, position=(0, 0, 0), rotation_wxyz=(1, 0, 0, 0), slots=())
    with pytest.raises(ValueError, match="one instant"):
        Align(AlignSettings(), RIG, follow=[empty])


def test_a_rig_without_lidar_is_aligned_at_a_fixed_rate() -> None:
    rig = Rig(vehicle="cameras", sensors=(RIG.sensors[0], RIG.sensors[2]))
    sets = run(Align(AlignSettings(), rig), [m for m in drive() if m.source != "top"])
    assert {m.stamp.time_ns % (100 * MS) for m in sets if m.topic == "frames"} == {0}
    assert math.isclose(slot(frames(sets)[10], "front").residual_m, SPEED * 2e-3, rel_tol=0.05)
