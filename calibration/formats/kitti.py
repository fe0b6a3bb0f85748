"""KITTI's text: of a raw drive, one transform `R:`, `T:`, and per camera `P_rect_0N`; of its object benchmark, `P2:`.

Image 2 is seen by rectified camera 2, whose projection has a baseline in its last column: `P_rect_02`, not camera 0's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calibration.camera import Pinhole
from calibration.formats.camera_file import CameraFile, bounded, camera_from
from calibration.se3 import SE3, FloatArray


def read_kitti(text: str) -> dict[str, FloatArray]:
    """Every line `name: numbers`, (K,) each; lines with words, such as the date, are passed over.

    Raises:
        ValueError: a line without a name, a name that comes twice, or nothing with numbers.
    """
    values: dict[str, FloatArray] = {}
    for number, line in enumerate(bounded(text).splitlines(), start=1):
        name, colon, rest = line.partition(":")
        if not line.strip():
            continue
        if not colon:
            raise ValueError(f"line {number}: expected a name and a colon, got {line[:60]!r}")
        if name in values:
            raise ValueError(f"line {number}: expected each name once, got {name!r} again")
        try:
            values[name] = np.array([float(word) for word in rest.split()], dtype=np.float64)
        except ValueError:
            continue
    if not any(len(value) for value in values.values()):
        raise ValueError("file: expected lines of a name and numbers, got none")
    return values


def write_kitti(values: Mapping[str, FloatArray]) -> str:
    """The lines; numbers with all their digits."""
    return "".join(f"{name}: {' '.join(repr(float(v)) for v in np.ravel(value))}\n" for name, value in values.items())


def transform_of(values: Mapping[str, FloatArray], rotation: str = "R", translation: str = "T") -> SE3:
    """Of two lines, as `R` and `T` of calib_velo_to_cam.txt: ``cam_SE3_velo`` there.

    Raises:
        ValueError: a line is missing or has another size, or it is no rotation.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = _sized(values, rotation, 9).reshape(3, 3)
    matrix[:3, 3] = _sized(values, translation, 3)
    return SE3.from_matrix(matrix)


def lines_of(transform: SE3) -> dict[str, FloatArray]:
    """`R` and `T`."""
    return {"R": transform.rotation.ravel(), "T": transform.translation}


def rectified_camera(values: Mapping[str, FloatArray], number: int) -> tuple[CameraFile, FloatArray]:
    """A rectified camera of calib_cam_to_cam.txt, and (3,) where the origin of camera 0 lies in it, metres.

    Raises:
        ValueError: a line is missing, or it is no camera.
    """
    P = _sized(values, f"P_rect_{number:02d}", 12).reshape(3, 4)
    width, height = (int(v) for v in _sized(values, f"S_rect_{number:02d}", 2))
    camera = camera_from("none", P[:, :3], [])
    return CameraFile(f"image_{number:02d}", width, height, camera), np.asarray(np.linalg.solve(P[:, :3], P[:, 3]))


def lines_of_camera(of: CameraFile, number: int, origin: FloatArray) -> dict[str, FloatArray]:
    """`S_rect_0N` and `P_rect_0N`. origin: (3,) of camera 0 in this one.

    Raises:
        ValueError: a camera with distortion: KITTI's rectified ones have none.
    """
    if not isinstance(of.camera, Pinhole) or any(
        (of.camera.k1, of.camera.k2, of.camera.p1, of.camera.p2, of.camera.k3)
    ):
        raise ValueError("camera: expected one without distortion")
    P = np.column_stack([of.camera.matrix, of.camera.matrix @ origin])
    return {f"S_rect_{number:02d}": np.array([of.width, of.height], np.float64), f"P_rect_{number:02d}": P.ravel()}


def _sized(values: Mapping[str, FloatArray], name: str, size: int) -> FloatArray:
    if name not in values:
        raise ValueError(f"{name}: missing; there are {sorted(values)[:20]}")
    if len(values[name]) != size:
        raise ValueError(f"{name}: expected {size} numbers, got {len(values[name])}")
    return values[name]
