"""A motion's velocity and acceleration belong to its path."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.simulator.world.motion import Motion
from tests.simulated import straight, street_world


def test_velocity_and_acceleration_are_derivatives_of_the_position() -> None:
    times = np.linspace(0.0, 10.0, 101)
    motion = Motion(times, np.c_[5 * times, np.sin(times), np.zeros(101)], np.cos(times) / 5)
    t, h = np.linspace(0.5, 9.5, 37), 1e-4
    np.testing.assert_allclose(
        motion.velocity(t), (motion.position(t + h) - motion.position(t - h)) / (2 * h), atol=1e-6
    )
    np.testing.assert_allclose(
        motion.acceleration(t), (motion.velocity(t + h) - motion.velocity(t - h)) / (2 * h), atol=1e-4
    )
    np.testing.assert_allclose(motion.acceleration(t)[:, 1], -np.sin(t), atol=0.01)


def test_heading_runs_over_the_half_turn() -> None:
    motion = Motion([0.0, 1.0, 2.0], np.zeros((3, 3)), [3.0, -3.1, -2.9])
    assert motion.yaw(1.0) == pytest.approx(2 * np.pi - 3.1)
    assert motion.yaw_rate(0.5) > 0


def test_outside_its_samples_a_body_goes_on() -> None:
    motion = straight((1.0, 2.0), 0.0, 8.0, duration=5.0)
    np.testing.assert_allclose(motion.position(6.0), [49.0, 2.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(motion.velocity([-1.0, 9.0]), [[8.0, 0.0, 0.0]] * 2, atol=1e-9)
    np.testing.assert_allclose(motion.acceleration(6.0), 0.0)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="K >= 2"):
        Motion([0.0], np.zeros((1, 3)), [0.0])
    with pytest.raises(ValueError, match="K positions"):
        Motion([0.0, 1.0], np.zeros((3, 3)), [0.0, 0.0])


def test_boxes_stand_on_the_ground_with_their_middle_at_half_height() -> None:
    car = street_world().actors[0]
    np.testing.assert_allclose(car.box(1.0).translation, [28.0, -2.0, 0.5 * car.size[2]], atol=1e-9)
