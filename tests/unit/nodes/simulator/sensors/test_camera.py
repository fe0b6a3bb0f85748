"""The simulated camera: what it draws is where the geometry says, when its row was read, and as bright as the hour."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational
from calibration.rig import CameraSensor, Extrinsic
from nodes.simulator.sensors.camera import CameraRenderer, Exposure, camera_image
from nodes.simulator.world.environment import Light
from nodes.simulator.world.world import World
from tests.simulated import actor, straight, street_world

PINHOLE = Pinhole(fx=380.0, fy=380.0, cx=319.5, cy=179.5)
MODELS: dict[str, CameraModel] = {
    "pinhole": PINHOLE,
    "distorted": Pinhole(fx=380.0, fy=375.0, cx=318.0, cy=182.0, k1=-0.28, k2=0.07, p1=1e-3, p2=-5e-4),
    "rational": Rational(fx=380.0, fy=380.0, cx=319.5, cy=179.5, k1=0.3, k2=0.05, k3=0.002, k4=0.65, k5=0.15, k6=0.01),
    "fisheye": KannalaBrandt(fx=190.0, fy=190.0, cx=319.5, cy=179.5, k1=-0.01, k2=0.002, k3=-0.001),
}
AHEAD = (0.5, -0.5, 0.5, -0.5)
CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def camera(model: CameraModel = PINHOLE, readout_ns: int = 0) -> CameraSensor:
    extrinsic = Extrinsic(translation=(1.7, 0.0, 1.5), rotation_wxyz=AHEAD)
    return CameraSensor(
        name="front", width=640, height=360, intrinsics=model, extrinsic=extrinsic, readout_ns=readout_ns
    )


def renderer(world: World, sensor: CameraSensor) -> CameraRenderer:
    return CameraRenderer(world, sensor)


def box_rows_at_their_time(world: World, sensor: CameraSensor, index: int, t: float) -> np.ndarray:
    """(8, 2) pixels of a box's corners, each at the time of the row on which it falls."""
    corners = CORNERS * world.actors[index].size
    rows = np.full(8, 0.5 * (sensor.height - 1))
    pixels = np.zeros((8, 2))
    for _ in range(6):
        at = t + sensor.readout_ns * 1e-9 * ((rows + 0.5) / sensor.height - 0.5)
        for i in range(8):
            camera_SE3_odom = (world.ego.pose(at[i]) @ sensor.ego_SE3_sensor).inverse()
            point = camera_SE3_odom @ (world.actors[index].box(at[i]) @ corners[i])
            pixels[i] = sensor.intrinsics.project(point[None])[0][0]
        rows = np.clip(pixels[:, 1], 0, sensor.height - 1)
    return pixels


@pytest.mark.parametrize("name", MODELS)
def test_an_object_is_drawn_within_its_box_at_the_time_of_each_row(name: str) -> None:
    world, sensor = street_world(), camera(MODELS[name], readout_ns=25_000_000)
    seen = renderer(world, sensor).frame(0.5)
    for index, of in enumerate(world.actors):
        v, u = np.nonzero(seen.object_id == of.object_id)
        assert len(u) > 15
        corners = box_rows_at_their_time(world, sensor, index, 0.5)
        low, high = corners.min(axis=0) - 1.0, corners.max(axis=0) + 1.0
        assert (u >= low[0]).all()
        assert (u <= high[0]).all()
        assert (v >= low[1]).all()
        assert (v <= high[1]).all()
        assert u.max() - u.min() + 1 > 0.5 * (high[0] - low[0])


@pytest.mark.parametrize("name", MODELS)
def test_depth_of_the_ground_is_that_of_its_plane(name: str) -> None:
    sensor = camera(MODELS[name])
    seen = renderer(street_world(actors=()), sensor).frame(0.0)
    v, u = np.mgrid[300:360:4, 200:440:4]
    rays = sensor.intrinsics.unproject(np.stack([u.ravel(), v.ravel()], axis=-1))
    expected = 1.5 * rays[:, 2] / rays[:, 1]
    found = seen.depth[v.ravel(), u.ravel()]
    assert np.abs(found / expected - 1.0).max() < 0.01


def test_an_edge_that_moves_sideways_leans_by_its_speed() -> None:
    speed, readout_ns, distance = 15.0, 30_000_000, 12.0
    world = dataclasses.replace(
        street_world(0.0, actors=(actor(7, "box_truck", straight((distance, 2.0), np.pi / 2, speed)),)), light=Light()
    )
    sensor = camera(readout_ns=readout_ns)
    at_once = renderer(world, camera()).frame(0.0).object_id == 7
    by_row = renderer(world, sensor).frame(0.0).object_id == 7
    rows = np.arange(140, 220, 4)
    late = readout_ns * 1e-9 * ((rows + 0.5) / 360 - 0.5)
    depth = renderer(world, sensor).frame(0.0).depth[180][by_row[180]].min()
    for row, time in zip(rows, late, strict=True):
        moved = np.flatnonzero(by_row[row]).max() - np.flatnonzero(at_once[row]).max()
        assert moved == pytest.approx(-380.0 * speed * time / depth, abs=1.5)


def test_the_sky_is_nowhere() -> None:
    seen = renderer(street_world(), camera()).frame(0.5)
    assert np.isinf(seen.depth[5]).all()
    assert (seen.object_id[5] == -1).all()
    assert np.isfinite(seen.depth[355]).all()


@pytest.mark.parametrize(("height", "darker"), [(-0.06, 1.0), (-0.3, 0.6)])
def test_it_gets_darker_towards_night(height: float, darker: float) -> None:
    day = street_world()
    late = dataclasses.replace(day, light=Light(sun_elevation=height))
    bright = renderer(day, camera()).frame(0.5)
    dark = renderer(late, camera()).frame(0.5)
    assert dark.image_bgr.mean() < darker * bright.image_bgr.mean()
    assert dark.gain > bright.gain


def test_noise_grows_with_the_gain_and_the_image_is_a_jpeg_of_its_size() -> None:
    flat = np.full((64, 96, 3), 90, np.uint8)
    depth, nothing = np.ones((64, 96), np.float32), np.full((64, 96), -1, np.int32)
    spread = []
    for gain in (1.0, 4000.0):
        message = camera_image(Exposure(flat, depth, nothing, gain), np.random.default_rng(0))
        decoded = cv2.imdecode(message.data, cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == (64, 96, 3)
        spread.append(float(decoded[16:48, 24:72].std()))
    assert spread[1] > 1.5 * spread[0]


_DIGEST = """
import hashlib
from tests.unit.nodes.simulator.sensors.test_camera import camera
from tests.simulated import street_world
from nodes.simulator.sensors.camera import CameraRenderer
seen = CameraRenderer(street_world(), camera(readout_ns=20_000_000)).frame(0.7)
print(hashlib.sha256(seen.image_bgr.tobytes() + seen.depth.tobytes() + seen.object_id.tobytes()).hexdigest())
"""


def test_two_processes_draw_the_same_bytes() -> None:
    digests = set()
    for _ in range(2):
        answer = subprocess.run([sys.executable, "-c", _DIGEST], capture_output=True, text=True, check=True)
        digests.add(answer.stdout.strip())
    assert len(digests) == 1
    assert len(digests.pop()) == len(hashlib.sha256().hexdigest())
