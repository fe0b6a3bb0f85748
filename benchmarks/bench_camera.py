"""What a simulated camera costs: one frame of 640 x 360 of a street with traffic.

On a machine without a graphics processor Mesa draws on the cores; CPU time stands beside wall time for that.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic
from nodes.simulator.sensors.camera import CameraRenderer, camera_image
from nodes.simulator.sensors.render.cast import Cast, Moment
from nodes.simulator.world.environment import Light
from nodes.simulator.world.mesh import Mesh, box
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor, World

FRAMES = 20
TARGET_MS = 20.0
CAMERA = CameraSensor(
    name="front",
    width=640,
    height=360,
    intrinsics=Pinhole(fx=380.0, fy=380.0, cx=319.5, cy=179.5),
    extrinsic=Extrinsic(translation=(1.7, 0.0, 1.5), rotation_wxyz=(0.5, -0.5, 0.5, -0.5)),
    readout_ns=20_000_000,
)


def run() -> list[dict[str, Any]]:
    rows = []
    for hour, height in (("day", 0.7), ("night", -0.3)):
        renderer = CameraRenderer(dataclasses.replace(street(), light=Light(sun_elevation=height)), CAMERA)
        seen = renderer.frame(0.0)
        renderer.frame(0.1)
        wall, cpu = [], []
        for i in range(FRAMES):
            start, start_cpu = time.perf_counter(), time.process_time()
            renderer.frame(0.2 + 0.1 * i)
            wall.append(1e3 * (time.perf_counter() - start))
            cpu.append(1e3 * (time.process_time() - start_cpu))
        rows.append(_row(f"camera 640x360, {hour}, p50", float(np.median(wall)), TARGET_MS))
        rows.append(_row(f"camera 640x360, {hour}, CPU p50", float(np.median(cpu)), TARGET_MS))
    rng, cast, sensor_SE3 = np.random.default_rng(0), Cast(street()), CAMERA.ego_SE3_sensor
    times = np.array([0.19, 0.2, 0.21])
    moment = Moment(times, street().ego.pose(times) @ sensor_SE3)
    rows.append(_row("of it who is near and where, CPU p50", _cpu_ms(lambda: cast.near(moment, True)), None))
    rows.append(_row("camera blur, noise and JPEG, CPU p50", _cpu_ms(lambda: camera_image(seen, rng)), None))
    return rows


def _cpu_ms(call: Callable[[], object]) -> float:
    """Median of a call, on all cores together."""
    spent = []
    for _ in range(FRAMES):
        start = time.process_time()
        call()
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent))


def street() -> World:
    """A straight road between houses with 14 road users."""
    names = ("sedan", "suv", "van", "box_truck", "bicycle", "adult", "hatchback")
    actors = []
    for i in range(14):
        name = names[i % len(names)]
        times = np.linspace(0.0, 5.0, 6)
        at = np.column_stack([8.0 + 6.0 * i + 8.0 * times, np.full(6, (-2.0, 2.0, -5.5, 5.5)[i % 4]), 0 * times])
        motion, of = Motion(times, at, np.zeros(6)), shape(name)
        actors.append(Actor(i, of.kind, of.size, name, (40 + 15 * i, 60, 200 - 10 * i), motion))
    houses = [box((14.0, 9.0, 9.0), "facade", (180, 160, 140), (20.0 * i, 16.0 * s)) for i in range(8) for s in (-1, 1)]
    road, grass = box((500.0, 9.0, 1.01), "asphalt", (90, 90, 90)), box((500.0, 200.0, 1.0), "grass", (80, 105, 60))
    down = np.array([0.0, 0.0, 1.0], np.float32)
    ground = [m._replace(vertices=m.vertices - down) for m in (road, grass)]
    times = np.linspace(0.0, 5.0, 6)
    ego = Motion(times, np.column_stack([8.0 * times, np.full(6, -2.0), 0 * times]), np.zeros(6))
    return World("benchmark", 0, 5.0, ego, tuple(actors), Mesh.joined([*houses, *ground]))


def _row(name: str, value: float, limit: float | None) -> dict[str, Any]:
    ratio = None if limit is None else value / limit
    return {
        "name": name,
        "value": value,
        "unit": "ms",
        "limit": limit,
        "limit_name": "" if limit is None else "target",
        "ratio": ratio,
    }
