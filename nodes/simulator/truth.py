"""What is true of a simulated world at one instant, as `truth/*` tells it: in the odom frame of `pose/ego`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel
from calibration.se3 import SE3, FloatArray
from nodes.simulator.world.world import Actor, World
from pipeline.core.messages import EgoPose
from pipeline.core.truth import MANOEUVRES, TruthBehaviour, TruthObjects

_NEAR_M = 0.1  # a point nearer to the camera's plane is not projected
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def objects(
    actors: Sequence[Actor],
    t: float,
    odom_SE3_world: SE3,
    lidar_points: npt.NDArray[np.int32] | None = None,
    visibility: npt.NDArray[np.float32] | None = None,
) -> TruthObjects:
    """Labels of ``actors`` (K) at ``t``, with (K,) LiDAR returns and visible share where they are known."""
    k = len(actors)
    pose = odom_SE3_world @ _boxes(actors, t)
    velocity = odom_SE3_world.rotate(_over(actors, t, "velocity"))
    return TruthObjects(
        object_id=np.array([a.object_id for a in actors], dtype=np.int64),
        class_id=np.array([a.class_id for a in actors], dtype=np.int32),
        position=pose.translation.reshape(k, 3),
        size=np.array([a.size for a in actors], dtype=np.float32).reshape(k, 3),
        yaw=np.asarray(pose.yaw, dtype=np.float64).reshape(k),
        velocity=velocity[:, :2].astype(np.float32),
        lidar_points=np.full(k, -1, np.int32) if lidar_points is None else lidar_points,
        visibility=np.full(k, np.nan, np.float32) if visibility is None else visibility,
    )


def behaviour(actors: Sequence[Actor], t: float, odom_SE3_world: SE3, time_to_collision: FloatArray) -> TruthBehaviour:
    """What ``actors`` (K) are doing at ``t``. time_to_collision: (K,) s."""
    under_way = [actor.manoeuvre(t) for actor in actors]
    return TruthBehaviour(
        object_id=np.array([a.object_id for a in actors], dtype=np.int64),
        manoeuvre=np.array([MANOEUVRES.index(m.name) for m in under_way], dtype=np.int32),
        hazard=np.array([m.hazard for m in under_way], dtype=np.uint8),
        time_to_collision=time_to_collision.astype(np.float32),
        acceleration=odom_SE3_world.rotate(_over(actors, t, "acceleration"))[:, :2].astype(np.float32),
        yaw_rate=np.array([float(a.motion.yaw_rate(t)) for a in actors], dtype=np.float32),
    )


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
    actors: Sequence[Actor], t: float, cam_SE3_world: SE3, model: CameraModel, width: int, height: int
) -> npt.NDArray[np.float32]:
    """(K, 4) float32 left, top, right, bottom of each actor's box in an image, pixels, cut at its borders.

    NaN where none of the box is in view. Edges are cut at the near plane, so that a box beside the camera has its part
    that lies in front of it.
    """
    out = np.full((len(actors), 4), np.nan, np.float32)
    for row, actor in enumerate(actors):
        corners = cam_SE3_world @ (actor.box(t) @ (_CORNERS * actor.size))
        points = _in_front(corners)
        if not len(points):
            continue
        pixels, valid = model.project(points)
        if not valid.any():
            continue
        low = np.clip(pixels[valid].min(axis=0), 0.0, [width, height])
        high = np.clip(pixels[valid].max(axis=0), 0.0, [width, height])
        if (high - low > 1.0).all():
            out[row] = [*low, *high]
    return out


def _in_front(corners: FloatArray) -> FloatArray:
    """Corners before the near plane, and where edges pierce it."""
    depth = corners[:, 2]
    ends = [corners[depth >= _NEAR_M]]
    for a, b in _EDGES:
        if (depth[a] >= _NEAR_M) != (depth[b] >= _NEAR_M):
            ends.append((corners[a] + (corners[b] - corners[a]) * (_NEAR_M - depth[a]) / (depth[b] - depth[a]))[None])
    return np.concatenate(ends)


def _boxes(actors: Sequence[Actor], t: float) -> SE3:
    if not actors:
        return SE3(np.zeros((0, 3, 3)), np.zeros((0, 3)))
    return SE3.stack([actor.box(t) for actor in actors])


def _over(actors: Sequence[Actor], t: float, what: str) -> FloatArray:
    """(K, 3) float64 velocity or acceleration, world axes."""
    values = [a.motion.velocity(t) if what == "velocity" else a.motion.acceleration(t) for a in actors]
    return np.array(values, dtype=np.float64).reshape(-1, 3)
