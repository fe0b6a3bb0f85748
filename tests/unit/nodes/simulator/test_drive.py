"""A simulated drive: the same bytes whoever reads it, stamps that fit, truth that fits what the sensors give."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calibration.rig import CameraSensor, LidarSensor, RadarSensor, Rig
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.simulator.channels import START_NS
from nodes.simulator.drive import SimulatedDrive
from nodes.simulator.instruments import Instruments
from nodes.simulator.named import open_simulated, placed_world
from nodes.simulator.scenario.load import scenario_names
from nodes.simulator.settings import SimulationSettings
from nodes.simulator.truth import image_boxes
from pipeline.core import wire
from pipeline.core.errors import BadInput
from pipeline.core.messages import EgoPose, Message
from pipeline.core.settings import load_yaml
from pipeline.core.truth import TruthBehaviour, TruthObjects, TruthSensor, TruthVisibility
from tests.simulated import street_world

_ROOT = Path(__file__).resolve().parents[4]
_RIG = load_yaml(_ROOT / "configs" / "rigs" / "demo.yaml", Rig)


def small_drive(seconds: float = 1.0, seed: int = 0) -> SimulatedDrive:
    kept = ("camera_front", "lidar_top", "radar_front", "imu", "gnss", "wheel")
    rig = Rig(vehicle=_RIG.vehicle, sensors=tuple(s for s in _RIG.sensors if s.name in kept))
    return SimulatedDrive(street_world(seed=seed), rig, seconds)


def digest(messages: list[Message]) -> str:
    return hashlib.sha256(b"".join(wire.encode_bytes(message) for message in messages)).hexdigest()


@pytest.fixture(scope="module")
def drive() -> SimulatedDrive:
    return small_drive()


@pytest.fixture(scope="module")
def messages(drive: SimulatedDrive) -> list[Message]:
    return list(drive.messages())


def test_messages_come_in_order_of_arrival_and_as_many_as_counted(
    drive: SimulatedDrive, messages: list[Message]
) -> None:
    arrivals = [m.stamp.arrival_ns for m in messages]
    assert arrivals == sorted(arrivals)
    for topic, count in drive.counts.items():
        found = [m for m in messages if m.topic == topic]
        within = [m for m in found if START_NS <= m.stamp.time_ns <= drive.end_ns]
        assert len(found) == len(within)
        assert count - 2 <= len(found) <= count, topic
        np.testing.assert_array_equal(
            [m.stamp.arrival_ns for m in found], [a for a in drive.arrivals(topic) if a in set(arrivals)][: len(found)]
        )


def test_one_topic_alone_and_a_part_of_it_are_the_same_bytes(drive: SimulatedDrive, messages: list[Message]) -> None:
    again = small_drive()
    for topic in ("lidar/lidar_top", "radar/radar_front", "imu/imu", "camera/camera_front", "truth/objects"):
        whole = [m for m in messages if m.topic == topic]
        assert digest(list(again.messages([topic]))) == digest(whole)
        late = START_NS + 500_000_000
        part = list(small_drive().messages([topic], start_ns=late))
        assert digest(part) == digest([m for m in whole if m.stamp.time_ns >= late])


def test_another_process_makes_the_same_bytes(messages: list[Message]) -> None:
    script = "from tests.unit.nodes.simulator.test_drive import *; print(digest(list(small_drive().messages())))"
    found = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip().splitlines()[-1] == digest(messages)


def test_another_seed_makes_other_noise(messages: list[Message]) -> None:
    sweeps = [m for m in messages if m.topic == "lidar/lidar_top"]
    assert digest(list(small_drive(seed=1).messages(["lidar/lidar_top"]))) != digest(sweeps)


def test_truth_stands_where_it_is_seen_from_where_the_vehicle_believes_to_be(messages: list[Message]) -> None:
    """Truth in odom, brought into the ego frame by pose/ego, is the world brought there by the true pose."""
    world = street_world()
    poses = [(m.stamp.time_ns, m.payload) for m in messages if isinstance(m.payload, EgoPose) and m.topic == "pose/ego"]
    believed = Trajectory([t for t, _ in poses], SE3.stack([pose.odom_SE3_ego for _, pose in poses]))
    checked = 0
    for message in messages:
        if isinstance(message.payload, TruthObjects) and believed.covers(message.stamp.time_ns):
            t = (message.stamp.time_ns - START_NS) * 1e-9
            seen = believed.at(message.stamp.time_ns).inverse() @ message.payload.position
            real = world.ego.pose(t).inverse() @ np.array([a.box(t).translation for a in world.actors])
            np.testing.assert_allclose(seen, real, atol=1e-3)
            checked += 1
    assert checked >= 5


def test_truth_tells_of_every_sensor_and_object(messages: list[Message]) -> None:
    visible = [m.payload for m in messages if isinstance(m.payload, TruthVisibility)]
    assert {payload.sensor for payload in visible} == {"camera_front", "lidar_top", "radar_front"}
    assert all(((p.visibility >= 0) & (p.visibility <= 1)).all() for p in visible)
    assert max(float(p.visibility[0]) for p in visible) > 0.5  # the car ahead
    sensors = {m.payload.sensor: m.payload for m in messages if isinstance(m.payload, TruthSensor)}
    for name, true in sensors.items():
        moved = SE3.from_quaternion(true.rotation_wxyz, true.translation) @ _RIG[name].ego_SE3_sensor.inverse()
        assert 0 < np.linalg.norm(moved.log()[:3]) < 0.1
    behaviours = [m.payload for m in messages if isinstance(m.payload, TruthBehaviour)]
    assert behaviours
    assert all(len(b.object_id) == len(b.manoeuvre) == 2 for b in behaviours)


def test_names_lead_to_drives_or_say_what_is_wrong() -> None:
    drive = open_simulated("simulated:cut_in:3:2")
    assert drive.name == "cut_in-3"
    assert drive.end_ns - drive.start_ns == 2_000_000_000
    for name, message in (
        ("simulated:nowhere", "nowhere"),
        ("simulated:cut_in:x", "such as"),
        ("simulated:cut_in:1:-3", "such as"),
        ("simulated:cut_in@no_such_rig", "no_such_rig"),
    ):
        with pytest.raises(BadInput, match=message):
            open_simulated(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", scenario_names())
def test_boxes_hold_what_the_sensors_see(name: str) -> None:
    """In every scenario: an object's pixels lie in its projected box, its LiDAR points in its box, to noise."""
    world = placed_world(name, None)
    instruments = Instruments(world, _RIG, SimulationSettings())
    seen = hit = 0
    for t in (0.25 * world.duration, 0.6 * world.duration):
        for camera in _RIG.cameras:
            exposure = instruments._exposure(camera.name, t)
            cam_SE3_world = instruments._world_SE3(camera, t).inverse()
            edges = image_boxes(world, np.arange(len(world.actors)), t, cam_SE3_world, camera)
            for actor, (left, top, right, bottom) in zip(world.actors, edges, strict=True):
                row, column = np.nonzero(exposure.object_id == actor.object_id)
                if len(row):
                    seen += 1
                    assert left - 1 <= column.min(), actor
                    assert column.max() <= right + 1, actor
                    assert top - 1 <= row.min(), actor
                    assert row.max() <= bottom + 1, actor
        lidar = _RIG.lidars[0]
        cloud, of_point = instruments._sweep(lidar, t)
        at = t + cloud.points["t_ns"] * 1e-9
        for k in np.unique(of_point[of_point >= 0]):
            mine = of_point == k
            world_SE3_lidar = world.ego.pose(at[mine]) @ instruments._mounted[lidar.name]
            xyz = world_SE3_lidar.translation + np.einsum(
                "nij,nj->ni", world_SE3_lidar.rotation, cloud.xyz[mine].astype(np.float64)
            )
            box = world.actors[k].box(at[mine])
            local = np.einsum("nji,nj->ni", box.rotation, xyz - box.translation)
            off = np.abs(local) - 0.5 * np.array(world.actors[k].size)
            assert np.quantile(off, 0.99) < 0.12, world.actors[k]
            hit += 1
    assert seen > 0
    assert hit > 0


def test_every_kind_of_sensor_of_the_default_rig_gives_messages() -> None:
    drive = SimulatedDrive(street_world(), _RIG, 0.3)
    kinds = {type(s) for s in _RIG.sensors}
    assert {CameraSensor, LidarSensor, RadarSensor} <= kinds
    for sensor in _RIG.sensors:
        assert next(drive.messages([f"{sensor.modality}/{sensor.name}"]), None) is not None, sensor.name
