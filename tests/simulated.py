"""A small simulated world for tests of the sensors: a straight road, a building, a car ahead and one that crosses."""

from __future__ import annotations

import numpy as np

from nodes.simulator.world.mesh import Mesh, box
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor, World


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
