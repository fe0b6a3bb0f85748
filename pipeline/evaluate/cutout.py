"""A tracked object cut out of the camera image that shows it best, with its box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration.camera import inside as on_image
from calibration.rig import CameraSensor
from calibration.se3 import SE3
from pipeline.evaluate.boxes import Boxes, FloatArray
from pipeline.evaluate.draw import draw_camera
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.truth import TruthTrack
from pipeline.evaluate.views import FrameView, Image

_ROOM = 2.2  # width of the cut-out in lengths of the object
_LEAST_PX = 160
_NO_TRUTH = TruthTrack([], 0)


def cutout(view: FrameView, run: RunLog, track_id: int) -> tuple[str, Image] | None:
    """(camera, picture twice as wide as high); None where no camera has the track on its image."""
    mine = view.tracks[view.tracks.identity == track_id]
    best, found = 1.0, None
    for camera in run.rig.cameras:
        if camera.name in view.images and len(mine):
            off, pixel, depth_m = _on(camera, view, run, mine)
            if off < best:
                best, found = off, (camera, pixel, depth_m)
    if found is None:
        return None
    camera, (u, v), depth_m = found
    image = view.images[camera.name]
    alone = replace(view, tracks=mine, labels=Boxes.empty())
    drawn = draw_camera(image, camera, alone, run, _NO_TRUTH, confirmed=0.0)
    ratio = image.shape[1] / camera.width
    size_px = _ROOM * float(mine.size[0].max()) * ratio * float(camera.intrinsics.matrix[0, 0]) / max(depth_m, 1.0)
    height, width = drawn.shape[:2]
    half = int(min(max(size_px, _LEAST_PX), width, 2 * height) / 2)
    left = int(min(max(u * ratio - half, 0), width - 2 * half))
    top = int(min(max(v * ratio - half / 2, 0), height - half))
    return camera.name, drawn[top : top + half, left : left + 2 * half]


def _on(camera: CameraSensor, view: FrameView, run: RunLog, mine: Boxes) -> tuple[float, FloatArray, float]:
    """How far from the middle of the image, in halves of its width, 2 = not on it; the pixel; and the depth, m."""
    slot = view.frame.slots[camera.name]
    camera_SE3_odom: SE3 = (run.ego_at(slot.time_ns) @ camera.ego_SE3_sensor).inverse()
    place = camera_SE3_odom @ mine.moved((slot.time_ns - view.frame.time_ns) / 1e9).position
    pixels, valid = camera.intrinsics.project(place)
    seen = bool(valid[0] and on_image(pixels, camera.width, camera.height)[0] and place[0, 2] > 0.5)
    off = abs(float(pixels[0, 0]) / camera.width - 0.5) * 2.0 if seen else 2.0
    return off, np.asarray(pixels[0]), float(place[0, 2])
