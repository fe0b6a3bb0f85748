"""Boxes touch when they touch."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.contact import first_contact
from nodes.simulator.world.contact import time_to_collision
from tests.simulated import actor, straight, street_world

CAR = (2.0, 1.0)


@pytest.mark.parametrize(
    ("centre", "yaw", "velocity", "seconds"),
    [
        ((10.0, 0.0), 0.0, (-2.0, 0.0), 3.0),  # head on: 10 - 4 m at 2 m/s
        ((10.0, 0.0), np.pi / 2, (-2.0, 0.0), 3.5),  # side on: 10 - 3 m
        ((10.0, 0.0), 0.0, (2.0, 0.0), np.inf),  # goes away
        ((10.0, 2.5), 0.0, (-2.0, 0.0), np.inf),  # passes beside
        ((3.0, 0.5), 0.3, (0.0, 0.0), 0.0),  # touches now
        ((5.0, 5.0), 0.0, (0.0, -1.0), np.inf),  # falls past the bumper
        ((0.0, 6.0), 0.0, (0.0, -2.0), 2.0),
    ],
)
def test_first_contact(centre: object, yaw: float, velocity: object, seconds: float) -> None:
    found = first_contact([(0.0, 0.0), centre], [0.0, yaw], [CAR, CAR], [(0.0, 0.0), velocity])
    assert float(found) == pytest.approx(seconds)


def test_time_to_collision_is_what_is_left_of_the_gap() -> None:
    world = street_world(10.0, (actor(1, "sedan", straight((30.0, -2.0), 0.0, 4.0)),))
    gap = 30.0 - 4.7 / 2 - (world.ego_size[0] - world.ego_tail)
    np.testing.assert_allclose(time_to_collision(world, 0.0), [gap / 6.0], rtol=1e-6)
    assert time_to_collision(street_world(actors=()), 0.0).shape == (0,)
