"""Softmax gate: `softmax([mlp(camera), mlp(lidar), mlp(radar)])`, the usual way to weigh sensors by a network.

One small network per kind of sensor scores each detection; the scores of an object's detections become weights that
sum to one, whatever all of them are worth together. So it can prefer a sensor and never doubt all of them: the total
precision stays the stated one. `python -m fusion.training.softmax_gate` fits it to clips with truth.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from fusion.beliefs import MODALITIES, Modality
from fusion.kalman import Innovation
from fusion.measurements import FloatArray, IntArray, Measurements
from fusion.noise import Nominal
from fusion.sight import sight_axes
from fusion.tracks import IS_VEHICLE
from fusion.weigher import Encounter, Shares, Verdict, as_stated
from pipeline.core.errors import BadInput
from pipeline.core.messages import FrameSet
from pipeline.core.settings import Settings

FILE = Path(__file__).with_name("softmax_gate.json")
FEATURES = ("odds", "log_range", "log_along", "log_across", "vehicle", "has_radial", "has_size", "one")
HIDDEN = 12


class SoftmaxGateSettings(Shares, frozen=True, tag_field="method", tag="softmax_gate"):
    """Nothing to set but the shares: the gate is fitted."""


class Mlp(Settings, frozen=True):
    """hidden: (HIDDEN, FEATURES) weights, the last column the offset. out: (HIDDEN,)."""

    hidden: list[list[float]]
    out: list[float]


class Gate(NamedTuple):
    """hidden (modalities, HIDDEN, FEATURES), out (modalities, HIDDEN)."""

    hidden: FloatArray
    out: FloatArray


class SoftmaxGate(Nominal):
    def __init__(self, settings: SoftmaxGateSettings) -> None:
        super().__init__(settings)
        self._gate = load_gate()

    def weigh(self, met: Encounter) -> Verdict:
        z = met.z
        modality = np.array([MODALITIES.index(slot.modality) for slot in met.frames.slots], dtype=np.int64)[z.sensor]
        hidden = np.tanh(np.einsum("nhf,nf->nh", self._gate.hidden[modality], gate_features(z, met.frames)))
        score = np.einsum("nh,nh->n", self._gate.out[modality], hidden)
        share = softmax_within(score, met.row, len(met.tracks))
        return as_stated(met._replace(seen=dealt_out(met, share)), self._shares)


def gate_features(z: Measurements, frames: FrameSet) -> FloatArray:
    """(N, FEATURES), each about one."""
    axes = sight_axes(z.sight)
    variance = np.einsum("nai,nij,naj->na", axes, z.R[:, :2, :2], axes)
    distance = np.hypot(*(z.value[:, :2] - np.array(frames.position[:2])).T)
    columns = [
        z.odds / 4.0,
        np.log1p(distance) / 4.0,
        *(np.log(variance) / 4.0).T,
        z.class_prob @ IS_VEHICLE,
        z.present[:, 5],
        np.isfinite(z.size_var[:, 0]),
        np.ones(len(z)),
    ]
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def softmax_within(score: FloatArray, group: IntArray, groups: int) -> FloatArray:
    """(N,) shares that sum to one within each group."""
    most = np.full(groups, -np.inf)
    np.maximum.at(most, group, score)
    grown = np.exp(score - most[group])
    return np.asarray(grown / np.bincount(group, grown, groups)[group])


@functools.cache
def load_gate(path: Path = FILE) -> Gate:
    """Raises BadInput: no file of a gate for every kind of sensor."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[Modality, Mlp])
        gate = Gate(*(np.array([getattr(found[m], part) for m in MODALITIES]) for part in ("hidden", "out")))
    except (OSError, msgspec.DecodeError, KeyError, ValueError) as error:
        raise BadInput(path, "file", "a gate for each kind of sensor", error) from error
    if gate.hidden.shape != (len(MODALITIES), HIDDEN, len(FEATURES)) or gate.out.shape != gate.hidden.shape[:2]:
        raise BadInput(path, "hidden, out", f"{HIDDEN} by {len(FEATURES)}, and {HIDDEN}", gate.hidden.shape)
    return gate


def dealt_out(met: Encounter, share: FloatArray) -> Innovation:
    """The innovations with the stated precision of a track's horizontal place dealt out by ``share`` (N,)."""
    R = met.seen.R.copy()
    stated = np.linalg.inv(R[:, :2, :2])
    total = np.bincount(met.row, 0.5 * (stated[:, 0, 0] + stated[:, 1, 1]), len(met.tracks))[met.row]
    R[:, :2] = R[:, :, :2] = 0.0
    R[:, 0, 0] = R[:, 1, 1] = 1.0 / np.maximum(share * total, 1e-9)
    return met.seen._replace(R=R)
