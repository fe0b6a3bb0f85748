"""A drive in memory with one camera, LiDAR, radar and GNSS, for tests that read it many times."""

from __future__ import annotations

import numpy as np

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Clock, Extrinsic, GnssSensor, LidarSensor, RadarSensor, Rig
from nodes.sources.indexed import IndexedDrive, Stream
from pipeline.core.arrays import Payload
from pipeline.core.messages import POINT, RADAR_POINT, CameraImage, EgoPose, GnssFix, PointCloud, RadarScan

START_NS = 1_700_000_000_000_000_000
_FORWARD = (0.5, -0.5, 0.5, -0.5)


def small_rig(clock: Clock | None = None) -> Rig:
    known = clock or Clock()
    return Rig(
        vehicle="small",
        sensors=(
            CameraSensor(
                name="front",
                extrinsic=Extrinsic(translation=(1.5, 0.0, 1.5), rotation_wxyz=_FORWARD),
                clock=known,
                width=64,
                height=36,
                intrinsics=Pinhole(fx=38.0, fy=38.0, cx=31.5, cy=17.5),
            ),
            LidarSensor(
                name="top",
                extrinsic=Extrinsic(translation=(1.0, 0.0, 1.8), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)),
                clock=known,
                beams=32,
                max_range_m=120.0,
            ),
            RadarSensor(
                name="bumper",
                extrinsic=Extrinsic(translation=(3.6, 0.0, 0.5), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)),
                clock=known,
            ),
            GnssSensor(name="roof", extrinsic=Extrinsic(translation=(0, 0, 1.9), rotation_wxyz=(1, 0, 0, 0))),
        ),
    )


def small_drive(seconds: float = 3.0, rate_hz: float = 10.0, clock: Clock | None = None) -> IndexedDrive:
    """Payloads differ from frame to frame: the frame's number stands in the first pixel, point and fix."""
    times_ns = START_NS + (np.arange(round(seconds * rate_hz)) * (1e9 / rate_hz)).astype(np.int64)

    def image(i: int) -> CameraImage:
        pixels = np.random.default_rng([1, i]).integers(0, 255, 36 * 64 * 3, dtype=np.uint8)
        pixels[0] = i % 256
        return CameraImage(height=36, width=64, encoding="bgr8", data=pixels)

    def sweep(i: int) -> PointCloud:
        rng = np.random.default_rng([2, i])
        points = np.zeros(640, POINT)
        angle, distance = rng.uniform(-np.pi, np.pi, 640), rng.uniform(3.0, 100.0, 640)
        points["x"], points["y"] = distance * np.cos(angle), distance * np.sin(angle)
        points["z"] = rng.uniform(-1.8, 2.0, 640)
        points["intensity"], points["ring"] = rng.uniform(0.1, 0.6, 640), np.arange(640) % 32
        points["t_ns"][0] = -i
        return PointCloud(points=points)

    def scan(i: int) -> RadarScan:
        rng = np.random.default_rng([3, i])
        points = np.zeros(40, RADAR_POINT)
        points["x"], points["y"] = rng.uniform(5, 100, 40), rng.uniform(-20, 20, 40)
        points["snr"], points["rcs"] = rng.uniform(10, 30, 40), 5.0
        return RadarScan(points=points)

    def fix(i: int) -> Payload:
        return GnssFix(latitude=48.0, longitude=9.0, height=float(i))

    def pose(i: int) -> EgoPose:
        return EgoPose(position=(float(i), 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0), linear_velocity=(10.0, 0, 0))

    return IndexedDrive(
        "small",
        small_rig(clock),
        [
            Stream("camera/front", times_ns, image, "memory"),
            Stream("lidar/top", times_ns, sweep, "memory"),
            Stream("radar/bumper", times_ns, scan, "memory"),
            Stream("gnss/roof", times_ns, fix, "memory"),
            Stream("pose/ego", times_ns, pose, "memory"),
        ],
    )
