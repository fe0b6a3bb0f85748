"""What each object of a clip is doing, and when it would hit the vehicle: the truth that heads learn from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fusion.contact import first_contact
from fusion.training.clips import Columns, unknown_behaviour
from nodes.simulator.detections.scene import FloatArray, Scene, States
from nodes.simulator.world.world import Actor
from pipeline.core.truth import MANOEUVRES

_STEP_S = 0.05  # the ego's velocity is a difference over that


def behaviour(
    scene: Scene, times: FloatArray, states: States, frame: npt.NDArray[np.intp], row: npt.NDArray[np.intp]
) -> Columns:
    """`Clip.behaviour` of actors ``row`` (M,) at ``times[frame]`` (M,), whose states (T, K) are given.

    In a world whose actors have no script it is not known what they are doing, but still when they would collide.
    """
    known = unknown_behaviour(len(row))
    if any(actor.manoeuvres for actor in scene.world.actors):
        doing = [_doing(actor, times) for actor in scene.world.actors]
        known["manoeuvre"] = np.stack([names for names, _ in doing], axis=1)[frame, row]
        known["hazard"] = np.stack([hazard for _, hazard in doing], axis=1)[frame, row]
    known["time_to_collision"] = _time_to_collision(scene, times, states, frame, row).astype(np.float32)
    return known


def _doing(actor: Actor, times: FloatArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    """(T,) manoeuvre and hazard, as `Actor.manoeuvre` says."""
    names, hazard = np.zeros(len(times), np.int32), np.zeros(len(times), np.int8)
    for one in actor.manoeuvres:
        under_way = (times >= one.start) & (times < one.end)
        names[under_way], hazard[under_way] = MANOEUVRES.index(one.name), one.hazard
    return names, hazard


def _time_to_collision(
    scene: Scene, times: FloatArray, states: States, frame: npt.NDArray[np.intp], row: npt.NDArray[np.intp]
) -> FloatArray:
    """(M,) s, as `nodes.simulator.world.contact` says it, for all instants at once."""
    boxes = scene.world.ego_box(times)
    velocity = scene.ego(times + _STEP_S).translation - scene.ego(times - _STEP_S).translation
    pairs = np.empty((len(row), 2, 7))
    pairs[:, 0, :2], pairs[:, 0, 2] = boxes.translation[frame, :2], boxes.yaw[frame]
    pairs[:, 0, 3:5] = velocity[frame, :2] / (2.0 * _STEP_S)
    pairs[:, 0, 5:] = np.array(scene.world.ego_size[:2]) / 2
    pairs[:, 1, :2], pairs[:, 1, 2] = states.centre[frame, row, :2], states.yaw[frame, row]
    pairs[:, 1, 3:5], pairs[:, 1, 5:] = states.velocity[frame, row], 0.5 * scene.size[row, :2]
    return first_contact(pairs[..., :2], pairs[..., 2], pairs[..., 5:], pairs[..., 3:5])
