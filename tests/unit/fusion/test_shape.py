from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fusion import shape
from fusion.kalman import Groups
from fusion.measurements import Measurements, measurements
from fusion.shape import ShapeSettings
from fusion.tracks import Tracks, born
from tests.scenes import Sensor, Thing, detections, frame_set, slot

SETTINGS = ShapeSettings()
ONE = Groups(np.zeros(1, np.int64), 1)


def detection(yaw: float, sigma: float = 0.1) -> Measurements:
    seen = detections(Sensor("roof", "lidar"), [Thing((9, 4, 1), (1, 2))], 0.0, np.random.default_rng(0))
    seen.yaw[:], seen.yaw_sigma[:] = yaw, sigma
    return measurements(frame_set(0, [slot(Sensor("roof", "lidar"), seen)]), 0, ("lidar",))


def track(yaw: float) -> Tracks:
    return born(detection(yaw), 1)


@pytest.mark.parametrize("yaw", [0.3, 3.0, -2.0, np.pi])
def test_a_box_turned_by_half_a_circle_is_the_same_box(yaw):
    tracks = track(yaw)
    for turned in (0.0, np.pi, 0.0, -np.pi, 0.0):
        shape.absorb(tracks, ONE, detection(yaw + turned), 0.1, SETTINGS)
        shape.follow_motion(tracks, 0.1, SETTINGS)
    assert np.cos(2 * (tracks.yaw[0] - yaw)) == pytest.approx(1.0)
    assert np.cos(tracks.yaw[0] - yaw) == pytest.approx(1.0)  # three of five said so
    assert tracks.yaw_var[0] < 0.1**2


def test_a_car_that_drives_faces_forward_whatever_its_box_said():
    tracks = track(np.pi)
    tracks.mean[0, 3:] = [8.0, 0.0]
    tracks.cov[0, 3:, 3:] = np.eye(2) * 0.1
    for _ in range(10):
        shape.forget(tracks, 0.1, SETTINGS)
        shape.absorb(tracks, ONE, detection(np.pi), 0.1, SETTINGS)
        shape.follow_motion(tracks, 0.1, SETTINGS)
    assert np.cos(tracks.yaw[0]) == pytest.approx(1.0, abs=1e-3)


def test_a_pedestrian_may_walk_sideways():
    seen = detections(Sensor("r", "lidar"), [Thing((9, 4, 1), (1, 2), "pedestrian")], 0.0, np.random.default_rng(0))
    seen.yaw[:], seen.yaw_sigma[:] = 1.0, 0.1
    tracks = born(measurements(frame_set(0, [slot(Sensor("r", "lidar"), seen)]), 0, ("lidar",)), 1)
    tracks.mean[0, 3:], tracks.cov[0, 3:, 3:] = [2.0, 0.0], np.eye(2) * 1e-4
    shape.follow_motion(tracks, 0.1, SETTINGS)
    assert tracks.yaw[0] == pytest.approx(1.0)


def test_sizes_are_averaged_by_their_variances_and_a_missing_one_leaves_the_prior():
    tracks = track(0.0)
    tracks.size[:], tracks.size_var[:] = 4.0, 1.0
    wide = dataclasses.replace(
        detection(0.0), size=np.array([[6.0, 2.0, 0.0]]), size_var=np.array([[1.0, 1.0 / 3.0, np.inf]])
    )
    shape.absorb(tracks, ONE, wide, 0.1, SETTINGS)
    np.testing.assert_allclose(tracks.size[0], [5.0, 2.5, 4.0])
    np.testing.assert_allclose(tracks.size_var[0], [0.5, 0.25, 1.0])


def test_what_is_not_seen_is_slowly_forgotten():
    tracks = track(0.0)
    before = tracks.size_var.copy(), tracks.yaw_var.copy()
    tracks.yaw_var[:] = 0.01
    shape.forget(tracks, 1.0, SETTINGS)
    assert (tracks.size_var > before[0]).all()
    assert tracks.yaw_var[0] == pytest.approx(0.01 + SETTINGS.yaw_rate**2)
