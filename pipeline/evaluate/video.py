"""A short film of the run: cameras with projected boxes at the left, the scene from above at the right.

Where the cameras leave room below them, it shows what every sensor detected near the vehicle.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import cv2
import numpy as np

from calibration.rig import CameraSensor
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.draw import BACKGROUND, Bev, draw_bev, draw_camera, text
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.truth import TruthTrack
from pipeline.evaluate.views import FrameView, Image

CAMERA_WIDTH = 760
_BEV_WIDTH = 520
_GAP = 4
_LEAST_ROOM, _NEAR_M = 160, 40.0
_RED = (110, 110, 255)


class Film:
    """Lays out frames of one run, all of the same size.

    The camera that looks most ahead is large; up to four others stand in pairs below it, from left to right. Where an
    image is missing the one before it stays, dark, with the reason.
    """

    def __init__(self, run: RunLog, truth: TruthTrack, config: EvalConfig) -> None:
        self._run, self._truth, self._config = run, truth, config
        by_angle = sorted(run.rig.cameras, key=_azimuth, reverse=True)
        self._main = min(by_angle, key=lambda c: abs(_azimuth(c)), default=None)
        self._others = [c for c in by_angle if c is not self._main][:4]
        heights = [self._height(self._main, CAMERA_WIDTH)] if self._main else []
        for pair in range(0, len(self._others), 2):
            both = self._others[pair : pair + 2]
            heights.append(max(self._height(c, CAMERA_WIDTH // 2) for c in both))
        left = CAMERA_WIDTH + _GAP if self._main else 0
        used = sum(heights) + _GAP * max(0, len(heights) - 1)
        tall = (max(560, used) + 1) // 2 * 2
        self._room = tall - used - _GAP if self._main else 0
        self._left, self._heights = left, heights
        self.size = (left + _BEV_WIDTH + _BEV_WIDTH * (not left)) // 2 * 2, tall
        self.bev = self._bev()
        self._newest: dict[str, Image] = {}

    def draw(self, view: FrameView) -> Image:
        """(height, width, 3) bgr of `size`."""
        width, height = self.size
        canvas = np.full((height, width, 3), BACKGROUND, np.uint8)
        if self._main is not None:
            self._place(canvas, view, self._main, 0, 0, CAMERA_WIDTH)
            for number, camera in enumerate(self._others):
                top = sum(self._heights[: 1 + number // 2]) + _GAP * (1 + number // 2)
                half = CAMERA_WIDTH // 2
                self._place(canvas, view, camera, (number % 2) * (half + _GAP // 2), top, half - _GAP // 2)
        if self._room >= _LEAST_ROOM:
            near = Bev(CAMERA_WIDTH, self._room, self._room / _NEAR_M, (_NEAR_M / 2 - 4.0, 0.0))
            close_up = draw_bev(view, near, self._run.sensors, self._config.confirmed_existence)
            text(close_up, "near, with the detections of every sensor", (8, 18), (255, 255, 255), 0.42)
            canvas[height - self._room :, :CAMERA_WIDTH] = close_up
        canvas[:, self._left :] = draw_bev(view, self.bev, (), self._config.confirmed_existence)
        self._caption(canvas, view)
        return canvas

    def _bev(self) -> Bev:
        """Ahead only where only the front is scored, else all around with more room ahead."""
        width, height = self.size[0] - self._left, self.size[1]
        start, end = self._config.region.azimuth_deg
        reach = min(self._config.region.max_range_m, max(self._config.class_range_m.values()))
        ahead, behind = (reach, 6.0) if end - start <= 180 else (min(reach, 52.0), 34.0)
        return Bev(width, height, height / (ahead + behind), ((ahead - behind) / 2, 0.0))

    def _place(self, canvas: Image, view: FrameView, camera: CameraSensor, x: int, y: int, width: int) -> None:
        height = self._height(camera, width)
        place = canvas[y : y + height, x : x + width]
        image = view.images.get(camera.name)
        slot = view.frame.slots.get(camera.name)
        if image is not None:  # so the camera was taken into this frame set
            fitted = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
            self._newest[camera.name] = fitted
            place[:] = draw_camera(fitted, camera, view, self._run, self._truth, self._config.confirmed_existence)
        elif camera.name in self._newest:
            place[:] = self._newest[camera.name] // 3
        text(canvas, camera.name, (x + 8, y + 18), (255, 255, 255), 0.42)
        if image is None:
            why = slot.missing if slot is not None and slot.missing else "image not recorded"
            text(canvas, why, (x + 8, y + 38), _RED, 0.5)

    def _caption(self, canvas: Image, view: FrameView) -> None:
        seconds = (view.frame.time_ns - self._run.start_ns) / 1e9
        x = self._left + 10
        text(canvas, f"{seconds:6.2f} s   frame {view.frame.index}", (x, 20), (255, 255, 255), 0.45)
        missing = [f"{name}: {slot.missing}" for name, slot in view.frame.slots.items() if slot.missing]
        for line, what in enumerate(missing):
            text(canvas, what, (x, 42 + 18 * line), _RED, 0.42)

    @staticmethod
    def _height(camera: CameraSensor, width: int) -> int:
        return max(1, round(camera.height * width / camera.width))


def encode(frames: Iterable[Image], size: tuple[int, int], rate_hz: float, limit_bytes: int) -> bytes:
    """H.264 in MP4; b"" for no frames.

    Quality is lowered until it fits ``limit_bytes``; frames are kept in memory for that, already compressed.
    """
    stored = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for frame in frames]
    if not stored:
        return b""
    film = b""
    for crf in (23, 28, 33, 38, 43):
        film = _encode(stored, size, rate_hz, crf)
        if len(film) <= limit_bytes:
            break
    return film


def _encode(stored: Sequence[np.ndarray], size: tuple[int, int], rate_hz: float, crf: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate_hz).limit_denominator(1000))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "fast", "tune": "animation"}
        for data in stored:
            picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def _azimuth(camera: CameraSensor) -> float:
    """Direction of the optical axis in the ego frame, rad, left positive."""
    x, y, _ = camera.ego_SE3_sensor.rotation[:, 2]
    return float(np.arctan2(y, x))
