"""Camera models: pinhole with radial-tangential distortion, rational, and Kannala-Brandt (fisheye).

Camera frame: z along the optical axis, x right, y down. Pixels: u right, v down, (0, 0) at the centre of the first
pixel. Each model maps points to pixels (`project`) and pixels to rays (`unproject`), and is honest about where it ends:
beyond the angle at which its radial polynomial turns back, two directions share one pixel and neither is valid.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from numpy.polynomial import polynomial

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Self = TypeVar("Self", bound="_Intrinsics")

_NEWTON_STEPS = 12
_SMALLEST_STEP = 1e-12
_CONVERGED = 1e-9  # distorted image plane at distance 1: about 1e-6 pixel
_STEEPEST = np.radians(89.9)  # table end of a perspective model without a limit: tan(90 deg) is infinite


class _Intrinsics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """fx, fy, cx, cy in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = msgspec.structs.astuple(self)
        if not np.isfinite(values).all():
            raise ValueError(f"intrinsics: expected finite numbers, got {values}")
        if not (self.fx > 0 and self.fy > 0):
            raise ValueError(f"fx, fy: expected > 0, got {self.fx}, {self.fy}")

    @property
    def matrix(self) -> FloatArray:
        """(3, 3) float64 camera matrix K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def max_angle(self) -> float:
        """Angle from the optical axis, rad, below which the radial distortion is monotonic and `project` is valid."""
        return _limit(self)

    def project(self, points_cam: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
        """Pixels of points.

        Args:
            points_cam: (N, 3) metres, camera frame.

        Returns:
            pixels (N, 2) float64, NaN where not valid; valid (N,) bool: the point is finite and its direction closer to
            the optical axis than `max_angle` (in front of the camera, except for a fisheye wider than 180 degrees).
            Image borders are not looked at: see `inside`.
        """
        points = np.asarray(points_cam, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x, y, valid = self._distort(points[:, 0], points[:, 1], points[:, 2])
        pixels = np.stack([self.fx * x + self.cx, self.fy * y + self.cy], axis=-1)
        pixels[~valid] = np.nan
        return pixels, valid

    def unproject(self, pixels: npt.ArrayLike) -> FloatArray:
        """Unit rays of pixels (N, 2): (N, 3) float64, camera frame; NaN where no valid direction has this pixel."""
        uv = np.asarray(pixels, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self._undistort((uv[:, 0] - self.cx) / self.fx, (uv[:, 1] - self.cy) / self.fy)

    def scaled(self: Self, factor: float) -> Self:
        """The same camera with its image resized by ``factor``; distortion does not change.

        Pixel centres are integers, so the image's corner at (-0.5, -0.5) is what stays in place.
        """
        centre = {"cx": (self.cx + 0.5) * factor - 0.5, "cy": (self.cy + 0.5) * factor - 0.5}
        return msgspec.structs.replace(self, fx=self.fx * factor, fy=self.fy * factor, **centre)

    def _distort(self, x: FloatArray, y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Points to the distorted image plane at distance 1, and which of them the model holds for."""
        raise NotImplementedError

    def _undistort(self, xd: FloatArray, yd: FloatArray) -> FloatArray:
        """Inverse of `_distort`: (N, 3) unit rays."""
        raise NotImplementedError

    def _find_limit(self) -> float:
        """`max_angle`, computed."""
        raise NotImplementedError

    def _distorted_radius(self, angle: FloatArray) -> FloatArray:
        """Radius on the distorted image plane of a direction ``angle`` from the axis, tangential terms left out."""
        raise NotImplementedError


