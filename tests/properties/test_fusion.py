"""What holds for the tracker whatever it is given."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.se3 import SE3
from fusion.noise import AdaptiveSettings, IntersectionSettings, NominalSettings
from fusion.tracker import Tracker, TrackerSettings
from pipeline.core.messages import C, Detections, FrameSet, Message, Scene, Stamp
from pipeline.core.wire import digest
from tests.scenes import PERIOD_NS, Sensor, Thing, drive, frame_set, slot

SENSORS = [
    Sensor("roof", "lidar", (0.15, 0.15, 0.1), 50_000_000, detection=0.9, clutter=2.0),
    Sensor("front", "camera", (2.0, 0.4, 0.3), 20_000_000, detection=0.8, clutter=1.0),
    Sensor(
        "bumper", "radar", (0.5, 0.5, 2.0), 30_000_000, detection=0.8, clutter=3.0, radial_sigma=0.2, ambiguity=10.3
    ),
]
METHODS = st.sampled_from([NominalSettings(), AdaptiveSettings(), IntersectionSettings()])


def a_drive(seed: int, frames: int = 8) -> list[tuple[FrameSet, int]]:
    rng = np.random.default_rng(seed)
    things = [
        Thing((float(x), float(y), 0.8), (float(u), float(v)), "car" if k % 3 else "pedestrian")
        for k, (x, y, u, v) in enumerate(rng.normal(size=(6, 4)) * [20, 20, 5, 5])
    ]
    return drive(things, SENSORS, frames, seed)


def hashed(scene: Scene) -> str:
    return digest(Message("scene", Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0), scene))


def run(frames: list[tuple[FrameSet, int]], settings: TrackerSettings) -> list[Scene]:
    tracker = Tracker(settings)
    return [tracker.step(frame, time_ns) for frame, time_ns in frames]


def shuffled(frame: FrameSet, rng: np.random.Generator) -> FrameSet:
    slots = []
    for each in frame.slots:
        seen = each.detections
        assert seen is not None
        order = rng.permutation(len(seen))
        arrays = {
            f: getattr(seen, f)[order] for f in seen.__struct_fields__ if isinstance(getattr(seen, f), np.ndarray)
        }
        slots.append(msgspec.structs.replace(each, detections=msgspec.structs.replace(seen, **arrays)))
    return msgspec.structs.replace(frame, slots=tuple(slots))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), method=METHODS)
def test_the_order_in_which_a_detector_lists_its_objects_means_nothing(seed, method):
    tracking = TrackerSettings(weigh=method)
    frames, rng = a_drive(seed), np.random.default_rng(seed)
    again = [(shuffled(frame, rng), time_ns) for frame, time_ns in frames]
    assert [hashed(s) for s in run(frames, tracking)] == [hashed(s) for s in run(again, tracking)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 7), method=METHODS)
def test_a_snapshot_anywhere_continues_to_the_byte(seed, cut, method):
    tracking = TrackerSettings(weigh=method)
    frames = a_drive(seed)
    first, second = Tracker(tracking), Tracker(tracking)
    scenes = [first.step(frame, time_ns) for frame, time_ns in frames[:cut]]
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    scenes += [second.step(frame, time_ns) for frame, time_ns in frames[cut:]]
    assert [hashed(s) for s in scenes] == [hashed(s) for s in run(frames, tracking)]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), turn=st.floats(-3.0, 3.0), x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_where_the_odom_frame_starts_means_nothing(seed, turn, x, y):
    moved_SE3 = SE3.from_yaw(turn, (x, y, 0.0))
    w, i, j, k = (float(v) for v in moved_SE3.quaternion)
    frames = a_drive(seed)
    moved = [
        (msgspec.structs.replace(frame, position=(x, y, 0.0), rotation_wxyz=(w, i, j, k)), time_ns)
        for frame, time_ns in frames
    ]
    for here, there in zip(run(frames, TrackerSettings()), run(moved, TrackerSettings()), strict=True):
        assert here.track_id.tolist() == there.track_id.tolist()
        np.testing.assert_allclose(moved_SE3 @ here.track_position, there.track_position, atol=1e-4)
        np.testing.assert_allclose(here.existence, there.existence, atol=1e-4)
        np.testing.assert_allclose(here.weight, there.weight, atol=1e-3)


@st.composite
def wild_detections(draw: st.DrawFn, sensor: Sensor) -> Detections:
    """Of the right types and shapes, with any numbers in them."""
    n = draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-12, 1e12, 1e30, 3.4e38])
    share = draw(st.sampled_from([0.0, 0.02, 0.3]))

    def numbers(*shape: int, scale: float = 1.0, positive: bool = False) -> np.ndarray:
        values = rng.normal(size=(n, *shape)) * scale
        values = np.abs(values) if positive else values
        return np.where(rng.random((n, *shape)) < share, rng.choice(odd, (n, *shape)), values).astype(np.float32)

    root = numbers(3, 3)
    with np.errstate(all="ignore"):
        cov = (root @ np.swapaxes(root, 1, 2)).astype(np.float32)
    return Detections(
        sensor=sensor.name,
        modality=sensor.modality,
        origin=(0.0, 0.0, 1.0),
        position=numbers(3, scale=10.0),
        position_cov=cov,
        size=numbers(3, positive=True),
        size_sigma=numbers(3, positive=True),
        yaw=numbers(scale=2.0),
        yaw_sigma=numbers(positive=True),
        velocity=numbers(2, scale=5.0),
        velocity_cov=numbers(2, 2),
        radial_speed=numbers(scale=5.0),
        radial_sigma=numbers(positive=True),
        radial_ambiguity=draw(st.sampled_from([0.0, 10.3])),
        class_score=numbers(C, scale=0.3),
        score=numbers(scale=0.5),
        box2d=numbers(4),
        time_offset_ns=rng.integers(-(2**31), 2**31, size=n).astype(np.int32)
        if share
        else np.full(n, -50_000_000, dtype=np.int32),
        points=np.full(n, 3, dtype=np.int32),
        embedding=np.zeros((n, 0), dtype=np.float32),
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data(), method=METHODS)
def test_whatever_comes_in_what_goes_out_is_sane(data, method):
    tracker = Tracker(TrackerSettings(weigh=method))
    seen: set[int] = set()
    for index in range(4):
        slots = [slot(sensor, data.draw(wild_detections(sensor))) for sensor in SENSORS]
        scene = tracker.step(frame_set(index, slots), index * PERIOD_NS)
        for field in ("track_position", "track_velocity", "track_size", "track_yaw", "state_cov", "class_score"):
            assert np.isfinite(getattr(scene, field)).all(), field
        assert ((scene.existence > 0) & (scene.existence <= 1)).all()
        np.testing.assert_allclose(scene.class_score.sum(axis=1), 1.0, atol=1e-5)
        total = scene.weight.sum(axis=1)
        assert (np.isclose(total, 1.0, atol=1e-4) | (total == 0.0)).all()
        assert ((total == 0.0) == (scene.coasted > 0)).all()
        assert (np.linalg.eigvalsh(scene.state_cov.astype(np.float64)) > -1e-3).all()
        assert len(set(scene.track_id.tolist())) == len(scene.track_id)
        new = set(scene.track_id.tolist()) - seen
        assert not new or not seen or min(new) > 0
        seen |= new
