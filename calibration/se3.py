"""Rigid transforms, one or a batch of them.

A transform is named destination first: ``p_ego = ego_SE3_lidar @ p_lidar`` and
``odom_SE3_lidar = odom_SE3_ego @ ego_SE3_lidar``, so that adjacent names must match when transforms are composed.
Metres and radians; quaternions are w, x, y, z at this boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast, overload

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

FloatArray = npt.NDArray[np.float64]

_ORTHONORMAL_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class SE3:
    """A rigid transform ``x_dst = R x_src + t``.

    Args:
        rotation: (..., 3, 3) float64, orthonormal with determinant +1.
        translation: (..., 3) float64, metres, in the destination frame.

    Raises:
        ValueError: shapes do not match, a value is not finite, or ``rotation`` is no rotation.
    """

    rotation: FloatArray
    translation: FloatArray

    def __post_init__(self) -> None:
        rotation = np.asarray(self.rotation, dtype=np.float64)
        translation = np.asarray(self.translation, dtype=np.float64)
        if rotation.shape[-2:] != (3, 3) or translation.shape != (*rotation.shape[:-2], 3):
            raise ValueError(f"SE3 expects (..., 3, 3) and (..., 3), got {rotation.shape} and {translation.shape}")
        if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
            raise ValueError("SE3 expects finite values")
        gram = np.swapaxes(rotation, -1, -2) @ rotation
        if np.abs(gram - np.eye(3)).max(initial=0.0) > _ORTHONORMAL_TOLERANCE or (np.linalg.det(rotation) < 0).any():
            raise ValueError("SE3 expects an orthonormal rotation with determinant +1")
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", translation)

    @staticmethod
    def identity() -> SE3:
        return SE3(np.eye(3), np.zeros(3))

    @staticmethod
    def from_quaternion(wxyz: npt.ArrayLike, translation: npt.ArrayLike) -> SE3:
        """From unit quaternions (..., 4), w first (normalised here), and translations (..., 3) in metres."""
        quaternion = np.asarray(wxyz, dtype=np.float64)
        norm = np.linalg.norm(quaternion, axis=-1)
        if quaternion.shape[-1:] != (4,) or (np.abs(norm - 1.0) > 0.01).any():
            raise ValueError(f"a quaternion is (..., 4), w first, of length 1; got shape {quaternion.shape}")
        return SE3(_rotation(quaternion), np.asarray(translation, dtype=np.float64))

    @staticmethod
    def from_matrix(matrix: npt.ArrayLike) -> SE3:
        """From homogeneous matrices (..., 4, 4); rounding in a printed matrix is repaired by projection onto SO(3)."""
        full = np.asarray(matrix, dtype=np.float64)
        if full.shape[-2:] != (4, 4) or np.abs(full[..., 3, :] - [0, 0, 0, 1]).max(initial=0.0) > 1e-9:
            raise ValueError(f"a homogeneous matrix is (..., 4, 4) with last row 0 0 0 1; got shape {full.shape}")
        rotation = full[..., :3, :3]
        if np.abs(np.swapaxes(rotation, -1, -2) @ rotation - np.eye(3)).max(initial=0.0) > 1e-3:
            raise ValueError("the upper left 3x3 of a homogeneous matrix must be a rotation")
        u, _, vt = np.linalg.svd(rotation)
        return SE3(u @ vt, full[..., :3, 3])

    @staticmethod
    def from_yaw(yaw: float, translation: npt.ArrayLike = (0.0, 0.0, 0.0)) -> SE3:
        """Rotation about z by ``yaw`` radians."""
        c, s = np.cos(yaw), np.sin(yaw)
        return SE3(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), np.asarray(translation, dtype=np.float64))

    @staticmethod
    def exp(twist: npt.ArrayLike) -> SE3:
        """Exponential map of twists (..., 6): translation part rho (m) first, then rotation phi (rad).

        Barfoot, State Estimation for Robotics (2017), eq. 7.85-7.86.
        """
        xi = np.asarray(twist, dtype=np.float64)
        rho, phi = xi[..., :3], xi[..., 3:]
        rotation = _from_rotvec(phi)
        return SE3(rotation, np.einsum("...ij,...j->...i", _left_jacobian(phi), rho))

    def log(self) -> FloatArray:
        """Inverse of `exp`: (..., 6), translation part first."""
        phi = _to_rotvec(self.rotation)
        rho = np.linalg.solve(_left_jacobian(phi), self.translation[..., None])[..., 0]
        return np.concatenate([rho, phi], axis=-1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Batch shape; ``()`` for a single transform."""
        return self.translation.shape[:-1]

    @property
    def quaternion(self) -> FloatArray:
        """(..., 4) float64, w first, w >= 0."""
        flat = Rotation.from_matrix(self.rotation.reshape(-1, 3, 3)).as_quat(canonical=True, scalar_first=True)
        return np.asarray(flat, dtype=np.float64).reshape((*self.shape, 4))

    @property
    def yaw(self) -> FloatArray:
        """(...) float64 radians: heading of the source x axis in the destination xy plane."""
        return np.asarray(np.arctan2(self.rotation[..., 1, 0], self.rotation[..., 0, 0]))

    @property
    def matrix(self) -> FloatArray:
        """(..., 4, 4) float64 homogeneous matrix."""
        out = np.zeros((*self.shape, 4, 4))
        out[..., :3, :3] = self.rotation
        out[..., :3, 3] = self.translation
        out[..., 3, 3] = 1.0
        return out

    def inverse(self) -> SE3:
        rotation = np.swapaxes(self.rotation, -1, -2)
        return _trusted(rotation, -np.einsum("...ij,...j->...i", rotation, self.translation))

    @overload
    def __matmul__(self, other: SE3) -> SE3: ...
    @overload
    def __matmul__(self, other: npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    def __matmul__(self, other: SE3 | npt.NDArray[Any]) -> SE3 | npt.NDArray[Any]:
        """Compose with a transform, or apply to points.

        A single transform takes points (..., 3); a batch of shape (N,) takes (N, 3), one point each.
        float32 points stay float32.
        """
        if isinstance(other, SE3):
            translation = np.einsum("...ij,...j->...i", self.rotation, other.translation) + self.translation
            return _trusted(self.rotation @ other.rotation, translation)
        points = np.asarray(other)
        dtype = points.dtype if points.dtype == np.float32 else np.dtype(np.float64)
        if self.shape == ():
            return cast(
                npt.NDArray[Any], points.astype(dtype) @ self.rotation.T.astype(dtype) + self.translation.astype(dtype)
            )
        return np.asarray(np.einsum("...ij,...j->...i", self.rotation, points) + self.translation, dtype=dtype)

    def rotate(self, vectors: npt.ArrayLike) -> FloatArray:
        """Rotate free vectors (..., 3): velocities, normals."""
        return np.asarray(np.einsum("...ij,...j->...i", self.rotation, np.asarray(vectors, dtype=np.float64)))

    def __getitem__(self, index: Any) -> SE3:
        """Pick from a batch."""
        return _trusted(self.rotation[index], self.translation[index])

    @staticmethod
    def stack(transforms: Sequence[SE3]) -> SE3:
        return _trusted(np.stack([t.rotation for t in transforms]), np.stack([t.translation for t in transforms]))


def interpolate(start: SE3, end: SE3, fraction: npt.ArrayLike) -> SE3:
    """SLERP on the rotation and a straight line on the translation; fraction 0 gives start, 1 gives end.

    Fractions outside 0..1 extrapolate at constant velocity. Batch shapes broadcast.
    """
    alpha = np.asarray(fraction, dtype=np.float64)
    relative = _to_rotvec(np.swapaxes(start.rotation, -1, -2) @ end.rotation)
    rotation = start.rotation @ _from_rotvec(relative * alpha[..., None])
    translation = start.translation + (end.translation - start.translation) * alpha[..., None]
    return _trusted(rotation, translation)


def _trusted(rotation: FloatArray, translation: FloatArray) -> SE3:
    """An SE3 of values that are valid by construction: the check is skipped on the hot path."""
    transform = object.__new__(SE3)
    object.__setattr__(transform, "rotation", rotation)
    object.__setattr__(transform, "translation", translation)
    return transform


def _rotation(wxyz: FloatArray) -> FloatArray:
    flat = Rotation.from_quat(wxyz.reshape(-1, 4), scalar_first=True).as_matrix()
    return np.asarray(flat, dtype=np.float64).reshape((*wxyz.shape[:-1], 3, 3))


def _from_rotvec(phi: FloatArray) -> FloatArray:
    return np.asarray(Rotation.from_rotvec(phi.reshape(-1, 3)).as_matrix()).reshape((*phi.shape[:-1], 3, 3))


def _to_rotvec(rotation: FloatArray) -> FloatArray:
    flat = Rotation.from_matrix(rotation.reshape(-1, 3, 3)).as_rotvec()
    return np.asarray(flat, dtype=np.float64).reshape((*rotation.shape[:-2], 3))


def _hat(phi: FloatArray) -> FloatArray:
    zero = np.zeros(phi.shape[:-1])
    x, y, z = phi[..., 0], phi[..., 1], phi[..., 2]
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return np.stack(rows, axis=-1).reshape((*phi.shape[:-1], 3, 3))


def _left_jacobian(phi: FloatArray) -> FloatArray:
    """Left Jacobian of SO(3), with its series near zero. Barfoot (2017), eq. 7.77."""
    angle: FloatArray = np.linalg.norm(phi, axis=-1)[..., None, None]
    skew = _hat(phi)
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 0.5 - angle**2 / 24.0, (1.0 - np.cos(safe)) / safe**2)
    second = np.where(small, 1.0 / 6.0 - angle**2 / 120.0, (safe - np.sin(safe)) / safe**3)
    jacobian: FloatArray = np.eye(3) + first * skew + second * (skew @ skew)
    return jacobian
