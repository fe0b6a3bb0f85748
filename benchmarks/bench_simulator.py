"""What simulation costs. Detection level: frame sets a second on one core, of all seven sensors of the default rig.

CPU time, best of several, since a frame set is what it is however busy the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from calibration.rig import LidarSensor, Rig
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.detections.random_traffic import random_traffic
from nodes.simulator.scenario.load import open_world
from nodes.simulator.sensors.lidar import lidar_sweep
from nodes.simulator.sensors.radar import radar_scan
from nodes.simulator.sensors.raycast import Caster
from pipeline.core.settings import load_yaml

RIG = Path(__file__).resolve().parents[1] / "configs" / "rigs" / "demo.yaml"
TARGET = 1000.0  # frame sets a second
SECONDS, ROUNDS = 20.0, 7


def run() -> list[dict[str, Any]]:
    return [*_detection_level(), *_ranging()]


def _ranging() -> list[dict[str, Any]]:
    """One LiDAR sweep and one radar cycle of a scenario, their casting by itself."""
    world = open_world("urban_pedestrian")
    rig, caster = load_yaml(RIG, Rig), Caster(world)
    t = 0.5 * world.duration
    lidar = rig.lidars[0]
    rows = [("LiDAR sweep, 32 beams x 1,100", _best(lambda: lidar_sweep(caster, lidar, t, np.random.default_rng(0))))]
    for model in ("vlp32c", "pandar64"):
        unit = LidarSensor(name="lidar", extrinsic=lidar.extrinsic, model=model)
        sweep = _best(lambda unit=unit: lidar_sweep(caster, unit, t, np.random.default_rng(0)))  # type: ignore[misc]
        rows.append((f"LiDAR sweep, {model}", sweep))
    for radar in rig.radars[:2]:
        cycle = _best(lambda radar=radar: radar_scan(caster, radar, t, np.random.default_rng(0)))  # type: ignore[misc]
        rows.append((f"radar cycle, {radar.name}", cycle))
    n = len(world.actors)
    return [{"name": f"{name}, {n} actors", "value": round(1e3 * cost, 2), "unit": "ms"} for name, cost in rows]


def _detection_level() -> list[dict[str, Any]]:
    rig, world = load_yaml(RIG, Rig), random_traffic(1, SECONDS)
    clip = draw_clip(world, rig, 0)
    draw = _best(lambda: draw_clip(world, rig, 0))
    unpack = _best(lambda: sum(1 for _ in clip.frames()))
    place = _best(lambda: random_traffic(1, SECONDS))
    n = len(clip)
    what = f"{len(world.actors)} actors, {len(clip.detections['score']) / n:.0f} detections each"
    return [
        _row(f"detection level, arrays, {what}", n / draw, TARGET),
        _row("detection level, arrays and frame sets", n / (draw + unpack), TARGET),
        _row("detection level, random traffic, arrays", n / (place + draw), TARGET),
    ]


def _best(step: Callable[[], object]) -> float:
    """CPU seconds."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
    return min(taken)


def _row(name: str, value: float, limit: float) -> dict[str, Any]:
    return {
        "name": name, "value": value, "unit": "frame sets/s", "limit": limit, "limit_name": "target, at least",
        "ratio": value / limit,
    }  # fmt: skip
