"""Spray hangs behind quick vehicles on wet roads, swallows light by its optical depth, and answers pulses itself."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.rig import Extrinsic, LidarSensor
from nodes.simulator.sensors.lidar import SPRAY, lidar_sweep, returns_on
from nodes.simulator.sensors.raycast import Caster
from nodes.simulator.sensors.spray import SAMPLES, echo, gusts, mist, optical_depth, plumes
from nodes.simulator.world.environment import Weather
from nodes.simulator.world.world import World
from nodes.weather.camera import weathered_image
from tests.simulated import actor, straight, street_world

LIDAR = LidarSensor(
    name="lidar", extrinsic=Extrinsic(translation=(1.2, 0.0, 1.85), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)), beams=32
)


def behind_a_lorry(speed: float, wetness: float, shape: str = "lorry", away: float = 20.0) -> World:
    """The ego stands still behind; at 1 s the vehicle is ``away`` m ahead of its origin."""
    ahead = actor(1, shape, straight((away - speed, -2.0), 0.0, speed))
    world = street_world(ego_speed=0.0, actors=(ahead,))
    return dataclasses.replace(world, weather=Weather(wetness=wetness))


def depth_behind(world: World, height: float = 0.8, y: float = -2.0) -> float:
    """Optical depth of a ray from 5 m towards the vehicle, to 60 m."""
    ray = np.array([[1.0, 0.0, 0.0]])
    found = optical_depth(plumes(world, 1.0), np.array([5.0, y, height]), ray, np.array([60.0], np.float32))
    return float(found[0])


def test_it_grows_with_speed_squared_times_its_length_with_water_and_with_the_vehicle() -> None:
    slow, quick = (depth_behind(behind_a_lorry(v, 0.8, away=60.0)) for v in (12.5, 25.0))
    assert 6.0 < quick / slow < 10.0  # v squared, and twice the length of which the ends are cut off
    assert depth_behind(behind_a_lorry(25.0, 0.4)) == pytest.approx(
        0.5 * depth_behind(behind_a_lorry(25.0, 0.8)), rel=1e-3
    )
    assert depth_behind(behind_a_lorry(25.0, 0.8, "sedan")) < 0.5 * depth_behind(behind_a_lorry(25.0, 0.8))


@pytest.mark.parametrize(("speed", "wetness"), [(25.0, 0.0), (7.0, 1.0), (0.0, 1.0)])
def test_none_on_a_dry_road_or_behind_the_slow(speed: float, wetness: float) -> None:
    assert not plumes(behind_a_lorry(speed, wetness), 1.0)


def test_it_thins_out_upwards_sideways_and_to_the_back() -> None:
    world = behind_a_lorry(22.0, 1.0)
    heights = [depth_behind(world, height) for height in (0.3, 1.0, 2.0, 4.0)]
    sides = [depth_behind(world, y=-2.0 + y) for y in (0.0, 0.8, 1.6, 3.0)]
    assert all(a > b for values in (heights, sides) for a, b in pairwise(values))
    cloud = plumes(world, 1.0)
    part = mist(cloud, 0, np.array([5.0, -2.0, 0.8]), np.array([[1.0, 0.0, 0.0]]), np.array([60.0], np.float32))
    assert (np.diff(part.density[0]) > 0).all()  # denser the nearer to its tail


@given(st.floats(0.0, 60.0), st.floats(-8.0, 4.0), st.floats(0.05, 4.0), st.floats(-np.pi, np.pi), st.floats(-0.5, 0.5))
def test_of_any_ray_the_share_that_passes_falls_with_its_length(
    x: float, y: float, z: float, azimuth: float, elevation: float
) -> None:
    cloud = plumes(behind_a_lorry(24.0, 1.0), 1.0)
    level = np.cos(elevation)
    ray = np.array([[level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)]])
    reaches = [5.0, 20.0, 60.0, np.inf]
    depth = [float(optical_depth(cloud, np.array([x, y, z]), ray, np.array([r], np.float32))[0]) for r in reaches]
    assert np.isfinite(depth).all()
    assert depth[0] >= 0.0
    assert all(a <= b + 0.05 * b + 1e-6 for a, b in pairwise(depth))  # of six samples each


def test_the_lidar_sees_it_behind_the_vehicle_and_less_of_the_vehicle() -> None:
    wet, dry = behind_a_lorry(22.0, 1.0), behind_a_lorry(22.0, 0.0)
    cloud, owner = lidar_sweep(Caster(wet), LIDAR, 1.0, np.random.default_rng(3))
    mist_points = cloud.points[owner == SPRAY]
    assert len(mist_points) > 50
    x = mist_points["x"] + 1.2
    y = mist_points["y"] - 2.0
    tail = 20.0 - 0.5 * wet.actors[0].size[0]
    assert (x < tail + 0.5).all()
    assert (np.abs(y + 2.0) < 4.0).all()
    _, clear = lidar_sweep(Caster(dry), LIDAR, 1.0, np.random.default_rng(3))
    assert not (clear == SPRAY).any()
    assert (owner == 0).sum() < (clear == 0).sum()


def test_returns_are_counted_through_it_as_in_the_sweep() -> None:
    world, which = behind_a_lorry(22.0, 1.0), np.array([0])
    caster = Caster(world)
    _, owner = lidar_sweep(caster, LIDAR, 1.0, np.random.default_rng(5))
    assert returns_on(caster, LIDAR, 1.0, np.random.default_rng(5), which).tolist() == [(owner == 0).sum()]


def test_the_answer_of_even_mist_is_that_of_its_backscatter() -> None:
    """A metre of drops at a 1/m sends back what a surface of reflectance pi a / 18.8 sr does."""
    cloud = plumes(behind_a_lorry(25.0, 1.0), 1.0)
    part = mist(cloud, 0, np.array([8.0, -14.0, 0.5]), np.array([[0.0, 1.0, 0.0]]), np.array([40.0], np.float32))
    even = part._replace(density=np.full((1, SAMPLES), 0.01, np.float32), at=part.at + 20.0)
    where, answer, through = echo(even, np.ones((1, SAMPLES), np.float32))
    assert where[0] in even.at[0]
    assert answer[0] == pytest.approx(np.pi * 0.01 * min(part.step[0], 1.0) / 18.8, rel=0.1)
    assert through[0] == pytest.approx(0.01 * SAMPLES * part.step[0], rel=1e-5)


def test_gusts_leave_the_mean_alone() -> None:
    assert gusts(np.random.default_rng(0), 200_000).mean() == pytest.approx(1.0, abs=0.03)


def test_the_image_pales_by_the_optical_depth() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20] = 220  # sky
    depth = np.where(np.arange(40)[:, None] < 20, np.inf, 30.0).astype(np.float32) * np.ones((1, 60), np.float32)
    spray = np.zeros((20, 30), np.float32)
    spray[12:] = np.log(2.0)  # half the light
    seen = weathered_image(image, depth, Weather(wetness=1.0), np.random.default_rng(0), spray=spray)
    assert seen[22, 30].tolist() == [0, 0, 0]
    half = cv2.cvtColor(seen[36:37, 30:31], cv2.COLOR_BGR2GRAY).item()
    assert half == pytest.approx(220 * np.sqrt(0.5), abs=3)  # half the air light, in linear light
