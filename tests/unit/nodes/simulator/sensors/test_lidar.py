"""A sweep is geometry to within noise, and fades as light does."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from calibration.rig import Extrinsic, LidarModel, LidarSensor
from nodes.simulator.sensors.beams import unit_of
from nodes.simulator.sensors.lidar import lidar_sweep, returns_on
from nodes.simulator.sensors.raycast import STATIC, Caster
from nodes.simulator.sensors.reflect import reading, reflectance
from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.world import World
from tests.simulated import actor, straight, street_world

LIDAR = LidarSensor(
    name="lidar", extrinsic=Extrinsic(translation=(1.2, 0.0, 1.85), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)), beams=32
)
MODELS: tuple[LidarModel, ...] = ("vlp16", "vlp32c", "hdl64e", "pandar64", "os1_64")


def unit(model: LidarModel) -> LidarSensor:
    return LidarSensor(name="lidar", extrinsic=LIDAR.extrinsic, model=model)


def in_odom(world: World, sensor: LidarSensor, points: np.ndarray, t_end: float) -> np.ndarray:
    """Each point moved by the true motion of the LiDAR at the point's own time."""
    pose = world.ego.pose(t_end + points["t_ns"] * 1e-9) @ sensor.ego_SE3_sensor
    return np.asarray(pose @ np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float64))


def test_points_of_an_actor_lie_in_its_box_and_the_ground_is_flat_while_all_move() -> None:
    fast = (
        actor(1, "sedan", straight((8.0, 3.0), 0.0, -20.0)),
        actor(2, "bus", straight((25.0, -9.0), 1.2, 12.0)),
    )
    world = street_world(ego_speed=30.0, actors=fast)
    cloud, owner = lidar_sweep(Caster(world), LIDAR, 0.6, np.random.default_rng(1))
    odom = in_odom(world, LIDAR, cloud.points, 0.6)
    for index, each in enumerate(fast):
        mine = owner == index
        assert mine.sum() > 30
        t = 0.6 + cloud.points["t_ns"][mine] * 1e-9
        local = each.box(t).inverse() @ odom[mine]
        assert (np.abs(local) <= 0.5 * np.array(each.size) + 0.1).all()
    flat = (owner == STATIC) & (np.abs(odom[:, 2]) < 0.4)
    assert abs(np.median(odom[flat, 2])) < 0.01
    assert np.quantile(np.abs(odom[flat, 2]), 0.99) < 0.06


def test_points_on_a_car_fall_with_the_square_of_range() -> None:
    counts = {}
    for x in (15.0, 30.0):
        world = street_world(actors=(actor(1, "sedan", straight((x + 1.2, -2.0), 0.0, 0.0)),), ego_speed=0.0)
        owner = [lidar_sweep(Caster(world), unit("pandar64"), 0.5, np.random.default_rng(s))[1] for s in range(2)]
        counts[x] = np.mean([(o == 0).sum() for o in owner])
    ratio = counts[15.0] / counts[30.0]
    assert 3.0 < ratio < 6.5


def test_dark_surfaces_drop_out_first() -> None:
    shares = []
    for paint in ((250, 250, 250), (5, 5, 5)):
        car = actor(1, "box_truck", straight((80.0, -2.0), 0.5, 0.0), paint)  # hit squarely, even black shines
        world = street_world(actors=(car,), ego_speed=0.0)
        shares.append(int((lidar_sweep(Caster(world), LIDAR, 0.5, np.random.default_rng(0))[1] == 0).sum()))
    assert shares[0] > 5
    assert shares[1] < 0.5 * shares[0]


