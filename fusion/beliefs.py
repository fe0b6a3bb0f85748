"""What errors each kind of sensor really makes on each class of object, beside those that it states.

The numbers stand in `static_weights.json`; `python -m fusion.training.static_weights` fits them to clips with truth.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from fusion.measurements import FloatArray, Measurements
from fusion.sight import sight_axes, stretch
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, FrameSet
from pipeline.core.settings import Settings

Modality = Literal["camera", "lidar", "radar"]
MODALITIES: tuple[Modality, ...] = ("camera", "lidar", "radar")
FILE = Path(__file__).with_name("static_weights.json")


class Belief(Settings, frozen=True):
    """along, across: factors of the stated variance along and across the line of sight. bias: of the distance, in
    stated 1-sigma. rate_sigma: of the radial speed, m/s, beside the stated. white: share of the variance that is new
    with every detection. n: detections that it was fitted to.
    """

    along: float = 1.0
    across: float = 1.0
    bias: float = 0.0
    rate_sigma: float = 0.0
    white: float = 0.5
    n: int = 0


Beliefs = dict[Modality, dict[str, Belief]]
"""By the class that is said."""


class Expected:
    """The beliefs about N detections, in the order of a `Measurements`: (N,) each."""

    def __init__(self, table: FloatArray, z: Measurements, frames: FrameSet) -> None:
        modality = np.array([MODALITIES.index(slot.modality) for slot in frames.slots], dtype=np.int64)
        found = table[modality[z.sensor], z.class_prob.argmax(axis=1)]
        self.along, self.across, self.bias, self.rate_sigma, self.white = found.T


def as_learned(z: Measurements, belief: Expected) -> Measurements:
    """The detections, the bias taken off, with covariances as large as the errors were."""
    axes = sight_axes(z.sight)
    along = np.einsum("ni,nij,nj->n", axes[:, 0], z.R[:, :2, :2], axes[:, 0])
    value = z.value.copy()
    value[:, :2] -= (belief.bias * np.sqrt(along))[:, None] * axes[:, 0]
    R = stretched(z, np.stack([belief.along, belief.across], axis=1))
    R[:, 5, 5] += np.where(z.present[:, 5], belief.rate_sigma**2, 0.0)
    return dataclasses.replace(z, value=value, R=R)


def stretched(z: Measurements, factor: FloatArray) -> FloatArray:
    """(N, 6, 6) R with the variance along and across the line of sight multiplied by ``factor`` (N, 2)."""
    T = np.tile(np.eye(3), (len(z), 1, 1))
    T[:, :2, :2] = stretch(sight_axes(z.sight), np.sqrt(factor))
    R = z.R.copy()
    R[:, :3, :3] = T @ R[:, :3, :3] @ T
    return R


@functools.cache
def belief_table(path: Path = FILE) -> FloatArray:
    """(modalities, classes, 5) in the order of the fields of `Belief`.

    Raises:
        BadInput: no file of beliefs about every kind of sensor and class.
    """
    try:
        beliefs = msgspec.json.decode(path.read_bytes(), type=Beliefs)
        rows = [[beliefs[modality][name] for name in CLASSES] for modality in MODALITIES]
    except (OSError, msgspec.DecodeError, KeyError) as error:
        raise BadInput(path, "file", "a belief about each kind of sensor and class", error) from error
    return np.array([[(b.along, b.across, b.bias, b.rate_sigma, b.white) for b in row] for row in rows])
