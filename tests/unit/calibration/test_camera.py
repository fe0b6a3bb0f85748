"""Camera models against OpenCV, and where each of them ends."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational, inside

PINHOLE = Pinhole(fx=1000.0, fy=980.0, cx=959.5, cy=539.5, k1=-0.28, k2=0.09, p1=0.0008, p2=-0.0011, k3=0.012)
RATIONAL = Rational(
    fx=1000.0, fy=980.0, cx=959.5, cy=539.5, k1=0.9, k2=0.3, p1=1e-4, p2=-2e-4, k3=0.01, k4=1.2, k5=0.5, k6=0.05
)
FISHEYE = KannalaBrandt(fx=420.0, fy=425.0, cx=639.5, cy=479.5, k1=-0.02, k2=0.008, k3=-0.003, k4=0.0004)
MODELS = [PINHOLE, RATIONAL, FISHEYE, Pinhole(fx=500.0, fy=500.0, cx=320.0, cy=180.0)]


def directions(model: CameraModel, count: int = 2000, share: float = 0.95) -> np.ndarray:
    """(N, 3) unit vectors evenly up to a share of the model's angle, itself kept under 80 degrees for a pinhole."""
    rng = np.random.default_rng(0)
    end = model.max_angle * share if isinstance(model, KannalaBrandt) else min(model.max_angle * share, np.radians(80))
    theta, phi = rng.uniform(0, end, count), rng.uniform(-np.pi, np.pi, count)
    return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)


@pytest.mark.parametrize("seed", range(8))
def test_perspective_models_agree_with_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k1, k2, p1, p2, k3, k4, k5, k6 = rng.normal(0, [0.2, 0.05, 1e-3, 1e-3, 0.01, 0.2, 0.05, 0.01])
    fx, fy, cx, cy = rng.uniform([300, 300, 200, 150], [1500, 1500, 900, 600])
    intrinsics = {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "k1": k1, "k2": k2, "p1": p1, "p2": p2, "k3": k3}
    points = rng.uniform([-1, -1, 1], [1, 1, 2], (500, 3)) * rng.uniform(1, 50, (500, 1))
    for model, coefficients in (
        (Pinhole(**intrinsics), (k1, k2, p1, p2, k3)),
        (Rational(**intrinsics, k4=k4, k5=k5, k6=k6), (k1, k2, p1, p2, k3, k4, k5, k6)),
    ):
        expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), model.matrix, np.array(coefficients))[0]
        pixels, valid = model.project(points)
        assert valid.any()
        np.testing.assert_allclose(pixels[valid], expected[valid, 0], atol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_fisheye_agrees_with_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = rng.normal(0, [0.05, 0.02, 0.01, 0.003])
    fx, fy, cx, cy = rng.uniform([200, 200, 200, 150], [700, 700, 900, 600])
    model = KannalaBrandt(fx=fx, fy=fy, cx=cx, cy=cy, k1=k[0], k2=k[1], k3=k[2], k4=k[3])
    points = rng.uniform([-3, -3, 0.3], [3, 3, 2], (500, 3)) * rng.uniform(1, 50, (500, 1))
    expected, _ = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), model.matrix, k)
    pixels, valid = model.project(points)
    assert valid.any()
    np.testing.assert_allclose(pixels[valid], expected[valid, 0], atol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_unproject_inverts_project(model: CameraModel) -> None:
    rays = directions(model)
    pixels, valid = model.project(rays * 7.0)
    assert valid.all()
    np.testing.assert_allclose(model.unproject(pixels), rays, atol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_project_inverts_unproject_on_the_whole_image(model: CameraModel) -> None:
    u, v = np.meshgrid(np.linspace(0, 2 * model.cx, 40), np.linspace(0, 2 * model.cy, 40))
    pixels = np.stack([u.ravel(), v.ravel()], axis=-1)
    rays = model.unproject(pixels)
    known = np.isfinite(rays).all(axis=1)
    assert known.mean() > 0.9
    again, valid = model.project(rays[known])
    assert valid.all()
    np.testing.assert_allclose(again, pixels[known], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rays[known], axis=1), 1.0)


def test_beyond_the_turning_point_nothing_is_valid() -> None:
    """With k1 = -0.3 alone, r (1 + k1 r^2) turns back at r = 1 / sqrt(0.9)."""
    model = Pinhole(fx=500.0, fy=500.0, cx=320.0, cy=180.0, k1=-0.3)
    turning = 1.0 / np.sqrt(0.9)
    assert model.max_angle == pytest.approx(np.arctan(turning))
    points = np.array([[turning * 0.999, 0.0, 1.0], [turning * 1.001, 0.0, 1.0], [0.0, -2.0, 1.0]])
    pixels, valid = model.project(points)
    assert valid.tolist() == [True, False, False]
    assert np.isnan(pixels[1:]).all()
    edge = turning * (1 - 0.3 * turning**2) * 500.0
    rays = model.unproject([[320.0 + edge * 0.999, 180.0], [320.0 + edge * 1.001, 180.0]])
    assert np.isfinite(rays[0]).all()
    assert np.isnan(rays[1]).all()


def test_a_pole_of_the_rational_model_is_its_end() -> None:
    model = Rational(fx=500.0, fy=500.0, cx=320.0, cy=180.0, k4=-0.5)  # 1 / (1 - 0.5 r^2)
    assert model.max_angle == pytest.approx(np.arctan(np.sqrt(2.0)))
    assert model.project([[1.5, 0.0, 1.0]])[1].tolist() == [False]
    np.testing.assert_allclose(model.unproject(model.project([[1.0, 0.0, 1.0]])[0]), np.array([[1, 0, 1]]) / np.sqrt(2))


def test_models_without_limit() -> None:
    assert Pinhole(fx=1.0, fy=1.0, cx=0.0, cy=0.0).max_angle == pytest.approx(np.pi / 2)
    assert KannalaBrandt(fx=1.0, fy=1.0, cx=0.0, cy=0.0).max_angle == pytest.approx(np.pi)


def test_fisheye_sees_behind_itself_and_pinhole_does_not() -> None:
    sideways_back = np.array([[1.0, 0.0, -0.2]])
    wide = KannalaBrandt(fx=300.0, fy=300.0, cx=500.0, cy=500.0)
    pixels, valid = wide.project(sideways_back)
    assert valid.tolist() == [True]
    assert pixels[0, 0] == pytest.approx(500.0 + 300.0 * np.arctan2(1.0, -0.2))
    np.testing.assert_allclose(wide.unproject(pixels), sideways_back / np.linalg.norm(sideways_back), atol=1e-12)
    assert PINHOLE.project(sideways_back)[1].tolist() == [False]


@pytest.mark.parametrize("model", MODELS)
def test_points_that_are_no_directions(model: CameraModel) -> None:
    nan, inf = np.nan, np.inf
    points = np.array([[0, 0, 0], [nan, 0, 1], [0, inf, 1], [0, 0, -1], [0, 0, nan], [0, 0, 2.0]])
    pixels, valid = model.project(points)
    assert valid.tolist() == [False] * 5 + [True]
    np.testing.assert_allclose(pixels[5], [model.cx, model.cy])
    assert np.isnan(pixels[:5]).all()
    assert np.isnan(model.unproject([[nan, 3.0], [inf, 3.0]])).all()
    np.testing.assert_allclose(model.unproject([[model.cx, model.cy]]), [[0, 0, 1]], atol=1e-12)
    assert model.project(np.zeros((0, 3)))[0].shape == (0, 2)
    assert model.unproject(np.zeros((0, 2))).shape == (0, 3)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0])
