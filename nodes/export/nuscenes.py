"""Writes any drive in the layout of nuScenes, so that other teams' tools and models can work on it.

Key frames are every half second, at the instants of the labels; all else goes to `sweeps/`. Sweeps are deskewed to
their stamp and images freed of lens distortion, as the layout has them; every sensor keeps its own axes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, LidarSensor, RadarSensor
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.export.nuscenes_files import ImageWriter, scan_bytes, sweep_bytes, write
from nodes.export.nuscenes_rows import Annotations, Row, chain, fixed_tables, token
from nodes.sources.drive import Drive
from nodes.sources.truth import points_in_boxes
from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage, EgoPose, Message, PointCloud, RadarScan
from pipeline.core.truth import TruthObjects
from pipeline.sync.motion import compensate_doppler, deskew

Ranging: TypeAlias = CameraSensor | LidarSensor | RadarSensor

VERSION = "v1.0-mini"
SCENE = "scene-0103"
"""The devkit scores only scenes whose names stand in its own list of splits; this one is in `mini_val`."""

_KEY_PERIOD_NS = 500_000_000
_POSE_SLACK_NS = 200_000_000
_TRUTH = "truth/objects"
_BLANK_MAP = "maps/blank.png"
_CHANNEL = {"camera": "CAM", "lidar": "LIDAR", "radar": "RADAR"}


def export_nuscenes(
    drive: Drive, root: Path, scene: str = SCENE, progress: Callable[[Message], None] = lambda _: None
) -> None:
    """Write ``drive`` as the only scene of a nuScenes data set.

    Args:
        root: folder to make; must not hold a data set yet. scene: name of the scene; the drive's own name goes into
            its description. progress: called with every message that was written.

    Raises:
        BadInput: a folder in use, a drive without camera, LiDAR or radar, or a fisheye camera.
    """
    if (root / VERSION).exists():
        raise BadInput(root, VERSION, "a folder without a data set", "one")
    writer = _Writer(drive, root, scene)
    sensors: tuple[Ranging, ...] = (*drive.rig.cameras, *drive.rig.lidars, *drive.rig.radars)
    for sensor in sensors:
        if f"{sensor.modality}/{sensor.name}" in drive.topics:
            writer.add(sensor, progress)
    writer.finish()


class _Writer:
    def __init__(self, drive: Drive, root: Path, scene: str) -> None:
        self._drive = drive
        self._root = root
        self._scene = scene
        self._poses = _poses(drive)
        self._keys_ns = _key_times(drive)
        self._samples = [token(scene, "sample", i) for i in range(len(self._keys_ns))]
        self._truth = list(_at_keys(drive, self._keys_ns))
        self._lidar_points = [np.zeros(len(truth.object_id), np.int32) for truth in self._truth]
        self._radar_points = [np.zeros(len(truth.object_id), np.int32) for truth in self._truth]
        self._has_lidar = False
        self._tables: dict[str, list[Row]] = {
            name: [] for name in ("sensor", "calibrated_sensor", "ego_pose", "sample_data")
        }

    # --- one sensor after the other

    def add(self, sensor: Ranging, progress: Callable[[Message], None]) -> None:
        channel = self._channel(sensor)
        topic = f"{sensor.modality}/{sensor.name}"
        images = ImageWriter(sensor, self._drive.name) if isinstance(sensor, CameraSensor) else None
        self._describe(sensor, channel, images)
        rows = []
        for message, key in _with_keys(self._drive.messages([topic]), self._keys_ns):
            if images is not None and isinstance(message.payload, CameraImage):
                data, ending = images.file(message.payload)
            else:
                data, ending = self._ranging(sensor, message, key)
            name = f"{self._scene}__{channel}__{message.stamp.time_ns // 1000}.{ending}"
            path = f"{'sweeps' if key is None else 'samples'}/{channel}/{name}"
            write(self._root / path, data)
            rows.append(self._data_row(sensor, channel, message, path, key))
            progress(message)
        chain(rows)
        self._tables["sample_data"] += rows

    def _channel(self, sensor: Ranging) -> str:
        """Such as CAM_FRONT. The devkit measures distances from LIDAR_TOP, so the first LiDAR is called that."""
        kind = _CHANNEL[sensor.modality]
        if kind == "LIDAR" and not self._has_lidar:
            self._has_lidar = True
            return "LIDAR_TOP"
        return f"{kind}_{sensor.name.removeprefix(sensor.modality).strip('_') or '0'}".upper()

    def _describe(self, sensor: Ranging, channel: str, images: ImageWriter | None) -> None:
        self._tables["sensor"].append(
            {"token": token("sensor", channel), "channel": channel, "modality": sensor.modality}
        )
        self._tables["calibrated_sensor"].append(
            {
                "token": token(self._scene, "calibrated", channel),
                "sensor_token": token("sensor", channel),
                "translation": list(sensor.extrinsic.translation),
                "rotation": list(sensor.extrinsic.rotation_wxyz),
                "camera_intrinsic": images.matrix if images else [],
            }
        )

    def _data_row(
        self,
        sensor: Ranging,
        channel: str,
        message: Message,
        path: str,
        key: int | None,
    ) -> Row:
        time_ns = message.stamp.time_ns
        pose = token(self._scene, "pose", channel, time_ns)
        self._tables["ego_pose"].append({"token": pose, "timestamp": time_ns // 1000, **_pose_row(self._pose(time_ns))})
        nearest = int(np.argmin(np.abs(self._keys_ns - time_ns))) if key is None else key
        image = isinstance(sensor, CameraSensor)
        return {
            "token": token(self._scene, "data", channel, time_ns),
            "sample_token": self._samples[nearest],
            "ego_pose_token": pose,
            "calibrated_sensor_token": token(self._scene, "calibrated", channel),
            "timestamp": time_ns // 1000,
            "fileformat": path.rpartition(".")[2] if image else "pcd",
            "is_key_frame": key is not None,
            "height": sensor.height if isinstance(sensor, CameraSensor) else 0,
            "width": sensor.width if isinstance(sensor, CameraSensor) else 0,
            "filename": path,
            "prev": "",
            "next": "",
        }

    def _ranging(self, sensor: Ranging, message: Message, key: int | None) -> tuple[bytes, str]:
        """The file of a sweep or scan; in key frames its returns are counted in the labelled boxes."""
        time_ns, payload = message.stamp.time_ns, message.payload
        pose = self._pose(time_ns)
        if isinstance(payload, PointCloud):
            xyz = self._deskewed(payload, message, sensor.ego_SE3_sensor)
            counts, ending = self._lidar_points, "pcd.bin"
            data = sweep_bytes(payload, sensor.ego_SE3_sensor.inverse().rotate(xyz - sensor.extrinsic.translation))
        else:
            assert isinstance(payload, RadarScan), f"{message.topic}: no image, sweep or scan"
            xyz = sensor.ego_SE3_sensor @ payload.xyz
            counts, ending = self._radar_points, "pcd"
            data = scan_bytes(payload, self._over_ground(payload, time_ns, sensor.ego_SE3_sensor))
        if key is not None and self._truth:
            truth = self._truth[key]
            counts[key] += points_in_boxes(pose @ xyz, truth.position, truth.size, truth.yaw)
        return data, ending

    def _deskewed(self, cloud: PointCloud, message: Message, ego_SE3_lidar: SE3) -> npt.NDArray[np.floating]:
        """(N, 3) ego frame at the stamp; as measured where no pose covers the whole sweep."""
        try:
            return deskew(cloud, message.stamp, ego_SE3_lidar, self._poses)
        except ValueError:
            return ego_SE3_lidar @ cloud.xyz

    def _over_ground(self, scan: RadarScan, time_ns: int, ego_SE3_radar: SE3) -> npt.NDArray[np.float32]:
        if self._poses is None or not self._poses.covers(time_ns):
            return np.zeros(len(scan.points), np.float32)
        linear, angular = self._poses.velocity(time_ns)
        return compensate_doppler(scan, linear, angular, ego_SE3_radar)

    def _pose(self, time_ns: int) -> SE3:
        """``odom_SE3_ego``; the nearest known one where the time lies outside them."""
        if self._poses is None:
            return SE3.identity()
        first, last = int(self._poses.times_ns[0]), int(self._poses.times_ns[-1])
        return self._poses.at(min(max(time_ns, first), last))

    # --- what all of them have in common

    def finish(self) -> None:
        if not self._tables["sample_data"]:
            raise BadInput(self._drive.name, "sensors", "a camera, LiDAR or radar", list(self._drive.topics))
        annotations = Annotations(self._scene)
        for i, truth in enumerate(self._truth):
            annotations.add(self._samples[i], truth, self._lidar_points[i], self._radar_points[i])
        samples: list[Row] = [
            {
                "token": name,
                "timestamp": int(time_ns) // 1000,
                "scene_token": token(self._scene),
                "prev": "",
                "next": "",
            }
            for name, time_ns in zip(self._samples, self._keys_ns, strict=True)
        ]
        chain(samples)
        log = token(self._scene, "log")
        tables = {
            **fixed_tables(),
            **self._tables,
            **annotations.tables(),
            "sample": samples,
            "scene": [
                {
                    "token": token(self._scene),
                    "log_token": log,
                    "nbr_samples": len(samples),
                    "first_sample_token": samples[0]["token"],
                    "last_sample_token": samples[-1]["token"],
                    "name": self._scene,
                    "description": self._drive.name,
                }
            ],
            "log": [
                {
                    "token": log,
                    "logfile": self._drive.name,
                    "vehicle": self._drive.rig.vehicle,
                    "date_captured": str(np.datetime64(int(self._keys_ns[0]), "ns").astype("datetime64[D]")),
                    "location": "none",
                }
            ],
            "map": [{"token": token("map"), "log_tokens": [log], "category": "semantic_prior", "filename": _BLANK_MAP}],
        }
        write(self._root / _BLANK_MAP, cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
        for name, rows in tables.items():
            write(self._root / VERSION / f"{name}.json", json.dumps(rows, indent=0).encode())


def _poses(drive: Drive) -> Trajectory | None:
    if "pose/ego" not in drive.topics:
        return None
    messages = [m for m in drive.messages(["pose/ego"]) if isinstance(m.payload, EgoPose)]
    times_ns = np.array([m.stamp.time_ns for m in messages], dtype=np.int64)
    _, first = np.unique(times_ns, return_index=True)
    poses = SE3.stack([m.payload.odom_SE3_ego for m in messages if isinstance(m.payload, EgoPose)])
    return Trajectory(times_ns[first], poses[first], max_extrapolation_ns=_POSE_SLACK_NS)


def _key_times(drive: Drive) -> npt.NDArray[np.int64]:
    """(K,) int64: times of the labels, or where there are none of the first sensor, at most one each half second."""
    sensors = [t for t in drive.topics if t.partition("/")[0] in ("lidar", "camera", "radar")]
    topic = _TRUTH if _TRUTH in drive.topics else min(sensors, key=lambda t: not t.startswith("lidar"), default="")
    if not topic:
        raise BadInput(drive.name, "sensors", "a camera, LiDAR or radar", list(drive.topics))
    keys: list[int] = []
    for message in drive.messages([topic]):
        if not keys or message.stamp.time_ns - keys[-1] >= _KEY_PERIOD_NS:
            keys.append(message.stamp.time_ns)
    return np.array(keys, dtype=np.int64)


def _at_keys(drive: Drive, keys_ns: npt.NDArray[np.int64]) -> Iterator[TruthObjects]:
    if _TRUTH in drive.topics:
        wanted = set(keys_ns.tolist())
        for message in drive.messages([_TRUTH]):
            if message.stamp.time_ns in wanted and isinstance(message.payload, TruthObjects):
                yield message.payload


def _with_keys(messages: Iterator[Message], keys_ns: npt.NDArray[np.int64]) -> Iterator[tuple[Message, int | None]]:
    """Each message, and the number of the key frame to which none of the stream is nearer; None for most.

    A payload may be large and dear to make: every message is read once, and only one is kept.
    """
    key, best = 0, next(messages, None)
    for message in itertools.chain(messages, [None]):
        if best is None:
            return
        taken = None
        while key < len(keys_ns) and (message is None or _nearer(best, message, int(keys_ns[key]))):
            taken = key if taken is None else taken  # a message serves one key frame only
            key += 1
        yield best, taken
        best = message


def _nearer(one: Message, other: Message, time_ns: int) -> bool:
    return abs(one.stamp.time_ns - time_ns) <= abs(other.stamp.time_ns - time_ns)


def _pose_row(odom_SE3_ego: SE3) -> Row:
    return {"translation": odom_SE3_ego.translation.tolist(), "rotation": odom_SE3_ego.quaternion.tolist()}
