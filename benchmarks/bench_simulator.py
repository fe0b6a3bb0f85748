"""What simulation costs. Detection level: frame sets a second on one core, of all seven sensors of the default rig.
Sensors and truth of a scenario, beside what the ray caster takes alone; placing it.

CPU time: of detection level the best of several, since a frame set is what it is however busy the machine; of sensors
the median through a scenario, since what lies ahead decides. Matrix products take one thread: BLAS' idle threads spin,
and that would count as work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from calibration.rig import LidarSensor, RadarSensor, Rig
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.detections.random_traffic import random_traffic
from nodes.simulator.instruments import Instruments
from nodes.simulator.named import placed_world
from nodes.simulator.scenario.load import open_world
from nodes.simulator.sensors.beams import unit_of
from nodes.simulator.sensors.lidar import lidar_sweep, returns_on
from nodes.simulator.sensors.radar import radar_scan
from nodes.simulator.sensors.solid import standing as standing_solid
from nodes.simulator.settings import SimulationSettings
from pipeline.core.settings import load_yaml

RIG = Path(__file__).resolve().parents[1] / "configs" / "rigs" / "demo.yaml"
TARGET = 1000.0  # frame sets a second
SECONDS, ROUNDS = 20.0, 7
SCENARIO = "urban_pedestrian"


def run() -> list[dict[str, Any]]:
    with threadpool_limits(1):
        return [*_detection_level(), *_ranging(), *_placing()]


def _ranging() -> list[dict[str, Any]]:
    """One LiDAR sweep, one radar cycle and the truth of one instant, all through a scenario; and what Open3D takes for
    the rays of a sweep alone, against nothing but what stands still."""
    world, rig = placed_world(SCENARIO, None), load_yaml(RIG, Rig)
    drive = Instruments(world, rig, SimulationSettings())
    blind = Instruments(world, Rig(vehicle="blind", sensors=()), SimulationSettings())
    lidar, radars = rig.lidars[0], rig.radars[:2]
    imaging = LidarSensor(name="lidar", extrinsic=lidar.extrinsic, model="pandar64")
    standing, origin, direction = standing_solid(world), *_rays(drive, lidar, 0.5 * world.duration)

    def sweep(sensor: LidarSensor, t: float) -> object:
        return lidar_sweep(drive.caster, sensor, t, np.random.default_rng(0))

    def count(t: float) -> object:
        return returns_on(drive.caster, lidar, t, np.random.default_rng(0), np.arange(len(world.actors)))

    def cycle(sensor: RadarSensor, t: float) -> object:
        return radar_scan(drive.caster, sensor, t, np.random.default_rng(0))

    steps: list[tuple[str, Callable[[float], object], float | None]] = [
        (f"{len(direction):,} rays in Open3D alone", lambda _: standing.cast(origin, direction), None),
        ("LiDAR sweep, 32 beams x 1,100", partial(sweep, lidar), 15.0),
        ("LiDAR sweep, pandar64", partial(sweep, imaging), None),
        *((f"radar cycle, {radar.name}", partial(cycle, radar), 5.0) for radar in radars),
        ("truth, LiDAR returns on each counted", count, None),
        *((f"truth, what {s.name} could see", partial(drive.visibility, s), None) for s in (rig.cameras[0], lidar)),
        ("truth, boxes and velocities", blind.objects, None),
        ("truth, behaviour", blind.behaviour, None),
    ]
    instants = np.linspace(1.0, world.duration - 1.0, ROUNDS)
    n = len(world.actors)
    return [_ms(f"{name}, {n} actors", _through(step, instants), limit) for name, step, limit in steps]


def _rays(drive: Instruments, lidar: LidarSensor, t: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """As many as a sweep has, in its directions, from one place: origin and direction, each (N, 3)."""
    unit = unit_of(lidar)
    azimuth = np.linspace(np.pi, -np.pi, round(lidar.sweep_ns * 1e-9 / unit.column_s), endpoint=False)[:, None]
    level, up = np.cos(unit.elevation), np.broadcast_to(np.sin(unit.elevation), (len(azimuth), unit.beams))
    local = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), up], axis=-1).reshape(-1, 3)
    pose = drive.world.ego.pose(t) @ lidar.ego_SE3_sensor
    return np.broadcast_to(pose.translation, local.shape), pose.rotate(local)


def _placing() -> list[dict[str, Any]]:
    """A scenario played out anew, and read back from the cache."""
    start = time.process_time()
    open_world(SCENARIO)
    anew = time.process_time() - start
    again = _best(lambda: placed_world(SCENARIO, None))
    return [_ms(f"placing {SCENARIO}", 1e3 * anew, None), _ms("opening it again", 1e3 * again, None)]


def _through(step: Callable[[float], object], instants: npt.NDArray[np.float64]) -> float:
    """Median CPU ms over instants, for what lies ahead decides; what is made once is left out."""
    step(float(instants[0]))
    taken = []
    for t in instants.tolist():
        start = time.process_time()
        step(t)
        taken.append(time.process_time() - start)
    return 1e3 * float(np.median(taken))


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


def _ms(name: str, value: float, limit: float | None) -> dict[str, Any]:
    row = {"name": name, "value": round(value, 2), "unit": "CPU ms"}
    return row if limit is None else row | {"limit": limit, "limit_name": "target, at most", "ratio": value / limit}


def _row(name: str, value: float, limit: float) -> dict[str, Any]:
    return {
        "name": name, "value": value, "unit": "frame sets/s", "limit": limit, "limit_name": "target, at least",
        "ratio": value / limit,
    }  # fmt: skip
