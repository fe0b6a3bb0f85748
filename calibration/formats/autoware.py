"""Autoware's `sensors_calibration.yaml`: under each parent frame, children with x, y, z, roll, pitch, yaw.

Turned about z by yaw, then the new y by pitch, then the new x by roll, as URDF has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from calibration.formats.camera_file import bounded, field, mapping
from calibration.se3 import SE3, FloatArray

_PLACE, _TURN = ("x", "y", "z"), ("roll", "pitch", "yaw")

Frames = dict[tuple[str, str], SE3]
"""By (parent, child): ``parent_SE3_child``."""


def read_autoware(text: str) -> Frames:
    """All mountings.

    Raises:
        ValueError: no YAML, no mounting, or a number is missing or none.
    """
    try:
        document = mapping(yaml.safe_load(bounded(text)))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"file: expected YAML, got {error}") from error
    frames = {
        (str(parent), str(child)): _pose(mapping(numbers), str(child))
        for parent, children in document.items()
        for child, numbers in mapping(children).items()
    }
    if not frames:
        raise ValueError("file: expected mountings under a parent frame, got none")
    return frames


def write_autoware(frames: Frames) -> str:
    """YAML."""
    document: dict[str, dict[str, dict[str, float]]] = {}
    for (parent, child), pose in frames.items():
        numbers = zip((*_PLACE, *_TURN), (*pose.translation, *roll_pitch_yaw(pose.rotation)), strict=True)
        document.setdefault(parent, {})[child] = {name: float(value) for name, value in numbers}
    return str(yaml.safe_dump(document, sort_keys=False))


def roll_pitch_yaw(rotation: FloatArray) -> FloatArray:
    """(3,) rad. At pitch of a right angle only roll minus yaw is known, and yaw is taken as 0."""
    pitch = np.arctan2(-rotation[2, 0], np.hypot(rotation[0, 0], rotation[1, 0]))
    if np.hypot(rotation[0, 0], rotation[1, 0]) < 1e-9:
        return np.array([np.arctan2(-rotation[1, 2], rotation[1, 1]), pitch, 0.0])
    return np.array([np.arctan2(rotation[2, 1], rotation[2, 2]), pitch, np.arctan2(rotation[1, 0], rotation[0, 0])])


def from_roll_pitch_yaw(angles: FloatArray) -> FloatArray:
    """(..., 3, 3) from angles (..., 3), rad."""
    turn = np.zeros((3, *np.shape(angles)[:-1], 6))
    for axis in range(3):
        turn[axis, ..., 3 + axis] = angles[..., axis]
    roll, pitch, yaw = (SE3.exp(one).rotation for one in turn)
    return np.asarray(yaw @ pitch @ roll)


def _pose(numbers: Mapping[str, Any], child: str) -> SE3:
    try:
        place, turn = (np.array([float(field(numbers, name)) for name in names]) for names in (_PLACE, _TURN))
    except TypeError as error:
        raise ValueError(f"{child}: expected numbers, got {error}") from error
    if not np.isfinite([*place, *turn]).all():
        raise ValueError(f"{child}: expected finite numbers")
    return SE3(from_roll_pitch_yaw(turn), place)
