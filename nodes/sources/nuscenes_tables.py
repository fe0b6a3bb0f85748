"""The tables of nuScenes (v1.0-*/): read in bounded size, reduced to one scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from nodes.sources.indexed import ns_from_us
from nodes.sources.poses import rigid
from pipeline.core.bounded import read_json
from pipeline.core.errors import BadInput

T = TypeVar("T")

MAX_TABLE_BYTES = 2 << 30  # v1.0-trainval's largest table has 1.2 GB

Vector: TypeAlias = tuple[float, float, float]
Quaternion: TypeAlias = tuple[float, float, float, float]


class SceneRow(msgspec.Struct):
    token: str
    name: str


class SampleRow(msgspec.Struct):
    token: str
    timestamp: int
    scene_token: str


class SampleData(msgspec.Struct):
    sample_token: str
    ego_pose_token: str
    calibrated_sensor_token: str
    timestamp: int
    is_key_frame: bool
    filename: str
    height: int | None = None
    width: int | None = None


class EgoPoseRow(msgspec.Struct):
    token: str
    timestamp: int
    rotation: Quaternion
    translation: Vector


class CalibratedSensor(msgspec.Struct):
    token: str
    sensor_token: str
    translation: Vector
    rotation: Quaternion
    camera_intrinsic: list[list[float]] = []


class SensorRow(msgspec.Struct):
    token: str
    channel: str
    modality: str


class AnnotationRow(msgspec.Struct):
    sample_token: str
    instance_token: str
    translation: Vector
    size: Vector
    rotation: Quaternion
    visibility_token: str = ""
    num_lidar_pts: int = -1


class InstanceRow(msgspec.Struct):
    token: str
    category_token: str


class CategoryRow(msgspec.Struct):
    token: str
    name: str


@dataclass(frozen=True)
class Channel:
    """One sensor of the scene: frames in order of time."""

    sensor: SensorRow
    calibrated: CalibratedSensor
    frames: list[SampleData]


@dataclass(frozen=True)
class SceneTables:
    """What the tables say of one scene, tokens resolved."""

    name: str
    channels: list[Channel]
    pose_times_ns: npt.NDArray[np.int64]
    poses: SE3  # odom_SE3_ego
    samples: list[SampleRow]  # key frames, in order of time
    annotations: list[list[AnnotationRow]]  # per sample
    category_of: dict[str, str]  # instance token -> category name


def tables_folder(root: Path) -> Path | None:
    """The folder of the tables in a nuScenes root, or None."""
    return next((path.parent for path in sorted(root.glob("v1.0-*/scene.json"))), None)


def scene_names(root: Path) -> list[str]:
    folder = tables_folder(root)
    return [] if folder is None else [scene.name for scene in _rows(folder, "scene", SceneRow)]


def read_scene(root: Path, name: str | None) -> SceneTables:
    """Tables of one scene; without a name the only one.

    Raises:
        BadInput: no tables, no such scene, several scenes and no name, or a token that leads nowhere.
    """
    folder = tables_folder(root)
    if folder is None:
        raise BadInput(root, "tables", "v1.0-*/scene.json", "none")
    scenes = {scene.name: scene for scene in _rows(folder, "scene", SceneRow)}
    if name is None and len(scenes) == 1:
        name = next(iter(scenes))
    if name not in scenes:
        raise BadInput(root, "scene", f"one of {', '.join(scenes)}, given as <folder>/<scene>", name or "none given")
    token = scenes[name].token
    samples = sorted((s for s in _rows(folder, "sample", SampleRow) if s.scene_token == token), key=_time)
    tokens = {sample.token for sample in samples}
    data = [row for row in _rows(folder, "sample_data", SampleData) if row.sample_token in tokens]
    if not data:
        raise BadInput(folder / "sample_data.json", "rows", f"some of scene {name}", "none")
    times_ns, poses = _poses(folder, {row.ego_pose_token for row in data})
    annotations: dict[str, list[AnnotationRow]] = {token: [] for token in tokens}
    for annotation in _rows(folder, "sample_annotation", AnnotationRow):
        if annotation.sample_token in annotations:
            annotations[annotation.sample_token].append(annotation)
    category = {row.token: row.name for row in _rows(folder, "category", CategoryRow)}
    return SceneTables(
        name=name,
        channels=_channels(folder, data),
        pose_times_ns=times_ns,
        poses=poses,
        samples=samples,
        annotations=[annotations[sample.token] for sample in samples],
        category_of={i.token: category.get(i.category_token, "") for i in _rows(folder, "instance", InstanceRow)},
    )


def _poses(folder: Path, tokens: set[str]) -> tuple[npt.NDArray[np.int64], SE3]:
    path = folder / "ego_pose.json"
    rows = sorted((row for row in _rows(folder, "ego_pose", EgoPoseRow) if row.token in tokens), key=_time)
    if not rows:
        raise BadInput(path, "rows", "the poses that sample_data names", "none of them")
    rotations, translations = [row.rotation for row in rows], [row.translation for row in rows]
    poses = rigid(rotations, translations, path, "rotation, translation")
    return ns_from_us([row.timestamp for row in rows]), poses


def _channels(folder: Path, data: list[SampleData]) -> list[Channel]:
    calibrated = {row.token: row for row in _rows(folder, "calibrated_sensor", CalibratedSensor)}
    sensors = {row.token: row for row in _rows(folder, "sensor", SensorRow)}
    channels: dict[str, Channel] = {}
    for row in data:
        path = folder / "sample_data.json"
        mounted = _at(calibrated, row.calibrated_sensor_token, path, "calibrated_sensor_token")
        sensor = _at(sensors, mounted.sensor_token, folder / "calibrated_sensor.json", "sensor_token")
        channel = channels.setdefault(sensor.channel, Channel(sensor, mounted, []))
        if channel.calibrated.token != mounted.token:
            raise BadInput(path, f"{sensor.channel} calibration", "one per scene", "several")
        channel.frames.append(row)
    return [
        Channel(channel.sensor, channel.calibrated, sorted(channel.frames, key=_time))
        for _, channel in sorted(channels.items())
    ]


def _rows(folder: Path, table: str, kind: type[T]) -> list[T]:
    rows: list[T] = read_json(folder / f"{table}.json", list[kind], MAX_TABLE_BYTES)  # type: ignore[valid-type]
    return rows


def _at(rows: dict[str, T], token: str, source: Path, field: str) -> T:
    if token not in rows:
        raise BadInput(source, field, "a token of an existing row", token)
    return rows[token]


def _time(row: SampleRow | SampleData | EgoPoseRow) -> int:
    return row.timestamp
