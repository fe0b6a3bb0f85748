"""Looks: one row for every object in reach of a sensor at every message, with what its detection depends on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from fusion.training.clips import OBJECT
from nodes.simulator.detections.model import GROUP_OF_CLASS
from nodes.simulator.detections.scene import Scene, States
from nodes.simulator.detections.sight import gap_to_neighbour, hidden, sight, solid_angle
from nodes.simulator.detections.walls import Walls

FloatArray = npt.NDArray[Any]  # float32 or float64
IntArray = npt.NDArray[np.int64]

LEAST_VISIBLE = 0.05
"""Of an object's face; of one that shows less, nothing is detected."""
_WALL_STRIDE = 3
Floats = npt.NDArray[Any]  # float32


class Looks(NamedTuple):
    """N looks, sorted by object and then frame; ego frame at the instant of the message, m, rad, m/s.

    key: which object or phantom, for what persists. object_id: -1 where it is none. cause: as of a detection.
    said: class id that a phantom is always taken for, -1 = drawn anew from what the object is. distance, azimuth: from
    the sensor. visible: share of its face. sr: solid angle. crowded: 1 where the nearest neighbour is closer than 1 m.
    """

    frame: IntArray
    key: IntArray
    object_id: IntArray
    cause: npt.NDArray[np.uint8]
    centre: Floats
    yaw: Floats
    size: Floats
    velocity: Floats
    group: IntArray
    said: IntArray
    distance: Floats
    azimuth: Floats
    visible: Floats
    sr: Floats
    crowded: Floats

    @property
    def n(self) -> int:
        return len(self.frame)

    def pick(self, rows: IntArray | npt.NDArray[np.bool_]) -> Looks:
        columns: list[Any] = [column[rows] for column in self]
        return Looks(*columns)

    @staticmethod
    def joined(parts: list[Looks]) -> Looks:
        """All looks of all parts, whose keys differ."""
        columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return Looks(*columns)


def look(scene: Scene, states: States, odom_SE3_ego: SE3, origin: FloatArray, reach: float, shown: Shown) -> Looks:
    """Everything within ``reach`` m of a sensor at ``origin`` (3,), ego frame, that shows enough of itself.

    odom_SE3_ego: of the T messages. states: of the K actors at the same instants.
    """
    turn = odom_SE3_ego.rotation
    centre = (states.centre - odom_SE3_ego.translation[:, None]) @ turn
    near = np.hypot(centre[..., 0] - origin[0], centre[..., 1] - origin[1]) < reach
    near &= shown.visible > LEAST_VISIBLE
    key, frame = np.nonzero(near.T)
    centre, size = centre[frame, key], scene.size[key]
    yaw = (states.yaw - odom_SE3_ego.yaw[:, None])[frame, key]
    seen = sight(centre, yaw, size, origin)
    velocity = np.einsum("nji,nj->ni", turn[frame, :2, :2], states.velocity[frame, key])
    return Looks(
        frame=frame,
        key=key,
        object_id=scene.object_id[key],
        cause=np.full(len(key), OBJECT, np.uint8),
        centre=centre.astype(np.float32),
        yaw=yaw.astype(np.float32),
        size=size.astype(np.float32),
        velocity=velocity.astype(np.float32),
        group=GROUP_OF_CLASS[scene.class_id[key]],
        said=np.full(len(key), -1),
        distance=seen.distance.astype(np.float32),
        azimuth=seen.azimuth.astype(np.float32),
        visible=shown.visible[frame, key].astype(np.float32),
        sr=solid_angle(seen, size).astype(np.float32),
        crowded=shown.crowded[frame, key].astype(np.float32),
    )


class Shown(NamedTuple):
    """What of each of K actors can be seen from one place of the vehicle at T instants. visible: (T, K) share of its
    face that neither a nearer actor nor a wall hides. crowded: (T, K) whether another is closer than 1 m to it."""

    visible: FloatArray
    crowded: npt.NDArray[np.bool_]


def show(
    scene: Scene, states: States, odom_SE3_eye: SE3, unwalled: FloatArray, crowded: npt.NDArray[np.bool_]
) -> Shown:
    """From the eyes at T instants, such as the middle of all sensors of a kind. unwalled, crowded: (T, K)."""
    seen = sight(states.centre, states.yaw, scene.size, odom_SE3_eye.translation[:, None])
    return Shown((1.0 - hidden(seen)) * unwalled, crowded)


def open_to(scene: Scene, states: States, eye: FloatArray, walls: Walls, reach: float) -> FloatArray:
    """(T, K) share of each actor that no wall hides from eyes (T, 3). It changes slowly: looked at in every third
    frame."""
    away = states.centre[::_WALL_STRIDE, :, :2] - eye[::_WALL_STRIDE, None, :2]
    frame, key = np.nonzero(np.hypot(away[..., 0], away[..., 1]) < reach)
    half_width = 0.25 * (scene.size[key, 0] + scene.size[key, 1])
    out: FloatArray = np.ones(away.shape[:2])
    at = frame * _WALL_STRIDE
    out[frame, key] = walls.open(eye[at, :2], states.centre[at, key, :2], half_width)
    return out[np.arange(len(eye)) // _WALL_STRIDE]


def crowding(scene: Scene, states: States) -> npt.NDArray[np.bool_]:
    """(T, K) whether another actor is closer than 1 m."""
    return np.asarray(gap_to_neighbour(states.centre, scene.size) < 1.0)
