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
_TALLER_M = 4.2  # than any vehicle: a building or a tree
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
        self._upward = upward(camera)

    def at(self, time_ns: int) -> Field:
        """(h, w) float32 metres along the ray."""
        if isinstance(self._drive, KnowsDepth):
            return self._drive.depth(self._camera.name, time_ns)
        return guessed_depth(self._camera, self._upward, self._sweeps.near(time_ns))


def upward(camera: CameraSensor) -> npt.NDArray[np.float64]:
    """(h, w) sine of the elevation of each pixel's ray over the ground, in a small image of the camera's view; NaN
    where it has no ray."""
    width = min(_WIDTH, camera.width)
    height = max(1, round(camera.height * width / camera.width))
    u, v = np.meshgrid(
        (np.arange(width) + 0.5) * camera.width / width - 0.5, (np.arange(height) + 0.5) * camera.height / height - 0.5
    )
    rays = camera.intrinsics.unproject(np.stack([u.ravel(), v.ravel()], axis=1))
    return np.asarray(camera.ego_SE3_sensor.rotate(rays)[:, 2].reshape(height, width))


def guessed_depth(
    camera: CameraSensor, upward: npt.NDArray[np.float64], xyz_ego: npt.NDArray[np.floating] | None
) -> Field:
    """(h, w) float32 metres along the rays, from LiDAR points (N, 3) m, ego frame, and the plane z = 0.

    Near a return it is its distance. Above the horizon, what lies between two returns of a column is between them, and
    what is as high as no vehicle goes on upwards, for a LiDAR sees less high than a camera. Else it is the ground, or
    the sky, `FAR_M` away.
    """
    lens_m = float(camera.ego_SE3_sensor.translation[2])
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(upward < -1e-6, -lens_m / upward, FAR_M)
    ground = np.nan_to_num(np.clip(ground, 0.1, FAR_M), nan=FAR_M)
    depth = np.full(upward.shape, np.inf) if xyz_ego is None else _nearest_returns(camera, xyz_ego, upward.shape)
    empty = ~np.isfinite(depth)
    if empty.all():
        return np.asarray(ground, dtype=np.float32)
    for column, up in zip(depth.T, upward.T, strict=True):  # views: they are written to
        known = np.flatnonzero(np.isfinite(column) & (up > 0.0))
        if len(known):
            tall = lens_m + column[known[0]] * up[known[0]] > _TALLER_M
            rows = np.arange(0 if tall else known[0], known[-1] + 1)
            column[rows] = np.interp(rows, known, column[known])
    empty = ~np.isfinite(depth)
    pixels, label = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.full(int(label.max()) + 1, FAR_M)
    of_label[label[~empty]] = depth[~empty]
    filled = np.where(pixels <= _NEAR_PIXELS, of_label[label], ground)
    nearness = cv2.GaussianBlur((1.0 / np.clip(filled, 0.1, FAR_M)).astype(np.float32), (0, 0), _SMOOTH_PIXELS)
    return np.asarray(1.0 / nearness)


def _nearest_returns(
    camera: CameraSensor, xyz_ego: npt.NDArray[np.floating], shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """(h, w) distance of the nearest point in each pixel, inf where there is none."""
    height, width = shape
    points = camera.ego_SE3_sensor.inverse() @ np.asarray(xyz_ego, dtype=np.float64)
    pixels, valid = camera.intrinsics.project(points)
    points, pixels = points[valid], pixels[valid]
    column = np.floor((pixels[:, 0] + 0.5) * width / camera.width)
    row = np.floor((pixels[:, 1] + 0.5) * height / camera.height)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = (row * width + column)[inside].astype(int)
    depth = np.full(height * width, np.inf)
    np.minimum.at(depth, place, np.linalg.norm(points[inside], axis=1))
    return depth.reshape(height, width)
