"""Camera and LiDAR from a board: on sweeps of a room whose truth is known, and on real ones."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.board_patches import BoardShape
from calibration.cannot import CannotCalibrate
from calibration.lidar_board import BoardPose, calibrate, leave_one_out, misfit_of
from calibration.se3 import SE3

PLATE = BoardShape(width=0.6, height=0.8, centre=(0.1, 0.2))
CAM_SE3_LIDAR = SE3(np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]), np.array([0.1, -0.2, 0.05]))
PLACES = (
    (2.0, -0.6, 25.0, 20.0),
    (2.6, 0.5, -30.0, -15.0),
    (3.2, 0.0, 10.0, 30.0),
    (2.2, 0.3, -20.0, 35.0),
    (3.0, -0.8, 35.0, -25.0),
)


def seen(place: tuple[float, float, float, float], number: int, noise_m: float = 0.01) -> BoardPose:
    """A sweep of 32 lines of a plate before a wall; place: metres ahead and to the left, yaw and tilt, degrees."""
    ahead, left, yaw, tilt = place
    turn = SE3.from_yaw(np.radians(yaw), (0.0, 0.0, 0.0)).rotation @ _about_x(tilt + 45.0)
    facing = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # board z is ahead
    lidar_SE3_board = SE3(turn @ facing, np.array([ahead, left, 0.0]))
    elevation, azimuth = np.meshgrid(
        np.radians(np.linspace(-16, 16, 32)), np.radians(np.arange(-50, 50, 0.3)), indexing="ij"
    )
    rays = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    ).reshape(-1, 3)
    normal, middle = lidar_SE3_board.rotation[:, 2], lidar_SE3_board.translation
    board = (middle @ normal) / (rays @ normal)
    hit = (board > 0) & (PLATE.outside(lidar_SE3_board.inverse() @ (rays * board[:, None])) < 0)
    range_m = np.where(hit, board, 5.5 / rays[:, 0])
    range_m += np.random.default_rng(number).normal(0.0, noise_m, len(rays))
    ring = np.repeat(np.arange(32), azimuth.shape[1])
    return BoardPose(str(number), CAM_SE3_LIDAR @ lidar_SE3_board, rays * range_m[:, None], ring)


def _about_x(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def test_the_pose_is_found_without_a_guess_and_within_its_uncertainty() -> None:
    found = calibrate([seen(place, k) for k, place in enumerate(PLACES)], PLATE)
    error = (found.cam_SE3_lidar @ CAM_SE3_LIDAR.inverse()).log()
    assert np.linalg.norm(error[:3]) < 0.02
    assert np.degrees(np.linalg.norm(error[3:])) < 0.3
    assert (np.abs(error) < 4 * np.sqrt(np.diag(found.cov)) + 1e-3).all()
    assert found.left_out == ()


def test_too_few_poses_and_sweeps_without_the_board_are_said() -> None:
    poses = [seen(place, k) for k, place in enumerate(PLACES)]
    with pytest.raises(CannotCalibrate, match="3 poses of the board, at least 4"):
        calibrate(poses[:3], PLATE)
    with pytest.raises(CannotCalibrate, match="in 0 of 5 sweeps"):
        calibrate([pose._replace(xyz=pose.xyz[:50], ring=pose.ring[:50]) for pose in poses], PLATE)


def test_each_pose_is_judged_by_the_others_and_a_wrong_transform_fits_worse() -> None:
    found = calibrate([seen(place, k) for k, place in enumerate(PLACES)], PLATE)
    held_out = leave_one_out(found, PLATE)
    assert [h.name for h in held_out] == ["0", "1", "2", "3", "4"]
    assert all(h.plane_m < 0.03 and h.moved_deg < 1.0 for h in held_out)
    own = [float(np.abs(found.plane_m[found.pose_of == i]).mean()) for i in range(5)]
    assert sum(h.plane_m for h in held_out) > 0.98 * sum(own)
    wrong = SE3.exp([0.05, 0, 0, 0, 0.02, 0]) @ found.cam_SE3_lidar
    assert misfit_of(found, wrong)[0] > 1.5 * found.mean_plane_m


def test_a_pose_whose_sweep_shows_another_place_is_left_out_by_name() -> None:
    poses = [seen(place, k) for k, place in enumerate(PLACES)]
    elsewhere = seen((2.4, 1.2, 0.0, 0.0), 7)
    poses.append(poses[0]._replace(name="moved", xyz=elsewhere.xyz, ring=elsewhere.ring))
    assert calibrate(poses, PLATE).left_out == ("moved",)
