"""A world that was written comes back to the bit, and damage is named."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nodes.simulator.world.environment import Light, Weather
from nodes.simulator.world.store import load_world, save_world
from nodes.simulator.world.world import Lamp, Manoeuvre
from pipeline.core.errors import BadInput
from tests.simulated import street_world


def test_it_moves_as_before(tmp_path: Path) -> None:
    world = street_world(seed=7)
    first = world.actors[0]._replace(manoeuvres=(Manoeuvre("brake", 1.0, 2.0, hazard=True),))
    world = replace(
        world,
        actors=(first, *world.actors[1:]),
        weather=Weather(visibility_m=math.inf, rain_mm_h=4.0),
        light=Light(sun_elevation=-0.3),
        lamps=(Lamp((1.0, 2.0, 6.0)),),
        roofed=((1.0, 2.5),),
    )
    save_world(world, tmp_path / "world.npz")
    again = load_world(tmp_path / "world.npz")
    t = np.linspace(-1.0, 7.0, 53)
    for before, after in zip(
        (world.ego, *(a.motion for a in world.actors)), (again.ego, *(a.motion for a in again.actors)), strict=True
    ):
        np.testing.assert_array_equal(before.pose(t).matrix, after.pose(t).matrix)
        np.testing.assert_array_equal(before.velocity(t), after.velocity(t))
    for before, after in zip(world.actors, again.actors, strict=True):
        assert before._replace(motion=None) == after._replace(motion=None)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(world.static, again.static, strict=True))
    for field in ("name", "seed", "duration", "weather", "light", "lamps", "roofed", "ego_size", "ego_tail"):
        assert getattr(world, field) == getattr(again, field), field
    assert not list(tmp_path.glob("*.partial"))


def test_damage_is_named(tmp_path: Path) -> None:
    save_world(street_world(), tmp_path / "world.npz")
    data = (tmp_path / "world.npz").read_bytes()
    for broken in (data[: len(data) // 2], b"nonsense", b""):
        (tmp_path / "world.npz").write_bytes(broken)
        with pytest.raises(BadInput, match="a world that was written here"):
            load_world(tmp_path / "world.npz")
