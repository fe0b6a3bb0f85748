from __future__ import annotations

import numpy as np
import pytest

from calibration.se3 import SE3
from fusion.detect.doppler import OwnVelocity
from fusion.odometry.planar import PlanarOdometry, PlanarSettings, Step

AHEAD = SE3.from_yaw(0.1, (3.5, 0.4, 0.5))
S = 1_000_000_000


def at_radar(speed: float, turn: float) -> OwnVelocity:
    """What a radar ahead of the rear axle measures without error."""
    x, y, _ = AHEAD.translation
    velocity = AHEAD.inverse().rotate([speed - turn * y, turn * x, 0.0])[:2]
    return OwnVelocity(velocity, 0.02**2 * np.eye(2), 0.9)


def circle(seconds: float, speed: float, turn: float) -> SE3:
    return SE3.exp(np.array([speed, 0.0, 0.0, 0.0, 0.0, turn]) * seconds)


def test_one_radar_ahead_of_the_axle_tells_speed_and_turn() -> None:
    planar = PlanarOdometry(PlanarSettings(), 0)
    for k in range(41):
        planar.advance(k * S // 20)
        assert planar.doppler(at_radar(8.0, 0.3), AHEAD)
    assert planar.velocity == pytest.approx([8.0, 0.0, 0.3], abs=0.03)
    apart = circle(2.0, 8.0, 0.3).inverse() @ planar.pose
    assert np.linalg.norm(apart.translation) < 0.5  # of 16 m; the first step was taken before anything was known
    assert float(apart.yaw) == pytest.approx(0.0, abs=0.03)
    forward, left, turn = np.sqrt(np.diag(planar.velocity_cov))
    assert forward < 0.1
    assert left < 0.15
    assert turn < 0.05


def test_matched_sweeps_alone_tell_the_same() -> None:
    planar, cov = PlanarOdometry(PlanarSettings(), 0), np.diag([0.02, 0.02, 0.002]) ** 2
    moved = circle(0.1, 8.0, 0.3)
    seen = Step(np.array([*moved.translation[:2], float(moved.yaw)]), cov)
    for k in range(1, 31):
        planar.advance(k * S // 10)
        assert planar.step(seen)
        planar.anchor()
    assert planar.velocity == pytest.approx([8.0, 0.0, 0.3], abs=0.05)
    apart = circle(3.0, 8.0, 0.3).inverse() @ planar.pose
    assert np.linalg.norm(apart.translation) < 0.1


def test_a_sweep_that_comes_late_is_taken_at_its_own_time() -> None:
    planar = PlanarOdometry(PlanarSettings(), 0)
    for k in range(1, 21):
        planar.advance(k * S // 20)
        planar.doppler(at_radar(10.0, 0.0), AHEAD)
    planar.anchor(late_s=0.04)
    assert planar.moved.moved[0] == pytest.approx(0.4, abs=0.02)
    planar.advance(20 * S // 20 + S // 10)
    before = planar.pose
    assert planar.step(Step(np.array([1.0, 0.0, 0.0]), np.diag([0.01, 0.01, 0.001]) ** 2), late_s=0.04)
    assert np.linalg.norm(planar.pose.translation - before.translation) < 0.02


def test_what_cannot_be_is_not_believed_and_the_past_changes_nothing() -> None:
    planar = PlanarOdometry(PlanarSettings(), S)
    for k in range(20, 40):
        planar.advance(k * S // 20)
        planar.doppler(at_radar(10.0, 0.0), AHEAD)
    assert not planar.doppler(at_radar(20.4, 0.0), AHEAD)  # one ambiguity off
    assert planar.rejected == 1
    pose = planar.pose
    planar.advance(0)
    assert planar.time_ns == 39 * S // 20
    np.testing.assert_array_equal(planar.pose.matrix, pose.matrix)


def test_uncertainty_grows_while_nothing_is_measured() -> None:
    planar = PlanarOdometry(PlanarSettings(), 0)
    planar.doppler(at_radar(10.0, 0.0), AHEAD)
    before = planar.velocity_cov[0, 0]
    planar.advance(S)
    assert planar.velocity_cov[0, 0] == pytest.approx(before + PlanarSettings().acceleration ** 2, rel=0.05)
    assert planar.moved.cov[0, 0] > before
