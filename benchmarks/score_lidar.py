"""The LiDAR detectors side by side: nuScenes AP by class and range, and how honest their stated errors are.

python -m benchmarks.score_lidar --sweeps out/lidar/test             simulated sweeps that `syncline train lidar` made
python -m benchmarks.score_lidar --drive ../shared/drives/astyx      a recorded drive, each of its LiDARs and all as one

`pillars, no earlier` is the network without the sweep before. Labels without a LiDAR return are not scored where
returns are counted. Stated errors: of the pairs within 2 m, the share whose error on the ground lies in the region that
should hold 90 %, and the mean negative log-likelihood, nats.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from calibration.rig import LidarSensor
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from fusion.detect import lidar
from fusion.detect.pillars import PillarDetector, PillarSettings
from nodes.earlier_sweeps import EarlierSweeps
from nodes.sources.open_drive import open_drive
from pipeline.cli.score_sweeps import Look, labelled, score_looks
from pipeline.core.messages import Detections, EgoPose, Message, PointCloud
from pipeline.core.truth import TruthObjects
from pipeline.evaluate.boxes import Boxes, centre_distance
from pipeline.evaluate.detection import greedy_pairs
from pipeline.sync.motion import deskew

RANGES_M = ((0.0, 20.0), (20.0, 40.0), (40.0, 60.0))
NEAR_M, CHI2_90_OF_2 = 2.0, 4.605
TOLERANCE_NS = 55_000_000
EARLIER_S = 0.2


Detector = Callable[[Look], Detections]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=Path, action="append", default=[], help="folder of labelled sweeps")
    parser.add_argument("--drive", type=Path, action="append", default=[], help="recorded drive")
    parser.add_argument(
        "--weights", default=PillarSettings().weights, help="another network than the one that comes with the project"
    )
    parser.add_argument("--every", type=int, default=1, help="only every n-th sweep")
    parser.add_argument("--half", type=float, default=180.0, help="labels are complete this far from ahead, degrees")
    chosen = parser.parse_args()
    pillars = PillarDetector(PillarSettings(weights=chosen.weights, min_score=0.02))
    clusters = lidar.LidarSettings(min_score=0.02)
    detectors: dict[str, Detector] = {
        "clusters": lambda look: lidar.detect(look.xyz, look.t_ns, look.origin, clusters, "lidar"),
        "pillars": lambda look: pillars(look.xyz, look.t_ns, look.origin, "lidar", look.earlier),
        "pillars, no earlier": lambda look: pillars(look.xyz, look.t_ns, look.origin, "lidar"),
    }
    for folder in chosen.sweeps:
        compare(str(folder.name), list(labelled(folder))[:: chosen.every], detectors, chosen.half)
    for path in chosen.drive:
        for sensors, looks in recorded(path, chosen.every):
            compare(f"{path.name}, {' and '.join(sensors)}", looks, detectors, chosen.half)


def recorded(path: Path, every: int) -> Iterator[tuple[list[str], list[Look]]]:
    """Each LiDAR of a drive, and all of them as one where there are several."""
    drive = open_drive(path)
    poses = _poses(drive.messages(["pose/ego"]) if "pose/ego" in drive.topics else [])
    truths = list(drive.messages(["truth/objects"]))
    sensors = [sensor.name for sensor in drive.rig.lidars]
    clouds = {s: list(drive.messages([f"lidar/{s}"])) for s in sensors}
    for chosen in [[s] for s in sensors] + ([sensors] if len(sensors) > 1 else []):
        kept, looks = EarlierSweeps(EARLIER_S), []
        for i, first in enumerate(clouds[chosen[0]]):
            parts = [min(clouds[s], key=lambda m: abs(m.stamp.time_ns - first.stamp.time_ns)) for s in chosen]
            xyz = np.concatenate([_in_ego(part, drive.rig[part.source], first, poses) for part in parts])
            t_ns = np.concatenate([_cloud(part).points["t_ns"] for part in parts])
            covered = poses is not None and poses.covers(first.stamp.time_ns)
            earlier = kept.before(xyz, first.stamp, poses if covered else None)
            truth = min(truths, key=lambda m: abs(m.stamp.time_ns - first.stamp.time_ns))
            if i % every == 0 and abs(truth.stamp.time_ns - first.stamp.time_ns) <= TOLERANCE_NS:
                labels, returns = _labels(truth, first.stamp.time_ns, poses)
                origin = drive.rig[chosen[0]].ego_SE3_sensor.translation
                looks.append(Look(xyz, t_ns, origin, earlier, labels, returns))
        yield chosen, looks


def _poses(messages: Iterator[Message] | list[Message]) -> Trajectory | None:
    seen = {m.stamp.time_ns: m.payload.odom_SE3_ego for m in messages if isinstance(m.payload, EgoPose)}
    times = sorted(seen)
    return Trajectory(times, SE3.stack([seen[t] for t in times]), 100_000_000) if times else None


def _cloud(message: Message) -> PointCloud:
    assert isinstance(message.payload, PointCloud)
    return message.payload


def _in_ego(cloud: Message, sensor: object, first: Message, poses: Trajectory | None) -> np.ndarray:
    """(N, 3) points in the ego frame at the stamp of ``first``."""
    assert isinstance(sensor, LidarSensor)
    points = _cloud(cloud)
    if points.motion_compensated or poses is None:
        xyz = np.asarray(sensor.ego_SE3_sensor @ points.xyz)
    else:
        xyz = deskew(points, cloud.stamp, sensor.ego_SE3_sensor, poses)
    if cloud.stamp.time_ns != first.stamp.time_ns and poses is not None:
        xyz = (poses.at(first.stamp.time_ns).inverse() @ poses.at(cloud.stamp.time_ns)) @ xyz
    return np.asarray(xyz, np.float32)


def _labels(truth: Message, time_ns: int, poses: Trajectory | None) -> tuple[Boxes, np.ndarray]:
    """Labels in the ego frame at that time."""
    objects = truth.payload
    assert isinstance(objects, TruthObjects)
    boxes = Boxes.of_truth(objects)
    late_ns = objects.time_offset_ns.astype(np.int64) if len(objects.time_offset_ns) else np.int64(0)
    held_ns = truth.stamp.time_ns + late_ns
    boxes = boxes.moved(np.broadcast_to((time_ns - held_ns) * 1e-9, (len(boxes),)))
    if objects.frame == "odom" and poses is not None:
        ego_SE3_odom = poses.at(time_ns).inverse()
        boxes = boxes.replaced(position=ego_SE3_odom @ boxes.position, yaw=boxes.yaw + float(ego_SE3_odom.yaw))
    return boxes, objects.lidar_points


def compare(name: str, looks: list[Look], detectors: dict[str, Detector], half: float) -> None:
    """One table: AP of each class in each ring, and the stated errors."""
    answers = {who: [detector(look) for look in looks] for who, detector in detectors.items()}
    out = Table(title=f"{name}: {len(looks)} sweeps", title_justify="left", box=None)
    out.add_column("AP")
    for who in detectors:
        out.add_column(who, justify="right")
    out.add_column("labels", justify="right")
    for low, high in ((0.0, 50.0), *RANGES_M):
        results = {who: score_looks(looks, said, (low, high), half) for who, said in answers.items()}
        first = next(iter(results.values()))
        for kind in first.classes:
            cells = [f"{r.classes[kind].mean_ap:.3f}" for r in results.values()]
            out.add_row(f"{kind} {low:.0f}-{high:.0f} m", *cells, str(first.classes[kind].truths))
        out.add_row(f"[bold]mean {low:.0f}-{high:.0f} m", *(f"[bold]{r.mean_ap:.3f}" for r in results.values()), "")
    stated = [_stated(looks, said) for said in answers.values()]
    for row in stated[0]:
        out.add_row(row, *(f"{column[row]:.3f}" for column in stated), "")
    Console(width=120).print(out)


def _stated(looks: list[Look], said: list[Detections]) -> dict[str, float]:
    """Of pairs of any class within 2 m, score of at least 0.3."""
    squared, determinant, moved, turned = [], [], [], []
    for look, found in zip(looks, said, strict=True):
        boxes = Boxes.of_detections(found, SE3.identity())
        rows, columns = greedy_pairs(centre_distance(boxes, look.labels), found.score.astype(np.float64), NEAR_M)
        for row, column in zip(rows, columns, strict=True):
            if found.score[row] >= 0.3 and look.returns[column] != 0:
                d = (boxes.position[row] - look.labels.position[column])[:2]
                cov = found.position_cov[row, :2, :2].astype(np.float64)
                squared.append(d @ np.linalg.solve(cov, d))
                determinant.append(np.log(np.linalg.det(cov)))
                moved.append((found.velocity[row] - look.labels.velocity[column]) / _sigma(found, row))
                off = boxes.yaw[row] - look.labels.yaw[column]
                turned.append(abs((off + np.pi) % (2 * np.pi) - np.pi) > np.pi / 2)
    s = np.array(squared)
    likelihood = 0.5 * s + 0.5 * np.array(determinant) + np.log(2 * np.pi)
    v = np.array(moved).reshape(-1, 2)
    v = v[np.isfinite(v).all(axis=1)]
    return {
        "90 % region holds": float((s < CHI2_90_OF_2).mean()) if len(s) else np.nan,
        "NLL, nats": float(likelihood.mean()) if len(s) else np.nan,
        "90 % region of velocity holds": float((np.square(v).sum(axis=1) < CHI2_90_OF_2).mean()) if len(v) else np.nan,
        "heading the wrong way": float(np.mean(turned)) if turned else np.nan,
        "pairs": float(len(s)),
    }


def _sigma(found: Detections, row: int) -> float:
    return float(np.sqrt(found.velocity_cov[row, 0, 0]))


if __name__ == "__main__":
    main()
