"""Truth: labelled objects, and what only a simulator knows: what they are about to do, who can see them, what ails a
sensor.

Only on `truth/*`; fusion never sees it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from pipeline.core.arrays import Payload, Spec
from pipeline.core.messages import Array, QuaternionWxyz, Vector3

MANOEUVRES = (
    "keep",
    "accelerate",
    "brake",
    "stop",
    "change_left",
    "change_right",
    "cut_in",
    "turn_left",
    "turn_right",
    "cross",
    "yield",
    "park",
)
"""What a road user is doing; index = manoeuvre id everywhere. `keep`: goes on as it does."""


class TruthObjects(Payload, frozen=True, kw_only=True):
    """Labelled objects, K of them: what recorded drives have too.

    frame: ``ego`` = that when a label holds, where a dataset has no poses. time_offset_ns: (K,) when each holds
    minus stamp.time_ns; (0,) where all hold at the stamp. object_id: persistent across frames, -1 where there are none.
    class_id: index into CLASSES, or -1: a label outside them, which is neither a hit nor a miss. lidar_points: returns
    in the box, -1 unknown. visibility: 0..1; it and velocity NaN where unknown.
    """

    object_id: Annotated[Array, Spec("<i8", "K")]
    class_id: Annotated[Array, Spec("<i4", "K")]
    position: Annotated[Array, Spec("<f8", "K", 3)]
    size: Annotated[Array, Spec("<f4", "K", 3)]
    yaw: Annotated[Array, Spec("<f8", "K")]
    velocity: Annotated[Array, Spec("<f4", "K", 2)]
    lidar_points: Annotated[Array, Spec("<i4", "K")]
    visibility: Annotated[Array, Spec("<f4", "K")]
    time_offset_ns: Annotated[Array, Spec("<i4", "T")] = msgspec.field(default_factory=lambda: np.zeros(0, "<i4"))
    frame: Literal["odom", "ego"] = "odom"


class TruthBehaviour(Payload, frozen=True, kw_only=True):
    """What each labelled object is doing at stamp.time_ns. K objects, as in `TruthObjects`.

    manoeuvre: index into MANOEUVRES. hazard: 1 where the ego must react to it. time_to_collision: s until its box and
    the ego's touch if both keep their velocities, inf where they never do. acceleration: (K, 2) m/s2, odom axes.
    """

    object_id: Annotated[Array, Spec("<i8", "K")]
    manoeuvre: Annotated[Array, Spec("<i4", "K")]
    hazard: Annotated[Array, Spec("u1", "K")]
    time_to_collision: Annotated[Array, Spec("<f4", "K")]
    acceleration: Annotated[Array, Spec("<f4", "K", 2)]
    yaw_rate: Annotated[Array, Spec("<f4", "K")]


class TruthVisibility(Payload, frozen=True, kw_only=True):
    """How much of each labelled object one sensor can see at stamp.time_ns. K objects.

    visibility: share of the object's surface that faces the sensor, lies in its field of view and is not hidden, 0..1.
    box2d: left, top, right, bottom of what a camera could see of it, pixels; NaN for other sensors and where none is.
    """

    sensor: str
    object_id: Annotated[Array, Spec("<i8", "K")]
    visibility: Annotated[Array, Spec("<f4", "K")]
    box2d: Annotated[Array, Spec("<f4", "K", 4)]


class TruthSensor(Payload, frozen=True, kw_only=True):
    """What is really so about one sensor at stamp.time_ns.

    clock_offset_ns, clock_skew_ppb: of its clock against the vehicle's. translation, rotation_wxyz: where it really
    sits, ego_SE3_sensor, which the rig believes to be elsewhere. faults: what ails it, as `name:severity`.
    """

    sensor: str
    clock_offset_ns: int
    clock_skew_ppb: float
    translation: Vector3
    rotation_wxyz: QuaternionWxyz
    faults: tuple[str, ...] = ()
