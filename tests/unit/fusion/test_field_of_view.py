from __future__ import annotations

import numpy as np
import pytest

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic, LidarSensor, RadarSensor, Rig
from calibration.se3 import SE3
from fusion.field_of_view import fields_of_view, in_view

_AHEAD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # ego_SE3_camera of one that looks ahead
_TURNED = SE3.from_yaw(np.pi, (-1.0, 0.0, 0.0))

RIG = Rig(
    vehicle="test",
    sensors=(
        CameraSensor(
            name="rear",
            extrinsic=Extrinsic.from_se3(_TURNED @ SE3(_AHEAD, np.array([0.0, 0.0, 1.5]))),
            width=1000,
            height=500,
            intrinsics=Pinhole(fx=500.0, fy=500.0, cx=499.5, cy=249.5),
        ),
        LidarSensor(name="roof", extrinsic=Extrinsic.from_se3(SE3.identity()), max_range_m=80.0),
        RadarSensor(name="left", extrinsic=Extrinsic.from_se3(SE3.from_yaw(np.pi / 2)), view_deg=90.0, max_range_m=50),
    ),
)


def seen(x: float, y: float) -> dict[str, bool]:
    names = ("rear", "roof", "left", "stranger")
    return dict(zip(names, in_view(np.array([[x, y, 0.0]]), names, fields_of_view(RIG))[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("x", "y", "by"),
    [
        (10.0, 0.0, {"roof"}),
        (-30.0, 0.0, {"roof", "rear"}),
        (-30.0, 28.0, {"roof", "rear"}),  # 45 degrees to either side
        (-30.0, -28.0, {"roof", "rear"}),
        (-40.0, 41.0, {"roof"}),
        (0.0, 40.0, {"roof", "left"}),
        (0.0, 60.0, {"roof"}),
        (0.0, -40.0, {"roof"}),
        (90.0, 0.0, set()),
    ],
)
def test_who_sees_a_place(x: float, y: float, by: set[str]) -> None:
    assert {name for name, sees in seen(x, y).items() if sees} == by | {"stranger"}


def test_no_sensors_see_nothing() -> None:
    assert in_view(np.zeros((3, 3)), (), {}).shape == (3, 0)
