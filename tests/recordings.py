"""A small recording for tests: two seconds of one camera, one LiDAR, one radar and the pose, without noise of time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic, LidarSensor, RadarSensor, Rig
from pipeline.core.messages import (
    CLASSES,
    POINT,
    RADAR_POINT,
    CameraImage,
    Detections,
    EgoPose,
    FrameSet,
    LedgerRow,
    LedgerState,
    Message,
    PointCloud,
    RadarScan,
    RunInfo,
    Scene,
    SensorSlot,
    Stamp,
    Timing,
    WheelSpeed,
)
from pipeline.core.recording import RecordingReader, RecordingSettings, RecordingWriter
from pipeline.core.settings import to_yaml
from pipeline.core.truth import TruthObjects

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


def scene(tracks: int = 2, missing: tuple[str, ...] = ()) -> Scene:
    """Trucks ahead, each seen by camera and LiDAR to equal parts."""
    score = np.zeros((tracks, len(CLASSES)), np.float32)
    score[:, CLASSES.index("truck")] = 0.9
    return Scene(
        index=4,
        position=(0.0, 0.0, 0.0),
        rotation_wxyz=(1.0, 0.0, 0.0, 0.0),
        sensors=("front", "top"),
        missing=missing,
        track_id=np.arange(tracks, dtype=np.int64) + 17,
        track_position=np.column_stack([15.0 + 12.0 * np.arange(tracks), np.zeros(tracks), np.ones(tracks)]),
        track_velocity=np.full((tracks, 2), 3.0),
        track_size=np.full((tracks, 3), 2.0, np.float32),
        track_yaw=np.zeros(tracks),
        state_cov=np.zeros((tracks, 5, 5), np.float32),
        class_score=score,
        existence=np.full(tracks, 0.8, np.float32),
        weight=np.full((tracks, 2), 0.5, np.float32),
        age=np.ones(tracks, np.int32),
        coasted=np.zeros(tracks, np.int32),
    )


def truth() -> TruthObjects:
    """One object of no class, of which nothing but the place is known."""
    return TruthObjects(
        object_id=np.array([5], np.int64),
        class_id=np.array([-1], np.int32),
        position=np.array([[15.0, 2.0, 1.0]]),
        size=np.ones((1, 3), np.float32),
        yaw=np.array([np.pi / 2]),
        velocity=np.full((1, 2), np.nan, np.float32),
        lidar_points=np.array([3], np.int32),
        visibility=np.array([np.nan], np.float32),
    )


def detections(sensor: str, modality: str, count: int = 2) -> Detections:
    nan = np.full((count,), np.nan, np.float32)
    score = np.zeros((count, len(CLASSES)), np.float32)
    score[:, 0] = 0.7
    return Detections(
        sensor=sensor,
        modality=modality,
        origin=(1.0, 0.0, 1.5),
        position=np.tile(np.array([[15.0, 0.0, 1.0]], np.float32), (count, 1)),
        position_cov=np.zeros((count, 3, 3), np.float32),
        size=np.full((count, 3), 2.0, np.float32),
        size_sigma=np.ones((count, 3), np.float32),
        yaw=np.zeros(count, np.float32),
        yaw_sigma=np.ones(count, np.float32),
        velocity=np.full((count, 2), np.nan, np.float32),
        velocity_cov=np.zeros((count, 2, 2), np.float32),
        radial_speed=nan,
        radial_sigma=nan,
        class_score=score,
        score=np.full(count, 0.7, np.float32),
        box2d=np.tile(np.array([[10, 10, 30, 30]], np.float32), (count, 1)),
        time_offset_ns=np.zeros(count, np.int32),
        points=np.zeros(count, np.int32),
        embedding=np.zeros((count, 0), np.float32),
    )


def perceived(frames: int = 5) -> list[Message]:
    """What a run adds to `messages`: detections, frame sets, scenes, labels, ledger, timing; the LiDAR fails once."""
    out = []
    for i in range(frames):
        arrival = stamp("lidar/top", i)
        missing = "silent" if i == 2 else ""
        slots = (
            SensorSlot(sensor="front", modality="camera", sequence=i, offset_ns=-3_000_000, residual_m=0.01),
            SensorSlot(sensor="top", modality="lidar", missing=missing),
        )
        frame_set = FrameSet(index=i, position=(float(i), 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0), slots=slots)
        timing = Timing(
            node="fuse", sensor="frames", sequence=i, epoch=0, arrival_ns=0, received_ns=5, started_ns=9, ended_ns=10**6
        )
        ledger = LedgerState(rows=(LedgerRow(sensor="top", received=i, fused=0, in_flight=0, dropped={"late": i}),))
        host_ns = run_info().stamp.time_ns + i * PERIOD_NS
        host = Stamp(sensor_ns=host_ns, arrival_ns=host_ns, time_ns=host_ns, sequence=i)
        out += [
            Message("detections/front", arrival, detections("front", "camera")),
            Message("detections/top", arrival, detections("top", "lidar", count=i % 2)),
            Message("frames", arrival, frame_set),
            Message("scene", arrival, scene(missing=("top: silent",) if missing else ())),
            Message("truth/objects", arrival, truth()),
            Message("timing/fuse", host, timing),
            Message("ledger", host, ledger),
        ]
    return out


def drive_time(message: Message) -> int:
    """Arrival on the drive's clock, also of what bears the host's."""
    arrival_ns = message.stamp.arrival_ns
    ahead_ns = run_info().stamp.time_ns - START_NS
    return arrival_ns - ahead_ns + LATENCY_NS["lidar"] if arrival_ns >= START_NS + ahead_ns else arrival_ns


def split_run(run: Path, target: Path) -> Path:
    """A run's recording written anew as run.mcap and run_001.mcap, as by a recorder that died in the middle."""
    target.mkdir()
    with RecordingReader(run / "run.mcap") as whole:
        told = list(whole.messages())
        for name, half in (("run.mcap", told[: len(told) // 2]), ("run_001.mcap", told[len(told) // 2 :])):
            with RecordingWriter(target / name, whole.info_message) as writer:
                for message in half:
                    if message.topic != "run/info":
                        writer.write(message)
    return target


def write_recording(path: Path, content: Iterable[Message], settings: RecordingSettings | None = None) -> Path:
    with RecordingWriter(path, run_info(), settings) as writer:
        for message in content:
            writer.write(message)
    return path
