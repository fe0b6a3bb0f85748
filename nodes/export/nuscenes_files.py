"""Sensor payloads as the files that nuScenes keeps: images, `.pcd.bin` sweeps, `.pcd` radar cycles."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from calibration.camera import KannalaBrandt, Pinhole
from calibration.rig import CameraSensor
from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage, PointCloud, RadarScan

_RADAR = np.dtype(
    [
        *((name, "<f4") for name in ("x", "y", "z")),
        ("dyn_prop", "i1"),
        ("id", "<i2"),
        *((name, "<f4") for name in ("rcs", "vx", "vy", "vx_comp", "vy_comp")),
        *((name, "i1") for name in ("is_quality_valid", "ambig_state", "x_rms", "y_rms", "invalid_state", "pdh0")),
        *((name, "i1") for name in ("vx_rms", "vy_rms")),
    ]
)
_RADAR_HEADER = """# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS {fields}
SIZE {sizes}
TYPE {kinds}
COUNT {counts}
WIDTH {points}
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS {points}
DATA binary
"""
_MOVING, _STANDING = 0, 1  # dyn_prop
_UNAMBIGUOUS = 3  # ambig_state
_MOVES_MPS = 0.5


def sweep_bytes(cloud: PointCloud, xyz: npt.NDArray[np.floating]) -> bytes:
    """`.pcd.bin`: float32 x, y, z, intensity 0..255, ring, per point. xyz: (N, 3) metres, LiDAR frame, deskewed."""
    rows = np.empty((len(xyz), 5), np.float32)
    rows[:, :3] = xyz
    rows[:, 3] = cloud.points["intensity"] * np.float32(255)
    rows[:, 4] = cloud.points["ring"]
    return rows.tobytes()


def scan_bytes(scan: RadarScan, over_ground: npt.NDArray[np.float32]) -> bytes:
    """`.pcd` with the fields of nuScenes' radars.

    A radar measures along the line of sight only; the layout wants vectors, so rates are laid along that line. Where
    they are known modulo `ambiguity_mps` the value nearest to zero over ground stands there, marked as unambiguous all
    the same: the layout's tools show no other returns.
    over_ground: (N,) m/s, range rates compensated for the radar's own motion.
    """
    points = scan.points
    rows = np.zeros(len(points), _RADAR)
    for name in ("x", "y", "z", "rcs"):
        rows[name] = np.nan_to_num(points[name])
    distance = np.maximum(np.hypot(points["x"], points["y"]), 1e-6)
    for suffix, rate in (("", points["range_rate"]), ("_comp", over_ground)):
        rows[f"vx{suffix}"] = np.nan_to_num(rate * points["x"] / distance)
        rows[f"vy{suffix}"] = np.nan_to_num(rate * points["y"] / distance)
    rows["id"] = np.arange(len(points)) % 32767
    rows["dyn_prop"] = np.where(np.abs(np.nan_to_num(over_ground)) > _MOVES_MPS, _MOVING, _STANDING)
    rows["is_quality_valid"] = 1
    rows["ambig_state"] = _UNAMBIGUOUS
    rows["x_rms"] = rows["y_rms"] = rows["vx_rms"] = rows["vy_rms"] = 19  # of the layout's coarse scale: average
    rows["pdh0"] = 1
    kinds = {"f": "F", "i": "I"}
    fields = [rows.dtype[name] for name in rows.dtype.names or ()]
    header = _RADAR_HEADER.format(
        fields=" ".join(rows.dtype.names or ()),
        sizes=" ".join(str(field.itemsize) for field in fields),
        kinds=" ".join(kinds[field.kind] for field in fields),
        counts=" ".join("1" for _ in fields),
        points=len(rows),
    )
    return header.encode() + rows.tobytes() + b"\n"  # the devkit takes no file that ends with its last point


class ImageWriter:
    """Images of one camera, without lens distortion, for the layout knows none.

    Raises:
        BadInput: a fisheye, whose view no image without distortion can hold.
    """

    def __init__(self, camera: CameraSensor, source: object) -> None:
        model = camera.intrinsics
        if isinstance(model, KannalaBrandt):
            raise BadInput(source, f"{camera.name}: intrinsics", "a camera that nuScenes can describe", "a fisheye")
        ideal = Pinhole(fx=model.fx, fy=model.fy, cx=model.cx, cy=model.cy)
        u, v = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
        rays = np.stack([(u - model.cx) / model.fx, (v - model.cy) / model.fy, np.ones_like(u)], axis=-1)
        pixels, _ = model.project(rays.reshape(-1, 3))
        self._from_x, self._from_y = pixels.reshape(*u.shape, 2).astype(np.float32).transpose(2, 0, 1)
        self._keeps = np.allclose(self._from_x, u, atol=1e-3) and np.allclose(self._from_y, v, atol=1e-3)
        self.matrix = [[ideal.fx, 0.0, ideal.cx], [0.0, ideal.fy, ideal.cy], [0.0, 0.0, 1.0]]

    def file(self, image: CameraImage) -> tuple[bytes, str]:
        """The file's bytes and its ending. An encoded image that needs no change stays as it is."""
        if image.encoding != "bgr8" and self._keeps:
            return image.data.tobytes(), "jpg" if image.encoding == "jpeg" else "png"
        if image.encoding == "bgr8":
            pixels = image.data.reshape(image.height, image.width, 3)
        else:
            pixels = np.asarray(cv2.imdecode(image.data, cv2.IMREAD_COLOR))
        if not self._keeps:
            pixels = cv2.remap(pixels, self._from_x, self._from_y, cv2.INTER_LINEAR)
        return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes(), "jpg"


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
