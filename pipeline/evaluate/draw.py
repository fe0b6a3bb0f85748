"""Boxes on images and from above, with OpenCV: labels thin and white, tracks in the colour of their class.

Pictures are dark whatever the page is: they show a road, not a chart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor
from calibration.se3 import SE3
from pipeline.core.messages import CLASSES
from pipeline.evaluate.boxes import Boxes, FloatArray
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.truth import TruthTrack
from pipeline.evaluate.views import FrameView, Image

CLASS_RGB: dict[str, tuple[int, int, int]] = {
    "car": (92, 176, 255),
    "truck": (255, 159, 90),
    "bus": (255, 210, 77),
    "trailer": (201, 139, 255),
    "construction_vehicle": (226, 178, 126),
    "pedestrian": (126, 224, 138),
    "motorcycle": (255, 127, 176),
    "bicycle": (79, 224, 208),
    "traffic_cone": (255, 107, 90),
    "barrier": (176, 184, 196),
}
SENSOR_RGB = {"camera": (240, 178, 74), "lidar": (72, 196, 192), "radar": (178, 148, 242)}
BACKGROUND = (22, 18, 16)  # bgr
_LABEL = (235, 235, 235)
_FAINT = (70, 64, 60)
_SHIFT = 4  # sub-pixel bits of OpenCV's drawing
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_STEPS = np.linspace(0.0, 1.0, 7)[:, None]
_EDGES = [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)]


def class_bgr(class_id: int) -> tuple[int, int, int]:
    r, g, b = CLASS_RGB[CLASSES[class_id]]
    return b, g, r


@dataclass(frozen=True)
class Bev:
    """A view from above: ego x up, y left. centre: ego point in the middle, m; scale: pixels per metre."""

    width: int
    height: int
    scale: float
    centre: tuple[float, float] = (0.0, 0.0)

    def pixels(self, ego_xy: npt.ArrayLike) -> FloatArray:
        """(..., 2) u right, v down."""
        xy = np.asarray(ego_xy, dtype=np.float64)
        u = self.width / 2 - (xy[..., 1] - self.centre[1]) * self.scale
        v = self.height / 2 - (xy[..., 0] - self.centre[0]) * self.scale
        return np.stack([u, v], axis=-1)


def draw_bev(view: FrameView, bev: Bev, sensors: Sequence[str] = (), confirmed: float = 0.5) -> Image:
    """Points, labels, the detections of ``sensors``, and tracks with 90 % region, velocity and id.

    Tracks below the ``confirmed`` existence are drawn as outlines only.
    """
    canvas = np.full((bev.height, bev.width, 3), BACKGROUND, np.uint8)
    reach = int(np.hypot(bev.width, bev.height) / bev.scale) + int(np.hypot(*bev.centre))
    for distance in range(10, reach + 10, 10):
        u, v = bev.pixels((0.0, 0.0))
        cv2.circle(canvas, (int(u), int(v)), int(distance * bev.scale), _FAINT, 1, cv2.LINE_AA)
        at = bev.pixels((distance, 0.0))
        text(canvas, f"{distance}", (int(at[0]) + 3, int(at[1]) - 3), (110, 104, 100), 0.32)
    for cloud in view.clouds.values():
        _draw_points(canvas, bev, cloud)
    _polyline(canvas, bev, np.array([[2.4, -0.9], [2.4, 0.9], [-1.2, 0.9], [-1.2, -0.9]]), (255, 255, 255), 2)
    ego_SE3_odom = view.frame.ego.inverse()
    heading = float(view.frame.ego.yaw)
    for outline, scored in zip((ego_SE3_odom @ corners(view.labels))[:, :4, :2], view.scored, strict=True):
        _polyline(canvas, bev, outline, _LABEL if scored else (112, 108, 104), 1)
    for sensor in sensors:
        _draw_detections(canvas, bev, view, sensor, ego_SE3_odom)
    for row in np.argsort(view.tracks.existence).tolist():
        _draw_track(canvas, bev, view, row, ego_SE3_odom, heading, confirmed)
    return canvas


def draw_camera(
    image: Image, camera: CameraSensor, view: FrameView, run: RunLog, truth: TruthTrack, confirmed: float = 0.5
) -> Image:
    """Labels and confirmed tracks projected into an image at the image's own instant."""
    canvas = image.copy()
    slot = view.frame.slots[camera.name]
    camera_SE3_odom = (run.ego_at(slot.time_ns) @ camera.ego_SE3_sensor).inverse()
    ratio = image.shape[1] / camera.width
    labels = truth.at(slot.time_ns)[0] if len(view.labels) else Boxes.empty()
    for edges, _ in _visible_edges(labels, camera, ratio, camera_SE3_odom, canvas):
        cv2.polylines(canvas, edges, False, _LABEL, 1, cv2.LINE_AA, _SHIFT)
    tracks = view.tracks[view.tracks.existence >= confirmed].moved((slot.time_ns - view.frame.time_ns) / 1e9)
    far_first = tracks[np.argsort(-(camera_SE3_odom @ tracks.position)[:, 2])]
    for edges, row in _visible_edges(far_first, camera, ratio, camera_SE3_odom, canvas):
        colour = class_bgr(int(far_first.class_id[row]))
        cv2.polylines(canvas, edges, False, colour, 2, cv2.LINE_AA, _SHIFT)
        top = min((edge[edge[:, 1].argmin()] for edge in edges), key=lambda point: point[1]) >> _SHIFT
        text(canvas, f"{far_first.identity[row]}", (int(top[0]), int(top[1]) - 4), colour, 0.4)
    return canvas


