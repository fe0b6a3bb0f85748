"""The camera driver: a video file made here, and devices that vanish, skip frames or change their size."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Clock, Extrinsic
from nodes.sources.live.camera import Camera, CameraSettings, open_capture
from pipeline.core.clock import ManualClock, SystemClock
from pipeline.core.errors import BadInput

WIDTH, HEIGHT, RATE = 64, 48, 20.0
T0 = 1_700_000_000_000_000_000
FREE, VEHICLE = Clock(discipline="free"), Clock(discipline="vehicle", sigma_ns=20_000_000)


def sensor(clock: Clock = FREE, width: int = WIDTH) -> CameraSensor:
    extrinsic = Extrinsic(translation=(0.0, 0.0, 1.5), rotation_wxyz=(0.5, -0.5, 0.5, -0.5))
    model = Pinhole(fx=50.0, fy=50.0, cx=31.5, cy=23.5)
    return CameraSensor(
        name="front", extrinsic=extrinsic, clock=clock, rate_hz=RATE, width=width, height=HEIGHT, intrinsics=model
    )


def picture(k: int, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, WIDTH, 3), 20 * k + 10, np.uint8)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (WIDTH, HEIGHT))
    for k in range(8):
        writer.write(picture(k))
    writer.release()
    return path


def drain(camera: Camera) -> list:
    raws = []
    while not camera.ended:
        raw = camera.read(10.0)
        if raw is not None:
            raws.append(raw)
    camera.close()
    return raws


def test_a_file_is_read_to_its_end_in_its_own_time(video):
    clock = ManualClock(T0)
    raws = drain(Camera(CameraSettings(source=str(video)), sensor(), clock))
    assert [raw.sensor_ns for raw in raws] == [k * 50_000_000 for k in range(8)]
    assert [raw.arrival_ns for raw in raws] == [T0 + k * 50_000_000 for k in range(8)]
    for k, raw in enumerate(raws):
        assert raw.payload.encoding == "jpeg"
        pixels = cv2.imdecode(raw.payload.data, cv2.IMREAD_COLOR)
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert pixels.mean() == pytest.approx(20 * k + 10, abs=4)


def test_raw_pixels_where_no_quality_is_asked(video):
    raw = drain(Camera(CameraSettings(source=str(video), jpeg_quality=0, paced=False), sensor(), ManualClock(T0)))[3]
    assert raw.payload.encoding == "bgr8"
    assert len(raw.payload.data) == WIDTH * HEIGHT * 3


def test_a_file_waits_to_be_read_and_nothing_of_it_is_discarded(video):
    camera = Camera(CameraSettings(source=str(video), paced=False), sensor(), ManualClock(T0))
    camera.discard()
    assert len(drain(camera)) == 8
    assert camera.given_up == camera.losses == {}


def test_an_offset_moves_the_stamp_to_the_middle_of_the_exposure(video):
    raws = drain(Camera(CameraSettings(source=str(video), offset_ns=-7, paced=False), sensor(), ManualClock(T0)))
    assert raws[2].sensor_ns == 100_000_000 - 7


def test_frames_of_another_size_than_the_rigs_are_given_up(video):
    camera = Camera(CameraSettings(source=str(video), paced=False), sensor(width=128), ManualClock(T0))
    assert drain(camera) == []
    assert camera.given_up == {"wrong_size": 8}


@pytest.mark.parametrize(
    ("stamps", "clock"), [("arrival", FREE), ("device", VEHICLE)], ids=["arrival, free", "device, vehicle"]
)
def test_stamps_that_the_rigs_clock_does_not_mean_are_refused(video, stamps, clock):
    with pytest.raises(BadInput, match="stamps"):
        Camera(CameraSettings(source=str(video), stamps=stamps), sensor(clock), ManualClock(T0))


def test_a_missing_file_and_a_missing_gstreamer_are_said():
    with pytest.raises(BadInput, match="nothing there"):
        open_capture(CameraSettings(source="no/such/video.mp4"), sensor())
    if "GStreamer:                   NO" in cv2.getBuildInformation():
        with pytest.raises(BadInput, match="GStreamer"):
            open_capture(CameraSettings(source="videotestsrc ! appsink"), sensor())


# --- devices


class Device:
    """Gives frames with these stamps in ms (None: fails once), then waits until it is released."""

    def __init__(self, script, height: int = HEIGHT) -> None:
        self._script = list(script)
        self._height = height
        self._position_ms = 0.0
        self.exhausted, self.released = threading.Event(), threading.Event()

    def isOpened(self) -> bool:
        return True

    def read(self):
        if not self._script:
            self.exhausted.set()
            self.released.wait(0.01)
            return False, None
        stamp = self._script.pop(0)
        if stamp is None:
            return False, None
        if stamp == "error":
            raise cv2.error("the driver said no")
        self._position_ms = stamp
        return True, picture(1, self._height)

    def get(self, prop: int) -> float:
        return self._position_ms

    def release(self) -> None:
        self.released.set()


def opened(*scripts, **kwargs):
    """A camera whose device is opened again with the next script each time; the last one stays silent."""
    devices = [Device(script) for script in scripts]
    left = list(devices)
    settings = CameraSettings(source=0, backoff_s=0.001, max_backoff_s=0.002, **kwargs)
    camera = Camera(settings, sensor(), SystemClock(), open_=lambda *_: left.pop(0) if len(left) > 1 else left[0])
    return camera, devices


def read(camera: Camera, count: int) -> list:
    raws = []
    while len(raws) < count:
        raw = camera.read(10.0)
        assert raw is not None
        raws.append(raw)
    camera.close()
    return raws


def test_a_device_that_vanishes_is_opened_again():
    camera, devices = opened([0.0, 50.0, None], ["error"], [5000.0, 5050.0])
    raws = read(camera, 4)
    assert [raw.sensor_ns for raw in raws] == [0, 50_000_000, 5_000_000_000, 5_050_000_000]
    assert camera.losses["disconnected"] >= 2
    assert devices[0].released.is_set()
    assert camera.given_up == {}


def test_frames_that_the_device_skipped_are_counted():
    camera, _ = opened([0.0, 50.0, 201.0, 249.0])
    read(camera, 4)
    assert camera.given_up == {"dropped": 2}


def test_the_oldest_frames_give_way_when_nobody_reads():
    camera, (device,) = opened([50.0 * k for k in range(10)])
    assert device.exhausted.wait(10.0)
    raws = read(camera, 4)
    assert [raw.sensor_ns for raw in raws] == [50_000_000 * k for k in range(6, 10)]
    assert camera.given_up == {"overrun": 6}


def test_what_came_before_the_run_is_discarded():
    camera, (device,) = opened([0.0, 50.0])
    assert device.exhausted.wait(10.0)
    camera.discard()
    assert camera.read(0.0) is None
    camera.close()
    assert camera.ended


def test_a_stamp_that_is_no_number_does_no_harm():
    camera, _ = opened([float("nan"), 50.0])
    assert [raw.sensor_ns for raw in read(camera, 2)] == [0, 50_000_000]
