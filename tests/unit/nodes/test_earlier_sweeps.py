"""Which earlier sweep is given with a sweep, and that it lies where it was measured."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.earlier_sweeps import EarlierSweeps
from pipeline.core.messages import Stamp

SWEEP_NS = 100_000_000
SPEED = 15.0
TURN = 0.3  # rad/s


def stamp(time_ns: int, epoch: int = 0) -> Stamp:
    return Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=time_ns // SWEEP_NS, epoch=epoch)


def pose(seconds: float) -> SE3:
    """Driving a circle."""
    yaw, radius = TURN * seconds, SPEED / TURN
    turn = SE3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, yaw])).rotation
    return SE3(turn, np.array([radius * np.sin(yaw), radius * (1 - np.cos(yaw)), 0.0]))


def poses(time_ns: int) -> Trajectory:
    times = np.arange(time_ns - SWEEP_NS, time_ns + 1, SWEEP_NS // 10)
    return Trajectory(times, SE3.stack([pose(t * 1e-9) for t in times.tolist()]))


def seen(time_ns: int) -> np.ndarray:
    """(3, 3) posts that stand in the world, from the vehicle."""
    posts = np.array([[30.0, 5.0, 1.0], [10.0, -8.0, 0.5], [-20.0, 0.0, 2.0]])
    return np.asarray(pose(time_ns * 1e-9).inverse() @ posts, np.float32)


def test_what_stands_still_lies_where_it_lies_now() -> None:
    kept = EarlierSweeps(0.2)
    given = [kept.before(seen(t), stamp(t), poses(t)) for t in range(SWEEP_NS, 6 * SWEEP_NS, SWEEP_NS)]
    assert given[0] is None
    assert given[1] is not None
    assert given[1].gap_s == pytest.approx(0.1)  # half as old as wanted is near enough
    for i, earlier in enumerate(given[2:], start=2):
        assert earlier is not None
        assert earlier.gap_s == pytest.approx(0.2)
        np.testing.assert_allclose(earlier.xyz, seen((i + 1) * SWEEP_NS), atol=1e-3)


def test_none_is_given_without_poses_after_a_jump_of_them_or_from_another_epoch_of_the_clock() -> None:
    kept = EarlierSweeps(0.2)
    for t in range(SWEEP_NS, 4 * SWEEP_NS, SWEEP_NS):
        kept.before(seen(t), stamp(t), poses(t))
    t = 4 * SWEEP_NS
    jumped = Trajectory(poses(t).times_ns, SE3(np.eye(3), np.array([0.0, 40.0, 0.0])) @ poses(t).poses)
    assert kept.before(seen(t), stamp(t), jumped) is None
    t = 5 * SWEEP_NS
    assert kept.before(seen(t), stamp(t, epoch=1), poses(t)) is None
    t = 6 * SWEEP_NS
    assert kept.before(seen(t), stamp(t, epoch=1), None) is None
    t = 7 * SWEEP_NS
    assert kept.before(seen(t), stamp(t, epoch=1), poses(t)) is None  # forgotten when there were no poses


def test_where_none_is_wanted_none_is_kept() -> None:
    kept = EarlierSweeps(0.0)
    assert [kept.before(seen(t), stamp(t), poses(t)) for t in (SWEEP_NS, 3 * SWEEP_NS)] == [None, None]
