"""Small simulated worlds for tests: a straight road with a building, and a short drive along it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Rig, Sensor
from nodes.simulator.drive import SimulatedDrive
from nodes.simulator.world.mesh import Mesh, box
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor, World
from pipeline.cli.play import run_config
from pipeline.core.settings import load_yaml
from pipeline.graph import Graph
from pipeline.run.one_process import run_in_one_process

DEMO_RIG = load_yaml(Path(__file__).resolve().parents[1] / "configs" / "rigs" / "demo.yaml", Rig)
_SENSORS = ("camera_front", "lidar_top", "radar_front", "radar_front_left")
SECONDS = 7.0  # what everything in the street lasts
_STREET = (
    # shape, place, heading, speed
    ("sedan", (18.0, -2.0), 0.0, 9.0),
    ("suv", (45.0, 2.0), np.pi, 8.0),
    ("hatchback", (12.0, -6.5), 0.0, 0.0),
    ("van", (30.0, -6.5), 0.0, 0.0),
    ("adult", (20.0, 7.5), -np.pi / 2, 1.2),
)


def straight(start: tuple[float, float], yaw: float, speed: float, duration: float = 5.0) -> Motion:
    """Constant velocity on the ground from ``start`` (x, y), m; speed m/s."""
    times = np.linspace(0.0, duration, 11)
    along = np.outer(times * speed, [np.cos(yaw), np.sin(yaw), 0.0])
    return Motion(times, along + np.array([*start, 0.0]), np.full(len(times), yaw))


def actor(number: int, name: str, motion: Motion, paint: tuple[int, int, int] = (180, 30, 30)) -> Actor:
    of = shape(name)
    return Actor(number, of.kind, of.size, name, paint, motion)


def ground(half: float = 300.0) -> Mesh:
    """Grass on z = 0 with a strip of asphalt 8 m wide along x that lies 1 cm higher, m."""
    grass = box((2 * half, 2 * half, 1.0), "grass", (90, 120, 70))
    road = box((2 * half, 8.0, 1.01), "asphalt", (90, 90, 90))
    down = np.array([0.0, 0.0, 1.01], dtype=np.float32)
    return Mesh.joined([m._replace(vertices=m.vertices - down) for m in (grass, road)])


def street_world(ego_speed: float = 10.0, actors: tuple[Actor, ...] | None = None, seed: int = 0) -> World:
    """The ego on y = -2 along x; a sedan 20 m ahead that drives 8 m/s, an adult that crosses, a house on the left."""
    if actors is None:
        actors = (
            actor(1, "sedan", straight((20.0, -2.0), 0.0, 8.0)),
            actor(2, "adult", straight((35.0, -6.0), np.pi / 2, 1.4), (40, 60, 150)),
        )
    house = box((12.0, 8.0, 7.0), "brick", (150, 90, 80), centre=(40.0, 14.0))
    return World(
        name="street",
        seed=seed,
        duration=5.0,
        ego=straight((0.0, -2.0), 0.0, ego_speed),
        actors=actors,
        static=Mesh.joined([ground(), house]),
    )


def street_drive(seconds: float = 1.5, sensors: tuple[str, ...] = _SENSORS) -> SimulatedDrive:
    """The demo's vehicle among five others, at most `SECONDS` long; its camera has a quarter of the pixels."""
    actors = tuple(
        actor(number, name, straight(at, yaw, speed, SECONDS + 1.0))
        for number, (name, at, yaw, speed) in enumerate(_STREET, start=1)
    )
    street = street_world(actors=actors)
    world = dataclasses.replace(street, duration=SECONDS, ego=straight((0.0, -2.0), 0.0, 9.0, SECONDS + 1.0))
    kept = tuple(_small(DEMO_RIG[name]) for name in sensors)
    return SimulatedDrive(world, Rig(vehicle="demo", sensors=kept), seconds)


def record_street(folder: Path, seconds: float = 1.5) -> Path:
    """The drive as a recording, which every process opens by its path; to draw it takes longer than to run it."""
    drive = street_drive(seconds)
    config = run_config("street", drive, Graph(name="record", nodes=()), 0.0, 0.0, None)
    run_in_one_process(config, folder, lambda _: None, drive)
    return folder


def _small(sensor: Sensor) -> Sensor:
    if not isinstance(sensor, CameraSensor):
        return sensor
    lens = Pinhole(fx=190.0, fy=190.0, cx=159.5, cy=89.5)
    return msgspec.structs.replace(sensor, width=320, height=180, intrinsics=lens)
