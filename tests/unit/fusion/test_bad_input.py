"""Detections that cannot be fused are counted by sensor, whatever weighs; the others are fused all the same."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.graph.weigher import GraphSettings
from fusion.noise import NominalSettings
from fusion.tracker import Tracker, TrackerSettings
from pipeline.core.messages import Scene
from tests.scenes import PERIOD_NS, Sensor, Thing, detections, frame_set, slot

LIDAR, RADAR = Sensor("roof", "lidar"), Sensor("nose", "radar", radial_sigma=0.1)
CAR = Thing((12.0, 1.0, 0.8), (2.0, 0.0))
WEIGHERS = pytest.mark.parametrize("weigh", [NominalSettings(), GraphSettings()], ids=["filter", "graph"])


def fused(weigh: NominalSettings | GraphSettings, spoil, things: list[Thing], frames: int = 8) -> list[Scene]:
    tracker, rng, scenes = Tracker(TrackerSettings(weigh=weigh)), np.random.default_rng(1), []
    for i in range(frames):
        roof, nose = (detections(sensor, things, 0.1 * i, rng) for sensor in (LIDAR, RADAR))
        spoil(roof)
        scenes.append(tracker.step(frame_set(i, [slot(LIDAR, roof), slot(RADAR, nose)]), i * PERIOD_NS))
    return scenes


def sound(scene: Scene) -> bool:
    numbers = (scene.track_position, scene.track_velocity, scene.state_cov, scene.existence, scene.weight)
    return all(np.isfinite(column).all() for column in numbers)


@WEIGHERS
@pytest.mark.parametrize(
    ("field", "value", "count"),
    [
        ("position", np.nan, 1), ("position_cov", np.nan, 1), ("position_cov", -1.0, 1), ("position_cov", 0.0, 0),
        ("score", np.nan, 0), ("size", np.nan, 0), ("class_score", np.nan, 0), ("yaw", np.inf, 0),
        ("radial_speed", np.nan, 0), ("time_offset_ns", 2_000_000_000, 1),
    ],
)  # fmt: skip
def test_only_what_cannot_be_fused_is_counted(weigh, field, value, count) -> None:
    other = Thing((-20.0, 4.0, 0.8), (0.0, 0.0))

    def spoil(seen) -> None:
        getattr(seen, field)[0] = value

    scenes = fused(weigh, spoil, [CAR, other])
    assert [scene.unusable.tolist() for scene in scenes] == [[count, 0]] * len(scenes)
    assert all(map(sound, scenes))
    assert len(scenes[-1].track_id) >= 1


@WEIGHERS
def test_no_detections_are_none_that_cannot_be_fused(weigh) -> None:
    scenes = fused(weigh, lambda seen: None, [])
    assert all(scene.unusable.tolist() == [0, 0] and len(scene.track_id) == 0 for scene in scenes)


@pytest.mark.parametrize("weigh", [NominalSettings(), GraphSettings()], ids=["filter", "graph"])
def test_two_thousand_detections_end_in_no_more_tracks_than_are_kept(weigh) -> None:
    rng = np.random.default_rng(3)
    crowd = [Thing((*rng.uniform(-90, 90, 2).tolist(), 0.8), (0.0, 0.0)) for _ in range(1000)]
    scenes = fused(weigh, lambda seen: None, crowd, frames=3)
    assert all(map(sound, scenes))
    assert all(0 < len(scene.track_id) <= TrackerSettings().max_tracks for scene in scenes)
    assert all(scene.unusable.tolist() == [0, 0] for scene in scenes)


def test_a_kind_of_sensors_that_is_not_fused_has_none() -> None:
    seen = detections(LIDAR, [CAR], 0.0, np.random.default_rng(0))
    seen.position[0] = np.nan
    only = Tracker(TrackerSettings(modalities=("radar",)))
    assert only.step(frame_set(0, [slot(LIDAR, seen)]), 0).unusable.tolist() == [0]
