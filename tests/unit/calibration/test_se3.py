from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from calibration.se3 import SE3, hat, interpolate

AXES = np.random.default_rng(0).normal(size=(200, 3))
AXES /= np.linalg.norm(AXES, axis=1, keepdims=True)
ANGLES = [0.0, 1e-14, 1e-9, 1e-5, 0.3, 2.6, 2.7, 3.1, np.pi - 1e-7, np.pi]


@pytest.mark.parametrize("angle", ANGLES)
def test_rotations_agree_with_scipy(angle: float) -> None:
    expected = Rotation.from_rotvec(AXES * angle)
    pose = SE3.exp(np.concatenate([np.zeros((200, 3)), AXES * angle], axis=1))
    np.testing.assert_allclose(pose.rotation, expected.as_matrix(), atol=2e-15)
    found = SE3.from_quaternion(pose.quaternion, np.zeros((200, 3)))
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=3e-15)
    assert (pose.quaternion[:, 0] >= 0).all()
    again = Rotation.from_rotvec(pose.rotation_vector).as_matrix()  # at half a turn both signs of the axis are right
    np.testing.assert_allclose(again, pose.rotation, atol=3e-15)
    if angle < np.pi:
        np.testing.assert_allclose(pose.rotation_vector, AXES * angle, atol=1e-8)


@pytest.mark.parametrize("axis", np.eye(3).tolist())
def test_exact_half_turns(axis: list[float]) -> None:
    pose = SE3(2.0 * np.outer(axis, axis) - np.eye(3), np.zeros(3))
    np.testing.assert_allclose(pose.quaternion, [0.0, *axis])
    np.testing.assert_allclose(pose.rotation_vector, np.pi * np.array(axis))


@pytest.mark.parametrize("angle", ANGLES[:-1])
def test_exp_is_the_matrix_exponential(angle: float) -> None:
    rho = np.array([0.7, -2.0, 5.0])
    for axis in AXES[:5]:
        generator = np.zeros((4, 4))
        generator[:3, :3], generator[:3, 3] = hat(axis * angle), rho
        pose = SE3.exp(np.concatenate([rho, axis * angle]))
        np.testing.assert_allclose(pose.matrix, expm(generator), atol=1e-7)
        np.testing.assert_allclose(SE3.exp(pose.log()).matrix, pose.matrix, atol=1e-9)


def test_points_keep_float32_and_shape() -> None:
    pose = SE3.exp([1.0, 2.0, 3.0, 0.1, 0.2, 0.3])
    points = np.random.default_rng(1).normal(size=(10, 3))
    assert (pose @ points.astype(np.float32)).dtype == np.float32
    assert (pose @ points.astype(np.int64)).dtype == np.float64
    homogeneous = np.concatenate([points, np.ones((10, 1))], axis=1) @ pose.matrix.T
    np.testing.assert_allclose(pose @ points, homogeneous[:, :3])
    batch = SE3.exp(np.random.default_rng(2).normal(size=(10, 6)))
    np.testing.assert_allclose((batch @ points)[4], batch[4] @ points[4])
    np.testing.assert_allclose(pose.rotate(points), (pose @ points) - pose.translation)


def test_from_matrix_repairs_printed_digits() -> None:
    pose = SE3.exp([1.0, 2.0, 3.0, 0.4, 0.5, 0.6])
    rounded = SE3.from_matrix(pose.matrix.round(4))
    np.testing.assert_allclose(rounded.rotation.T @ rounded.rotation, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rounded.matrix, pose.matrix, atol=2e-4)


def test_yaw() -> None:
    assert SE3.from_yaw(-2.5).yaw == pytest.approx(-2.5)


def test_interpolate_extrapolates_at_constant_speed() -> None:
    start, end = SE3.from_yaw(0.1, [0, 0, 0]), SE3.from_yaw(0.3, [1, 2, 0])
    beyond = interpolate(start, end, 1.5)
    assert beyond.yaw == pytest.approx(0.4)
    np.testing.assert_allclose(beyond.translation, [1.5, 3.0, 0.0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: SE3(np.eye(4), np.zeros(3)), "expects"),
        (lambda: SE3(np.eye(3), np.zeros(2)), "expects"),
        (lambda: SE3(np.diag([1.0, 1.0, -1.0]), np.zeros(3)), "determinant"),
        (lambda: SE3(2 * np.eye(3), np.zeros(3)), "orthonormal"),
        (lambda: SE3(np.eye(3), np.array([0.0, np.nan, 0.0])), "finite"),
        (lambda: SE3.from_quaternion([2.0, 0, 0, 0], [0, 0, 0]), "length 1"),
        (lambda: SE3.from_quaternion([np.nan, 0, 0, 0], [0, 0, 0]), "length 1"),
        (lambda: SE3.from_quaternion([1.0, 0, 0, 0], [0, np.inf, 0]), "finite"),
        (lambda: SE3.from_quaternion([[1.0, 0, 0, 0]], [0, 0, 0]), "one per quaternion"),
        (lambda: SE3.from_matrix(np.eye(3)), "4, 4"),
        (lambda: SE3.from_matrix(np.diag([1.0, 1.0, 2.0, 1.0])), "must be a rotation"),
    ],
)
def test_what_is_no_transform_is_refused(wrong, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        wrong()
