from __future__ import annotations

import numpy as np
import pytest

from calibration.se3 import SE3
from fusion.odometry.planar import Step
from fusion.odometry.scan_match import ScanMatchSettings, match, prepare

SETTINGS = ScanMatchSettings()


def street(seen_from: SE3, rng: np.random.Generator) -> np.ndarray:
    """Ground, two broken walls and posts, as points (N, 3) in the vehicle's frame."""
    x = rng.uniform(-30, 30, 6000)
    wall = np.stack([x, np.where(rng.random(6000) < 0.5, 8.0, -6.0), rng.uniform(0, 3, 6000)], axis=1)
    wall = wall[np.sin(wall[:, 0]) > -0.6]
    posts = np.array([[-12.0, 5], [3, 6], [9, -4], [18, 5], [25, -3]])
    post = np.repeat(posts, 200, axis=0) + rng.normal(0, 0.05, (1000, 2))
    ground = np.column_stack([rng.uniform(-30, 30, (6000, 2)), np.zeros(6000)])
    world = np.concatenate([wall, np.column_stack([post, rng.uniform(0, 3, 1000)]), ground])
    return (seen_from.inverse() @ world + rng.normal(0, 0.02, world.shape)).astype(np.float32)


def test_the_motion_between_two_sweeps_is_found() -> None:
    rng = np.random.default_rng(1)
    moved = SE3.from_yaw(0.05, (0.9, 0.03, 0.0))
    before, after = prepare(street(SE3.identity(), rng), SETTINGS), prepare(street(moved, rng), SETTINGS)
    assert before is not None
    assert after is not None
    predicted = Step(np.array([0.7, 0.0, 0.03]), np.diag([0.2, 0.1, 0.03]) ** 2)
    found = match(before, after, predicted, SETTINGS)
    assert found is not None
    assert found.moved == pytest.approx([0.9, 0.03, 0.05], abs=0.03)
    error = found.moved - [0.9, 0.03, 0.05]
    assert error @ np.linalg.solve(found.cov, error) < 16.0
    again = match(before, after, predicted, SETTINGS)
    assert again is not None
    assert again.moved.tobytes() == found.moved.tobytes()


def test_sweeps_of_different_places_do_not_fit() -> None:
    rng = np.random.default_rng(2)
    here = prepare(street(SE3.identity(), rng), SETTINGS)
    there = prepare(rng.uniform(-40, 40, (6000, 3)).astype(np.float32) + np.float32([0, 0, 60]), SETTINGS)
    assert here is not None
    assert there is not None
    assert match(here, there, Step(np.zeros(3), np.eye(3) * 1e-4), SETTINGS) is None


def test_too_little_is_no_sweep() -> None:
    assert prepare(np.zeros((0, 3), np.float32), SETTINGS) is None
    assert prepare(np.full((500, 3), np.nan, np.float32), SETTINGS) is None
    assert prepare(np.ones((500, 3), np.float32), SETTINGS) is None  # all on the vehicle itself
