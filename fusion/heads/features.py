"""A scene as the numbers that the heads read of each track: where it is and how it moves, as seen from the vehicle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.contact import first_contact
from fusion.measurements import FloatArray
from pipeline.core.messages import Scene

Floats = npt.NDArray[np.float32]

FEATURES = (
    "forward", "left", "near_forward", "near_left", "path_left", "distance", "velocity_forward", "velocity_left",
    "closing_forward", "closing_left", "range_rate", "speed", "heading_cos", "heading_sin", "ego_speed", "ego_turn",
    "place_sigma", "velocity_sigma", "length", "width", "existence", "age", "coasted",
    "contact", "wide_contact", "miss", "approach",
    *(f"group_{i}" for i in range(5)),
)  # fmt: skip
"""All come to about one. contact: 1 / (1 + s) to contact of the boxes at constant velocities, 0 for never; wide: of
boxes a metre wider; miss: at the nearest approach, approach: 1 / (1 + s) until it."""
_GROUPS = np.array([0, 1, 1, 1, 1, 2, 3, 3, 4, 4])  # of CLASSES: cars, large vehicles, people, cycles, small things
_GROUP_OF = np.eye(5)[_GROUPS]
_SLOW = 2.0  # m/s under which the vehicle's path has no curvature worth the name


class Ego(NamedTuple):
    """velocity (2,): m/s, odom axes. turn: yaw rate, rad/s. size: length, width, m, of which ``tail`` lie behind the
    rear axle."""

    velocity: FloatArray
    turn: float
    size: tuple[float, float] = (4.6, 1.9)
    tail: float = 0.9


STANDING = Ego(np.zeros(2), 0.0)


class Kinematics(NamedTuple):
    """Of M tracks, axes of the vehicle. place (M, 2): from its rear axle, m. velocity (M, 2): over ground; closing
    (M, 2): relative to the vehicle. contact (M,): s until the boxes touch at constant velocities, inf never; wide (M,):
    those of tracks a metre wider. ego_speed: m/s, forward."""

    place: FloatArray
    velocity: FloatArray
    closing: FloatArray
    contact: FloatArray
    wide: FloatArray
    ego_speed: float


def kinematics(scene: Scene, ego: Ego) -> Kinematics:
    forward = scene.odom_SE3_ego.rotation[:2, 0]
    c, s = forward / max(float(np.hypot(*forward)), 1e-9)
    to_ego = np.array([[c, s], [-s, c]])
    place = (scene.track_position[:, :2] - np.array(scene.position[:2])) @ to_ego.T
    velocity = scene.track_velocity @ to_ego.T
    own = to_ego @ ego.velocity
    contact, wide = (
        _contact(place, scene.track_yaw - np.arctan2(s, c), scene.track_size, velocity, own, ego, wider)
        for wider in (0.0, 1.0)
    )
    return Kinematics(place, velocity, velocity - own, contact, wide, float(own[0]))


def features(scene: Scene, ego: Ego, moving: Kinematics) -> Floats:
    """(M, len(FEATURES)) float32."""
    place, velocity, closing = moving.place, moving.velocity, moving.closing
    apparent = closing + ego.turn * np.stack([place[:, 1], -place[:, 0]], axis=1)
    distance = np.hypot(place[:, 0], place[:, 1])
    heading = scene.track_yaw - np.arctan2(*scene.odom_SE3_ego.rotation[[1, 0], 0])
    bend = ego.turn / moving.ego_speed if moving.ego_speed > _SLOW else 0.0
    square = (closing * closing).sum(axis=1)
    until = np.maximum(-(place * closing).sum(axis=1) / np.maximum(square, 0.25), 0.0)
    miss = np.hypot(*(place + closing * until[:, None]).T)
    cov = scene.state_cov.astype(np.float64)
    columns = [
        place[:, 0] / 50.0, place[:, 1] / 20.0, _squash(place[:, 0] / 5.0), _squash(place[:, 1]),
        _squash(place[:, 1] - 0.5 * bend * place[:, 0] ** 2), np.log1p(distance) / 4.0,
        velocity[:, 0] / 10.0, _squash(2.0 * velocity[:, 1]), closing[:, 0] / 10.0, _squash(2.0 * apparent[:, 1]),
        (place * apparent).sum(axis=1) / np.maximum(distance, 1.0) / 10.0,
        _squash(2.0 * np.hypot(velocity[:, 0], velocity[:, 1])), np.cos(heading), np.sin(heading),
        np.full(len(place), moving.ego_speed / 10.0), np.full(len(place), 5.0 * ego.turn),
        np.log(cov[:, 0, 0] + cov[:, 1, 1] + 1e-3) / 4.0, np.log(cov[:, 3, 3] + cov[:, 4, 4] + 1e-3) / 4.0,
        np.log(scene.track_size[:, 0] + 0.1), np.log(scene.track_size[:, 1] + 0.1),
        scene.existence, np.log1p(scene.age) / 4.0, scene.coasted / 5.0,
        1.0 / (1.0 + moving.contact), 1.0 / (1.0 + moving.wide), np.log1p(miss), 1.0 / (1.0 + until),
        *(scene.class_score @ _GROUP_OF).T,
    ]  # fmt: skip
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def _contact(
    place: FloatArray, yaw: FloatArray, size: Floats, velocity: FloatArray, own: FloatArray, ego: Ego, wider: float
) -> FloatArray:
    """(M,) s until the boxes touch, the tracks' ``wider`` m."""
    pairs = np.empty((len(place), 2, 7))
    pairs[:, 0] = [0.5 * ego.size[0] - ego.tail, 0.0, 0.0, *own, 0.5 * ego.size[0], 0.5 * ego.size[1]]
    pairs[:, 1, :2], pairs[:, 1, 2], pairs[:, 1, 3:5] = place, yaw, velocity
    pairs[:, 1, 5:] = 0.5 * (size[:, :2] + wider)
    return first_contact(pairs[..., :2], pairs[..., 2], pairs[..., 5:], pairs[..., 3:5])


def _squash(x: FloatArray) -> FloatArray:
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)))
