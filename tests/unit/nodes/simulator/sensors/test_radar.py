"""Doppler is that of the motion, ghosts are mirror images, nothing behind a wall is seen."""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from calibration.rig import Extrinsic, RadarModel, RadarSensor
from calibration.se3 import SE3
from fusion.detect.doppler import DopplerSettings, own_velocity
from nodes.simulator.sensors.radar import radar_scan, radar_scan_owned, reflectors_of, wrapped
from nodes.simulator.sensors.radar_settings import LONG_RANGE, type_of
from nodes.simulator.sensors.raycast import Caster
from nodes.simulator.world.mesh import Mesh, box
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.world import World
from tests.simulated import actor, ground, straight, street_world


def radar(model: RadarModel = "long_range", ambiguity: float = 0.0, yaw: float = 0.0) -> RadarSensor:
    pose = SE3.from_yaw(yaw, (3.7, 0.4, 0.5))
    return RadarSensor(name="radar", extrinsic=Extrinsic.from_se3(pose), model=model, ambiguity_mps=ambiguity)


def scans(world: World, sensor: RadarSensor, t: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    reflectors = reflectors_of(Caster(world))
    each = [radar_scan_owned(reflectors, sensor, t, np.random.default_rng(seed)) for seed in range(count)]
    return np.concatenate([scan.points for scan, _ in each]), np.concatenate([owner for _, owner in each])


@settings(max_examples=12, deadline=None)
@given(st.floats(0.0, 25.0), st.floats(-25.0, 25.0), st.sampled_from([0.0, 10.3, 30.0]))
def test_doppler_is_the_relative_speed_along_the_ray_and_wraps(own: float, other: float, ambiguity: float) -> None:
    lead = actor(1, "sedan", straight((45.0, -2.0), 0.0, other))
    world = street_world(ego_speed=own, actors=(lead,))
    points, owner = scans(world, radar(ambiguity=ambiguity), 0.2, 3)
    mine = points[(owner == 0) & (points["x"] < 45.0)]
    assert len(mine)
    sight = np.stack([mine["x"], mine["y"]], axis=1) / np.hypot(mine["x"], mine["y"])[:, None]
    expected = wrapped((other - own) * sight[:, 0], ambiguity)
    error = wrapped(mine["range_rate"] - expected, ambiguity)
    assert np.median(np.abs(error)) < 0.15  # wheels run at other speeds
    if ambiguity:
        assert (np.abs(points["range_rate"]) <= 0.5 * ambiguity + 1e-3).all()


def test_what_stands_still_shows_the_radars_own_velocity_in_a_turn() -> None:
    """A radar ahead of the axle moves sideways while the vehicle turns."""
    times = np.linspace(0.0, 4.0, 81)
    yaw = 0.3 * times
    place = np.stack([33.3 * np.sin(yaw), 33.3 * (1 - np.cos(yaw)), 0 * yaw], axis=1)
    posts = [box((0.3, 0.3, 3.0), "metal", (9, 9, 9), (x, y)) for x in range(-20, 70, 4) for y in (-24, -8, 22, 37)]
    world = World("turn", 1, 4.0, Motion(times, place, yaw), (), Mesh.joined([ground(), *posts]))
    points, _ = scans(world, radar("imaging"), 1.0, 1)
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float64)
    sight = xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
    found = own_velocity(sight, points["range_rate"].astype(np.float64), 0.0, DopplerSettings())
    assert found is not None
    assert np.allclose(found.velocity, [10.0 - 0.3 * 0.4, 0.3 * 3.7], atol=0.15)


def test_hidden_behind_a_wall_but_glimpsed_under_a_car() -> None:
    lead = actor(1, "sedan", straight((25.0, -2.0), 0.0, 0.0))
    behind = actor(2, "sedan", straight((40.0, -2.0), 0.0, 0.0))
    street = street_world(ego_speed=0.0, actors=(lead, behind))
    free = street_world(ego_speed=0.0, actors=(behind,))
    wall = box((0.5, 12.0, 4.0), "concrete", (9, 9, 9), (30.0, -2.0))
    walled = World("walled", 0, 5.0, free.ego, (behind,), Mesh.joined([ground(), wall]))
    at = radar()
    hits = {}
    for name, world, index in (("free", free, 0), ("under", street, 1), ("wall", walled, 0)):
        points, owner = scans(world, at, 0.5, 8)
        own = points[(owner == index) & (points["x"] > 32) & (points["x"] < 40)]
        hits[name] = (len(own), float(own["snr"].max()) if len(own) else -np.inf)
    assert hits["free"][0] > hits["under"][0] > 0
    assert hits["under"][1] < hits["free"][1] - 6.0
    assert hits["wall"][0] == 0


def test_a_guard_rail_mirrors_the_car_beside_it() -> None:
    lead = actor(1, "sedan", straight((30.0, -2.0), 0.0, 10.0))
    rail = box((120.0, 0.3, 0.9), "metal", (9, 9, 9), (40.0, 4.0))
    world = World("rail", 0, 5.0, straight((0.0, -2.0), 0.0, 10.0), (lead,), Mesh.joined([ground(), rail]))
    points, owner = scans(world, radar(), 0.5, 10)
    ghost = (owner == 0) & (points["y"] > 8.0)
    assert ghost.any()
    # in the radar's frame the rail's face lies at y = 3.85 + 2 - 0.4, the car's axis at -0.4
    assert abs(np.median(points["y"][ghost]) - (2 * 5.45 + 0.4)) < 1.5
    assert np.median(np.abs(points["range_rate"][ghost])) < 1.0
    assert points["snr"][ghost].max() < points["snr"][(owner == 0) & ~ghost].max() - 8.0


def test_snr_falls_with_the_fourth_power_of_range() -> None:
    level = {}
    for x in (25.0, 50.0):
        world = street_world(ego_speed=0.0, actors=(actor(1, "sedan", straight((x + 6.0, -1.6), 0.0, 0.0)),))
        points, owner = scans(world, radar(), 0.5, 30)
        rear = (owner == 0) & (np.abs(points["x"] - x) < 2.0)
        level[x] = np.median(points["snr"][rear].astype(float))
    assert abs(level[25.0] - level[50.0] - 12.0) < 6.0


def test_types_follow_the_rig() -> None:
    assert type_of(radar("")) is LONG_RANGE
    assert type_of(radar("corner")).azimuth > LONG_RANGE.azimuth
    with pytest.raises(ValueError, match="Invalid enum value"):
        msgspec.convert({**msgspec.to_builtins(radar()), "model": "sonar"}, RadarSensor)


def test_same_seed_same_scan() -> None:
    caster = Caster(street_world())
    first, second = (radar_scan(caster, radar("imaging"), 0.4, np.random.default_rng(9)) for _ in range(2))
    assert first.points.tobytes() == second.points.tobytes()
