"""What waits for poses goes on by stamps alone, in order, whatever comes first."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pipeline.core.messages import EgoPose, Message, Stamp, StreamStatus, WheelSpeed
from pipeline.sync.pose_queue import PoseQueue, PoseQueueSettings

MS = 1_000_000


def pose(time_ms: int, late_ms: int = 1, epoch: int = 0) -> Message:
    stamp = Stamp(
        sensor_ns=time_ms * MS, arrival_ns=(time_ms + late_ms) * MS, time_ns=time_ms * MS, sequence=time_ms, epoch=epoch
    )
    return Message("pose/ego", stamp, EgoPose(position=(time_ms * 0.01, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)))


def sweep(end_ms: int) -> Message:
    stamp = Stamp(sensor_ns=end_ms * MS, arrival_ns=(end_ms + 2) * MS, time_ns=end_ms * MS, sequence=end_ms)
    return Message("lidar/top", stamp, WheelSpeed(speed=0.0))  # any payload: the queue looks at the stamp only


def put(queue: PoseQueue, end_ms: int, span_ms: int = 100) -> None:
    queue.put(sweep(end_ms), (end_ms - span_ms) * MS, end_ms * MS)


def out(queue: PoseQueue, now_ms: int = 0, everything: bool = False) -> list[tuple[int, bool]]:
    return [(m.stamp.sequence, poses is not None) for m, poses, _ in queue.ready(now_ms * MS, everything)]


def test_a_sweep_waits_for_the_pose_behind_it() -> None:
    queue = PoseQueue(PoseQueueSettings())
    for time_ms in range(0, 100, 10):
        queue.pose(pose(time_ms))
    put(queue, 100)
    assert out(queue) == []
    queue.pose(pose(100))
    assert out(queue) == [(100, True)]
    assert queue.without_poses == 0


def test_the_interpolated_pose_is_that_of_the_time_asked_for() -> None:
    queue = PoseQueue(PoseQueueSettings())
    for time_ms in (0, 50, 100):
        queue.pose(pose(time_ms))
    put(queue, 100)
    [(_, poses, _)] = queue.ready()
    assert poses is not None
    assert np.allclose(poses.at(75 * MS).translation, [0.75, 0.0, 0.0])


def test_a_sweep_from_before_the_first_pose_is_extrapolated_to_or_goes_on_without() -> None:
    queue = PoseQueue(PoseQueueSettings(max_extrapolation_ns=70 * MS))
    put(queue, 100)
    put(queue, 150)
    for time_ms in (100, 150, 160):
        queue.pose(pose(time_ms))
    assert out(queue) == [(100, False), (150, True)]


def test_the_end_of_the_poses_ends_the_waiting() -> None:
    queue = PoseQueue(PoseQueueSettings(max_extrapolation_ns=0))
    queue.pose(pose(0))
    put(queue, 100)
    assert out(queue) == []
    queue.status(StreamStatus(sent=1, watermark_ns=2 * MS, ended=True))
    assert out(queue) == [(100, False)]


def test_a_gap_in_the_poses_is_known_by_the_watermark() -> None:
    queue = PoseQueue(PoseQueueSettings(patience_ns=50 * MS, max_extrapolation_ns=0))
    queue.pose(pose(0))
    put(queue, 100)
    queue.status(StreamStatus(sent=1, watermark_ns=150 * MS))
    assert out(queue) == []
    queue.status(StreamStatus(sent=1, watermark_ns=153 * MS))
    assert out(queue) == [(100, False)]
    assert queue.without_poses == 1


def test_only_a_live_run_gives_up_by_the_clock() -> None:
    queue = PoseQueue(PoseQueueSettings(hang_ns=1000 * MS))
    put(queue, 100)
    assert out(queue, now_ms=1102) == []
    assert out(queue, now_ms=1103) == [(100, False)]
    put(queue, 200)
    assert out(queue, now_ms=0) == []


def test_a_hurry_leaves_its_mark_and_whoever_follows_repeats_it() -> None:
    live = PoseQueue(PoseQueueSettings(hang_ns=1000 * MS))
    put(live, 100)
    put(live, 200)
    [first] = live.ready(1103 * MS)
    assert (first.hurried, first.poses) == (True, None)
    for time_ms in range(0, 210, 10):
        live.pose(pose(time_ms))
    [second] = live.ready(1104 * MS)
    assert (second.hurried, second.poses is not None) == (False, True)

    replay = PoseQueue(PoseQueueSettings(), follow={(0, 100)})
    for time_ms in range(0, 200, 10):
        replay.pose(pose(time_ms))
    put(replay, 100)
    put(replay, 200)
    assert [(a.message.stamp.sequence, a.hurried, a.poses) for a in replay.ready(10**6 * MS)] == [(100, True, None)]
    replay.pose(pose(200))
    assert out(replay) == [(200, True)]


def test_poses_that_came_too_late_do_not_count_even_where_they_are_here_first() -> None:
    late = [pose(0), pose(40), pose(100, late_ms=300)]
    for poses_first in (True, False):
        queue = PoseQueue(PoseQueueSettings(patience_ns=200 * MS, max_extrapolation_ns=0))
        for message in late if poses_first else []:
            queue.pose(message)
        put(queue, 100)
        for message in [] if poses_first else late:
            queue.pose(message)
        assert out(queue) == [(100, False)]


def test_after_a_jump_back_what_waits_goes_and_what_comes_waits_again() -> None:
    queue = PoseQueue(PoseQueueSettings(max_extrapolation_ns=0))
    for time_ms in range(5000, 5100, 10):
        queue.pose(pose(time_ms))
    put(queue, 5100)
    for time_ms in range(0, 100, 10):
        queue.pose(pose(time_ms, epoch=1))
    put(queue, 100)
    assert out(queue) == [(5100, False)]
    queue.pose(pose(100, epoch=1))
    assert out(queue) == [(100, True)]


def test_poses_that_nothing_waits_for_are_bounded() -> None:
    queue = PoseQueue(PoseQueueSettings())
    for time_ms in range(0, 100_000, 10):
        queue.pose(pose(time_ms))
    assert len(queue._coming) <= 1024
    put(queue, 99_500)
    assert out(queue) == [(99_500, True)]


def test_without_a_publisher_nothing_waits() -> None:
    queue = PoseQueue(PoseQueueSettings(), expected=False)
    put(queue, 100)
    assert out(queue) == [(100, False)]


def test_what_waits_is_bounded() -> None:
    queue = PoseQueue(PoseQueueSettings(max_waiting=3))
    for end_ms in (100, 200, 300, 400):
        put(queue, end_ms)
    assert out(queue) == [(100, False)]
    assert [number for number, _ in out(queue, everything=True)] == [200, 300, 400]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_between_streams_changes_nothing(seed: int) -> None:
    """Poses with a gap and sweeps, each stream in its order, interleaved at random: the same answers."""
    rng = random.Random(seed)
    poses = [pose(t) for t in range(0, 1500, 20) if not 500 < t < 900]
    sweeps = list(range(100, 1300, 100))
    queue = PoseQueue(PoseQueueSettings(patience_ns=100 * MS, max_extrapolation_ns=0))
    got: list[tuple[int, bool]] = []
    while poses or sweeps:
        if poses and (not sweeps or rng.random() < 0.7):
            queue.pose(poses.pop(0))
        else:
            put(queue, sweeps.pop(0))
        got += out(queue)
    got += out(queue, everything=True)
    assert got == [(end, end <= 500 or end >= 1000) for end in range(100, 1300, 100)]
