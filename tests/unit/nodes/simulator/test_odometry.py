"""Odometry: smooth, slowly wrong, and consistent with what is seen from the vehicle."""

from __future__ import annotations

import numpy as np

from nodes.simulator.odometry import Odometry, OdometrySettings
from nodes.simulator.world.motion import Motion
from tests.simulated import straight

_EXACT = OdometrySettings(speed_scale=0.0, yaw_bias=0.0, yaw_walk=0.0)


def curve(duration: float = 20.0) -> Motion:
    t = np.linspace(0.0, duration, 201)
    return Motion(t, np.c_[100 * np.sin(t / 10), 100 * (1 - np.cos(t / 10)), np.zeros(201)], t / 10)


def test_without_errors_it_is_the_truth() -> None:
    ego, t = curve(), np.linspace(0.0, 20.0, 77)
    believed = Odometry(ego, 20.0, _EXACT, np.random.default_rng(0)).pose(t)
    np.testing.assert_allclose(believed.translation, ego.position(t), atol=1e-9)
    np.testing.assert_allclose(believed.rotation, ego.pose(t).rotation, atol=1e-9)


def test_the_error_grows_with_the_distance_as_stated() -> None:
    ego = straight((0.0, 0.0), 0.0, 10.0, duration=20.0)
    settings = OdometrySettings(speed_scale=0.005, yaw_bias=0.0, yaw_walk=0.0)
    ends = [
        Odometry(ego, 20.0, settings, np.random.default_rng(seed)).pose(20.0).translation[0] - 200.0
        for seed in range(300)
    ]
    assert 0.8 < np.std(ends) < 1.2  # 0.5 % of 200 m


def test_what_stands_before_the_vehicle_stands_before_it_in_odom_too() -> None:
    ego = curve()
    odometry = Odometry(ego, 20.0, OdometrySettings(speed_scale=0.05, yaw_bias=0.01), np.random.default_rng(3))
    ahead = np.array([12.0, 3.0, 1.0])
    np.testing.assert_allclose(
        odometry.odom_SE3_world(9.3) @ (ego.pose(9.3) @ ahead), odometry.pose(9.3) @ ahead, atol=1e-9
    )
    assert np.linalg.norm(odometry.pose(20.0).translation - ego.position(20.0)) > 0.5


def test_it_never_jumps() -> None:
    odometry = Odometry(curve(), 20.0, OdometrySettings(), np.random.default_rng(1))
    t = np.arange(0.0, 20.0, 0.01)
    steps = np.linalg.norm(np.diff(odometry.pose(t).translation, axis=0), axis=1)
    assert steps.max() < 1.03 * 0.1