def test_returns_on_some_actors_are_counted_without_the_sweep() -> None:
    close = actor(1, "suv", straight((9.0, 2.5), 0.1, -6.0))  # its edge mixes with the one behind
    behind = actor(2, "box_truck", straight((13.5, 3.5), 0.0, 4.0))
    walks = actor(3, "adult", straight((6.0, -4.0), 1.5, 1.4))
    world = street_world(actors=(close, behind, walks, actor(4, "sedan", straight((-8.0, -2.0), 0.0, 8.0))))
    caster = Caster(world)
    for t in (0.3, 0.7, 1.1):
        _, of_point = lidar_sweep(caster, LIDAR, t, np.random.default_rng(9))
        in_sweep = np.bincount(of_point[of_point >= 0], minlength=4)
        assert in_sweep.min() > 20
        for which in (np.array([0, 1, 2, 3]), np.array([2, 0]), np.array([3])):
            assert returns_on(caster, LIDAR, t, np.random.default_rng(9), which).tolist() == in_sweep[which].tolist()
    assert len(returns_on(caster, LIDAR, 0.5, np.random.default_rng(9), np.zeros(0, np.int64))) == 0
    alone = Caster(street_world(actors=(actor(1, "sedan", straight((12.0, 3.0), 0.0, 0.0)),)))  # nothing moves
    _, of_point = lidar_sweep(alone, LIDAR, 0.5, np.random.default_rng(2))
    assert returns_on(alone, LIDAR, 0.5, np.random.default_rng(2), np.array([0])).tolist() == [(of_point == 0).sum()]


def test_time_runs_clockwise_through_the_sweep_to_its_end() -> None:
    cloud, _ = lidar_sweep(Caster(street_world()), LIDAR, 1.0, np.random.default_rng(0))
    t = cloud.points["t_ns"]
    assert t.min() >= -LIDAR.sweep_ns
    assert t.max() <= 0
    azimuth = np.arctan2(cloud.points["y"], cloud.points["x"])
    right = np.abs(azimuth + np.pi / 2) < 0.05
    assert abs(np.median(t[right]) + 0.25 * LIDAR.sweep_ns) < 2e6


@pytest.mark.parametrize("model", MODELS)
def test_rings_lie_on_their_beams(model: LidarModel) -> None:
    sensor = unit(model)
    cloud, _ = lidar_sweep(Caster(street_world()), sensor, 1.0, np.random.default_rng(0))
    xyz = cloud.xyz.astype(np.float64)
    elevation = np.arcsin(xyz[:, 2] / np.linalg.norm(xyz, axis=1))
    assert np.allclose(elevation, unit_of(sensor).elevation[cloud.points["ring"]], atol=1e-5)
    assert (np.diff(unit_of(sensor).elevation) > 0).all()


def test_a_model_with_another_number_of_beams_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 16"):
        LidarSensor(name="lidar", extrinsic=LIDAR.extrinsic, model="vlp16", beams=32)
    for model in MODELS:
        assert unit_of(
            LidarSensor(name="lidar", extrinsic=LIDAR.extrinsic, model=model, beams=unit_of(unit(model)).beams)
        )


def test_reflectance_orders_surfaces_as_they_are() -> None:
    names = ("tyre", "asphalt", "concrete", "plate")
    material = np.array([MATERIAL_ID[name] for name in names], np.uint8)
    back = reflectance(material, np.zeros((4, 3), np.uint8), np.full(4, 0.8, np.float32))
    assert (np.diff(back) > 0).all()
    shown = reading(back)
    assert shown[3] > 0.9
    assert (shown[:3] < 100 / 255).all()
    grazing = reflectance(material[1:2], np.zeros((1, 3), np.uint8), np.array([0.03], np.float32))
    assert 0.01 < grazing[0] < 0.05


_HASH = """
import hashlib, numpy as np
from tests.unit.nodes.simulator.sensors.test_lidar import LIDAR
from nodes.simulator.sensors.lidar import lidar_sweep, returns_on
from nodes.simulator.sensors.raycast import Caster
from tests.simulated import street_world
print(hashlib.sha256(lidar_sweep(Caster(street_world()), LIDAR, 0.9, np.random.default_rng(7))[0].points).hexdigest())
"""


def test_same_seed_same_bytes_in_another_process() -> None:
    here, _ = lidar_sweep(Caster(street_world()), LIDAR, 0.9, np.random.default_rng(7))
    there = subprocess.run([sys.executable, "-c", _HASH], capture_output=True, text=True, check=True).stdout.strip()
    assert hashlib.sha256(here.points).hexdigest() == there
