"""Recorded drives through the pipeline's own detectors, matched to the labels: what each sensor saw of each object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, LidarSensor, RadarSensor
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.detect_camera import DetectCamera, DetectCameraSettings
from nodes.detect_lidar import DetectLidar, DetectLidarSettings
from nodes.detect_radar import DetectRadar, DetectRadarSettings
from nodes.simulator.detections.fit.match import MATCHERS, Boxes, Matched
from nodes.simulator.detections.sight import Sight, gap_to_neighbour, hidden, sight, solid_angle
from nodes.sources.drive import Drive
from nodes.sources.truth import points_in_boxes
from pipeline.core.messages import Detections, EgoPose, Message, PointCloud
from pipeline.core.truth import TruthObjects

Table = dict[str, npt.NDArray[np.float64]]
_KEPT = (
    "position", "position_cov", "size", "size_sigma", "yaw", "yaw_sigma", "radial_speed", "radial_sigma",
    "class_score", "score", "box2d", "points", "time_offset_ns",
)  # fmt: skip
RADAR_HALF_VIEW = np.radians(60.0)
_PERCEIVES = (CameraSensor, LidarSensor, RadarSensor)


class Observed(NamedTuple):
    """One kind of sensor on one drive. Columns are (rows,) or (rows, width) float64.

    looks: one row per labelled object in view of one message; `hit` 0 or 1, and for hits the columns of the detection
    with `d_` before their names. extra: further detections on an object that already has one. false: the others.
    messages: how many messages; area: labelled sector, rad wide, within which `false` is complete.
    """

    sensor: CameraSensor | LidarSensor | RadarSensor
    looks: Table
    extra: Table
    false: Table
    messages: int
    sector: float


def observe(drive: Drive, sector: float = 2 * np.pi) -> dict[str, Observed]:
    """What each sensor of the drive saw, by name.

    sector: width, rad, of the sector ahead in which the labels are complete.
    """
    truths = list(drive.messages(["truth/objects"]))
    labels_of = [m.payload for m in truths if isinstance(m.payload, TruthObjects)]
    times = np.array([m.stamp.time_ns for m in truths])
    identities = link(labels_of, times.tolist())
    ego = _ego(drive)
    out: dict[str, Observed] = {}
    for sensor in drive.rig.sensors:
        if not isinstance(sensor, _PERCEIVES):
            continue
        rows: list[Table] = []
        extra: list[Table] = []
        false: list[Table] = []
        messages = 0
        for message, found in _detections(drive, sensor):
            frame = int(np.abs(times - message.stamp.time_ns).argmin())
            labels = labels_of[frame]
            odom_SE3_ego = SE3.identity() if ego is None else ego.at(message.stamp.time_ns)
            late = (message.stamp.time_ns - times[frame]) * 1e-9
            boxes = Boxes.of_labels(labels, identities[frame], odom_SE3_ego, late)
            looks = _looks(boxes, sensor, message, odom_SE3_ego)
            result = MATCHERS[sensor.modality](boxes, found, sensor, looks["visible"])
            time_s = (message.stamp.time_ns - times[0]) * 1e-9
            ahead = np.abs(np.arctan2(boxes.centre[:, 1], boxes.centre[:, 0])) <= sector / 2
            tables = _tables(looks, result, found, boxes, messages, time_s, odom_SE3_ego)
            inside = (looks["in_view"] > 0) & (boxes.class_id >= 0) & ahead
            rows.append({name: column[inside] for name, column in tables.looks.items()})
            extra.append(_picked(tables.extra, (tables.extra["in_view"] > 0) & (tables.extra["class_id"] >= 0)))
            within = np.abs(np.arctan2(found.position[:, 1], found.position[:, 0])) <= sector / 2
            false.append(_picked(tables.found, (result.role == 2) & within))
            messages += 1
        view = min(sector, _view(sensor, joined(rows)))
        out[sensor.name] = Observed(sensor, joined(rows), joined(extra), joined(false), messages, view)
    return out


def joined(tables: list[Table]) -> Table:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def link(frames: list[TruthObjects], times_ns: list[int]) -> list[npt.NDArray[np.int64]]:
    """Identities per frame: the labels' own, or, where they have none, of boxes of one size that moved little between
    frames less than 0.3 s apart."""
    out: list[npt.NDArray[np.int64]] = []
    free = 1 + max((int(f.object_id.max(initial=-1)) for f in frames), default=0)
    for i, frame in enumerate(frames):
        ids = frame.object_id.copy()
        new = np.flatnonzero(ids < 0)
        ids[new] = np.arange(free, free + len(new))
        free += len(new)
        if i and len(new) and times_ns[i] - times_ns[i - 1] < 300_000_000:
            before, taken = frames[i - 1], set()
            for row in new:
                alike = np.abs(np.log(before.size / frame.size[row])).max(axis=1) < 0.03
                alike &= before.class_id == frame.class_id[row]
                apart = np.linalg.norm(before.position[:, :2] - frame.position[row, :2], axis=1)
                apart[~alike] = np.inf
                if len(apart) and apart.min() < 4.0 and int(apart.argmin()) not in taken:
                    taken.add(int(apart.argmin()))
                    ids[row] = out[-1][int(apart.argmin())]
        out.append(ids)
    return out


def _view(sensor: CameraSensor | LidarSensor | RadarSensor, looks: Table) -> float:
    """Width of the sensor's field of view, rad."""
    if isinstance(sensor, CameraSensor):
        return float(2 * np.arctan(0.5 * sensor.width / sensor.intrinsics.fx))
    if isinstance(sensor, RadarSensor):
        return float(2 * RADAR_HALF_VIEW)
    widest = float(np.abs(looks["azimuth"]).max(initial=0.0))
    return 2 * np.pi if widest > 0.8 * np.pi else 2 * widest


