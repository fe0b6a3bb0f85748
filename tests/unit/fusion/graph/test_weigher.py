from __future__ import annotations

import numpy as np
import pytest

from fusion.graph.weigher import FAULTS, GraphSettings
from fusion.noise import NominalSettings
from fusion.tracker import Tracker, TrackerSettings
from fusion.training.graph.export import export
from pipeline.core.errors import BadInput
from pipeline.core.messages import FrameSet, SensorSlot
from tests.clips import small_clip
from tests.graphs import random_network


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> TrackerSettings:
    """A network that was never trained, but says something."""
    path = tmp_path_factory.mktemp("graph") / "graph.onnx"
    export(random_network(), path, inflation=2.0)
    return TrackerSettings(weigh=GraphSettings(model=str(path)))


@pytest.fixture(scope="module")
def frames() -> list[tuple[FrameSet, int]]:
    return list(small_clip(3).frames())


def same(a, b) -> bool:
    return all(
        np.array_equal(getattr(a, f), getattr(b, f)) for f in ("track_id", "track_position", "state_cov", "weight")
    )


def test_same_frames_same_scenes_and_it_judges_its_sensors(settings, frames):
    first, second = Tracker(settings), Tracker(settings)
    for frame_set, time_ns in frames:
        scene = first.step(frame_set, time_ns)
        assert same(scene, second.step(frame_set, time_ns))
    assert scene.sensor_health.shape == (len(scene.sensors),)
    assert ((scene.sensor_health >= 0) & (scene.sensor_health <= 1)).all()
    assert all(fault in FAULTS[1:] or fault == "" for fault in scene.sensor_fault)
    weights = scene.weight[scene.coasted == 0].sum(axis=1)
    np.testing.assert_allclose(weights, 1.0, atol=1e-5)


def test_a_snapshot_carries_what_it_remembers(settings, frames):
    whole, cut = Tracker(settings), Tracker(settings)
    for frame_set, time_ns in frames[:8]:
        whole.step(frame_set, time_ns)
        cut.step(frame_set, time_ns)
    restored = Tracker(settings)
    restored.restore(cut.snapshot())
    for frame_set, time_ns in frames[8:]:
        assert same(whole.step(frame_set, time_ns), restored.step(frame_set, time_ns))
    with pytest.raises(ValueError, match="memory"):
        Tracker(TrackerSettings(weigh=NominalSettings())).restore(cut.snapshot())


def test_sensors_come_and_go(settings, frames):
    tracker = Tracker(settings)
    for number, (frame_set, time_ns) in enumerate(frames):
        kept = frame_set.slots[: 1 + number % len(frame_set.slots)]
        scene = tracker.step(frame_set.updated(slots=kept), time_ns)
        assert len(scene.sensor_health) == len(kept)
        assert np.isfinite(scene.state_cov).all()


def test_nothing_seen_is_nothing_told(settings, frames):
    tracker = Tracker(settings)
    empty = tuple(SensorSlot(sensor=s.sensor, modality=s.modality, missing="silent") for s in frames[0][0].slots)
    for frame_set, time_ns in frames[:3]:
        scene = tracker.step(frame_set.updated(slots=empty), time_ns)
        assert len(scene.track_id) == 0
    for frame_set, time_ns in frames[3:8]:
        tracker.step(frame_set, time_ns)
    frame_set, time_ns = frames[8]
    tracker.step(frame_set.updated(slots=empty), time_ns)  # tracks, but no pairs


def test_published_regions_are_as_much_wider_as_the_file_says(settings, frames, tmp_path):
    assert isinstance(settings.weigh, GraphSettings)
    export(random_network(), tmp_path / "plain.onnx")
    plain = Tracker(TrackerSettings(weigh=GraphSettings(model=str(tmp_path / "plain.onnx"))))
    wide = Tracker(settings)
    for frame_set, time_ns in frames[:5]:
        a, b = plain.step(frame_set, time_ns), wide.step(frame_set, time_ns)
    np.testing.assert_allclose(b.state_cov, 2.0 * a.state_cov, rtol=1e-5)


def test_a_file_that_is_no_such_network_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"not a network")
    with pytest.raises(BadInput, match=r"x\.onnx"):
        Tracker(TrackerSettings(weigh=GraphSettings(model=str(tmp_path / "x.onnx"))))
