"""A made-up run, written as a real recording: six objects, three sensors, one of which fails for a while."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic, LidarSensor, RadarSensor, Rig
from calibration.se3 import SE3
from pipeline.core.arrays import Payload
from pipeline.core.messages import (
    CLASSES,
    POINT,
    CameraImage,
    Detections,
    EgoPose,
    FrameSet,
    LedgerRow,
    LedgerState,
    Message,
    PointCloud,
    RunInfo,
    Scene,
    SensorSlot,
    Stamp,
    StreamStatus,
    Timing,
)
from pipeline.core.recording import RecordingWriter
from pipeline.core.settings import to_yaml
from pipeline.core.truth import TruthObjects
from pipeline.evaluate.config import load_config
from pipeline.evaluate.judge import Evaluation, judge
from pipeline.evaluate.run_log import load_run

CONFIGS = Path(__file__).parents[4] / "configs" / "eval"
MS = 1_000_000
START = 1_700_000_000_000_000_000
PERIOD = 100 * MS
FORWARD = (0.5, -0.5, 0.5, -0.5)  # ego_SE3_camera: z forward, x right, y down

RIG = Rig(
    vehicle="made_up",
    sensors=(
        CameraSensor(
            name="front",
            extrinsic=Extrinsic(translation=(1.5, 0.0, 1.5), rotation_wxyz=FORWARD),
            width=320,
            height=180,
            intrinsics=Pinhole(fx=200.0, fy=200.0, cx=159.5, cy=89.5),
        ),
        LidarSensor(name="top", extrinsic=Extrinsic(translation=(0.0, 0.0, 1.8), rotation_wxyz=(1, 0, 0, 0))),
        RadarSensor(name="bumper", extrinsic=Extrinsic(translation=(3.5, 0.0, 0.5), rotation_wxyz=(1, 0, 0, 0))),
    ),
)
MODALITY = {"front": "camera", "top": "lidar", "bumper": "radar"}
DELAY = {"front": 20 * MS, "top": 5 * MS, "bumper": 8 * MS}
NOISE = {"front": 0.9, "top": 0.15, "bumper": 0.4}


class World:
    """Objects that move straight; the ego drives along x at 8 m/s."""

    ids = np.array([11, 12, 13, 14, 15, 16])
    class_id = np.array([CLASSES.index(c) for c in ("car", "car", "car", "truck", "pedestrian", "bicycle")])
    start = np.array([[15, 3, 0.8], [30, -3, 0.8], [-12, 3, 0.8], [25, 8, 1.5], [18, -6, 0.9], [22, 5, 0.9]])
    velocity = np.array([[9, 0], [6, 0], [8, 0], [8, 0.3], [1, 0.8], [5, 0]], dtype=float)
    size = np.array([[4.5, 1.9, 1.6]] * 3 + [[8, 2.5, 3], [0.6, 0.6, 1.8], [1.8, 0.6, 1.7]])

    def position(self, seconds: float) -> np.ndarray:
        moved = self.start.copy()
        moved[:, :2] += self.velocity * seconds
        return moved

    @property
    def yaw(self) -> np.ndarray:
        return np.arctan2(self.velocity[:, 1], self.velocity[:, 0])

    def ego(self, seconds: float) -> SE3:
        return SE3.from_yaw(0.02 * seconds, (8.0 * seconds, 0.0, 0.0))


WORLD = World()


def stamp(time_ns: int, sequence: int, arrival_ns: int | None = None) -> Stamp:
    arrival = time_ns if arrival_ns is None else arrival_ns
    return Stamp(sensor_ns=time_ns, arrival_ns=arrival, time_ns=time_ns, sequence=sequence)


def one_hot(class_id: np.ndarray, probability: float = 0.9) -> np.ndarray:
    return (np.eye(len(CLASSES))[class_id] * probability).astype("<f4")


def detections(sensor: str, seconds: float, use: np.ndarray, rng: np.random.Generator, ego: SE3) -> Detections:
    n = int(use.sum())
    inverse = ego.inverse()
    position = inverse @ WORLD.position(seconds)[use]
    position[:, :2] += rng.normal(size=(n, 2)) * NOISE[sensor]
    f4 = np.float32
    return Detections(
        sensor=sensor,
        modality=MODALITY[sensor],  # type: ignore[arg-type]
        origin=(0.0, 0.0, 0.0),
        position=position.astype(f4),
        position_cov=np.tile(np.eye(3, dtype=f4) * NOISE[sensor] ** 2, (n, 1, 1)),
        size=WORLD.size[use].astype(f4),
        size_sigma=np.full((n, 3), 0.3, f4),
        yaw=(WORLD.yaw[use] - float(ego.yaw)).astype(f4),
        yaw_sigma=np.full(n, 0.1, f4),
        velocity=np.full((n, 2), np.nan, f4),
        velocity_cov=np.full((n, 2, 2), np.nan, f4),
        radial_speed=np.full(n, np.nan, f4),
        radial_sigma=np.full(n, np.nan, f4),
        class_score=one_hot(WORLD.class_id[use], 0.8),
        score=np.full(n, 0.8, f4),
        box2d=np.full((n, 4), np.nan, f4),
        time_offset_ns=np.zeros(n, "<i4"),
        points=np.full(n, 20, "<i4"),
        embedding=np.zeros((n, 0), f4),
    )


def scene(index: int, seconds: float, use: np.ndarray, sensors: dict[str, bool], rng: np.random.Generator) -> Scene:
    m = int(use.sum())
    ego = WORLD.ego(seconds)
    position = WORLD.position(seconds)[use]
    position[:, :2] += rng.normal(size=(m, 2)) * 0.2
    precision = np.array([here / NOISE[name] ** 2 for name, here in sensors.items()])
    return Scene(
        index=index,
        position=tuple(float(v) for v in ego.translation),  # type: ignore[arg-type]
        rotation_wxyz=tuple(float(v) for v in ego.quaternion),  # type: ignore[arg-type]
        sensors=tuple(sensors),
        missing=tuple(f"{name}: late" for name, here in sensors.items() if not here),
        track_id=(WORLD.ids[use] + 100).astype("<i8"),
        track_position=position,
        track_velocity=WORLD.velocity[use] + rng.normal(size=(m, 2)) * 0.1,
        track_size=WORLD.size[use].astype("<f4"),
        track_yaw=WORLD.yaw[use],
        state_cov=np.tile(np.diag([0.04, 0.04, 0.04, 0.01, 0.01]).astype("<f4"), (m, 1, 1)),
        class_score=one_hot(WORLD.class_id[use]),
        existence=np.full(m, 0.95, "<f4"),
        weight=np.tile((precision / precision.sum()).astype("<f4"), (m, 1)),
        age=np.full(m, index, "<i4"),
        coasted=np.zeros(m, "<i4"),
    )


def run_messages(
    frames: int = 20,
    seed: int = 0,
    vanish: tuple[int, range] = (14, range(8, 12)),
    identities: bool = True,
    images: bool = True,
    unbalanced: bool = False,
    wobble: float = 0.0,
    wobble_from: int = 10,
) -> list[Message]:
    """``vanish``: object without a track and which frames; in these the LiDAR is late and nothing sees the object.

    wobble: metres by which all tracks are moved from frame ``wobble_from`` on.
    """
    rng = np.random.default_rng(seed)
    out: list[Message] = []

    def say(topic: str, at: Stamp, payload: Payload) -> None:
        out.append(Message(topic, at, payload))

    lost, when = vanish
    dropped = 0
    for k in range(frames):
        seconds, now = k * 0.1, START + k * PERIOD
        ego = WORLD.ego(seconds)
        place = tuple(float(v) for v in ego.translation)
        turn = tuple(float(v) for v in ego.quaternion)
        say("pose/ego", stamp(now, k), EgoPose(position=place, rotation_wxyz=turn))  # type: ignore[arg-type]
        gone = k in when
        use = (WORLD.ids != lost) | ~np.array(gone)
        slots = []
        for sensor in MODALITY:
            offset = -30 * MS if sensor == "front" else 0
            seen_at = now + offset
            arrival = seen_at + DELAY[sensor]
            if sensor == "front" and images:
                picture = np.full((180, 320, 3), 90, np.uint8)
                picture[90:] = 60
                data = cv2.imencode(".jpg", picture)[1].ravel()
                image = CameraImage(height=180, width=320, encoding="jpeg", data=data)
                say("camera/front", stamp(seen_at, k, arrival), image)
            if sensor == "top" and images:
                cloud = np.zeros(500, POINT)
                cloud["x"], cloud["y"] = rng.uniform(-40, 40, (2, 500))
                cloud["z"] = -1.8
                say("lidar/top", stamp(seen_at, k, arrival), PointCloud(points=cloud))
            late = gone and sensor == "top"
            found = None if late else detections(sensor, seconds + offset / 1e9, use, rng, ego)
            slots.append(
                SensorSlot(
                    sensor=sensor,
                    modality=MODALITY[sensor],  # type: ignore[arg-type]
                    sequence=-1 if late else k,
                    epoch=-1 if late else 0,
                    time_ns=0 if late else seen_at,
                    offset_ns=offset,
                    residual_ns=500_000,
                    residual_m=0.01 + 0.001 * k,
                    missing="late" if late else "",
                    detections=found,
                )
            )
            work = {"front": 30, "top": 40, "bumper": 5}[sensor] * MS
            timing = Timing(
                node=f"detect_{sensor}", sensor=sensor, sequence=k, epoch=0, arrival_ns=arrival,
                received_ns=10 * MS, started_ns=11 * MS, ended_ns=11 * MS + work,
            )  # fmt: skip
            say(f"timing/detect_{sensor}", stamp(now, k), timing)
        dropped += gone
        frame_set = FrameSet(index=k, position=place, rotation_wxyz=turn, slots=tuple(slots))  # type: ignore[arg-type]
        say("frames", stamp(now, k, now + 50 * MS), frame_set)
        here = {name: not (gone and name == "top") for name in MODALITY}
        world = scene(k, seconds, use, here, rng)
        if wobble and k >= wobble_from:
            world.track_position[:, 0] += wobble
        say("scene", stamp(now, k, now + 50 * MS), world)
        fuse = Timing(
            node="fuse", sensor="frames", sequence=k, epoch=0, arrival_ns=now, received_ns=60 * MS,
            started_ns=60 * MS, ended_ns=(64 + k % 3) * MS,
        )  # fmt: skip
        say("timing/fuse", stamp(now, k), fuse)
        rows = tuple(
            LedgerRow(
                sensor=name,
                received=k + 1 + (7 if unbalanced and name == "front" else 0),
                fused=k + 1 - (dropped if name == "top" else 0),
                in_flight=0,
                dropped={"late": dropped} if name == "top" and dropped else {},
            )
            for name in MODALITY
        )
        say("ledger", stamp(now, k), LedgerState(rows=rows))
        n = len(WORLD.ids)
        say(
            "truth/objects",
            stamp(now, k),
            TruthObjects(
                object_id=(WORLD.ids if identities else np.full(n, -1)).astype("<i8"),
                class_id=WORLD.class_id.astype("<i4"),
                position=WORLD.position(seconds),
                size=WORLD.size.astype("<f4"),
                yaw=WORLD.yaw,
                velocity=WORLD.velocity.astype("<f4"),
                lidar_points=np.full(n, 30, "<i4"),
                visibility=np.ones(n, "<f4"),
            ),
        )
    for name in MODALITY:
        end = StreamStatus(sent=frames, watermark_ns=START + frames * PERIOD, ended=True)
        say(f"stream/{name}", stamp(START + frames * PERIOD, frames), end)
    return out


def write(folder: Path, graph: str = "name: made_up_graph\nreach: 3.0\n", **kwargs: object) -> Path:
    folder.mkdir()
    info = RunInfo(drive="made-up drive", version="0", rig_yaml=to_yaml(RIG), graph_yaml=graph)
    with RecordingWriter(folder / "run.mcap", Message("run/info", stamp(START, 0), info)) as recording:
        for message in run_messages(**kwargs):  # type: ignore[arg-type]
            recording.write(message)
    return folder


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run folder: its name, then the arguments of `run_messages`; graph: text of its graph."""
    return lambda name="run", **kwargs: write(tmp_path / name, **kwargs)


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up run with all defaults; read only."""
    return write(tmp_path_factory.mktemp("good") / "run")


@pytest.fixture(scope="session")
def good(good_run: Path) -> Evaluation:
    """`good_run`, judged by nuScenes' settings; read only."""
    return judge(load_run(good_run), load_config(CONFIGS / "nuscenes.yaml"))
