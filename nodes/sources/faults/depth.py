"""How far away what a camera sees is: exactly, where the drive knows; else from its nearest sweep and the ground."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, TypeAlias, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor
from nodes.sources.drive import Drive
from pipeline.core.messages import PointCloud

Field: TypeAlias = np.ndarray  # float32

FAR_M = 1000.0  # of the sky, and of what nothing is known of
_WIDTH = 160  # pixels of the depth image
_NEAR_PIXELS = 3.0  # how far a LiDAR return reaches sideways, in pixels of it
_SMOOTH_PIXELS = 1.0
_FARTHEST_NS = 150_000_000


@runtime_checkable
class KnowsDepth(Protocol):
    """A drive that knows exactly how far away what its cameras see is, as a simulated one does."""

    def depth(self, camera: str, time_ns: int) -> Field:
        """(h, w) float32 metres along the ray of each pixel, inf for the sky; any size of the camera's view."""
        ...


class Sweeps:
    """The sweeps of a drive's first LiDAR, by time; the last ones asked for are kept."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        topics = {f"lidar/{lidar.name}": lidar for lidar in drive.rig.lidars}
        self._topic = next((topic for topic in topics if topic in drive.topics), "")
        self._lidar = topics.get(self._topic)
        self._arrivals_ns = drive.arrivals(self._topic) if self._topic else np.array([], np.int64)
        self._period_ns = int(np.median(np.diff(self._arrivals_ns))) if len(self._arrivals_ns) > 1 else _FARTHEST_NS
        self._read = lru_cache(maxsize=4)(self._load)

    def near(self, time_ns: int) -> npt.NDArray[np.floating] | None:
        """(N, 3) m, ego frame, of the sweep nearest in time; None where there is none within 0.15 s.

        The vehicle's way in between is not taken out: weather does not change over so little.
        """
        if self._lidar is None or len(self._arrivals_ns) == 0:
            return None
        nearest = int(np.argmin(np.abs(self._arrivals_ns - time_ns)))
        return self._read(nearest) if abs(int(self._arrivals_ns[nearest]) - time_ns) < _FARTHEST_NS else None

    def _load(self, number: int) -> npt.NDArray[np.floating] | None:
        assert self._lidar is not None
        arrival_ns = int(self._arrivals_ns[number])
        for message in self._drive.messages([self._topic], arrival_ns - self._period_ns, arrival_ns + 1):
            if message.stamp.arrival_ns == arrival_ns and isinstance(message.payload, PointCloud):
                return np.asarray(self._lidar.ego_SE3_sensor @ message.payload.xyz)
        return None


class DepthOf:
    """Depth images of one camera of a drive."""

    def __init__(self, drive: Drive, camera: CameraSensor, sweeps: Sweeps) -> None:
        self._drive = drive
        self._camera = camera
        self._sweeps = sweeps
        self._ground = ground_depth(camera, camera_rays(camera))

    def at(self, time_ns: int) -> Field:
        """(h, w) float32 metres along the ray."""
        if isinstance(self._drive, KnowsDepth):
            return self._drive.depth(self._camera.name, time_ns)
        xyz = self._sweeps.near(time_ns)
        return self._ground if xyz is None else filled_depth(self._camera, xyz, self._ground)


def camera_rays(camera: CameraSensor) -> npt.NDArray[np.float64]:
    """(h, w, 3) unit rays of the pixels of the small depth image, camera frame; NaN where the camera has none."""
    width, height = depth_size(camera)
    u, v = np.meshgrid(
        (np.arange(width) + 0.5) * camera.width / width - 0.5, (np.arange(height) + 0.5) * camera.height / height - 0.5
    )
    rays = camera.intrinsics.unproject(np.stack([u.ravel(), v.ravel()], axis=1))
    return np.asarray(rays.reshape(height, width, 3))


def depth_size(camera: CameraSensor) -> tuple[int, int]:
    """Width and height of the small depth image."""
    width = min(_WIDTH, camera.width)
    return width, max(1, round(camera.height * width / camera.width))


def ground_depth(camera: CameraSensor, rays: npt.NDArray[np.float64]) -> Field:
    """(h, w) metres to the plane z = 0 of the ego frame, along each ray; `FAR_M` at most."""
    down = camera.ego_SE3_sensor.rotate(rays.reshape(-1, 3))[:, 2].reshape(rays.shape[:2])
    height = float(camera.ego_SE3_sensor.translation[2])
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(down < -1e-6, -height / down, FAR_M)
    return np.asarray(np.nan_to_num(np.clip(distance, 0.1, FAR_M), nan=FAR_M), dtype=np.float32)


def filled_depth(camera: CameraSensor, xyz_ego: npt.NDArray[np.floating], ground: Field) -> Field:
    """(h, w) metres from LiDAR points (N, 3), ego frame, filled up.

    Near a return, its distance; below the horizon the ground; above it, what returns belong to goes on between and over
    them (the LiDAR sees less high than the camera); else the sky.
    """
    height, width = ground.shape
    points = camera.ego_SE3_sensor.inverse() @ np.asarray(xyz_ego, dtype=np.float64)
    pixels, valid = camera.intrinsics.project(points)
    column = np.floor((pixels[valid, 0] + 0.5) * width / camera.width)
    row = np.floor((pixels[valid, 1] + 0.5) * height / camera.height)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row[inside].astype(int) * width + column[inside].astype(int)
    distance = np.linalg.norm(points[valid][inside], axis=1)
    depth = np.full(height * width, np.inf)
    np.minimum.at(depth, place, distance)
    depth = depth.reshape(height, width)
    empty = ~np.isfinite(depth)
    if empty.all():
        return ground
    depth, empty = _joined(depth, ground >= FAR_M)
    far_px, label = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.full(int(label.max()) + 1, FAR_M)
    by_label[label[~empty]] = depth[~empty]
    out = np.where(far_px <= _NEAR_PIXELS, by_label[label], ground)
    near = cv2.GaussianBlur((1.0 / np.minimum(out, FAR_M)).astype(np.float32), (0, 0), _SMOOTH_PIXELS)
    return np.asarray(1.0 / near)


def _joined(
    depth: npt.NDArray[np.float64], sky: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Depth with each column filled between its returns above the horizon, and from the topmost of them on upwards;
    and where it is still empty."""
    out = depth.copy()
    for column, over in zip(out.T, sky.T, strict=True):
        known = np.flatnonzero(np.isfinite(column) & over)
        if len(known):
            rows = np.arange(int(known[-1]) + 1)
            column[rows] = np.interp(rows, known, column[known])
    return out, ~np.isfinite(out)