class _Tables(NamedTuple):
    looks: Table
    extra: Table
    found: Table


def _tables(
    looks: Table, result: Matched, found: Detections, boxes: Boxes, number: int, time_s: float, odom_SE3_ego: SE3
) -> _Tables:
    columns: Table = {name: np.asarray(getattr(found, name), dtype=np.float64) for name in _KEPT}
    n, k = len(found.score), len(boxes.yaw)
    columns["odom"] = odom_SE3_ego @ found.position.astype(np.float64)
    columns["origin"] = np.tile(np.array(found.origin), (n, 1))
    columns["message"], columns["time"] = np.full(n, float(number)), np.full(n, time_s)
    looks |= {
        "hit": (result.detection >= 0).astype(np.float64),
        "identity": boxes.identity.astype(np.float64),
        "class_id": boxes.class_id.astype(np.float64),
        "centre": boxes.centre,
        "yaw": boxes.yaw,
        "size": boxes.size,
        "message": np.full(k, float(number)),
        "time": np.full(k, time_s),
        "origin": np.tile(np.array(found.origin), (k, 1)),
        "box2d": np.full((k, 4), np.nan) if result.box2d is None else result.box2d,
    }
    further = np.flatnonzero(result.role == 1)
    extra = _picked(looks, result.owner[further]) | {f"d_{name}": c[further] for name, c in columns.items()}
    for name, column in columns.items():
        padded = np.concatenate([column, np.full((1, *column.shape[1:]), np.nan)])
        looks[f"d_{name}"] = padded[result.detection]  # -1: the row of NaN
    return _Tables(looks, extra, columns)


def _picked(table: Table, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Table:
    return {name: column[rows] for name, column in table.items()}


def _looks(
    boxes: Boxes, sensor: CameraSensor | LidarSensor | RadarSensor, message: Message, odom_SE3_ego: SE3
) -> Table:
    """Covariates of every labelled object before this sensor; `in_view`: whether it is in its field of view."""
    origin = sensor.ego_SE3_sensor.translation
    seen = sight(boxes.centre, boxes.yaw, boxes.size, origin)
    out: Table = {
        "distance": seen.distance,
        "azimuth": seen.azimuth,
        "turn": seen.turn,
        "visible": 1.0 - hidden(Sight(*(part[None] for part in seen)))[0],
        "sr": solid_angle(seen, boxes.size),
        "gap": gap_to_neighbour(boxes.centre, boxes.size).astype(np.float64),
        "returns": np.zeros(len(boxes.yaw)),
    }
    out["in_view"] = (seen.distance < 100.0).astype(np.float64)
    if isinstance(sensor, CameraSensor):
        out["in_view"] *= np.isfinite(boxes.box2d(sensor)[:, 0])
    if isinstance(message.payload, PointCloud):
        xyz = sensor.ego_SE3_sensor @ message.payload.xyz.astype(np.float64)
        out["returns"] = points_in_boxes(xyz, boxes.centre, boxes.size.astype(np.float32), boxes.yaw).astype(float)
        azimuth = np.arctan2(xyz[:, 1], xyz[:, 0])
        reach = np.quantile(np.abs(azimuth), 0.995) if len(xyz) else 0.0  # the PandarGT looks ahead only
        out["in_view"] *= np.abs(seen.azimuth) < reach
    if isinstance(sensor, RadarSensor):
        out["in_view"] *= np.abs(seen.azimuth - float(sensor.ego_SE3_sensor.yaw)) < RADAR_HALF_VIEW
    return out


def _detections(drive: Drive, sensor: CameraSensor | LidarSensor | RadarSensor) -> Iterator[tuple[Message, Detections]]:
    """Each message of the sensor with what its detector finds in it."""
    has_poses = "pose/ego" in drive.topics
    node: DetectCamera | DetectLidar | DetectRadar
    if isinstance(sensor, CameraSensor):
        node = DetectCamera(DetectCameraSettings(), sensor)
    elif isinstance(sensor, LidarSensor):
        node = DetectLidar(DetectLidarSettings(), sensor, has_poses)
    else:
        node = DetectRadar(DetectRadarSettings(), sensor, has_poses)
    poses = list(drive.messages(["pose/ego"])) if has_poses and not isinstance(sensor, CameraSensor) else []
    for message in drive.messages([f"{sensor.modality}/{sensor.name}"]):
        near = [p for p in poses if abs(p.stamp.time_ns - message.stamp.time_ns) < 400_000_000]
        out: list[Message] = []
        for each in [*near, message]:
            out += node.step(each, 0)
        out += node.finish()
        for found in out:
            assert isinstance(found.payload, Detections)
            yield message, found.payload


def _ego(drive: Drive) -> Trajectory | None:
    """``odom_SE3_ego``, or None where odom is ego."""
    if "pose/ego" not in drive.topics:
        return None
    poses = sorted(drive.messages(["pose/ego"]), key=lambda m: m.stamp.time_ns)
    posed = [m.payload.odom_SE3_ego for m in poses if isinstance(m.payload, EgoPose)]
    return Trajectory([m.stamp.time_ns for m in poses], SE3.stack(posed), max_extrapolation_ns=200_000_000)
