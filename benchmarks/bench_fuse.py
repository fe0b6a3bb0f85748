"""The fusion step on one core, and what it costs to run it in a Ray actor.

A crowd of T objects around the vehicle and 12 sensors (6 cameras, 2 LiDARs, 4 radars) that give 2 T detections in all.
CPU time stands beside wall time, since it says what a core gives to the step on a machine that does other things too.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Literal

import numpy as np
import ray

from fusion.graph.weigher import GraphSettings
from fusion.noise import NominalSettings
from fusion.tracker import Tracker, TrackerSettings
from pipeline.core.messages import C, Detections, FrameSet, SensorSlot
from pipeline.deploy_ray import RayFuser

FRAMES = 60
WARM = 10  # frame sets until the tracks stand
TARGET_MS = 6.0  # for 128 tracks, one x86 core
SENSORS: list[tuple[str, Literal["camera", "lidar", "radar"], tuple[float, float, float], int]] = [
    *((f"camera{i}", "camera", (2.0, 0.4, 0.3), -20) for i in range(6)),
    *((f"lidar{i}", "lidar", (0.15, 0.15, 0.1), -50) for i in range(2)),
    *((f"radar{i}", "radar", (0.4, 0.6, 2.0), -30) for i in range(4)),
]


def run() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, weigh in (("filter", NominalSettings()), ("graph", GraphSettings())):
        for tracks in (32, 64, 128):
            wall, cpu, alive = _steps(tracks, Tracker(TrackerSettings(weigh=weigh)))
            what = f"{name}: step, {alive} tracks, {2 * tracks} detections, 12 sensors"
            rows.append(_row(f"{what}, p50", wall, "ms", TARGET_MS, "target at 128 tracks"))
            rows.append(_row(f"{what}, CPU p50", cpu, "ms", TARGET_MS, "target at 128 tracks"))
    return rows + _ray()


def _steps(tracks: int, tracker: Tracker) -> tuple[float, float, int]:
    """Median wall and CPU milliseconds of a step, and how many tracks stand at the end."""
    wall, cpu, alive = [], [], 0
    for frames, time_ns in _drive(tracks):
        start, start_cpu = time.perf_counter(), time.process_time()
        alive = len(tracker.step(frames, time_ns).track_id)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return 1e3 * float(np.median(wall[WARM:])), 1e3 * float(np.median(cpu[WARM:])), alive


def _ray() -> list[dict[str, Any]]:
    frames = _drive(64)
    tracker = Tracker()
    start = time.perf_counter()
    with RayFuser() as remote:
        remote.step(*frames[0])
        first = time.perf_counter() - start
        tracker.step(*frames[0])
        here, there, bare = [], [], []
        logging.getLogger("pipeline.deploy_ray").setLevel(logging.ERROR)
        for frame, time_ns in frames[1:]:
            times = [time.perf_counter()]
            tracker.step(frame, time_ns)
            times.append(time.perf_counter())
            remote.step(frame, time_ns)
            times.append(time.perf_counter())
            _ = remote.actor_process  # a call that does nothing
            times.append(time.perf_counter())
            for list_, value in zip((here, there, bare), np.diff(times), strict=True):
                list_.append(1e3 * float(value))
        ray.kill(remote._actor, no_restart=False)
        start = time.perf_counter()
        remote.step(frames[-1][0], frames[-1][1] + 100_000_000)
        back = time.perf_counter() - start
    overhead = float(np.median(there[WARM:]) - np.median(here[WARM:]))
    return [
        _row("Ray, added to a step, p50", overhead, "ms", float(np.median(bare)), "an empty actor call"),
        _row("Ray, start to first scene", first, "s", None, ""),
        _row("Ray, actor killed to next scene", back, "s", None, ""),
    ]


def _drive(tracks: int) -> list[tuple[FrameSet, int]]:
    rng = np.random.default_rng(tracks)
    side = int(np.ceil(np.sqrt(tracks)))
    start = np.array([(9.0 * (i // side) - 4.5 * side, 9.0 * (i % side) - 4.5 * side, 0.8) for i in range(tracks)])
    velocity = rng.normal(size=(tracks, 2)) * 4.0
    return [(_frame_set(i, start, velocity, rng), i * 100_000_000) for i in range(FRAMES)]


def _frame_set(index: int, start: np.ndarray, velocity: np.ndarray, rng: np.random.Generator) -> FrameSet:
    share = np.array([0.1] * 6 + [0.5] * 2 + [0.1] * 4)
    each = np.round(2 * len(start) * share / share.sum()).astype(int)
    slots = []
    for (name, modality, sigma, offset_ms), count in zip(SENSORS, each, strict=True):
        rows = rng.choice(len(start), count, replace=False)
        position = start[rows].copy()
        position[:, :2] += velocity[rows] * (0.1 * index + 1e-3 * offset_ms)
        position += rng.normal(size=position.shape) * sigma
        seen = _detections(name, modality, position, velocity[rows], sigma, offset_ms * 1_000_000)
        slots.append(SensorSlot(sensor=name, modality=modality, detections=seen))
    return FrameSet(index=index, position=(0.0, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0), slots=tuple(slots))


def _detections(
    name: str,
    modality: Literal["camera", "lidar", "radar"],
    position: np.ndarray,
    velocity: np.ndarray,
    sigma: tuple[float, float, float],
    offset_ns: int,
) -> Detections:
    n, f4 = len(position), np.float32
    sight = position[:, :2] / np.linalg.norm(position, axis=1, keepdims=True)
    radial = (sight * velocity).sum(axis=1) if modality == "radar" else np.full(n, np.nan)
    class_score = np.full((n, C), 0.02, dtype=f4)
    class_score[:, 0] = 0.8
    return Detections(
        sensor=name,
        modality=modality,
        origin=(0.0, 0.0, 0.0),
        position=position.astype(f4),
        position_cov=np.tile(np.diag(np.square(sigma)), (n, 1, 1)).astype(f4),
        size=np.tile(np.array([4.5, 1.9, 1.6], dtype=f4), (n, 1)),
        size_sigma=np.full((n, 3), 0.2, dtype=f4),
        yaw=np.zeros(n, dtype=f4),
        yaw_sigma=np.full(n, 0.2, dtype=f4),
        velocity=np.full((n, 2), np.nan, dtype=f4),
        velocity_cov=np.full((n, 2, 2), np.nan, dtype=f4),
        radial_speed=radial.astype(f4),
        radial_sigma=np.full(n, 0.2, dtype=f4),
        radial_ambiguity=10.3 if modality == "radar" else 0.0,
        class_score=class_score,
        score=np.full(n, 0.8, dtype=f4),
        box2d=np.full((n, 4), np.nan, dtype=f4),
        time_offset_ns=np.full(n, offset_ns, dtype=np.int32),
        points=np.full(n, 20, dtype=np.int32),
        embedding=np.zeros((n, 0), dtype=f4),
    )


def _row(name: str, value: float, unit: str, limit: float | None, limit_name: str) -> dict[str, Any]:
    ratio = None if limit is None else value / limit
    return {"name": name, "value": value, "unit": unit, "limit": limit, "limit_name": limit_name, "ratio": ratio}


if __name__ == "__main__":
    from rich.console import Console

    from benchmarks.__main__ import table

    Console().print(table([{"subject": "fuse", **row} for row in run()]))
