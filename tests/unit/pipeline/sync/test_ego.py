"""The ego pose at an instant: known, carried on, or not known, and said so."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from pipeline.core.messages import EgoPose, Message, Stamp, StreamStatus
from pipeline.sync.ego import Ego, EgoSettings

MS = 1_000_000
START = 1_700_000_000_000_000_000
SPEED = 10.0
TURN = 0.2  # rad/s


def pose(ms: float, sequence: int, epoch: int = 0, delay: float = 2.0) -> Message:
    """Straight along x at 10 m/s, turning about z meanwhile."""
    time = START + round(ms * MS)
    half = 0.5 * TURN * ms * 1e-3
    stamp = Stamp(sensor_ns=time, arrival_ns=time + round(delay * MS), time_ns=time, sequence=sequence, epoch=epoch)
    where = EgoPose(position=(SPEED * ms * 1e-3, 0.0, 0.0), rotation_wxyz=(math.cos(half), 0.0, 0.0, math.sin(half)))
    return Message("pose/ego", stamp, where)


def at(ego: Ego, ms: float, *times: float, timeline: int = 0, now: float | None = None):  # type: ignore[no-untyped-def]
    now_ns = None if now is None else START + round(now * MS)
    return ego.at(START + round(ms * MS), [START + round(t * MS) for t in times], timeline, now_ns)


def driven(until: float = 1000, every: float = 10, settings: EgoSettings | None = None) -> Ego:
    ego = Ego(settings or EgoSettings())
    for n in range(int(until / every)):
        ego.push(pose(n * every, n))
    return ego


def test_pose_and_motion_are_interpolated() -> None:
    found = at(driven(), 505, 480, 515)
    assert found.source == "interpolated"
    assert found.odom_SE3_ego.translation[0] == pytest.approx(5.05)
    assert found.odom_SE3_ego.yaw == pytest.approx(TURN * 0.505)
    static = np.array([20.0, 0.0, 0.0])  # in odom
    for index, ms in enumerate((480, 515)):
        seen = np.array(
            [
                math.cos(TURN * ms * 1e-3) * (20 - SPEED * ms * 1e-3),
                -math.sin(TURN * ms * 1e-3) * (20 - SPEED * ms * 1e-3),
                0.0,
            ]
        )
        moved = found.odom_SE3_ego @ (found.ego_SE3_then[index] @ seen)
        np.testing.assert_allclose(moved, static, atol=1e-3)


def test_speed_counts_turning_at_range() -> None:
    assert at(driven(), 500).speed == pytest.approx(SPEED + TURN * 30.0, rel=1e-3)


def test_sigma_is_the_remainder_of_the_interpolation_and_grows_beyond_the_last_pose() -> None:
    ego = driven(every=100, settings=EgoSettings(acceleration_sigma=2.0))
    ego.stream_status(0, StreamStatus(sent=10, watermark_ns=START + 2000 * MS))
    middle, end = at(ego, 500, 450).sigma_m[0], at(ego, 900, 1000)
    assert middle == pytest.approx(0.5 * 2.0 * 0.05 * 0.05)
    assert end.source == "extrapolated"
    assert end.sigma_m[0] == pytest.approx(0.5 * 2.0 * 0.1 * 0.2)
    assert at(driven(), 500, 500).sigma_m[0] == 0.0, "a message of the instant itself is not moved"


def test_it_waits_for_a_pose_from_after_the_instant_but_not_for_ever() -> None:
    ego = driven(until=500)
    assert at(ego, 495) is None
    ego.push(pose(500, 50))
    assert at(ego, 495).source == "interpolated"
    assert at(ego, 505) is None
    ego.push(pose(900, 51))
    found = at(ego, 505)
    assert found.source == "extrapolated", "the next pose arrived after the deadline"
    assert found.last == (0, 50)


def test_without_poses_near_the_instant_there_is_no_answer_to_trust() -> None:
    ego = driven(until=100)
    ego.close()
    found = at(ego, 2000, 1990)
    assert found.source == "none"
    assert np.isinf(found.sigma_m).all()


def test_the_wall_clock_ends_the_wait() -> None:
    ego = driven(until=500)
    assert at(ego, 505, now=520) is None
    assert at(ego, 505, now=1500).source == "extrapolated"


def test_silent_poses_are_not_waited_for() -> None:
    ego = driven(until=200)
    assert at(ego, 185).source == "interpolated"
    assert at(ego, 600) is None
    ego.stream_status(0, StreamStatus(sent=20, watermark_ns=START + 1001 * MS))
    assert at(ego, 1000).source == "none"


def test_after_a_pause_of_everything_poses_are_waited_for_again() -> None:
    ego = driven(until=200)
    assert at(ego, 185).source == "interpolated"
    assert at(ego, 2000) is None
    ego.push(pose(1990, 20))
    ego.push(pose(2000, 21, delay=5.0))
    found = at(ego, 2000)
    assert found.source == "interpolated"
    assert found.odom_SE3_ego.translation[0] == pytest.approx(20.0)


def test_dead_reckoned_poses_slip_as_they_say() -> None:
    ego, sure = driven(until=100), driven(until=100)
    for n in range(10, 60):
        message = pose(n * 10, n)
        sure.push(message)
        said = msgspec.structs.replace(message.payload, velocity_sigma=(0.3, 0.01))
        ego.push(Message(message.topic, message.stamp, said))
    assert at(ego, 505, 455).sigma_m[0] == pytest.approx(0.05 * math.hypot(0.3, 0.01 * 30.0), rel=0.01)
    assert at(sure, 505, 455).sigma_m[0] < 1e-3


def test_a_drive_without_poses_stands_still() -> None:
    found = at(Ego(EgoSettings(source="identity")), 500, 480, 490)
    assert found.source == "identity"
    np.testing.assert_array_equal(found.ego_SE3_then.matrix, np.stack([np.eye(4)] * 2))
    assert found.speed == 0.0


def test_order_of_processing_does_not_matter_and_repeats_are_counted() -> None:
    settings = EgoSettings(reorder_depth=64)
    ego = Ego(settings)
    for n in reversed(range(50)):
        ego.push(pose(n * 10, n))
    ego.push(pose(490, 49))
    assert at(ego, 300, 290).odom_SE3_ego.translation[0] == pytest.approx(3.0)
    assert ego.refused["duplicate"] == 1


def test_poses_of_a_replay_that_loops() -> None:
    ego = driven(until=300)
    for n in range(30):
        ego.push(pose(n * 10, n, epoch=1))
    assert at(ego, 290).source == "interpolated"
    assert at(ego, 305).source == "extrapolated", "what follows belongs to the next timeline"
    assert at(ego, 55, timeline=1).odom_SE3_ego.translation[0] == pytest.approx(0.55)


def test_a_pose_source_that_alone_began_again_is_taken_up() -> None:
    ego = driven(until=300)
    for n in range(100):
        ego.push(pose(250 + n * 10, n, epoch=1, delay=2.0 if n > 4 else 3.0))
    assert at(ego, 1000).source == "interpolated"


def test_a_pose_that_is_no_pose_is_refused() -> None:
    ego = driven(until=300)
    stamp = pose(300, 30).stamp
    ego.push(Message("pose/ego", stamp, EgoPose(position=(float("nan"), 0, 0), rotation_wxyz=(1, 0, 0, 0))))
    ego.push(pose(310, 31))
    assert at(ego, 305).source == "interpolated"
    assert ego.refused["invalid"] == 1


def test_recorded_answers_look_exactly_as_far() -> None:
    ego = driven(until=1000)
    early = ego.at(START + 505 * MS, [], 0, None, (0, 49))
    assert early is not None
    assert (early.source, early.last) == ("extrapolated", (0, 49))
    waiting = Ego(EgoSettings())
    waiting.push(pose(0, 0))
    assert waiting.at(START, [], 0, None, (0, 3)) is None
