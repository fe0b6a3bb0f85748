from __future__ import annotations

import numpy as np
import pytest

from fusion.tracker import Tracker
from nodes.fuse import Fuse
from pipeline.core.messages import CalibrationState, FrameSet, Message, Progress, Scene, Stamp
from pipeline.core.wire import digest
from tests.scenes import Sensor, Thing, drive

FRAMES = [
    Message("frames", Stamp(sensor_ns=t, arrival_ns=t + 7, time_ns=t, sequence=f.index), f)
    for f, t in drive([Thing((10, 2, 0.8), (1, 0))], [Sensor("roof", "lidar")], 6)
]


def test_one_scene_and_one_progress_per_frame_set_with_no_time_of_this_machine():
    node = Fuse(Tracker())
    for frames in FRAMES:
        scene, progress = node.step(frames, now_ns=123)
        assert (scene.topic, progress.topic) == ("scene", "progress")
        assert isinstance(scene.payload, Scene)
        assert scene.stamp == Stamp(
            sensor_ns=frames.stamp.time_ns,
            arrival_ns=frames.stamp.arrival_ns,
            time_ns=frames.stamp.time_ns,
            sequence=frames.payload.index,
        )
        assert progress.payload == Progress(reference_ns=frames.stamp.time_ns, index=frames.payload.index) or (
            progress.payload.reference_ns == frames.stamp.time_ns
        )
    assert list(node.tick(0)) == list(node.finish()) == []


def test_a_frame_set_that_comes_twice_is_fused_once():
    node = Fuse(Tracker())
    first = [scene for frames in FRAMES[:3] for scene, _ in [node.step(frames, 0)]]
    assert list(node.step(FRAMES[1], 0)) == list(node.step(FRAMES[2], 0)) == []
    assert node.duplicates == 2
    after, _ = node.step(FRAMES[3], 0)
    assert after.payload.track_id.tolist() == first[-1].payload.track_id.tolist()


def test_a_frame_set_that_never_came_is_counted_and_not_waited_for():
    node = Fuse(Tracker())
    list(node.step(FRAMES[0], 0))
    scene, _ = node.step(FRAMES[4], 0)
    assert node.skipped == 3
    assert np.allclose(scene.payload.track_position[0, 0], 10.4, atol=0.6)


def test_a_run_that_is_followed_says_what_it_did_not_fuse():
    live, again = Fuse(Tracker()), Fuse(Tracker(), pass_over={(0, 1), (0, 2)})
    scenes = [
        [m for f in part for m in node.step(f, 0) if m.topic == "scene"]
        for node, part in ((live, [FRAMES[0], *FRAMES[3:]]), (again, FRAMES))
    ]
    assert [m.payload.skipped for m in scenes[0]] == [0, 2, 0, 0]
    assert [digest(m) for m in scenes[0]] == [digest(m) for m in scenes[1]]


def test_only_frame_sets_are_taken():
    with pytest.raises(TypeError, match="frame sets"):
        list(Fuse(Tracker()).step(Message("progress", FRAMES[0].stamp, Progress(reference_ns=0, index=0)), 0))


class _Failing:
    def step(self, frames: FrameSet, time_ns: int) -> Scene:
        raise ArithmeticError("this frame set")

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes) -> None: ...

    def close(self) -> None: ...


def test_a_frame_set_that_cannot_be_fused_still_counts_as_done() -> None:
    out = []
    with pytest.raises(ArithmeticError):
        out.extend(Fuse(_Failing()).step(FRAMES[0], 0))  # extend keeps what came before the error
    assert [message.topic for message in out] == ["progress"]


def test_a_camera_under_alarm_is_misaligned_in_the_scene_from_a_second_after_what_was_said():
    def said(time_ns: int, alarm: bool, of: str = "roof") -> Message:
        state = CalibrationState(against="top", pitch=0.009, yaw=0.0, sum=1.2, alarm=alarm)
        return Message(f"calibration/{of}", Stamp(sensor_ns=0, arrival_ns=0, time_ns=time_ns, sequence=0), state)

    times = [frames.stamp.time_ns for frames in FRAMES]
    node = Fuse(Tracker())
    assert list(node.step(said(times[2] - 1_000_000_000, True), 0)) == []
    assert list(node.step(said(times[2], True, of="unknown"), 0)) == []
    assert list(node.step(said(times[5] - 1_000_000_000, False), 0)) == []
    scenes = [next(iter(node.step(frames, 0))).payload for frames in FRAMES]
    assert [scene.sensor_fault for scene in scenes] == [(), (), *[("misaligned",)] * 3, ()]
    assert scenes[2].sensor_health.tolist() == [0.0]
    without = Fuse(Tracker())
    assert [s.track_position.tolist() for s in scenes] == [
        next(iter(without.step(frames, 0))).payload.track_position.tolist() for frames in FRAMES
    ]
