"""Rigid transforms, one or a batch of them.

A transform is named destination first: ``p_ego = ego_SE3_lidar @ p_lidar`` and
``odom_SE3_lidar = odom_SE3_ego @ ego_SE3_lidar``, so that adjacent names must match when transforms are composed.
Metres and radians; quaternions are w, x, y, z at this boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

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
        if quaternion.shape[-1:] != (4,) or not (np.abs(norm - 1.0) < 0.01).all():
            raise ValueError(f"a quaternion is (..., 4), w first, of length 1; got {quaternion.tolist()!s:.60}")
        offset = np.asarray(translation, dtype=np.float64)
        if offset.shape != (*quaternion.shape[:-1], 3) or not np.isfinite(offset).all():
            raise ValueError(f"a translation is (..., 3), finite, one per quaternion; got {offset.tolist()!s:.60}")
        return trusted(_from_quaternion(quaternion / norm[..., None]), offset)

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
        return _to_quaternion(self.rotation)

    @property
    def rotation_vector(self) -> FloatArray:
        """(..., 3) float64 radians: axis times angle, angle 0..pi."""
        return _to_rotvec(self.rotation)

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
        return trusted(rotation, -np.einsum("...ij,...j->...i", rotation, self.translation))

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
            return trusted(self.rotation @ other.rotation, translation)
        points = np.asarray(other)
        dtype = points.dtype if points.dtype == np.float32 else np.dtype(np.float64)
        if self.shape == ():
            rows = self.rotation.astype(dtype) @ points.reshape(-1, 3).T.astype(dtype)  # (3, N): five times faster
            rows += self.translation.astype(dtype)[:, None]
            return np.ascontiguousarray(rows.T).reshape(points.shape)
        return np.asarray(np.einsum("...ij,...j->...i", self.rotation, points) + self.translation, dtype=dtype)

    def rotate(self, vectors: npt.ArrayLike) -> FloatArray:
        """Rotate free vectors (..., 3): velocities, normals."""
        return np.asarray(np.einsum("...ij,...j->...i", self.rotation, np.asarray(vectors, dtype=np.float64)))

    def __getitem__(self, index: Any) -> SE3:
        """Pick from a batch."""
        return trusted(self.rotation[index], self.translation[index])

    @staticmethod
    def stack(transforms: Sequence[SE3]) -> SE3:
        return trusted(np.stack([t.rotation for t in transforms]), np.stack([t.translation for t in transforms]))


def interpolate(start: SE3, end: SE3, fraction: npt.ArrayLike) -> SE3:
    """SLERP on the rotation and a straight line on the translation; fraction 0 gives start, 1 gives end.

    Fractions outside 0..1 extrapolate at constant velocity. Batch shapes broadcast.
    """
    alpha = np.asarray(fraction, dtype=np.float64)
    relative = _to_rotvec(np.swapaxes(start.rotation, -1, -2) @ end.rotation)
    rotation = start.rotation @ _from_rotvec(relative * alpha[..., None])
    translation = start.translation + (end.translation - start.translation) * alpha[..., None]
    return trusted(rotation, translation)


def trusted(rotation: FloatArray, translation: FloatArray) -> SE3:
    """An SE3 of float64 values that are valid by construction: the checks are skipped, for hot paths."""
    transform = object.__new__(SE3)
    object.__setattr__(transform, "rotation", rotation)
    object.__setattr__(transform, "translation", translation)
    return transform


_GENERATORS = np.array(
    [
        [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]],
        [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]],
        [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    ]
).reshape(3, 9)  # of so(3)


def hat(phi: FloatArray) -> FloatArray:
    """(..., 3, 3) skew matrix of vectors (..., 3): ``hat(a) @ b = cross(a, b)``."""
    return np.asarray(phi @ _GENERATORS).reshape((*phi.shape[:-1], 3, 3))


def _from_rotvec(phi: FloatArray) -> FloatArray:
    """Rodrigues: I + sin(x)/x S + (1 - cos(x))/x^2 S^2 with S = hat(phi), x = |phi|."""
    x = np.maximum(np.sqrt((phi * phi).sum(axis=-1)), 1e-20)[..., None, None]  # both fractions have their limit there
    skew = hat(phi)
    return np.asarray(np.eye(3) + np.sin(x) / x * skew + 2.0 * (np.sin(0.5 * x) / x) ** 2 * (skew @ skew))


def _to_rotvec(rotation: FloatArray) -> FloatArray:
    """(..., 3), angle 0..pi. R - R^T = 2 sin(x) hat(axis), trace = 1 + 2 cos(x)."""
    cosine = 0.5 * (rotation[..., 0, 0] + rotation[..., 1, 1] + rotation[..., 2, 2] - 1.0)
    if (cosine < -0.9).any():  # the axis fades from R - R^T towards a half turn; the quaternion keeps it
        quaternion = _to_quaternion(rotation)
        vector = quaternion[..., 1:]
        half_sine = np.linalg.norm(vector, axis=-1)
        angle = 2.0 * np.arctan2(half_sine, quaternion[..., 0])
        return vector * _ratio(angle, half_sine, at_zero=2.0)[..., None]
    vector = 0.5 * (rotation.reshape((*rotation.shape[:-2], 9)) @ _GENERATORS.T)
    sine = np.sqrt((vector * vector).sum(axis=-1))
    return np.asarray(vector * _ratio(np.arctan2(sine, cosine), sine, at_zero=1.0)[..., None])


def _from_quaternion(wxyz: FloatArray) -> FloatArray:
    """Of unit quaternions (..., 4), w first: I + 2 w S + 2 S^2 with S = hat(x, y, z)."""
    skew = hat(wxyz[..., 1:])
    return np.asarray(np.eye(3) + 2.0 * (wxyz[..., :1, None] * skew + skew @ skew))


def _to_quaternion(rotation: FloatArray) -> FloatArray:
    """(..., 4), w first, w >= 0.

    S. W. Shepperd, Quaternion from Rotation Matrix (1978): each row of 4 q q^T is a multiple of q; the one of the
    largest component loses no digits.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.moveaxis(rotation, (-2, -1), (0, 1))
    products = [  # 4 q q^T
        [1 + xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx],
        [xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy],
        [yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz],
    ]
    rows = np.moveaxis(np.array(products), (0, 1), (-2, -1))
    largest = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    row = np.take_along_axis(rows, largest[..., None, None], axis=-2)[..., 0, :]
    quaternion = row / np.linalg.norm(row, axis=-1, keepdims=True)
    return np.asarray(np.where(quaternion[..., :1] < 0, -quaternion, quaternion))


def _ratio(angle: FloatArray, sine: FloatArray, at_zero: float) -> FloatArray:
    out: FloatArray = np.full(np.shape(angle), at_zero)
    return np.divide(angle, sine, out=out, where=np.asarray(sine > 1e-12))


def _left_jacobian(phi: FloatArray) -> FloatArray:
    """Left Jacobian of SO(3), with its series near zero. Barfoot (2017), eq. 7.77."""
    angle: FloatArray = np.linalg.norm(phi, axis=-1)[..., None, None]
    skew = hat(phi)
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 0.5 - angle**2 / 24.0, (1.0 - np.cos(safe)) / safe**2)
    second = np.where(small, 1.0 / 6.0 - angle**2 / 120.0, (safe - np.sin(safe)) / safe**3)
    jacobian: FloatArray = np.eye(3) + first * skew + second * (skew @ skew)
    return jacobian
