"""Inertial values integrate back to the motion; satellites are silent under a roof."""

from __future__ import annotations

import dataclasses

import numpy as np

from calibration.se3 import SE3
from nodes.simulator.sensors.inertial import (
    GRAVITY,
    GnssSettings,
    ImuSettings,
    WheelSettings,
    geodetic,
    gnss_fixes,
    imu_samples,
    wheel_speeds,
)
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.world import World
from tests.simulated import street_world

QUIET = ImuSettings(
    gyro_density=0.0, accel_density=0.0, gyro_bias=0.0, accel_bias=0.0, gyro_walk=0.0, accel_walk=0.0, vibration=0.0
)
MOUNT = SE3(np.eye(3), np.array([0.4, 0.3, 0.6]))


def winding(duration: float = 20.0) -> World:
    times = np.linspace(0.0, duration, 201)
    yaw = 0.5 * np.sin(0.4 * times)
    speed = 8.0 + 3.0 * np.sin(0.3 * times)
    step = np.stack([speed * np.cos(yaw), speed * np.sin(yaw), 0 * yaw], axis=1) * times[1]
    ego = Motion(times, np.cumsum(step, axis=0), yaw, 0.02 * np.sin(times), 0.03 * np.cos(1.3 * times))
    return dataclasses.replace(street_world(actors=()), ego=ego, duration=duration)


def test_integrates_back_to_the_motion() -> None:
    """Midpoint strapdown from a known start; with a lever arm, pitch and roll."""
    world = winding()
    t = np.arange(0.5, 15.0, 0.005)
    samples = imu_samples(world, MOUNT, t, QUIET, np.random.default_rng(0))
    gyro = np.array([s.angular_velocity for s in samples])
    force = np.array([s.linear_acceleration for s in samples])
    truth = world.ego.pose(t) @ MOUNT
    step = 0.005
    rotation, position = truth.rotation[0], truth.translation[0].copy()
    velocity = (truth.translation[1] - truth.translation[0]) / step
    velocity -= 0.5 * step * (rotation @ force[0] - [0, 0, GRAVITY])
    for k in range(len(t) - 1):
        turn = SE3.exp(np.r_[0.0, 0.0, 0.0, 0.5 * (gyro[k] + gyro[k + 1]) * step]).rotation
        after = rotation @ turn
        pull = 0.5 * (rotation @ force[k] + after @ force[k + 1]) - [0.0, 0.0, GRAVITY]
        position = position + velocity * step + 0.5 * pull * step**2
        velocity, rotation = velocity + pull * step, after
    assert np.abs(position - truth.translation[-1]).max() < 0.1
    assert np.abs(rotation - truth.rotation[-1]).max() < 1e-4


def test_noise_has_the_density_it_is_said_to_have() -> None:
    world = street_world(ego_speed=0.0, actors=())
    t = np.arange(0.0, 5.0, 0.001)
    s = ImuSettings(vibration=0.0, gyro_walk=0.0, accel_walk=0.0)
    samples = imu_samples(world, MOUNT, t, s, np.random.default_rng(3))
    force = np.array([x.linear_acceleration for x in samples])
    assert np.allclose(force.std(axis=0), s.accel_density * np.sqrt(1000.0), rtol=0.05)
    assert np.abs(force.mean(axis=0) - [0, 0, GRAVITY]).max() < 4 * s.accel_bias


def test_wheel_speed_is_close_quantised_and_zero_at_a_stop() -> None:
    world = winding()
    t = np.arange(1.0, 19.0, 0.02)
    s = WheelSettings()
    speed = np.array([w.speed for w in wheel_speeds(world, t, s, np.random.default_rng(0))])
    true = np.linalg.norm(world.ego.velocity(t), axis=1)
    assert np.abs(speed / true - 1.0).max() < 0.04
    assert np.abs(speed / s.resolution - np.round(speed / s.resolution)).max() < 1e-6
    still = street_world(ego_speed=0.0, actors=())
    assert {w.speed for w in wheel_speeds(still, t[:100] * 0.2, s, np.random.default_rng(0))} == {0.0}


def test_gnss_is_silent_under_a_roof_and_near_the_truth_elsewhere() -> None:
    world = dataclasses.replace(winding(), roofed=((5.0, 8.0),))
    t = np.arange(0.0, 20.0, 0.1)
    s = GnssSettings()
    fixes = gnss_fixes(world, MOUNT, t, s, np.random.default_rng(1))
    silent = np.array([fix is None for fix in fixes])
    assert (silent == ((t >= 5.0) & (t < 8.0 + s.reacquire_s))).all()
    truth = geodetic((world.ego.pose(t) @ MOUNT).translation, s.origin)
    error = np.array([[f.latitude, f.longitude] - truth[i, :2] for i, f in enumerate(fixes) if f is not None])
    metres = error * [111_200.0, 111_300.0 * np.cos(np.radians(s.origin[0]))]
    assert 0.05 < np.abs(metres).mean() < 4.0
    assert np.abs(np.diff(metres, axis=0)).mean() < 0.3  # slow, not white


def test_a_degree_of_latitude_is_as_long_as_on_the_ellipsoid() -> None:
    origin = (45.0, 7.0, 0.0)
    there = geodetic(np.array([[0.0, 1000.0, 0.0], [1000.0, 0.0, 0.0]]), origin)
    assert abs(1000.0 / (there[0, 0] - 45.0) - 111_132.0) < 5.0  # metres per degree at 45 N
    assert abs(1000.0 / (there[1, 1] - 7.0) - 78_847.0) < 5.0


def test_errors_do_not_depend_on_who_reads() -> None:
    world, t = winding(), np.arange(0.0, 5.0, 0.01)
    first, second = (imu_samples(world, MOUNT, t, ImuSettings(), np.random.default_rng(5)) for _ in range(2))
    assert [s.angular_velocity for s in first] == [s.angular_velocity for s in second]
