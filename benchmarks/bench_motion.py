"""Motion compensation and camera models on one core, beside one copy of the same bytes or a peer's call.

Deskewing is timed on the orders of points that sensors give: by time (Velodyne packets), by laser (KITTI's files: each
chunk holds all times). Poses come at 100 Hz. Peer of the camera models: OpenCV's calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import msgspec
import numpy as np

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from pipeline.core.messages import POINT, C, Detections, EgoPose, PointCloud, Stamp
from pipeline.sync.motion import PoseBuffer, compensate_detections, deskew

REPEATS = 40
STAMP = Stamp(sensor_ns=0, arrival_ns=0, time_ns=1_700_000_000_000_000_000, sequence=0)
EGO_SE3_LIDAR = SE3.exp([1.2, 0.0, 1.8, 0.0, 0.0, 0.1])
LENS = {"fx": 1000.0, "fy": 1000.0, "cx": 960.0, "cy": 540.0}


def run() -> list[dict[str, Any]]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [*_deskew(), *_cameras(), *_small()]
    finally:
        cv2.setNumThreads(threads)


def _deskew() -> list[dict[str, Any]]:
    offsets = np.arange(-120_000_000, 20_000_000, 10_000_000)
    twist = np.array([20.0, 0.3, 0.0, 0.01, 0.02, 0.4])
    poses = Trajectory(STAMP.time_ns + offsets, SE3.exp(offsets[:, None] * 1e-9 * twist))
    rows = []
    for name, count in (("167k", 167_000), ("34k", 34_000)):
        for order in ("by time", "by laser"):
            points = _sweep(count, by_laser=order == "by laser")
            cloud = PointCloud(points=points)
            ours, copy = _medians(lambda c=cloud: deskew(c, STAMP, EGO_SE3_LIDAR, poses), points.copy)
            rows.append(_row(f"deskew, {name} points {order}", ours * 1e3, "ms", copy * 1e3, "one copy of the sweep"))
    each = poses.relative_to(STAMP.time_ns)
    times = STAMP.time_ns + points["t_ns"].astype(np.int64)
    naive, copy = _medians(lambda: each.at(times) @ (EGO_SE3_LIDAR @ cloud.xyz), points.copy, repeats=5)
    rows.append(_row("deskew, 34k, a pose per point", naive * 1e3, "ms", copy * 1e3, "one copy of the sweep"))
    return rows


def _sweep(count: int, by_laser: bool) -> np.ndarray:
    rng = np.random.default_rng(0)
    points = np.zeros(count, POINT)
    points["x"], points["y"], points["z"] = rng.normal(0.0, 30.0, (3, count))
    t_ns = np.linspace(-100_000_000, 0, count).astype(np.int32)
    points["t_ns"] = t_ns[np.argsort(np.arange(count) % 64, kind="stable")] if by_laser else t_ns
    return points


def _cameras() -> list[dict[str, Any]]:
    count = 100_000
    rng = np.random.default_rng(0)
    points = rng.uniform([-8.0, -4.0, 8.0], [8.0, 4.0, 30.0], (count, 3))
    zero = np.zeros(3)
    radial = {"k1": -0.3, "k2": 0.1, "k3": -0.01}
    pinhole = Pinhole(**LENS, **radial, p1=1e-3, p2=-1e-3)
    rational = Rational(**LENS, **radial, p1=1e-3, p2=-1e-3, k4=0.1, k5=0.02, k6=0.001)
    fisheye = KannalaBrandt(**LENS, k1=-0.02, k2=0.01, k3=-0.003, k4=0.0004)
    plain = np.array([-0.3, 0.1, 1e-3, -1e-3, -0.01])
    full, fish = np.array([*plain, 0.1, 0.02, 0.001]), np.array([-0.02, 0.01, -0.003, 0.0004])
    fine = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)  # as far as we go
    cases: list[tuple[CameraModel, Callable[[], Any], Callable[[np.ndarray], Any]]] = [
        (
            model,
            lambda k=model.matrix, d=lens: cv2.projectPoints(points, zero, zero, k, d),
            lambda uv, k=model.matrix, d=lens: cv2.undistortPoints(uv, k, d, criteria=fine),
        )
        for model, lens in ((pinhole, plain), (rational, full))
    ]
    cases.append(
        (
            fisheye,
            lambda: cv2.fisheye.projectPoints(points[:, None], zero, zero, fisheye.matrix, fish),
            lambda uv: cv2.fisheye.undistortPoints(uv[:, None], fisheye.matrix, fish, criteria=fine),
        )
    )
    rows = []
    for model, project, undistort in cases:
        kind = type(model).__name__
        ours, peer = _medians(lambda m=model: m.project(points), project, repeats=10)
        rows.append(_row(f"project 100k points, {kind}", ours * 1e3, "ms", peer * 1e3, "OpenCV"))
        pixels, _ = model.project(points)
        ours, peer = _medians(lambda m=model, p=pixels: m.unproject(p), lambda p=pixels, u=undistort: u(p), repeats=10)
        rows.append(_row(f"unproject 100k pixels, {kind}", ours * 1e3, "ms", peer * 1e3, "OpenCV, as exact"))
    return rows


def _small() -> list[dict[str, Any]]:
    """What the aligner does for every sensor of every frame set."""
    detections = _detections(30)
    ego_SE3_then = SE3.exp([1.0, 0.0, 0.0, 0.0, 0.01, 0.02])
    moved, checked = _medians(
        lambda: compensate_detections(detections, ego_SE3_then, 5_000_000),
        lambda: msgspec.structs.replace(detections),
        repeats=500,
    )
    buffer = PoseBuffer()
    newest = STAMP.time_ns
    for time_ns in range(newest - 2_000_000_000, newest + 1, 10_000_000):
        buffer.add(
            Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=0),
            EgoPose(position=(time_ns * 1e-9, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)),
        )
    times = newest - np.arange(12) * 8_000_000
    pose, one = _medians(lambda: buffer.at(times), lambda: buffer.at(newest - 5), repeats=500)
    checking = "the same message, built and checked"
    return [
        _row("30 detections to another instant", moved * 1e6, "µs", checked * 1e6, checking),
        _row("poses at 12 times out of a buffer of 200", pose * 1e6, "µs", one * 1e6, "at one time"),
    ]


def _detections(n: int) -> Detections:
    one = {1: np.zeros(n, np.float32), 2: np.zeros((n, 2), np.float32), 3: np.zeros((n, 3), np.float32)}
    return Detections(
        sensor="lidar_top",
        modality="lidar",
        origin=(1.2, 0.0, 1.8),
        position=one[3],
        position_cov=np.zeros((n, 3, 3), np.float32),
        size=one[3],
        size_sigma=one[3],
        yaw=one[1],
        yaw_sigma=one[1],
        velocity=one[2],
        velocity_cov=np.zeros((n, 2, 2), np.float32),
        radial_speed=one[1],
        radial_sigma=one[1],
        class_score=np.zeros((n, C), np.float32),
        score=one[1],
        box2d=np.zeros((n, 4), np.float32),
        time_offset_ns=np.zeros(n, np.int32),
        points=np.zeros(n, np.int32),
        embedding=np.zeros((n, 0), np.float32),
    )


def _medians(ours: Callable[[], Any], peer: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, float]:
    """Median seconds of both, taken in turns, so that what else the machine does weighs on both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 2):
        for call, taken in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return float(np.median(times[0][2:])), float(np.median(times[1][2:]))


def _row(name: str, value: float, unit: str, limit: float, limit_name: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "limit": limit,
        "limit_name": limit_name,
        "ratio": value / limit,
    }


if __name__ == "__main__":
    from rich.console import Console

    from benchmarks.__main__ import table

    Console().print(table([{"subject": "motion", **row} for row in run()]))
