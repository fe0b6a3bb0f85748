"""The visible share of an object: all, hidden, half, outside the view."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, FloatArray
from nodes.simulator.sensors.raycast import Caster
from nodes.simulator.sensors.visibility import visible_share
from tests.simulated import actor, straight, street_world


def ahead(points: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(points[:, 0] > 0)


def test_shares() -> None:
    cars = (
        actor(1, "sedan", straight((20.0, -2.0), 0.0, 0.0)),
        actor(2, "hatchback", straight((30.0, -2.0), 0.0, 0.0)),  # smaller, behind the first
        actor(3, "sedan", straight((-20.0, -2.0), 0.0, 0.0)),
        actor(4, "lorry", straight((26.0, 4.0), np.pi / 2, 0.0)),  # sticks out behind the first
    )
    caster = Caster(street_world(actors=cars))
    eye = SE3(np.eye(3), np.array([0.0, -2.0, 0.6]))
    share = visible_share(caster, 0.0, eye, ahead)
    assert share[0] == 1.0
    assert share[1] < 0.1
    assert share[2] == 0.0
    assert share[3] > 0.8


def test_it_is_half_where_half_is_hidden() -> None:
    lorry = actor(1, "lorry", straight((40.0, 0.0), np.pi / 2, 0.0))  # across the road, 12 m wide
    van = actor(2, "box_truck", straight((30.0, 5.0), 0.0, 0.0))
    caster = Caster(street_world(actors=(lorry, van)))
    share = visible_share(caster, 0.0, SE3(np.eye(3), np.array([0.0, 0.0, 1.5])), ahead)
    assert 0.5 < share[0] < 0.9


def test_no_actors() -> None:
    assert len(visible_share(Caster(street_world(actors=())), 0.0, SE3.identity(), ahead)) == 0
