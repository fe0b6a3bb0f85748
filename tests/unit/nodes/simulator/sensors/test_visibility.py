"""The visible share of an object: all, hidden, half, outside the view."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, FloatArray
from nodes.simulator.sensors.raycast import Caster
from nodes.simulator.sensors.visibility import Visibility
from nodes.simulator.world.world import World
from tests.simulated import actor, straight, street_world


def ahead(points: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(points[:, 0] > 0)


def shares(world: World, *eyes: SE3) -> FloatArray:
    """(E, K) of all actors at the start."""
    sights = [(eye, ahead) for eye in eyes]
    return Visibility(Caster(world)).shares(0.0, sights, np.arange(len(world.actors)))


def test_shares() -> None:
    cars = (
        actor(1, "sedan", straight((20.0, -2.0), 0.0, 0.0)),
        actor(2, "hatchback", straight((30.0, -2.0), 0.0, 0.0)),  # smaller, behind the first
        actor(3, "sedan", straight((-20.0, -2.0), 0.0, 0.0)),
        actor(4, "lorry", straight((26.0, 4.0), np.pi / 2, 0.0)),  # sticks out behind the first
    )
    eye = SE3(np.eye(3), np.array([0.0, -2.0, 0.6]))
    share = shares(street_world(actors=cars), eye)[0]
    assert share[0] == 1.0
    assert share[1] < 0.1
    assert share[2] == 0.0
    assert share[3] > 0.8


def test_it_is_half_where_half_is_hidden() -> None:
    lorry = actor(1, "lorry", straight((40.0, 0.0), np.pi / 2, 0.0))  # across the road, 12 m wide
    van = actor(2, "box_truck", straight((30.0, 5.0), 0.0, 0.0))
    share = shares(street_world(actors=(lorry, van)), SE3(np.eye(3), np.array([0.0, 0.0, 1.5])))[0]
    assert 0.5 < share[0] < 0.9


def test_no_actors() -> None:
    assert shares(street_world(actors=()), SE3.identity()).shape == (1, 0)


def test_several_sensors_together_see_what_each_sees_alone() -> None:
    cars = tuple(actor(i, "sedan", straight((12.0 + 7.0 * i, (-3.0, 0.0, 2.0)[i % 3]), 0.2 * i, 1.0)) for i in range(6))
    world = street_world(actors=cars)
    eyes = [SE3.from_yaw(yaw, (0.3 * yaw, yaw, 1.5)) for yaw in (-1.0, 0.0, 1.2)]
    together = shares(world, *eyes)
    np.testing.assert_array_equal(together, [shares(world, eye)[0] for eye in eyes])
    assert 0.1 < together.mean() < 0.9
