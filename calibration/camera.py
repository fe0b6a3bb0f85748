"""Camera models: pinhole with radial-tangential distortion, rational, and Kannala-Brandt (fisheye).

Camera frame: z along the optical axis, x right, y down. Pixels: u right, v down,
(0, 0) at the centre of the first pixel.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt


class _Intrinsics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """fx, fy, cx, cy in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if not (self.fx > 0 and self.fy > 0):
            raise ValueError(f"fx, fy: expected > 0, got {self.fx}, {self.fy}")

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """(3, 3) float64 camera matrix K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])


class Pinhole(_Intrinsics, frozen=True, tag_field="model", tag="pinhole", kw_only=True):
    """Brown-Conrady: radial k1, k2, k3 and tangential p1, p2; all zero for a rectified image."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0


class Rational(_Intrinsics, frozen=True, tag_field="model", tag="rational", kw_only=True):
    """OpenCV's rational model: (1 + k1 r2 + k2 r4 + k3 r6) / (1 + k4 r2 + k5 r4 + k6 r6), tangential p1, p2."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0


class KannalaBrandt(_Intrinsics, frozen=True, tag_field="model", tag="kannala_brandt", kw_only=True):
    """Equidistant fisheye: r = theta + k1 theta^3 + k2 theta^5 + k3 theta^7 + k4 theta^9."""

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0


CameraModel: TypeAlias = Pinhole | Rational | KannalaBrandt