def test_scaled_agrees_with_resized_image(model: CameraModel, factor: float) -> None:
    """Edges of the image stay edges: (u + 0.5) scales, not u."""
    rays = directions(model, 100)
    pixels, _ = model.project(rays)
    resized, _ = model.scaled(factor).project(rays)
    np.testing.assert_allclose(resized + 0.5, (pixels + 0.5) * factor, atol=1e-8)


def test_scaled_agrees_with_opencv_resize() -> None:
    """A bright square, drawn at full size and shrunk by OpenCV, lies where the scaled model says."""
    model = Pinhole(fx=400.0, fy=400.0, cx=319.5, cy=179.5)
    image = np.zeros((360, 640), np.float32)
    image[100:108, 400:408] = 1.0
    centre = model.unproject([[403.5, 103.5]])
    small = cv2.resize(image, (160, 90), interpolation=cv2.INTER_AREA)
    v, u = np.mgrid[:90, :160]
    found = np.array([(u * small).sum(), (v * small).sum()]) / small.sum()
    np.testing.assert_allclose(model.scaled(0.25).project(centre)[0][0], found, atol=1e-3)


def test_inside_image() -> None:
    pixels = np.array([[-0.5, 0.0], [-0.51, 0.0], [639.4, 359.4], [639.5, 100.0], [5.0, 359.5], [np.nan, 3.0]])
    assert inside(pixels, 640, 360).tolist() == [True, False, True, False, False, False]


def test_intrinsics_are_checked() -> None:
    with pytest.raises(ValueError, match="fx, fy: expected > 0"):
        Pinhole(fx=0.0, fy=1.0, cx=0.0, cy=0.0)
    with pytest.raises(ValueError, match="expected finite"):
        KannalaBrandt(fx=1.0, fy=1.0, cx=0.0, cy=0.0, k2=float("inf"))
    with pytest.raises(msgspec.ValidationError, match="model"):
        msgspec.convert({"model": "fisheye62", "fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0}, CameraModel)
