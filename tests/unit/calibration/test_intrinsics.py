"""Intrinsics: what the bundle claims holds on simulated boards, and what it refuses."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, inside
from calibration.cannot import CannotCalibrate
from calibration.intrinsics.board import Charuco, Chessboard, View
from calibration.intrinsics.bundle import ModelName, calibrate, refit_poses
from calibration.least_squares import rms
from calibration.se3 import SE3

WIDTH, HEIGHT = 1280, 800
BOARD = Chessboard(columns=9, rows=6, square=0.05)
PINHOLE = Pinhole(fx=900.0, fy=905.0, cx=645.0, cy=395.0, k1=-0.28, k2=0.09, p1=0.0008, p2=-0.0004, k3=-0.01)
FISHEYE = KannalaBrandt(fx=520.0, fy=521.0, cx=640.0, cy=402.0, k1=-0.03, k2=0.01, k3=-0.004, k4=0.0007)


def views_of(camera: CameraModel, seed: int, number: int = 10, noise: float = 0.2, tilt: float = 0.6) -> list[View]:
    """The board held wherever all of it is seen."""
    rng = np.random.default_rng(seed)
    views: list[View] = []
    while len(views) < number:
        turn = SE3.exp([0, 0, 0, *rng.uniform(-tilt, tilt, 3)])
        place = SE3(np.eye(3), np.array([*rng.uniform(-0.6, 0.6, 2), rng.uniform(0.6, 1.3)]))
        points = (place @ turn) @ (BOARD.corners - BOARD.corners.mean(axis=0))
        pixels, seen = camera.project(points)
        if seen.all() and inside(pixels, WIDTH, HEIGHT).all():
            noisy = pixels + rng.normal(0, noise, pixels.shape)
            views.append(View(f"{len(views)}", BOARD.corners, noisy))
    return views


@pytest.mark.parametrize(("model", "truth"), [("pinhole", PINHOLE), ("kannala_brandt", FISHEYE)])
def test_errors_lie_within_the_stated_covariance(model: ModelName, truth: CameraModel) -> None:
    sigmas = []
    for seed in range(2):
        found = calibrate(views_of(truth, seed), WIDTH, HEIGHT, model)
        error = np.array(msgspec.structs.astuple(found.camera)) - np.array(msgspec.structs.astuple(truth))
        assert found.rms == pytest.approx(0.2 * np.sqrt(2), rel=0.1)
        sigmas += list(error / np.sqrt(np.diag(found.cov)))
    assert np.abs(sigmas).max() < 4.0
    assert (np.abs(sigmas) < 2.0).mean() > 0.8
    assert (np.abs(sigmas) < 1.0).mean() > 0.4


def test_wrong_corners_and_a_wrong_view_do_not_turn_the_answer() -> None:
    views = views_of(PINHOLE, 5)
    views[3].pixels[7] += 25.0
    views[6] = views[6]._replace(pixels=views[6].pixels[np.random.default_rng(0).permutation(len(views[6].pixels))])
    found = calibrate(views, WIDTH, HEIGHT, "pinhole")
    assert "6" in found.left_out
    assert abs(found.camera.fx - PINHOLE.fx) < 4 * found.sd["fx"] < 20


def test_known_intrinsics_leave_the_noise_only() -> None:
    assert rms(refit_poses(views_of(PINHOLE, 1), PINHOLE)) == pytest.approx(0.2 * np.sqrt(2), rel=0.1)


@pytest.mark.parametrize(
    ("number", "tilt", "why"),
    [
        (3, 0.6, "at least 4"),
        pytest.param(8, 0.0, "known only|too much alike|fit no pose", marks=pytest.mark.slow),
    ],
)
def test_too_little_is_refused_with_what_to_record(number: int, tilt: float, why: str) -> None:
    with pytest.raises(CannotCalibrate, match=why) as refused:
        calibrate(views_of(PINHOLE, 2, number, tilt=tilt), WIDTH, HEIGHT, "pinhole")
    assert "tilted" in refused.value.record


CHARUCO = Charuco(columns=8, rows=6, square=0.06, marker=0.045)


HALF = PINHOLE.scaled(0.5)


def rendered(cam_SE3_board: SE3) -> np.ndarray:
    """(400, 640) uint8: the printed board as the camera sees it, every pixel of a finer image traced back to it."""
    per_square, fine, margin = 40, 2, 40
    paper = cv2.copyMakeBorder(CHARUCO.picture(per_square), *[margin] * 4, cv2.BORDER_CONSTANT, value=255)
    v, u = np.mgrid[: HEIGHT // 2 * fine, : WIDTH // 2 * fine]
    rays = HALF.scaled(fine).unproject(np.stack([u.ravel(), v.ravel()], axis=-1).astype(float))
    normal, origin = cam_SE3_board.rotation[:, 2], cam_SE3_board.translation
    hits = rays * ((normal @ origin) / (rays @ normal))[:, None]
    on_board = (hits - origin) @ cam_SE3_board.rotation
    at = (on_board[:, :2] / CHARUCO.square * per_square + margin - 0.5).astype(np.float32).reshape(*u.shape, 2)
    seen = cv2.remap(paper, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=120)
    return cv2.resize(seen, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def charuco_set() -> dict[str, np.ndarray]:
    places = ((-0.3, -0.2, 0.4, 0.4), (-0.2, -0.25, -0.4, 0.4), (-0.3, -0.1, 0.3, -0.4), (-0.2, -0.15, -0.4, -0.4))
    poses = [SE3(SE3.exp([0, 0, 0, tilt, turn, 0.1]).rotation, [x, y, 0.7]) for x, y, turn, tilt in places]
    poses += [SE3(SE3.exp([0, 0, 0, tilt, 0, 0]).rotation, [-0.25, -0.18, 0.6]) for tilt in (-0.5, 0.5)]
    return {f"{i}": rendered(pose) for i, pose in enumerate(poses)}


def test_a_rendered_charuco_set_gives_back_its_camera(charuco_set: dict[str, np.ndarray]) -> None:
    views = [CHARUCO.find(name, picture) for name, picture in charuco_set.items()]
    found = calibrate([view for view in views if view is not None], WIDTH // 2, HEIGHT // 2, "pinhole")
    assert len(found.views) >= 5
    assert found.rms < 0.25
    assert abs(found.camera.fx - HALF.fx) < max(4 * found.sd["fx"], 0.005 * HALF.fx)
    assert abs(found.camera.cx - HALF.cx) < max(4 * found.sd["cx"], 3.0)


def test_a_mirrored_board_is_named_and_no_board_is_none(charuco_set: dict[str, np.ndarray]) -> None:
    with pytest.raises(CannotCalibrate, match="mirrored"):
        CHARUCO.find("mirrored", np.ascontiguousarray(charuco_set["0"][:, ::-1]))
    assert CHARUCO.find("grey", np.full((200, 300), 128, np.uint8)) is None
    assert BOARD.find("grey", np.full((200, 300), 128, np.uint8)) is None


def test_boards_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="corners"):
        Chessboard(columns=2, rows=6, square=0.1)
    with pytest.raises(ValueError, match="square"):
        Chessboard(columns=9, rows=6, square=0.0)
    with pytest.raises(ValueError, match="marker"):
        Charuco(columns=8, rows=6, square=0.05, marker=0.06)
    with pytest.raises(ValueError, match="dictionary"):
        Charuco(columns=8, rows=6, square=0.05, marker=0.03, dictionary="os")
