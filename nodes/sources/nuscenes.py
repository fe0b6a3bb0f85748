"""nuScenes in its official layout: v1.0-*/ tables, samples/, sweeps/. One scene is one drive.

- Ego is the dataset's: x forward, y left, z up, on the ground under the rear axle. Odom is its global frame.
- Sensors are named by channel in lower case: `camera/cam_front`, `lidar/lidar_top`, `radar/radar_front`, ...
- The LiDAR's stamp is the end of the turn, to which its points are motion compensated; times of points are not given.
- Radar: the returns that the devkit keeps by default (valid, unambiguous). Of (vx, vy) only the part along the line of
  sight is measured: that is the range rate.
- `pose/ego` holds the pose of every sensor message; labels are those of the key frames.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np

from calibration.rig import CameraSensor, Clock, Extrinsic, LidarSensor, RadarSensor, Rig, Sensor
from nodes.sources.encoded_image import camera_image, pinhole
from nodes.sources.indexed import IndexedDrive, Stream, ns_from_us
from nodes.sources.nuscenes_tables import Channel, SceneTables, read_scene
from nodes.sources.pcd import read_pcd
from nodes.sources.poses import ego_pose_stream, rigid, trajectory_of
from nodes.sources.truth import Label, truth_objects, velocities
from pipeline.core.arrays import Payload
from pipeline.core.bounded import read_bytes
from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT, RADAR_POINT, PointCloud, RadarScan
from pipeline.core.truth import TruthObjects

CLASS_OF_CATEGORY = {
    "vehicle.car": "car",
    "vehicle.truck": "truck",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.trailer": "trailer",
    "vehicle.construction": "construction_vehicle",
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.bicycle": "bicycle",
    "movable_object.trafficcone": "traffic_cone",
    "movable_object.barrier": "barrier",
}
"""The detection benchmark's mapping; categories that it ignores are in no class."""

_VISIBILITY = {"1": 0.2, "2": 0.5, "3": 0.7, "4": 0.9}  # middle of 0-40, 40-60, 60-80, 80-100 %
_UNAMBIGUOUS = 3
_RADAR_FIELDS = ("x", "y", "z", "vx", "vy", "rcs", "invalid_state", "ambig_state")


class NuScenesDrive(IndexedDrive):
    """One scene.

    Args:
        root: folder with v1.0-*/, samples/ and, where there are any, sweeps/.
        scene: its name, such as scene-0061; may be left out where there is only one.

    Raises:
        BadInput: a table is missing or malformed, a token leads nowhere, or the scene is not there.
    """

    def __init__(self, root: Path, scene: str | None = None) -> None:
        self._root = root
        self._tables = tables = read_scene(root, scene)
        streams: list[Stream] = []
        sensors: list[Sensor] = []
        for channel in tables.channels:
            opened = self._open(channel)
            if opened is not None:
                sensors.append(opened[0])
                streams.append(opened[1])
        poses = trajectory_of(tables.pose_times_ns, tables.poses, root / "ego_pose.json")
        streams.append(ego_pose_stream(poses, root / "ego_pose.json"))
        self._sample_times_ns = ns_from_us([sample.timestamp for sample in tables.samples])
        self._labels = _labels(tables, root)
        if any(self._labels):
            streams.append(Stream("truth/objects", self._sample_times_ns, self._truth, root / "sample.json"))
        super().__init__(tables.name, Rig(vehicle="nuScenes", sensors=tuple(sensors)), streams)

    def _open(self, channel: Channel) -> tuple[Sensor, Stream] | None:
        """Sensor and stream of a channel; None for a modality that is none of ours."""
        modality, name = channel.sensor.modality, channel.sensor.channel.lower()
        has_sweeps = (self._root / "sweeps" / channel.sensor.channel).is_dir()
        frames = [frame for frame in channel.frames if frame.is_key_frame or has_sweeps]
        times_ns = ns_from_us([frame.timestamp for frame in frames])
        source = self._root / "sample_data.json"
        calibrated = channel.calibrated
        mounting = rigid(calibrated.rotation, calibrated.translation, source, "rotation, translation")
        extrinsic = Extrinsic.from_se3(mounting, method="dataset")
        clock = Clock(has_arrival=False)
        sensor: Sensor
        decode: Callable[[bytes, str], Payload]
        if modality == "camera":
            sensor = _camera(channel, name, extrinsic, clock, source)
            decode = partial(camera_image, width=sensor.width, height=sensor.height)
        elif modality == "lidar":
            sensor = LidarSensor(
                name=name, extrinsic=extrinsic, clock=clock, rate_hz=20.0, sweep_ns=50_000_000, beams=32
            )
            decode = _sweep
        elif modality == "radar":
            sensor = RadarSensor(name=name, extrinsic=extrinsic, clock=clock, rate_hz=13.0, max_range_m=250.0)
            decode = _scan
        else:
            return None

        def load(i: int) -> Payload:
            path = self._file(frames[i].filename)
            return decode(read_bytes(path), str(path))

        return sensor, Stream(f"{modality}/{name}", times_ns, load, source)

    def _file(self, name: str) -> Path:
        """Inside the root, whatever the table says."""
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise BadInput(self._root / "sample_data.json", "filename", "a path inside the data set", name)
        return self._root / inside

    def _truth(self, i: int) -> TruthObjects:
        rows = self._tables.annotations[i]
        truth = truth_objects(
            self._labels[i],
            velocities(self._labels, lambda j: np.full(len(self._labels[j]), self._sample_times_ns[j]), i),
            visibility=[_VISIBILITY.get(row.visibility_token, float("nan")) for row in rows],
        )
        counts = np.array([row.num_lidar_pts for row in rows], dtype=np.int32)
        return msgspec.structs.replace(truth, lidar_points=counts)