class _BrownConrady(_Intrinsics, frozen=True, kw_only=True):
    """Radial factor f(r2) = numerator / denominator and tangential (decentring) distortion.

    D. C. Brown, Decentering Distortion of Lenses (1966), in OpenCV's order of the coefficients.
    """

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0

    def _polynomials(self) -> tuple[FloatArray, FloatArray]:
        """Numerator and denominator of f, coefficients of 1, r2, r4, r6."""
        return np.array([1.0, self.k1, self.k2, self.k3]), np.array([1.0])

    def _factor(self, r2: FloatArray) -> FloatArray:
        top, bottom = self._polynomials()
        factor = polynomial.polyval(r2, top)
        return np.asarray(factor / polynomial.polyval(r2, bottom) if len(bottom) > 1 else factor)

    def _tangential(self, x: FloatArray, y: FloatArray, r2: FloatArray) -> tuple[FloatArray, FloatArray]:
        return (
            2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x),
            2 * self.p2 * x * y + self.p1 * (r2 + 2 * y * y),
        )

    def _distort(self, x: FloatArray, y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        x, y = x / z, y / z
        r2 = x * x + y * y
        valid = (z > 0) & (r2 < _squared_tan(self.max_angle))
        factor = self._factor(r2)
        dx, dy = self._tangential(x, y, r2)
        return x * factor + dx, y * factor + dy, valid

    def _undistort(self, xd: FloatArray, yd: FloatArray) -> FloatArray:
        top, bottom = self._polynomials()
        dtop, dbottom = polynomial.polyder(top), polynomial.polyder(bottom)
        radius = np.hypot(xd, yd)
        start = np.tan(_nearest_angle(self, radius))
        scale = np.divide(start, radius, out=np.ones_like(radius), where=radius > 0)
        x, y = xd * scale, yd * scale
        for _ in range(_NEWTON_STEPS):
            r2 = x * x + y * y
            over = polynomial.polyval(r2, bottom)
            f = polynomial.polyval(r2, top) / over
            df = (polynomial.polyval(r2, dtop) - f * polynomial.polyval(r2, dbottom)) / over
            dx, dy = self._tangential(x, y, r2)
            error_x, error_y = x * f + dx - xd, y * f + dy - yd
            # The Jacobian of the distortion is symmetric: [[a, b], [b, c]].
            a = f + 2 * x * x * df + 2 * self.p1 * y + 6 * self.p2 * x
            b = 2 * x * y * df + 2 * self.p1 * x + 2 * self.p2 * y
            c = f + 2 * y * y * df + 6 * self.p1 * y + 2 * self.p2 * x
            determinant = a * c - b * b
            step_x, step_y = (c * error_x - b * error_y) / determinant, (a * error_y - b * error_x) / determinant
            x, y = x - step_x, y - step_y
            if not (np.abs(step_x) + np.abs(step_y) > _SMALLEST_STEP).any():
                break
        ray = np.stack([x, y, np.ones_like(x)], axis=-1)
        ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
        again_x, again_y, valid = self._distort(x, y, np.ones_like(x))
        ray[~(valid & (np.hypot(again_x - xd, again_y - yd) < _CONVERGED * (1 + radius)))] = np.nan
        return np.asarray(ray)

    def _find_limit(self) -> float:
        top, bottom = self._polynomials()
        # d/dr (r N / D) = 0, as a polynomial in u = r2: (N + 2u N') D - 2u N D' = 0. A root of D is a pole.
        powers_top, powers_bottom = np.arange(len(top)), np.arange(len(bottom))
        slope = np.convolve((1 + 2 * powers_top) * top, bottom) - np.convolve(top, 2 * powers_bottom * bottom)
        u = min(_smallest_positive_root(slope), _smallest_positive_root(bottom))
        return float(np.arctan(np.sqrt(u)))

    def _distorted_radius(self, angle: FloatArray) -> FloatArray:
        r = np.tan(angle)
        return np.asarray(r * self._factor(r * r))


class Pinhole(_BrownConrady, frozen=True, tag_field="model", tag="pinhole", kw_only=True):
    """Brown-Conrady: radial k1, k2, k3 and tangential p1, p2; all zero for a rectified image."""


class Rational(_BrownConrady, frozen=True, tag_field="model", tag="rational", kw_only=True):
    """OpenCV's rational model: (1 + k1 r2 + k2 r4 + k3 r6) / (1 + k4 r2 + k5 r4 + k6 r6), tangential p1, p2."""

    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0

    def _polynomials(self) -> tuple[FloatArray, FloatArray]:
        return np.array([1.0, self.k1, self.k2, self.k3]), np.array([1.0, self.k4, self.k5, self.k6])


class KannalaBrandt(_Intrinsics, frozen=True, tag_field="model", tag="kannala_brandt", kw_only=True):
    """Equidistant fisheye: r = theta + k1 theta^3 + k2 theta^5 + k3 theta^7 + k4 theta^9.

    Kannala and Brandt, A Generic Camera Model and Calibration Method (2006), eq. 6, radially symmetric part.
    """

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0

    def _polynomial(self) -> FloatArray:
        """r / theta as a polynomial in theta^2."""
        return np.array([1.0, self.k1, self.k2, self.k3, self.k4])

    def _distort(self, x: FloatArray, y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        rho = np.hypot(x, y)
        theta = np.arctan2(rho, z)
        # rho = 0: straight ahead, where radius / rho has the limit 1 / z, times x = 0.
        scale = np.divide(self._distorted_radius(theta), rho, out=np.zeros_like(rho), where=rho > 0)
        valid = (theta < self.max_angle) & np.isfinite(z) & np.isfinite(rho) & ((rho > 0) | (z > 0))
        return x * scale, y * scale, valid

    def _undistort(self, xd: FloatArray, yd: FloatArray) -> FloatArray:
        radius = np.hypot(xd, yd)
        slope = self._polynomial() * [1, 3, 5, 7, 9]
        theta = _nearest_angle(self, radius)
        for _ in range(_NEWTON_STEPS):
            step = (self._distorted_radius(theta) - radius) / polynomial.polyval(theta * theta, slope)
            theta = theta - step
            if not (np.abs(step) > _SMALLEST_STEP).any():
                break
        scale = np.divide(np.sin(theta), radius, out=np.zeros_like(radius), where=radius > 0)
        ray = np.stack([xd * scale, yd * scale, np.cos(theta)], axis=-1)
        error = np.abs(self._distorted_radius(theta) - radius)
        ray[~((theta > -_CONVERGED) & (theta < self.max_angle) & (error < _CONVERGED * (1 + radius)))] = np.nan
        return np.asarray(ray)

    def _find_limit(self) -> float:
        u = _smallest_positive_root(self._polynomial() * [1, 3, 5, 7, 9])
        return float(min(np.sqrt(u), np.pi))

    def _distorted_radius(self, angle: FloatArray) -> FloatArray:
        return np.asarray(angle * polynomial.polyval(angle * angle, self._polynomial()))


CameraModel: TypeAlias = Pinhole | Rational | KannalaBrandt


def inside(pixels: npt.NDArray[Any], width: int, height: int) -> BoolArray:
    """(N,) bool: pixels (N, 2) on the image, whose first pixel reaches from -0.5 to 0.5. NaN is outside."""
    u, v = pixels[:, 0], pixels[:, 1]
    return np.asarray((u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5))


@lru_cache(maxsize=64)
def _limit(model: _Intrinsics) -> float:
    return model._find_limit()


@lru_cache(maxsize=64)
def _table(model: _Intrinsics) -> tuple[FloatArray, FloatArray]:
    """Distorted radius against angle, both increasing."""
    end = model.max_angle * (1 - 1e-6)  # at a pole the radius itself is infinite
    angle = np.linspace(0.0, end if isinstance(model, KannalaBrandt) else min(end, _STEEPEST), 1024)
    return model._distorted_radius(angle), angle


def _nearest_angle(model: _Intrinsics, radius: FloatArray) -> FloatArray:
    """Angle for a distorted radius, from a table: Newton started here stays on the branch that is valid."""
    return np.asarray(np.interp(radius, *_table(model)))


def _squared_tan(angle: float) -> float:
    return float(np.tan(angle) ** 2) if angle < np.pi / 2 else np.inf


def _smallest_positive_root(coefficients: FloatArray) -> float:
    """Of a polynomial that is positive at 0; infinity where it has no positive root."""
    roots = polynomial.polyroots(polynomial.polytrim(coefficients, tol=1e-15))
    real = roots.real[np.abs(roots.imag) <= 1e-9 * np.abs(roots)]
    return float(real[real > 0].min(initial=np.inf))
