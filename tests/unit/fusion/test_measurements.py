from __future__ import annotations

import numpy as np
import pytest

from calibration.se3 import SE3
from fusion.measurements import join, measurements, take
from pipeline.core.messages import FrameSet
from tests.scenes import Sensor, Thing, detections, frame_set, slot

LIDAR = Sensor("roof", "lidar", (1e-6, 1e-6, 1e-6), offset_ns=30_000_000)
ALL = ("camera", "lidar", "radar")


def seen_by(sensor: Sensor, things: list[Thing]):
    return detections(sensor, things, 0.0, np.random.default_rng(0))


def test_detections_come_into_the_odom_frame_with_their_covariances_and_instants():
    seen = seen_by(LIDAR, [Thing((10.0, 2.0, 1.0), (0, 0))])
    seen.position_cov[:] = np.diag([4.0, 1.0, 0.25])
    seen.velocity[:], seen.velocity_cov[:] = [3.0, 0.0], np.diag([0.5, 0.1])
    seen.yaw[:], seen.yaw_sigma[:] = 0.1, 0.2
    pose = SE3.from_yaw(np.pi / 2, (100.0, 50.0, 5.0))
    w, x, y, z = (float(v) for v in pose.quaternion)
    frames = FrameSet(index=0, position=(100.0, 50.0, 5.0), rotation_wxyz=(w, x, y, z), slots=(slot(LIDAR, seen),))
    table = measurements(frames, 1_000_000_000, ALL)
    np.testing.assert_allclose(table.value[0, :5], [98.0, 60.0, 6.0, 0.0, 3.0], atol=1e-5)
    np.testing.assert_allclose(np.diag(table.R[0])[:5], [1.0, 4.0, 0.25, 0.1, 0.5], atol=1e-3)
    np.testing.assert_allclose(table.sight[0], pose.rotation[:2] @ np.array([10, 2, 1]) / np.sqrt(105.0), atol=1e-5)
    assert table.time_ns.tolist() == [970_000_000]
    assert table.yaw[0] == pytest.approx(0.1 + np.pi / 2)


def test_what_was_not_measured_is_marked():
    table = measurements(frame_set(0, [slot(LIDAR, seen_by(LIDAR, [Thing((9, 0, 1), (1, 1))]))]), 0, ALL)
    assert table.present.tolist() == [[True, True, True, False, False, False]]
    np.testing.assert_array_equal(table.R[0, 3:, 3:], np.eye(3))
    assert np.isinf(table.yaw_var[0])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position", np.nan),
        ("position", 1e9),
        ("position_cov", np.inf),
        ("position_cov", 1e9),
        ("time_offset_ns", 2_000_000_000),
        ("time_offset_ns", -(2**31)),
    ],
)
def test_a_detection_that_cannot_be_filtered_is_left_out(field, value):
    seen = seen_by(LIDAR, [Thing((9, 0, 1), (1, 1)), Thing((-9, 0, 1), (1, 1))])
    getattr(seen, field)[0] = value
    table = measurements(frame_set(0, [slot(LIDAR, seen)]), 0, ALL)
    np.testing.assert_allclose(table.value[:, 0], [-9.03], atol=0.01)


def test_a_covariance_that_is_none_is_left_out():
    seen = seen_by(LIDAR, [Thing((9, 0, 1), (0, 0))])
    seen.position_cov[0] = [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert len(measurements(frame_set(0, [slot(LIDAR, seen)]), 0, ALL)) == 0


@pytest.mark.parametrize("scores", [[0.0] * 10, [np.nan] * 10, [0.2] * 10, [1.0] + [0.0] * 9, [3.0] * 10])
def test_class_probabilities_sum_to_one_and_rule_nothing_out(scores):
    seen = seen_by(LIDAR, [Thing((9, 0, 1), (0, 0))])
    seen.class_score[0] = scores
    table = measurements(frame_set(0, [slot(LIDAR, seen)]), 0, ALL)
    assert table.class_prob.sum() == pytest.approx(1.0)
    assert table.class_prob.min() > 0.0


def test_the_missing_share_of_the_class_scores_is_spread_evenly():
    seen = seen_by(LIDAR, [Thing((9, 0, 1), (0, 0))])
    seen.class_score[0] = 0.0
    seen.class_score[0, 3] = 0.5
    table = measurements(frame_set(0, [slot(LIDAR, seen)]), 0, ALL)
    assert table.class_prob[0, 3] == pytest.approx(0.55)
    assert table.class_prob[0, 0] == pytest.approx(0.05)


def test_only_the_wanted_modalities_of_sensors_that_are_there():
    things = [Thing((9, 0, 1), (0, 0))]
    camera, radar = Sensor("front", "camera"), Sensor("bumper", "radar")
    slots = [slot(camera, seen_by(camera, things)), slot(radar, None, "late"), slot(LIDAR, seen_by(LIDAR, things))]
    assert measurements(frame_set(0, slots), 0, ALL).sensor.tolist() == [0, 2]
    assert measurements(frame_set(0, slots), 0, ("lidar", "radar")).sensor.tolist() == [2]
    assert len(measurements(frame_set(0, slots), 0, ())) == 0


def test_take_and_join_are_inverse():
    things = [Thing((float(i), 0, 1), (0, 0)) for i in range(5, 9)]
    table = measurements(frame_set(0, [slot(LIDAR, seen_by(LIDAR, things))]), 0, ALL)
    again = join(take(table, np.array([0, 1])), take(table, np.array([2, 3])))
    for before, after in zip(vars(table).values(), vars(again).values(), strict=True):
        np.testing.assert_array_equal(before, after)
