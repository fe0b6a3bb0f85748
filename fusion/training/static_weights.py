"""Fit the static weights: how large the errors of each kind of sensor are, by class, in clips with truth.

python -m fusion.training.static_weights clips/
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from calibration.se3 import SE3
from fusion.beliefs import FILE, MODALITIES, Belief, Beliefs
from fusion.measurements import FloatArray, IntArray
from fusion.training.clips import OBJECT, Clip, load_clip
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES

_PRIOR = 50.0  # detections that the mean over all classes is worth
_WILD = 4.0  # robust sigmas beyond which an error counts as one of so many
_NORMAL = 1.4826  # median of the absolute value to 1-sigma
_FEWEST = 10


class Errors(NamedTuple):
    """N detections of objects, in order of sensor, object and frame. modality, said: indices. z: (N, 2) error along and
    across the line of sight over its stated 1-sigma. rate: (N,) m/s, and its stated 1-sigma, NaN without. follows:
    whether the row before is the same object, one frame earlier.
    """

    modality: IntArray
    said: IntArray
    z: FloatArray
    rate: FloatArray
    rate_sigma: FloatArray
    follows: np.ndarray


def errors(clip: Clip) -> Errors:
    """What every detection of an object was off by."""
    sensors, found = len(clip.sensors), clip.detections
    slot = np.repeat(np.arange(len(clip) * sensors), np.diff(clip.first))
    frame_of_truth = np.repeat(np.arange(len(clip)), np.diff(clip.truth_first))
    key = frame_of_truth * (1 << 32) + clip.truth["object_id"]
    wanted = (slot // sensors) * (1 << 32) + found["object_id"]
    order = np.argsort(key)
    place = np.minimum(np.searchsorted(key, wanted, sorter=order), max(len(key) - 1, 0))
    rows = np.flatnonzero((found["cause"] == OBJECT) & (key[order[place]] == wanted) if len(key) else np.zeros(0))
    rows = rows[np.lexsort((slot[rows] // sensors, found["object_id"][rows], slot[rows] % sensors))]
    truth, frame, sensor = order[place[rows]], slot[rows] // sensors, slot[rows] % sensors

    odom_SE3_ego = SE3.from_quaternion(clip.ego_rotation, clip.ego_position)
    turn = odom_SE3_ego.rotation[frame]
    position = np.einsum("nij,nj->ni", turn, found["position"][rows].astype(np.float64)) + clip.ego_position[frame]
    origin = np.einsum("nij,nj->ni", turn, clip.origin[frame, sensor]) + clip.ego_position[frame]
    cov = (turn @ found["position_cov"][rows].astype(np.float64) @ np.swapaxes(turn, 1, 2))[:, :2, :2]
    velocity = clip.truth["velocity"][truth].astype(np.float64)
    seconds = found["time_offset_ns"][rows].astype(np.float64) * 1e-9
    off = position[:, :2] - clip.truth["position"][truth, :2] - velocity * seconds[:, None]
    away = position[:, :2] - origin[:, :2]
    along = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    axes = np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=1)
    stated = np.sqrt(np.einsum("nai,nij,naj->na", axes, cov, axes))
    rate = found["radial_speed"][rows].astype(np.float64) - np.einsum("ni,ni->n", along, velocity)
    width = np.asarray(clip.ambiguity)[sensor]
    rate -= np.where(width > 0, width * np.round(rate / np.where(width > 0, width, 1.0)), 0.0)
    same = (np.diff(sensor) == 0) & (np.diff(found["object_id"][rows]) == 0) & (np.diff(frame) == 1)
    return Errors(
        np.array([MODALITIES.index(m) for m in clip.modalities])[sensor],
        found["class_score"][rows].argmax(axis=1),
        np.einsum("nai,ni->na", axes, off) / stated,
        rate,
        found["radial_sigma"][rows].astype(np.float64),
        np.concatenate([[False], same])[: len(rows)],
    )


def fit(clips: Iterable[Clip]) -> Beliefs:
    """Classes with few detections are drawn towards all of their kind of sensor.

    Raises:
        BadInput: a kind of sensor that sees next to nothing in these clips.
    """
    parts = [errors(clip) for clip in clips]
    whole = Errors(*[np.concatenate(columns) for columns in zip(*parts, strict=True)])
    beliefs: Beliefs = {}
    for number, modality in enumerate(MODALITIES):
        of_kind = whole.modality == number
        if of_kind.sum() < _FEWEST:
            raise BadInput("clips", modality, f"{_FEWEST} detections of objects or more", int(of_kind.sum()))
        general = _belief(whole, of_kind)
        beliefs[modality] = {
            name: _towards(general, _belief(whole, of_kind & (whole.said == said))) for said, name in enumerate(CLASSES)
        }
    return beliefs


def _belief(whole: Errors, rows: np.ndarray) -> Belief:
    """From those of ``rows`` (N,) alone; nothing but n where they are too few."""
    n = int(rows.sum())
    if n < _FEWEST:
        return Belief(n=n)
    z = _tamed(whole.z[rows])
    bias = float(z[:, 0].mean())
    z[:, 0] -= bias
    square = (z**2).mean(axis=0)
    after = whole.follows[rows] & np.concatenate([[False], np.diff(np.flatnonzero(rows)) == 1])
    steps = (z[1:] - z[:-1])[after[1:]]
    white = 0.5 * float((steps**2).sum()) / max(float((z[1:][after[1:]] ** 2).sum()), 1e-9) if len(steps) else 0.5
    known = np.isfinite(whole.rate[rows])
    rate, rate_sigma = _tamed(whole.rate[rows][known, None])[:, 0], whole.rate_sigma[rows][known]
    beyond = float((rate**2).mean() - (rate_sigma**2).mean()) if known.any() else 0.0
    return Belief(
        along=float(square[0]), across=float(square[1]), bias=bias, rate_sigma=float(np.sqrt(max(beyond, 0.0))),
        white=float(np.clip(white, 0.05, 1.0)), n=n,
    )  # fmt: skip


def _tamed(values: FloatArray) -> FloatArray:
    """(N, K) with what lies far from the median brought to `_WILD` robust 1-sigma of it."""
    middle = np.median(values, axis=0) if len(values) else np.zeros(values.shape[1])
    reach = _WILD * _NORMAL * np.median(np.abs(values - middle), axis=0) if len(values) else middle
    return np.asarray(np.clip(values, middle - reach, middle + reach))


def _towards(general: Belief, own: Belief) -> Belief:
    """``own``, and ``general`` as if it were `_PRIOR` detections; rounded."""
    share = own.n / (own.n + _PRIOR) if own.n >= _FEWEST else 0.0
    mixed = {
        name: round(share * getattr(own, name) + (1.0 - share) * getattr(general, name), 3)
        for name in ("along", "across", "bias", "rate_sigma", "white")
    }
    return Belief(n=own.n, **mixed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fusion.training.static_weights", description=(__doc__ or "")[:99])
    parser.add_argument(
        "clips", type=Path, help="folder of clips, as `python -m nodes.simulator.detections` makes them"
    )
    parser.add_argument("--out", type=Path, default=FILE, help="where the weights go")
    chosen = parser.parse_args()
    paths = sorted(chosen.clips.glob("*.npz"))
    if not paths:
        raise BadInput(chosen.clips, "clips", "at least one .npz", "none")
    beliefs = fit(load_clip(path) for path in paths)
    chosen.out.write_bytes(msgspec.json.format(msgspec.json.encode(beliefs), indent=1) + b"\n")
    table = Table("", *Belief.__struct_fields__, title=f"{len(paths)} clips", box=None)
    for modality, by_class in beliefs.items():
        for name, belief in by_class.items():
            table.add_row(f"{modality} {name}", *(f"{getattr(belief, field)}" for field in Belief.__struct_fields__))
    Console().print(table)


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        raise SystemExit(str(error)) from error