def _camera(channel: Channel, name: str, extrinsic: Extrinsic, clock: Clock, source: Path) -> CameraSensor:
    first, matrix = channel.frames[0], channel.calibrated.camera_intrinsic
    if [len(row) for row in matrix] != [3, 3, 3]:
        matrix = [[]]  # numpy takes no ragged one
    if not first.width or not first.height:
        raise BadInput(source, f"{name}: width, height", "numbers > 0", (first.width, first.height))
    return CameraSensor(
        name=name,
        extrinsic=extrinsic,
        clock=clock,
        rate_hz=12.0,
        width=first.width,
        height=first.height,
        intrinsics=pinhole(matrix, source.with_name("calibrated_sensor.json"), f"{name}: camera_intrinsic"),
    )


def _sweep(data: bytes, source: str) -> PointCloud:
    """.pcd.bin: float32 x, y, z, intensity 0..255, ring."""
    if len(data) % 20:
        raise BadInput(source, "size", "5 float32 per point", f"{len(data)} bytes: truncated")
    rows = np.frombuffer(data, "<f4").reshape(-1, 5)
    points = np.zeros(len(rows), POINT)
    points.view("<f4").reshape(-1, 6)[:, :3] = rows[:, :3]
    points["intensity"] = rows[:, 3] / np.float32(255)
    points["ring"] = np.nan_to_num(rows[:, 4]).clip(0, 255)
    return PointCloud(points=points, motion_compensated=True)


def _scan(data: bytes, source: str) -> RadarScan:
    rows = read_pcd(data, source)
    missing = [name for name in _RADAR_FIELDS if name not in (rows.dtype.names or ())]
    if missing:
        raise BadInput(source, "FIELDS", ", ".join(missing), rows.dtype.names)
    rows = rows[(rows["invalid_state"] == 0) & (rows["ambig_state"] == _UNAMBIGUOUS)]
    points = np.zeros(len(rows), RADAR_POINT)
    for name in ("x", "y", "z", "rcs"):
        points[name] = rows[name]
    distance = np.maximum(np.hypot(rows["x"], rows["y"]), 1e-6)
    points["range_rate"] = (rows["vx"] * rows["x"] + rows["vy"] * rows["y"]) / distance
    points["snr"] = np.nan
    return RadarScan(points=points)


def _labels(tables: SceneTables, root: Path) -> list[list[Label]]:
    instances = sorted({row.instance_token for rows in tables.annotations for row in rows})
    number = {token: k for k, token in enumerate(instances)}
    return [
        [
            Label(
                identity=number[row.instance_token],
                class_name=CLASS_OF_CATEGORY.get(tables.category_of.get(row.instance_token, ""), ""),
                position=row.translation,
                size=(row.size[1], row.size[0], row.size[2]),  # the table has width, length, height
                yaw=float(rigid(row.rotation, row.translation, root / "sample_annotation.json", "rotation").yaw),
            )
            for row in rows
        ]
        for rows in tables.annotations
    ]
