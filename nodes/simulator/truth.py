"""What is true of a simulated world at one instant, as `truth/*` tells it: in the odom frame of `pose/ego`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor
from calibration.se3 import SE3, FloatArray
from nodes.simulator.world.contact import time_to_collision
from nodes.simulator.world.world import Actor, World
from pipeline.core.messages import EgoPose
from pipeline.core.truth import MANOEUVRES, TruthBehaviour, TruthObjects, TruthVisibility

Which: TypeAlias = npt.NDArray[np.int64]
"""Indices into `World.actors`."""

_NEAR_M = 0.1  # a point nearer to the camera's plane is not projected
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]).T
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def objects(
    world: World,
    which: Which,
    t: float,
    odom_SE3_world: SE3,
    lidar_points: npt.NDArray[np.int32] | None = None,
    visibility: npt.NDArray[np.float32] | None = None,
) -> TruthObjects:
    """Labels of actors ``which`` (K) at ``t``, with (K,) LiDAR returns and visible share where they are known."""
    k = len(which)
    actors = [world.actors[i] for i in which]
    pose = odom_SE3_world @ world.boxes(t)[which]
    velocity = odom_SE3_world.rotate(world.motions.velocity(t)[which])
    return TruthObjects(
        object_id=_ids(actors),
        class_id=np.array([a.class_id for a in actors], dtype=np.int32),
        position=pose.translation,
        size=world.sizes[which].astype(np.float32),
        yaw=pose.yaw,
        velocity=velocity[:, :2].astype(np.float32),
        lidar_points=np.full(k, -1, np.int32) if lidar_points is None else lidar_points,
        visibility=np.full(k, np.nan, np.float32) if visibility is None else visibility,
    )


def behaviour(world: World, which: Which, t: float, odom_SE3_world: SE3) -> TruthBehaviour:
    """What actors ``which`` (K) are doing at ``t``."""
    actors = [world.actors[i] for i in which]
    under_way = [actor.manoeuvre(t) for actor in actors]
    return TruthBehaviour(
        object_id=_ids(actors),
        manoeuvre=np.array([MANOEUVRES.index(m.name) for m in under_way], dtype=np.int32),
        hazard=np.array([m.hazard for m in under_way], dtype=np.uint8),
        time_to_collision=time_to_collision(world, t)[which].astype(np.float32),
        acceleration=odom_SE3_world.rotate(world.motions.acceleration(t)[which])[:, :2].astype(np.float32),
        yaw_rate=world.motions.yaw_rate(t)[which].astype(np.float32),
    )


def visibility(
    world: World,
    which: Which,
    sensor: str,
    share: npt.NDArray[np.float32],
    box2d: npt.NDArray[np.float32] | None = None,
) -> TruthVisibility:
    """How much one sensor could see of actors ``which`` (K), and where in its image."""
    none = np.full((len(which), 4), np.nan, np.float32)
    ids = _ids([world.actors[i] for i in which])
    return TruthVisibility(sensor=sensor, object_id=ids, visibility=share, box2d=none if box2d is None else box2d)


def ego(world: World, t: float) -> EgoPose:
    """Where the vehicle really is, in the world's own frame."""
    pose = world.ego.pose(t)
    return EgoPose(
        position=tuple(pose.translation.tolist()),
        rotation_wxyz=tuple(pose.quaternion.tolist()),
        linear_velocity=tuple(pose.inverse().rotate(world.ego.velocity(t)).tolist()),
        angular_velocity=(0.0, 0.0, float(world.ego.yaw_rate(t))),
    )


def image_boxes(
    world: World, which: Which, t: float, cam_SE3_world: SE3, camera: CameraSensor
) -> npt.NDArray[np.float32]:
    """(K, 4) float32 left, top, right, bottom of the boxes of actors ``which`` in an image, pixels, cut at its borders.

    NaN where none of a box is in view. Edges are cut at the near plane, so that a box beside the camera has its part
    that lies in front of it.
    """
    k = len(which)
    boxes = cam_SE3_world @ world.boxes(t)[which]
    corners = np.matmul(_CORNERS * world.sizes[which, None], np.swapaxes(boxes.rotation, -1, -2))
    points, before = _in_front(corners + boxes.translation[:, None])
    pixels, valid = camera.intrinsics.project(points.reshape(-1, 3))
    good = (valid & before.reshape(-1)).reshape(k, -1, 1)
    uv, size = pixels.reshape(k, -1, 2), np.array([camera.width, camera.height])
    low = np.clip(np.where(good, uv, np.inf).min(axis=1, initial=np.inf), 0.0, size)
    high = np.clip(np.where(good, uv, -np.inf).max(axis=1, initial=-np.inf), 0.0, size)
    shown = (high - low > 1.0).all(axis=1)
    return np.where(shown[:, None], np.concatenate([low, high], axis=1), np.nan).astype(np.float32)


def _in_front(corners: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """(K, 20, 3) corners (K, 8, 3) and where edges pierce the near plane, and which of them are there."""
    depth = corners[..., 2]
    begin, end = depth[:, _EDGES[0]], depth[:, _EDGES[1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (_NEAR_M - begin) / (end - begin)
    pierced = (begin >= _NEAR_M) != (end >= _NEAR_M)
    share = np.where(pierced, share, 0.0)[..., None]
    cut = corners[:, _EDGES[0]] + share * (corners[:, _EDGES[1]] - corners[:, _EDGES[0]])
    return np.concatenate([corners, cut], axis=1), np.concatenate([depth >= _NEAR_M, pierced], axis=1)


def _ids(actors: Sequence[Actor]) -> npt.NDArray[np.int64]:
    return np.array([actor.object_id for actor in actors], dtype=np.int64)
