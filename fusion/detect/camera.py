"""Boxes in an image to detections in the ego frame: along the ray, at the distance where ground and size agree.

Two cues give the distance. The lower edge of the box stands on the ground (Hoiem et al., 2008: putting objects in
perspective); its height spans an object whose class has a known size. The first degrades with the square of the
distance and with any slope, the second in proportion to it. They are averaged by inverse variance, with the variance
that their shared edge leaves.

With s the slope of a ray in the ego frame (rise over horizontal run), h the camera's height and H the object's:

    ground:  rho = -h / s_bottom            size:  rho = H / (s_top - s_bottom)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel
from calibration.rig import CameraSensor
from calibration.se3 import SE3, FloatArray
from fusion.detect.image_boxes import ImageBoxes
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from pipeline.core.messages import Detections
from pipeline.core.settings import Settings

_HALF_DEPTH = np.where(SIZE_MEAN[:, 0] > 3.0, 0.35 * SIZE_MEAN[:, 0], 0.4 * SIZE_MEAN[:, 0])


class LiftSettings(Settings, frozen=True):
    """edge_px, edge_share: 1-sigma of a box edge: pixels, plus a share of the box's height.

    slope_sigma: of the ground against the ego's plane and of the camera's pitch, rad.
    azimuth_sigma: of the direction to an object's middle whatever its box says, rad: found 20-30 mrad at 20-80 m.
    border_px: a box this close to the image border is cut off there.
    max_range_m: farther objects are dropped. min_height_px: so are smaller boxes.
    covered_range, covered_across: 1-sigma that a nearer box over the whole lower edge adds: to the distance, as a share
    of it, and across the ray, as a share of the width.
    """

    edge_px: float = 1.5
    edge_share: float = 0.04
    slope_sigma: float = 0.012
    azimuth_sigma: float = 0.02
    border_px: float = 3.0
    max_range_m: float = 120.0
    min_height_px: float = 8.0
    covered_range: float = 0.15
    covered_across: float = 0.4


def lift(boxes: ImageBoxes, camera: CameraSensor, settings: LiftSettings) -> Detections:
    """Detections in the ego frame at the image's instant. Yaw and velocity are not seen by one image."""
    return lift_images(boxes, np.zeros(len(boxes.score), np.int64), camera, settings)[0]


def lift_images(
    boxes: ImageBoxes, image: npt.NDArray[np.int64], camera: CameraSensor, settings: LiftSettings
) -> tuple[Detections, npt.NDArray[np.int64]]:
    """The same for the boxes of many images of one camera at once, each in the ego frame of its own image.

    image: (N,) number of the image that each box is from, not falling.

    Returns:
        the detections, and which of the N boxes each was.
    """
    ego_SE3_camera = camera.ego_SE3_sensor
    height_px = boxes.edges[:, 3] - boxes.edges[:, 1]
    tall_enough = np.flatnonzero(height_px >= settings.min_height_px)
    boxes, image = boxes.pick(tall_enough), image[tall_enough]
    left, top, right, bottom = boxes.edges.astype(np.float64).T
    middle = (left + right) / 2
    best = boxes.class_score.argmax(axis=1)
    tall, tall_sigma = SIZE_MEAN[best, 2], SIZE_SIGMA[best, 2]

    s_top, _ = _slope(np.stack([middle, top], axis=1), camera.intrinsics, ego_SE3_camera)
    s_bottom, _ = _slope(np.stack([middle, bottom], axis=1), camera.intrinsics, ego_SE3_camera)
    s_middle, azimuth = _slope(np.stack([middle, (top + bottom) / 2], axis=1), camera.intrinsics, ego_SE3_camera)
    edge = np.hypot(settings.edge_px, settings.edge_share * (bottom - top)) / camera.intrinsics.fy
    at_top = top < settings.border_px
    at_bottom = bottom > camera.height - 1 - settings.border_px
    at_side = (left < settings.border_px) | (right > camera.width - 1 - settings.border_px)

    rho, rho_var = _distance(
        s_top, s_bottom, edge, tall, tall_sigma, float(ego_SE3_camera.translation[2]), at_top, at_bottom, settings
    )
    covered = _covered(boxes, image)
    depth = _HALF_DEPTH[best]
    rho, rho_var = rho + depth, rho_var + (0.4 * depth) ** 2 + (settings.covered_range * covered * rho) ** 2
    ok = np.isfinite(rho) & np.isfinite(azimuth) & (rho > 0) & (rho < settings.max_range_m)

    across = np.hypot(
        rho * np.hypot(settings.edge_px, 0.06 * (right - left)) / camera.intrinsics.fx, 0.1 * SIZE_MEAN[best, 1]
    )
    across = np.where(at_side, np.hypot(across, 0.5 * SIZE_MEAN[best, 0]), across)
    across = np.hypot(across, settings.covered_across * covered * rho * (right - left) / camera.intrinsics.fx)
    across = np.hypot(across, settings.azimuth_sigma * rho)
    upright = np.hypot(rho * edge, 0.15)
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    ray = np.stack([cos, sin, s_middle], axis=1)
    position = ego_SE3_camera.translation + rho[:, None] * ray
    cov = rho_var[:, None, None] * ray[:, :, None] * ray[:, None, :]
    side = np.stack([-sin, cos, np.zeros_like(cos)], axis=1)
    cov += (across**2)[:, None, None] * side[:, :, None] * side[:, None, :]
    cov[:, 2, 2] += upright**2

    kept = np.flatnonzero(ok)
    n = len(kept)
    nan = np.full(n, np.nan, np.float32)
    origin = ego_SE3_camera.translation
    found = Detections(
        sensor=camera.name,
        modality="camera",
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        position=position[kept].astype(np.float32),
        position_cov=cov[kept].astype(np.float32),
        size=SIZE_MEAN[best[kept]].astype(np.float32),
        size_sigma=SIZE_SIGMA[best[kept]].astype(np.float32),
        yaw=np.zeros(n, np.float32),
        yaw_sigma=np.full(n, np.pi, np.float32),
        velocity=np.full((n, 2), np.nan, np.float32),
        velocity_cov=np.full((n, 2, 2), np.nan, np.float32),
        radial_speed=nan,
        radial_sigma=nan,
        class_score=boxes.class_score[kept],
        score=boxes.score[kept],
        box2d=boxes.edges[kept],
        time_offset_ns=np.zeros(n, np.int32),
        points=np.zeros(n, np.int32),
        embedding=np.zeros((n, 0), np.float32),
    )
    return found, tall_enough[kept]


