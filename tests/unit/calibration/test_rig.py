"""Rig files: the one that ships loads, and a wrong one is refused with the file and the field."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from calibration.frames import FrameTree
from calibration.rig import CameraSensor, Clock, Extrinsic, LidarSensor, RadarSensor, Rig
from calibration.se3 import SE3
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml, to_yaml

DEMO = Path(__file__).resolve().parents[3] / "configs" / "rigs" / "demo.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(DEMO.read_text())


def test_demo_rig() -> None:
    rig = load_yaml(DEMO, Rig)
    assert [camera.name for camera in rig.cameras] == ["camera_front", "camera_front_left", "camera_front_right"]
    assert [lidar.name for lidar in rig.lidars] == ["lidar_top"]
    assert all(radar.ambiguity_mps > 0 for radar in rig.radars)
    assert {sensor.modality for sensor in rig.sensors} == {"camera", "lidar", "radar", "imu", "gnss", "wheel"}
    with pytest.raises(KeyError, match="no sensor 'lidar_rear'"):
        rig["lidar_rear"]


def test_demo_cameras_look_where_their_names_say() -> None:
    """A point 20 m ahead on each camera's bearing falls on its middle column; what is above is up in the image."""
    rig = load_yaml(DEMO, Rig)
    tree = FrameTree.from_rig(rig)
    for name, bearing in (("camera_front", 0.0), ("camera_front_left", 60.0), ("camera_front_right", -60.0)):
        camera = rig[name]
        assert isinstance(camera, CameraSensor)
        ahead = camera.ego_SE3_sensor.translation + SE3.from_yaw(np.radians(bearing)).rotate([20.0, 0.0, 0.0])
        points = ahead + np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
        pixels, valid = camera.intrinsics.project(tree.transform(name, "ego", 0) @ points)
        assert valid.all()
        np.testing.assert_allclose(pixels[:, 0], 319.5, atol=0.01)
        assert pixels[1, 1] < pixels[0, 1]


def test_demo_sides_mirror_each_other() -> None:
    rig = load_yaml(DEMO, Rig)
    mirror = np.diag([1.0, -1.0, 1.0])
    for name in ("camera_front", "radar_front"):
        left, right = rig[f"{name}_left"].ego_SE3_sensor, rig[f"{name}_right"].ego_SE3_sensor
        np.testing.assert_allclose(mirror @ left.translation, right.translation)
        axis = [0.0, 0.0, 1.0] if name.startswith("camera") else [1.0, 0.0, 0.0]
        np.testing.assert_allclose(mirror @ left.rotate(axis), right.rotate(axis), atol=1e-6)


def test_rig_survives_yaml() -> None:
    rig = load_yaml(DEMO, Rig)
    assert msgspec.convert(yaml.safe_load(to_yaml(rig)), Rig) == rig


def _drop_extrinsic(rig: dict[str, Any]) -> None:
    del rig["sensors"][3]["extrinsic"]


def _name_twice(rig: dict[str, Any]) -> None:
    rig["sensors"][4]["name"] = "lidar_top"


def _negative_focal(rig: dict[str, Any]) -> None:
    rig["sensors"][1]["intrinsics"]["fx"] = -380.0


def _short_covariance(rig: dict[str, Any]) -> None:
    rig["sensors"][3]["extrinsic"]["covariance"] = [0.1] * 6


def _indefinite_covariance(rig: dict[str, Any]) -> None:
    rig["sensors"][3]["extrinsic"]["covariance"] = (-np.eye(6)).ravel().tolist()


def _quaternion_xyz(rig: dict[str, Any]) -> None:
    rig["sensors"][0]["extrinsic"]["rotation_wxyz"] = [1.0, 2.0, 3.0, 4.0]


def _nan_translation(rig: dict[str, Any]) -> None:
    rig["sensors"][0]["extrinsic"]["translation"] = [0.0, float("nan"), 0.0]


def _unknown_field(rig: dict[str, Any]) -> None:
    rig["sensors"][3]["beam_count"] = 32


def _unknown_model(rig: dict[str, Any]) -> None:
    rig["sensors"][0]["intrinsics"]["model"] = "omnidirectional"


def _no_width(rig: dict[str, Any]) -> None:
    rig["sensors"][0]["width"] = 0


def _other_version(rig: dict[str, Any]) -> None:
    rig["version"] = 2


def _path_as_name(rig: dict[str, Any]) -> None:
    rig["sensors"][0]["name"] = "../front"


@pytest.mark.parametrize(
    ("spoil", "field", "problem"),
    [
        (_drop_extrinsic, "$.sensors[3]", "required field `extrinsic`"),
        (_name_twice, "$", "expected unique names, got twice: lidar_top"),
        (_negative_focal, "$.sensors[1].intrinsics", "fx, fy: expected > 0, got -380.0"),
        (_short_covariance, "$.sensors[3].extrinsic", "covariance: expected 36 numbers or none, got 6"),
        (_indefinite_covariance, "$.sensors[3].extrinsic", "without negative eigenvalues"),
        (_quaternion_xyz, "$.sensors[0].extrinsic", "of length 1; got [1.0, 2.0, 3.0, 4.0]"),
        (_nan_translation, "$.sensors[0].extrinsic", "finite, one per quaternion; got [0.0, nan, 0.0]"),
        (_unknown_field, "$.sensors[3]", "unknown field `beam_count`"),
        (_unknown_model, "$.sensors[0].intrinsics.model", "omnidirectional"),
        (_no_width, "$.sensors[0]", "width, height: expected > 0"),
        (_other_version, "$", "version: expected 1, got 2"),
        (_path_as_name, "$.sensors[0]", "name: expected letters, digits and underscores, got '../front'"),
    ],
)
def test_wrong_rig_names_file_and_field(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], field: str, problem: str
) -> None:
    document = copy.deepcopy(DOCUMENT)
    spoil(document)
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(BadInput) as caught:
        load_yaml(path, Rig)
    assert caught.value.source == str(path)
    assert caught.value.field == field
    assert problem in caught.value.found


def test_constructors_check_too() -> None:
    here = Extrinsic(translation=(0.0, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="sweep_ns: expected > 0"):
        LidarSensor(name="lidar", extrinsic=here, sweep_ns=0)
    with pytest.raises(ValueError, match="ambiguity_mps: expected >= 0"):
        RadarSensor(name="radar", extrinsic=here, ambiguity_mps=-1.0)
    with pytest.raises(ValueError, match="rate_hz: expected > 0"):
        RadarSensor(name="radar", extrinsic=here, rate_hz=0.0)
    with pytest.raises(ValueError, match="trigger_period_ns: expected > 0"):
        Clock(discipline="trigger")


def test_extrinsic_keeps_pose_and_covariance() -> None:
    pose = SE3.exp([1.0, 2.0, 3.0, 0.1, -0.2, 2.9])
    extrinsic = Extrinsic.from_se3(pose, method="hand")
    np.testing.assert_allclose(extrinsic.ego_SE3_sensor.matrix, pose.matrix, atol=1e-12)
    assert extrinsic.covariance_matrix is None
    full = msgspec.structs.replace(extrinsic, covariance=tuple(np.diag([1.0, 2, 3, 4, 5, 6]).ravel().tolist()))
    assert full.covariance_matrix is not None
    np.testing.assert_array_equal(np.diag(full.covariance_matrix), [1, 2, 3, 4, 5, 6])
