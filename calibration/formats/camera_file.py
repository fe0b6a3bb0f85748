"""What files of camera intrinsics have in common: size, K, the name of a distortion and its coefficients in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational

MAX_BYTES = 1 << 20
"""No file of a calibration is larger; what is, is something else."""

_BROWN = ("k1", "k2", "p1", "p2", "k3")  # OpenCV's order
_ORDER: dict[type[CameraModel], tuple[str, ...]] = {
    Pinhole: _BROWN,
    Rational: (*_BROWN, "k4", "k5", "k6"),
    KannalaBrandt: ("k1", "k2", "k3", "k4"),
}
ROS_NAMES: dict[type[CameraModel], str] = {
    Pinhole: "plumb_bob",
    Rational: "rational_polynomial",
    KannalaBrandt: "equidistant",
}
"""distortion_model of ROS, which Foxglove and Autoware use too."""

_BY_NAME: dict[str, type[CameraModel]] = {
    **{name: model for model, name in ROS_NAMES.items()},
    "": Pinhole,
    "none": Pinhole,
    "radtan": Pinhole,
    "fisheye": KannalaBrandt,
    "kannala_brandt": KannalaBrandt,
}


class CameraFile(NamedTuple):
    """name: as the file has it, or empty. width, height: of the image, pixels."""

    name: str
    width: int
    height: int
    camera: CameraModel


def coefficients(camera: CameraModel) -> list[float]:
    """Distortion coefficients in OpenCV's order."""
    return [float(getattr(camera, name)) for name in _ORDER[type(camera)]]


def camera_from(distortion: str, matrix: npt.ArrayLike, D: Sequence[float]) -> CameraModel:
    """From K (9 numbers or 3 x 3) and coefficients in OpenCV's order; those left out are 0.

    Raises:
        ValueError: an unknown name, too many coefficients, skew, or numbers that are no camera.
    """
    model = _BY_NAME.get(distortion.lower())
    if model is None:
        raise ValueError(f"distortion_model: expected one of {', '.join(n for n in _BY_NAME if n)}, got {distortion!r}")
    K = np.asarray(matrix, dtype=np.float64)
    if K.size != 9:
        raise ValueError(f"K: expected 9 numbers, got {K.size}")
    K = K.reshape(3, 3)
    if np.abs([K[0, 1], K[1, 0], *(K[2] - [0, 0, 1])]).max() > 1e-9:
        raise ValueError(f"K: expected no skew and a last row 0 0 1, got {K.tolist()}")
    if model is Pinhole and len(D) == 8:
        model = Rational
    order = _ORDER[model]
    if any(D[len(order) :]):
        raise ValueError(f"D: expected at most {len(order)} coefficients for {distortion!r}, got {len(D)}")
    distorted = {name: float(value) for name, value in zip(order, D, strict=False)}
    fx, fy, cx, cy = (float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
    return model(fx=fx, fy=fy, cx=cx, cy=cy, **distorted)


def matrix_rows(camera: CameraModel) -> list[float]:
    """K, row by row, 9 numbers."""
    return [float(v) for v in camera.matrix.ravel()]


def projection_rows(camera: CameraModel) -> list[float]:
    """P of a camera that is not rectified: K with a column of zeros, 12 numbers."""
    return [float(v) for v in np.hstack([camera.matrix, np.zeros((3, 1))]).ravel()]


def field(document: Mapping[str, Any], *names: str) -> Any:
    """The first of these names that is there.

    Raises:
        ValueError: none is.
    """
    for name in names:
        if name in document:
            return document[name]
    raise ValueError(f"{names[0]}: missing; there are {sorted(map(str, document))[:20]}")


def bounded(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: longer than any calibration.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"file: expected at most {MAX_BYTES} characters, got {len(text)}")
    return text


def mapping(document: Any) -> Mapping[str, Any]:
    """The document, which must be a mapping.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(document, dict):
        raise ValueError(f"file: expected a mapping at the top, got {type(document).__name__}")
    return document