def corners(boxes: Boxes) -> FloatArray:
    """(N, 8, 3) odom frame: bottom four around, then the top four."""
    x = boxes.size[:, :1] / 2 * np.array([1, 1, -1, -1] * 2)
    y = boxes.size[:, 1:2] / 2 * np.array([1, -1, -1, 1] * 2)
    z = boxes.size[:, 2:] / 2 * np.repeat([-1, 1], 4)
    cos, sin = np.cos(boxes.yaw)[:, None], np.sin(boxes.yaw)[:, None]
    return np.asarray(np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=-1) + boxes.position[:, None])


def text(canvas: Image, what: str, at: tuple[int, int], colour: tuple[int, int, int], size: float = 0.45) -> None:
    """With a dark rim, so that it reads on anything."""
    for shift in ((-1, 0), (1, 0), (0, -1), (0, 1)):  # a thicker stroke would also be a wider text
        cv2.putText(canvas, what, (at[0] + shift[0], at[1] + shift[1]), _FONT, size, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(canvas, what, at, _FONT, size, colour, 1, cv2.LINE_AA)


def _draw_points(canvas: Image, bev: Bev, cloud: npt.NDArray[np.float32]) -> None:
    """Brighter the higher above the ground, so that the road stays quiet."""
    place = bev.pixels(cloud[:, :2])
    u, v = np.floor(place).astype(np.int64).T
    on = (u >= 0) & (u < bev.width) & (v >= 0) & (v < bev.height)
    grey = np.clip(58 + 60 * (cloud[on, 2] - 0.2), 52, 150).astype(np.uint8)
    order = np.argsort(grey)
    canvas[v[on][order], u[on][order]] = np.stack([grey, (grey * 0.94).astype(np.uint8), (grey * 0.88)], -1)[order]


def _draw_detections(canvas: Image, bev: Bev, view: FrameView, sensor: str, ego_SE3_odom: SE3) -> None:
    slot = view.frame.slots.get(sensor)
    boxes = view.frame.found.get(sensor)
    if slot is None or boxes is None or not len(boxes):
        return
    r, g, b = SENSOR_RGB[slot.modality]
    for place in bev.pixels((ego_SE3_odom @ boxes.position)[:, :2]):
        if not np.isfinite(place).all():
            continue
        at = (round(place[0]), round(place[1]))
        marker = {"camera": cv2.MARKER_TRIANGLE_UP, "lidar": cv2.MARKER_CROSS, "radar": cv2.MARKER_DIAMOND}
        cv2.drawMarker(canvas, at, (b, g, r), marker[slot.modality], 11, 1, cv2.LINE_AA)


def _draw_track(
    canvas: Image, bev: Bev, view: FrameView, row: int, ego_SE3_odom: SE3, heading: float, confirmed: float
) -> None:
    tracks = view.tracks
    colour = class_bgr(int(tracks.class_id[row]))
    outline = (ego_SE3_odom @ corners(tracks[[row]])[0, :4])[:, :2]
    if not (np.isfinite(outline).all() and np.isfinite(view.covariance[row]).all()):
        return
    centre = (ego_SE3_odom @ tracks.position[row])[:2]
    if tracks.existence[row] < confirmed:
        _polyline(canvas, bev, outline, tuple(int(c * 0.55) for c in colour), 1)
        return
    layer = canvas.copy()
    cv2.fillPoly(layer, [_fixed(bev.pixels(outline))], colour, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(layer, 0.38, canvas, 0.62, 0, canvas)
    _polyline(canvas, bev, outline, colour, 2)
    nose = (outline[0] + outline[1]) / 2
    _polyline(canvas, bev, np.stack([centre, nose]), colour, 1, closed=False)
    tip = centre + ego_SE3_odom.rotate([*np.nan_to_num(tracks.velocity[row]), 0.0])[:2]
    _polyline(canvas, bev, np.stack([centre, tip]), (255, 255, 255), 1, closed=False)
    _polyline(canvas, bev, centre + _region(view.covariance[row], -heading), colour, 1)
    u, v = bev.pixels(outline).max(axis=0)
    if 0 <= u < bev.width and 0 <= v < bev.height:
        text(canvas, f"{tracks.identity[row]}", (int(u) + 2, int(v)), colour, 0.38)


def _region(covariance: FloatArray, turn: float) -> FloatArray:
    """(24, 2) outline of the 90 % region around 0, turned by ``turn`` rad."""
    value, vector = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = np.sqrt(np.clip(value, 0, 100.0) * -2.0 * np.log(0.1))
    outline = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * radius @ vector.T
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(outline @ rotation.T)


def _visible_edges(
    boxes: Boxes, camera: CameraSensor, ratio: float, camera_SE3_odom: SE3, canvas: Image
) -> Iterator[tuple[list[npt.NDArray[np.int32]], int]]:
    """Edges of each box that shows, as polylines in sub-pixels, and its row.

    Edges go in short pieces: distortion shows, and what is behind the camera is cut off.
    """
    ends = (camera_SE3_odom @ corners(boxes))[:, _EDGES]  # (N, 12, 2, 3)
    points = ends[:, :, :1] + _STEPS * (ends[:, :, 1:] - ends[:, :, :1])  # (N, 12, S, 3)
    flat = points.reshape(-1, 3)
    pixels, valid = camera.intrinsics.project(flat)
    pixels = np.clip(np.nan_to_num(pixels * ratio, nan=-1e6), -1e6, 1e6)
    height, width = canvas.shape[:2]
    valid &= (flat[:, 2] > 0.3) & (np.abs(pixels) < 2 * max(width, height)).all(axis=1)
    on = valid & (pixels >= 0).all(axis=1) & (pixels < [width, height]).all(axis=1)
    shape = points.shape[:3]
    fixed, valid, on = _fixed(pixels).reshape(*shape, 2), valid.reshape(shape), on.reshape(shape)
    for row in np.flatnonzero(on.any(axis=(1, 2))).tolist():
        edges = [line[ok] for line, ok in zip(fixed[row], valid[row], strict=True) if ok.sum() > 1]
        if edges:
            yield edges, row


def _polyline(
    canvas: Image, bev: Bev, ego_xy: FloatArray, colour: tuple[int, ...], width: int, closed: bool = True
) -> None:
    place = bev.pixels(ego_xy)
    if np.isfinite(place).all() and (np.abs(place) < 1e4).all():
        cv2.polylines(canvas, [_fixed(place)], closed, colour, width, cv2.LINE_AA, _SHIFT)


def _fixed(pixels: FloatArray) -> npt.NDArray[np.int32]:
    return np.round(pixels * (1 << _SHIFT)).astype(np.int32)
