"""Rays meet what geometry says, each at its own time."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from nodes.simulator.sensors.raycast import NOTHING, STATIC, Caster
from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.mesh import Mesh, box
from nodes.simulator.world.world import World
from tests.simulated import actor, straight, street_world


def test_ground_sky_house_and_car() -> None:
    caster = Caster(street_world())
    origin = np.tile([0.0, -2.0, 1.8], (4, 1))
    towards = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [40.0, 12.0, 0.0], [1.0, 0.0, -0.07]])
    direction = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    hits = caster.cast(origin, direction, 0.0)
    assert hits.actor.tolist() == [STATIC, NOTHING, STATIC, 0]
    assert abs(hits.distance[0] - 1.8) < 1e-6
    assert hits.distance[1] == np.inf
    assert hits.material[[0, 2, 3]].tolist() == [MATERIAL_ID["asphalt"], MATERIAL_ID["brick"], MATERIAL_ID["paint"]]
    assert np.allclose(hits.normal[[0, 3]], [[0, 0, 1], [-1, 0, 0]], atol=1e-6)
    assert hits.colour[3].tolist() == [180, 30, 30]


@settings(max_examples=30, deadline=None)
@given(st.floats(-25.0, 25.0), st.floats(0.0, 6.28), st.integers(0, 2**32 - 1))
def test_every_ray_meets_the_car_where_it_is_at_the_time_of_the_ray(speed: float, yaw: float, seed: int) -> None:
    """Rays aimed into the core of a moving car, each at its own time: they meet what they meet of a car that stands."""
    rng = np.random.default_rng(seed)
    car = actor(1, "sedan", straight((12.0, 3.0), yaw, speed))
    empty, nowhere = Mesh.joined([]), straight((0.0, 0.0), 0.0, 0.0)
    caster = Caster(World("one", 0, 5.0, nowhere, (car,), empty))
    t = rng.uniform(1.0, 1.1, 200)
    inside = rng.uniform([-0.3, -0.25, -0.2], [0.3, 0.25, 0.05], (200, 3)) * car.size
    target = car.box(t) @ inside
    origin = np.tile([0.0, 0.0, 1.0], (200, 1))
    sight = target - origin
    direction = sight / np.linalg.norm(sight, axis=1, keepdims=True)
    near = np.linalg.norm(car.motion.position(1.05) - origin[0]) < 4.0
    hits = caster.cast(origin, direction, t)
    if near:
        return
    assert (hits.actor == 0).all()
    skin = car.box(t).inverse() @ (origin + hits.distance[:, None] * direction)
    assert np.abs(skin / (0.5 * np.array(car.size))).max() < 1.002
    body_SE3_odom = car.motion.pose(t).inverse()
    parked = Caster(World("parked", 0, 5.0, nowhere, (actor(1, "sedan", nowhere),), empty))
    for i in range(0, 200, 20):  # rays of one cast must start close to each other
        again = parked.cast((body_SE3_odom[i] @ origin[i])[None], body_SE3_odom[i].rotate(direction[i])[None], 0.0)
        assert abs(again.distance[0] - hits.distance[i]) < 1e-3


def test_nearest_of_several_on_one_ray() -> None:
    ahead = tuple(actor(i, "sedan", straight((60.0 - 10.0 * i, 0.0), 0.0, 5.0)) for i in range(4))
    caster = Caster(street_world(actors=ahead))
    hits = caster.cast(np.array([[0.0, 0.0, 0.7]]), np.array([[1.0, 0.0, 0.0]]), 0.0)
    assert hits.actor.tolist() == [3]


def test_a_world_without_anything_is_empty() -> None:
    world = World("void", 0, 1.0, straight((0.0, 0.0), 0.0, 0.0), (), Mesh.joined([]))
    hits = Caster(world).cast(np.zeros((2, 3)), np.eye(3)[:2], 0.0)
    assert hits.actor.tolist() == [NOTHING, NOTHING]
    assert len(Caster(world).cast(np.zeros((0, 3)), np.zeros((0, 3)), 0.0).distance) == 0


def test_normals_face_the_ray_from_inside_too() -> None:
    room = box((4.0, 4.0, 3.0), "concrete", (9, 9, 9))
    world = World("room", 0, 1.0, straight((0.0, 0.0), 0.0, 0.0), (), room)
    hits = Caster(world).cast(np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 0.0]]), 0.0)
    assert np.allclose(hits.normal[0], [-1.0, 0.0, 0.0])
