"""Camera and LiDAR while driving: on a street of boxes whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.camera import KannalaBrandt, Pinhole
from calibration.cannot import CannotCalibrate
from calibration.lidar_camera import LidarCameraSettings, calibrate
from calibration.lidar_camera_score import Frame, Lens, Scorer, ScoreSettings
from calibration.lidar_edges import sweep_edges
from calibration.se3 import SE3

WIDTH, HEIGHT = 640, 300
LENS = Lens(Pinhole(fx=380.0, fy=380.0, cx=319.5, cy=140.0), WIDTH, HEIGHT)
CAM_SE3_LIDAR = SE3(np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]), np.array([0.05, -0.15, -0.1]))
BOXES = 44
HEIGHT_M = 1.7  # of the LiDAR above the road


def boxes(seed: int) -> np.ndarray:
    """(B, 7): middle x, y, half width, half depth, height, grey, reflectance; LiDAR frame at the first frame."""
    rng = np.random.default_rng(seed)
    side = rng.choice([-1.0, 1.0], BOXES)
    return np.stack(
        [
            rng.uniform(6, 45, BOXES), side * rng.uniform(2.5, 9, BOXES),
            rng.uniform(0.1, 1.2, BOXES), rng.uniform(0.1, 2, BOXES),
            rng.uniform(1.2, 4.5, BOXES), rng.uniform(20, 235, BOXES), rng.uniform(0.05, 0.9, BOXES),
        ],
        axis=1,
    )  # fmt: skip


def cast(rays: np.ndarray, origin: np.ndarray, world: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) range, grey and reflectance along unit rays: boxes, a striped road, a wall far away."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(rays[:, 2] < 0, (-HEIGHT_M - origin[2]) / rays[:, 2], np.inf)
        far = np.where(rays[:, 0] > 0, (90.0 - origin[0]) / rays[:, 0], np.inf)
        at = origin[:2] + np.where(np.isfinite(ground), ground, 0)[:, None] * rays[:, :2]
        stripe = (np.abs(np.abs(at[:, 1]) - 1.8) < 0.12) & (np.mod(at[:, 0], 6) < 3)
        best = np.minimum(ground, far)
        grey = np.where(far < ground, 150.0, np.where(stripe, 230.0, 80.0))
        shine = np.where(far < ground, 0.3, np.where(stripe, 0.9, 0.15))
        for x, y, w, d, h, g, r in world:
            low, high = np.array([x - d, y - w, -HEIGHT_M]), np.array([x + d, y + w, h - HEIGHT_M])
            a, b = (low - origin) / rays, (high - origin) / rays
            near, away = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
            hit = (near < away) & (near > 0.5) & (near < best)
            best, grey, shine = np.where(hit, near, best), np.where(hit, g, grey), np.where(hit, r, shine)
    return best, grey, shine


def street(seed: int, number: int = 6) -> list[Frame]:
    world, rng = boxes(seed), np.random.default_rng(seed + 100)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    of_camera = LENS.camera.unproject(np.stack([u.ravel(), v.ravel()], axis=-1).astype(float))
    lidar_SE3_cam = CAM_SE3_LIDAR.inverse()
    elevation, azimuth = np.meshgrid(
        np.radians(np.linspace(-18, 8, 48)), np.radians(np.arange(-50, 50, 0.25)), indexing="ij"
    )
    level = np.cos(elevation)
    beams = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1).reshape(-1, 3)
    ring = np.repeat(np.arange(48), azimuth.shape[1])
    frames = []
    for k in range(number):
        here = np.array([0.8 * k, 0.0, 0.0])
        seen = cast(lidar_SE3_cam.rotate(of_camera), here + lidar_SE3_cam.translation, world)[1]
        grey = cv2.GaussianBlur(seen.reshape(HEIGHT, WIDTH).astype(np.float32), (0, 0), 0.7)
        grey = np.clip(grey + rng.normal(0, 4, grey.shape), 0, 255).astype(np.uint8)
        range_m, _, shine = cast(beams, here, world)
        good = range_m < 80
        xyz = beams[good] * (range_m[good] + rng.normal(0, 0.02, good.sum()))[:, None]
        frames.append(Frame(grey, xyz, np.clip(shine[good] + rng.normal(0, 0.03, good.sum()), 0, 1), ring[good]))
    return frames


def turned(degrees: float, seed: int) -> SE3:
    axis = np.random.default_rng(seed).normal(size=3)
    turn = np.radians(degrees) * axis / np.linalg.norm(axis)
    return SE3(SE3.exp([0, 0, 0, *turn]).rotation @ CAM_SE3_LIDAR.rotation, CAM_SE3_LIDAR.translation)


def error_deg(found: SE3) -> np.ndarray:
    return np.degrees(SE3(found.rotation @ CAM_SE3_LIDAR.rotation.T, np.zeros(3)).rotation_vector)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return street(1)


@pytest.mark.slow
def test_a_degree_is_found_within_the_stated_covariance(frames: list[Frame]) -> None:
    # boxes of one grey are poor in texture: the best pose stands out less than on a real street
    found = calibrate(frames, LENS, turned(1.0, 4), LidarCameraSettings(min_clear=0.05))
    error = error_deg(found.cam_SE3_lidar)
    assert found.doubts == ()
    assert np.linalg.norm(error) < 0.2
    assert (np.abs(error) < 3 * found.sd_deg).all()
    assert (found.cues > found.at_start)[[0, 2]].all()


@pytest.mark.slow
def test_a_start_beyond_the_reach_and_pictures_of_another_place_leave_it_unsure(frames: list[Frame]) -> None:
    assert calibrate(frames, LENS, turned(4.5, 2)).doubts
    elsewhere = [f._replace(grey=other.grey) for f, other in zip(frames, street(7), strict=True)]
    assert calibrate(elsewhere, LENS, turned(1.0, 4)).doubts


@pytest.mark.slow
def test_too_little_is_refused(frames: list[Frame]) -> None:
    with pytest.raises(CannotCalibrate, match="3 frames, at least 5"):
        calibrate(frames[:3], LENS, CAM_SE3_LIDAR)
    flat = [f._replace(xyz=f.xyz[:200], intensity=f.intensity[:200], ring=f.ring[:200]) for f in frames]
    with pytest.raises(CannotCalibrate, match="at jumps of depth"):
        calibrate(flat, LENS, CAM_SE3_LIDAR)


def test_a_distorted_picture_scores_as_its_undistorted_one() -> None:
    frame = street(2, number=1)[0]
    straight = Scorer([frame], LENS, CAM_SE3_LIDAR).parts(np.zeros(3), -1).cues()
    bent = KannalaBrandt(fx=380.0, fy=380.0, cx=319.5, cy=140.0)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([u.ravel(), v.ravel()], axis=-1).astype(float)
    at, _ = LENS.camera.project(bent.unproject(pixels))
    maps = np.nan_to_num(at, nan=-1e4).astype(np.float32).reshape(HEIGHT, WIDTH, 2)
    fisheye = frame._replace(grey=cv2.remap(frame.grey, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR))
    curved = Scorer([fisheye], Lens(bent, WIDTH, HEIGHT), CAM_SE3_LIDAR).parts(np.zeros(3), -1).cues()
    assert curved == pytest.approx(straight, rel=0.15)


@pytest.mark.slow
def test_the_denominator_does_not_change_with_the_pose(frames: list[Frame]) -> None:
    scorer = Scorer(frames[:2], LENS, CAM_SE3_LIDAR)
    far = scorer.parts(np.radians([1.2, -1.2, 0.8]), 0)
    here = scorer.parts(np.zeros(3), 0)
    assert (far.jumps[:, 1] == here.jumps[:, 1]).all()
    assert far.joint.sum() == pytest.approx(here.joint.sum())


def test_edges_without_rings_are_mostly_those_with_them() -> None:
    frame = street(3, number=1)[0]
    by_ring = sweep_edges(frame.xyz, frame.intensity, frame.ring).jump
    blind = sweep_edges(frame.xyz, frame.intensity, np.zeros_like(frame.ring)).jump
    assert len(np.intersect1d(by_ring, blind)) > 0.85 * max(len(by_ring), len(blind))


@pytest.mark.slow
def test_weights_of_cues_and_reach_are_settings(frames: list[Frame]) -> None:
    settings = LidarCameraSettings(score=ScoreSettings(reach_deg=0.5))
    assert any("border" in doubt for doubt in calibrate(frames, LENS, turned(1.5, 3), settings).doubts)
