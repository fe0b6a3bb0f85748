"""A small recording for tests: two seconds of one camera, one LiDAR, one radar and the pose, without noise of time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic, LidarSensor, RadarSensor, Rig
from pipeline.core.messages import (
    POINT,
    RADAR_POINT,
    CameraImage,
    EgoPose,
    Message,
    PointCloud,
    RadarScan,
    RunInfo,
    Stamp,
    WheelSpeed,
)
from pipeline.core.recording import RecordingSettings, RecordingWriter
from pipeline.core.settings import to_yaml

START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
LATENCY_NS = {"camera": 18_000_000, "lidar": 4_000_000, "radar": 9_000_000, "pose": 1_000_000, "wheel": 1_000_000}


def small_rig() -> Rig:
    mount = Extrinsic(translation=(1.0, 0.0, 1.5), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
    lens = Pinhole(fx=50.0, fy=50.0, cx=31.5, cy=23.5)
    return Rig(
        vehicle="small",
        sensors=(
            CameraSensor(name="front", extrinsic=mount, width=64, height=48, intrinsics=lens),
            LidarSensor(name="top", extrinsic=mount),
            RadarSensor(name="bumper", extrinsic=mount),
        ),
    )


def run_info(host_ns: int = START_NS + 10**18) -> Message:
    """As a run sends it: stamped by the host's clock, years after the drive."""
    stamp = Stamp(sensor_ns=host_ns, arrival_ns=host_ns, time_ns=host_ns, sequence=1)
    return Message("run/info", stamp, RunInfo(drive="small", version="1", rig_yaml=to_yaml(small_rig()), graph_yaml=""))


def stamp(topic: str, sequence: int, time_ns: int | None = None) -> Stamp:
    time_ns = START_NS + sequence * PERIOD_NS if time_ns is None else time_ns
    arrival_ns = time_ns + LATENCY_NS[topic.partition("/")[0]]
    return Stamp(sensor_ns=time_ns - 7, arrival_ns=arrival_ns, time_ns=time_ns, sigma_ns=3, sequence=sequence)


def messages(frames: int = 20, image_bytes: int = 3000, points: int = 500) -> list[Message]:
    """In order of arrival."""
    rng = np.random.default_rng(1)
    out = []
    for i in range(frames):
        cloud = np.zeros(points, POINT)
        cloud["x"] = rng.random(points)
        scan = np.zeros(5, RADAR_POINT)
        scan["range_rate"] = np.nan
        image = rng.integers(0, 256, image_bytes, dtype=np.uint8)
        for topic, payload in (
            ("camera/front", CameraImage(height=48, width=64, encoding="jpeg", data=image)),
            ("lidar/top", PointCloud(points=cloud)),
            ("radar/bumper", RadarScan(points=scan, ambiguity_mps=10.3)),
            ("pose/ego", EgoPose(position=(float(i), 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))),
            ("wheel/rear", WheelSpeed(speed=10.0)),
        ):
            out.append(Message(topic, stamp(topic, i), payload))
    return sorted(out, key=lambda m: (m.stamp.arrival_ns, m.topic))


def write_recording(path: Path, content: Iterable[Message], settings: RecordingSettings | None = None) -> Path:
    with RecordingWriter(path, run_info(), settings) as writer:
        for message in content:
            writer.write(message)
    return path