def _covered(boxes: ImageBoxes, image: npt.NDArray[np.int64]) -> FloatArray:
    """(N,) share of each box's lower edge that boxes standing nearer, hence lower in the image, lie over."""
    if not len(image):
        return np.zeros(0)
    first = np.flatnonzero(np.append(True, image[1:] != image[:-1]))
    count = np.diff(np.append(first, len(image)))
    place = np.arange(len(image)) - np.repeat(first, count)
    table = np.full((len(first), int(count.max()), 4), np.nan)  # images x boxes; no box compares false with any
    row = np.repeat(np.arange(len(first)), count)
    table[row, place] = boxes.edges
    left, top, right, bottom = np.moveaxis(table, -1, 0)
    nearer = bottom[:, None] > bottom[:, :, None] + 0.05 * (bottom - top)[:, :, None]
    over_edge = nearer & (top[:, None] < bottom[:, :, None])
    shared = np.minimum(right[:, :, None], right[:, None]) - np.maximum(left[:, :, None], left[:, None])
    share = np.where(over_edge, np.maximum(shared, 0.0) / np.maximum(right - left, 1.0)[:, :, None], 0.0)
    return np.asarray(share.max(axis=2, initial=0.0)[row, place])


def _slope(pixels: FloatArray, intrinsics: CameraModel, ego_SE3_camera: SE3) -> tuple[FloatArray, FloatArray]:
    """Rise over horizontal run, and azimuth (rad, ego frame), of the rays of (N, 2) pixels."""
    ray = ego_SE3_camera.rotate(intrinsics.unproject(pixels))
    return ray[:, 2] / np.hypot(ray[:, 0], ray[:, 1]), np.arctan2(ray[:, 1], ray[:, 0])


def _distance(
    s_top: FloatArray,
    s_bottom: FloatArray,
    edge: FloatArray,
    tall: FloatArray,
    tall_sigma: FloatArray,
    camera_height: float,
    at_top: npt.NDArray[np.bool_],
    at_bottom: npt.NDArray[np.bool_],
    settings: LiftSettings,
) -> tuple[FloatArray, FloatArray]:
    """Horizontal distance from the camera and its variance, both cues together; NaN where neither holds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(s_bottom < -1e-3, -camera_height / s_bottom, np.inf)
        size = tall / np.maximum(s_top - s_bottom, 1e-6)
        # first-order propagation from slopes and height to both distances
        edge_top, edge_bottom = edge * (1 + s_top**2), edge * (1 + s_bottom**2)
        ground_by_slope = ground**2 / camera_height
        size_by_slope = size**2 / tall
        ground_var = ground_by_slope**2 * (edge_bottom**2 + settings.slope_sigma**2)
        size_var = size_by_slope**2 * (edge_bottom**2 + edge_top**2) + (size * tall_sigma / tall) ** 2
        ground_info = np.where(at_bottom | ~np.isfinite(ground), 0.0, 1.0 / ground_var)
        size_info = np.where(at_top | at_bottom, 0.0, 1.0 / size_var)
        a = ground_info / (ground_info + size_info)
        b = size_info / (ground_info + size_info)
        rho = a * np.where(a > 0, ground, 0.0) + b * size
        shared = ground_by_slope * size_by_slope * edge_bottom**2
        rho_var = a**2 * np.where(a > 0, ground_var, 0.0) + b**2 * size_var + 2 * a * b * np.where(a > 0, shared, 0.0)
    return rho, rho_var
