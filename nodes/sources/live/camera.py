"""A camera by OpenCV: a V4L2 device, a video file, or a GStreamer pipeline where OpenCV was built with it.

A thread of its own takes the frames, so that a frame's arrival is when it came and not when someone had time for it.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import cv2
import numpy as np

from calibration.rig import CameraSensor
from nodes.sources.live.driver import DriverSettings, Raw
from pipeline.core.clock import Clock
from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage

logger = logging.getLogger(__name__)

_WAITING = 4  # frames; more have no use, they are late already
_MAX_GAP = 1_000  # frames; a longer gap is a new beginning
_JUMP_NS = 1_000_000_000
_NAP_NS = 100_000_000
_PATIENCE_S = 1.0


class CameraSettings(DriverSettings, frozen=True, tag_field="driver", tag="camera"):
    """One camera.

    source: V4L2 device (number or path), video file, URL, or GStreamer pipeline ending in appsink.
    jpeg_quality: 1..100; what the detectors see is what is recorded, so this is a setting of the sensor. 0 = raw bgr8.
    stamps: `device` = OpenCV's CAP_PROP_POS_MSEC: for V4L2 the driver's own stamp (the machine's monotonic clock), for
    a file the time within it; the rig's clock is then `free`. `arrival` = when the host had the frame, for sources
    whose POS_MSEC is no clock; the rig's clock is then `vehicle`, its sigma_ns covering how the delay varies.
    offset_ns: added to the stamp; brings it to the middle of the exposure of the middle row.
    fourcc: pixel format asked of a device, such as MJPG. paced: a file plays in its own time, not as fast as it can.
    backoff_s, max_backoff_s: wait before a device that vanished is opened again, doubled each time.
    """

    source: int | str = 0
    jpeg_quality: int = 90
    stamps: Literal["device", "arrival"] = "device"
    offset_ns: int = 0
    fourcc: str = ""
    paced: bool = True
    backoff_s: float = 0.5
    max_backoff_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality: expected 0..100, got {self.jpeg_quality}")
        if len(self.fourcc) not in (0, 4):
            raise ValueError(f"fourcc: expected four characters or none, got {self.fourcc!r}")
        if not 0 < self.backoff_s <= self.max_backoff_s <= 3600:
            raise ValueError("backoff_s, max_backoff_s: expected 0 < backoff_s <= max_backoff_s <= 3600")

    @property
    def is_file(self) -> bool:
        return isinstance(self.source, str) and Path(self.source).is_file()


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...
    def read(self) -> tuple[bool, np.ndarray]: ...
    def get(self, prop: int) -> float: ...
    def release(self) -> None: ...


OpenCapture = Callable[[CameraSettings, CameraSensor], Capture]


def open_capture(settings: CameraSettings, sensor: CameraSensor) -> Capture:
    """Open with the backend that the source is for, and ask a device for the rig's size and rate.

    Raises:
        BadInput: a pipeline, and this OpenCV has no GStreamer (the wheels have none); or a file that is not there.
    """
    source, backend = settings.source, cv2.CAP_ANY
    if isinstance(source, int) or source.startswith("/dev/video"):
        backend = cv2.CAP_V4L2
    elif "!" in source:
        backend = cv2.CAP_GSTREAMER
        if "GStreamer:                   YES" not in cv2.getBuildInformation():
            raise BadInput(source, "source", "an OpenCV that was built with GStreamer", f"OpenCV {cv2.__version__}")
    elif "://" not in source and not settings.is_file:
        raise BadInput(source, "source", "a device, a video file, a URL or a pipeline", "nothing there")
    capture = cv2.VideoCapture(source, backend)
    if backend == cv2.CAP_V4L2 and capture.isOpened():
        if settings.fourcc:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*settings.fourcc))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, sensor.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, sensor.height)
        capture.set(cv2.CAP_PROP_FPS, sensor.rate_hz)
    return capture


class Camera:
    """Driver.

    losses: ``disconnected`` = how often the device vanished or could not be opened. given_up, of frames: ``dropped`` by
    gaps in the device's stamps at the rig's rate_hz, ``overrun`` = gave way while four were waiting, ``wrong_size`` =
    not the rig's.

    Raises:
        BadInput: stamps and the rig's clock do not fit: an offset estimated from arrivals would be 0 with a sigma far
            too small, and a device's stamps are not on the vehicle's clock. See `open_capture` for the others.
    """

    def __init__(
        self, settings: CameraSettings, sensor: CameraSensor, clock: Clock, open_: OpenCapture = open_capture
    ) -> None:
        if (settings.stamps == "arrival") != (sensor.clock.discipline == "vehicle"):
            expected = "`device` where the rig's clock is free, `arrival` with its sigma_ns where it is vehicle"
            raise BadInput(sensor.name, "stamps", expected, f"{settings.stamps} with {sensor.clock.discipline}")
        self._settings = settings
        self._sensor = sensor
        self._grabber = _Grabber(settings, sensor, clock, open_)
        if not settings.is_file:  # a file begins when it is first read
            self._grabber.start()

    @property
    def losses(self) -> Mapping[str, int]:
        return {"disconnected": self._grabber.disconnected} if self._grabber.disconnected else {}

    @property
    def given_up(self) -> Mapping[str, int]:
        return self._grabber.given_up

    @property
    def ended(self) -> bool:
        return self._grabber.ended

    def read(self, timeout_s: float) -> Raw | None:
        if self._grabber.ident is None:
            self._grabber.start()
        frame = self._grabber.take(timeout_s)
        if frame is None:
            return None
        image = self._image(frame.pixels)
        stamp_ns = frame.device_ns if self._settings.stamps == "device" else frame.arrival_ns
        return Raw(stamp_ns + self._settings.offset_ns, frame.arrival_ns, image)

    def discard(self) -> None:
        self._grabber.discard()

    def close(self) -> None:
        self._grabber.stop()

    def _image(self, pixels: np.ndarray) -> CameraImage:
        height, width = pixels.shape[:2]
        quality = self._settings.jpeg_quality
        if not quality:
            return CameraImage(height=height, width=width, encoding="bgr8", data=np.ascontiguousarray(pixels).ravel())
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return CameraImage(height=height, width=width, encoding="jpeg", data=data.ravel())


class _Frame(NamedTuple):
    """pixels: (H, W, 3) uint8, blue-green-red."""

    pixels: np.ndarray
    device_ns: int
    arrival_ns: int


class _Grabber(threading.Thread):
    """Takes frames as they come; opens the device again, ever more patiently, when it vanishes."""

    def __init__(self, settings: CameraSettings, sensor: CameraSensor, clock: Clock, open_: OpenCapture) -> None:
        super().__init__(name=f"camera {sensor.name}", daemon=True)
        self.disconnected = 0
        self._settings = settings
        self._sensor = sensor
        self._clock = clock
        self._open = open_
        self._is_file = settings.is_file
        self._changed = threading.Condition()
        self._frames: deque[_Frame] = deque()
        self._given_up: Counter[str] = Counter()
        self._done = False
        self._host_minus_file_ns = 0
        self._stopping = threading.Event()
        self._capture = open_(settings, sensor)

    @property
    def ended(self) -> bool:
        with self._changed:
            return self._done and not self._frames

    @property
    def given_up(self) -> Mapping[str, int]:
        with self._changed:
            return dict(self._given_up)

    def take(self, timeout_s: float) -> _Frame | None:
        """The oldest frame that waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._done, timeout_s)
            if not self._frames:
                return None
            self._changed.notify_all()
            return self._frames.popleft()

    def discard(self) -> None:
        with self._changed:
            if not self._is_file:
                self._frames.clear()

    def stop(self) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self.ident is None:
            self._capture.release()
            return
        self.join(timeout=_PATIENCE_S)  # a device that hangs in a read is left to the daemon thread

    def run(self) -> None:
        try:
            self._keep_grabbing()
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _keep_grabbing(self) -> None:
        wait_s = self._settings.backoff_s
        while not self._stopping.is_set():
            if self._grab_all():
                wait_s = self._settings.backoff_s
            self._capture.release()
            if self._is_file:
                break
            self.disconnected += 1
            logger.warning("%s: %s gives no frames; opening it again", self.name, self._settings.source)
            self._stopping.wait(wait_s)
            wait_s = min(2 * wait_s, self._settings.max_backoff_s)
            if not self._stopping.is_set():
                self._capture = self._open(self._settings, self._sensor)

    def _grab_all(self) -> bool:
        """Until the device gives no more, or we are to stop; False where there was not one frame."""
        last_ns: int | None = None
        count = 0
        while not self._stopping.is_set() and self._capture.isOpened():
            try:
                there, pixels = self._capture.read()
            except cv2.error as error:
                logger.warning("%s: %s", self.name, error)
                break
            if not there:
                break
            count += 1
            position_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            device_ns = round(position_ms * 1e6) if math.isfinite(position_ms) else 0
            if self._is_file and self._settings.paced:
                self._wait_until_due(device_ns, last_ns)
            self._put(pixels, device_ns, last_ns)
            last_ns = device_ns
        return count > 0

    def _put(self, pixels: np.ndarray, device_ns: int, last_ns: int | None) -> None:
        with self._changed:
            if self._settings.stamps == "device" and last_ns is not None:
                missing = round((device_ns - last_ns) * 1e-9 * self._sensor.rate_hz) - 1
                if 0 < missing <= _MAX_GAP:
                    self._given_up["dropped"] += missing
            if pixels.shape != (self._sensor.height, self._sensor.width, 3):
                if not self._given_up["wrong_size"]:
                    rig = f"{self._sensor.width} x {self._sensor.height}"
                    logger.warning("%s: image of shape %s, by the rig it is %s", self.name, pixels.shape, rig)
                self._given_up["wrong_size"] += 1
                return
            if self._is_file:  # it can wait, and what would be lost here was never lost on the road
                self._changed.wait_for(lambda: len(self._frames) < _WAITING or self._stopping.is_set())
            elif len(self._frames) == _WAITING:
                self._frames.popleft()
                self._given_up["overrun"] += 1
            # Stamped while nobody can read: who finds no frame here knows that none came before.
            self._frames.append(_Frame(pixels, device_ns, self._clock.now_ns()))
            self._changed.notify_all()

    def _wait_until_due(self, device_ns: int, last_ns: int | None) -> None:
        """Hold a file's frame back until its time has come; a jump in its stamps begins a new time."""
        now_ns = self._clock.now_ns()
        if last_ns is None or not 0 <= device_ns - last_ns <= _JUMP_NS:
            self._host_minus_file_ns = now_ns - device_ns
        due_ns = device_ns + self._host_minus_file_ns
        while now_ns < due_ns and not self._stopping.is_set():
            self._clock.sleep_until(min(due_ns, now_ns + _NAP_NS))
            now_ns = self._clock.now_ns()
