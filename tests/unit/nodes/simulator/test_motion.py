"""A motion's velocity and acceleration belong to its path."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nodes.simulator.world.gait import Gaits, phase
from nodes.simulator.world.motion import Motion, Motions
from tests.simulated import actor, straight, street_world


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


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_many_bodies_at_once_are_where_each_is(seed: int, count: int) -> None:
    """Inside and outside their samples, moving and standing, at one time and at several."""
    rng = np.random.default_rng(seed)
    motions = [Motion.standing(rng.normal(0.0, 9.0, 3), 1.0)]
    for _ in range(count):
        times = np.cumsum(rng.uniform(0.02, 0.5, rng.integers(2, 30))) - 1.0
        motions.append(Motion(times, *np.split(rng.normal(0.0, 3.0, (6, len(times))).T, [3], axis=1)[:1], times**2))
    together = Motions(motions)
    for t in (0.3, rng.uniform(-3.0, 9.0, 5)):
        poses = together.pose(t)
        for m, motion in enumerate(motions):
            np.testing.assert_allclose(poses.translation[m], motion.position(t), rtol=1e-9, atol=1e-7)
            np.testing.assert_allclose(poses.rotation[m], motion.pose(t).rotation, atol=1e-7)
            np.testing.assert_allclose(together.velocity(t)[m], motion.velocity(t), rtol=1e-9, atol=1e-6)
            np.testing.assert_allclose(together.yaw_rate(t)[m], motion.yaw_rate(t), rtol=1e-9, atol=1e-6)
            np.testing.assert_allclose(together.acceleration(t)[m], motion.acceleration(t), rtol=1e-9, atol=1e-5)


def test_no_bodies() -> None:
    assert Motions([]).pose(1.0).shape == (0,)
    assert Motions([]).velocity([1.0, 2.0]).shape == (0, 2, 3)


def test_gaits_at_once_are_those_of_each() -> None:
    walks = [actor(i, ("adult", "child", "sedan")[i % 3], straight((0.0, i), 0.4 * i, 0.3 * i)) for i in range(9)]
    gaits = Gaits(walks)
    for t in np.random.default_rng(0).uniform(-0.5, 5.5, 37):
        assert gaits.phases(t).tolist() == [int(phase(each, t)) for each in walks]
