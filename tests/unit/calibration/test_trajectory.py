from __future__ import annotations

import numpy as np
import pytest

from calibration.se3 import SE3
from calibration.trajectory import Trajectory

RNG = np.random.default_rng(0)
TIMES = np.array([0, 10_000_000, 25_000_000, 30_000_000, 60_000_000]) + 1_700_000_000_000_000_000
POSES = SE3.exp(np.cumsum(RNG.normal(size=(5, 6)) * [1.0, 1.0, 0.3, 0.1, 0.1, 0.4], axis=0))
PATH = Trajectory(TIMES, POSES, max_extrapolation_ns=5_000_000)


def test_samples_are_met_exactly() -> None:
    np.testing.assert_allclose(PATH.at(TIMES).matrix, POSES.matrix, atol=1e-12)


def test_interpolates_and_extrapolates() -> None:
    middle = PATH.at(TIMES[0] + 5_000_000)
    np.testing.assert_allclose(middle.translation, POSES.translation[:2].mean(axis=0), atol=1e-12)
    before = PATH.at(TIMES[0] - 5_000_000)
    np.testing.assert_allclose(before.translation, 1.5 * POSES.translation[0] - 0.5 * POSES.translation[1], atol=1e-12)


def test_refuses_what_lies_outside() -> None:
    for time in (TIMES[0] - 5_000_001, TIMES[-1] + 5_000_001):
        assert not PATH.covers(time)
        for ask in (PATH.at, PATH.velocity, PATH.relative_to):
            with pytest.raises(ValueError, match="outside trajectory"):
                ask(int(time))
        with pytest.raises(ValueError, match="outside trajectory"):
            PATH.apply(np.array([time]), np.zeros((1, 3)))
    assert PATH.covers([])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_apply_is_the_pose_of_each_point(dtype: type, order: str) -> None:
    times = RNG.integers(TIMES[0] - 5_000_000, TIMES[-1] + 5_000_000, 40_000)
    if order == "sorted":
        times = np.sort(times)
    points = RNG.uniform(-50, 50, (40_000, 3)).astype(dtype)
    tolerance = 1e-4 if dtype is np.float32 else 1e-11
    moved = PATH.apply(times, points)
    assert moved.dtype == dtype
    np.testing.assert_allclose(moved, PATH.at(times) @ points.astype(np.float64), atol=tolerance)
    np.testing.assert_allclose(PATH.apply_inverse(times, moved), points, atol=tolerance)


def test_apply_leaves_its_input_alone_however_it_is_stored() -> None:
    for points in (np.ones((6, 3)), np.asfortranarray(np.ones((6, 3)))):
        PATH.apply(np.full(6, TIMES[2]), points)
        np.testing.assert_array_equal(points, 1.0)


def test_one_sample_stands_still() -> None:
    still = Trajectory([5], POSES[:1], max_extrapolation_ns=10)
    np.testing.assert_allclose(still.at([0, 15]).matrix, np.stack([POSES.matrix[0]] * 2))
    np.testing.assert_array_equal(still.velocity(7), np.zeros((2, 3)))
    points = RNG.normal(size=(3, 3))
    np.testing.assert_allclose(still.apply(np.array([0, 5, 15]), points), POSES[0] @ points)
    np.testing.assert_allclose(still.apply_inverse(np.array([0, 5, 15]), points), POSES[0].inverse() @ points)
    with pytest.raises(ValueError, match="outside"):
        still.at(16)


def test_relative_to_sees_the_same_motion() -> None:
    instant = int(TIMES[1]) + 3_000_000
    seen = PATH.relative_to(instant)
    np.testing.assert_allclose(seen.at(instant).matrix, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(seen.at(TIMES).matrix, (PATH.at(instant).inverse() @ POSES).matrix, atol=1e-12)


@pytest.mark.parametrize("offset", [-2_000_000, 4_000_000, 27_000_000, 45_000_000, 62_000_000])
def test_velocity_is_the_derivative(offset: int) -> None:
    time, step = int(TIMES[0]) + offset, 1_000
    linear, angular = PATH.velocity(time)
    twist = (PATH.at(time - step).inverse() @ PATH.at(time + step)).log() / (2 * step * 1e-9)
    np.testing.assert_allclose(np.concatenate([linear, angular]), twist, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("times", [[], [0, 1, 2], [0, 10, 10, 20, 30], [0, 10, 5, 20, 30], [[0, 1, 2, 3, 4]]])
def test_wrong_samples_are_refused(times: list[int]) -> None:
    with pytest.raises(ValueError, match="trajectory"):
        Trajectory(times, POSES)
