"""How well the heads do on records that they never saw, beside two that learn nothing.

`majority` says of everyone what most do. `constant velocity` carries each track on in a straight line and says what
follows from that: who stands, who comes into the vehicle's way and from where, whose way bends off, when boxes touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from fusion.heads.heads import SOON_S, time_to_collision
from fusion.heads.network import HeadsNetwork
from fusion.measurements import FloatArray, IntArray
from fusion.training.heads.records import Read, Record, load_record, read_record
from fusion.training.heads.train import stretches, unroll
from pipeline.core.heads import INTENTS
from pipeline.core.messages import CLASSES

_HALF_90 = 1.645
_BINS = 10
_LANE_M, _AHEAD_M = 1.75, 60.0
_ON_FOOT = [CLASSES.index(name) for name in ("pedestrian", "bicycle")]


class Said(NamedTuple):
    """Of N tracks: intent (N, I) scores, hazard (N,) score, a probability if ``calibrated``; time (N,): s, inf for no
    collision; sigma (N,): of its logarithm, NaN where nothing is said of it."""

    intent: FloatArray
    hazard: FloatArray
    time: FloatArray
    sigma: FloatArray


class Truth(NamedTuple):
    intent: IntArray
    hazard: IntArray
    time: FloatArray


def scores_of(net: HeadsNetwork, records: Sequence[Path]) -> dict[str, dict[str, float]]:
    """By name of who says it: AP and F1 of each intent, their means, AUROC and average precision of the hazard with its
    calibration error, and of collisions within 6 s the median error and how often the stated 90 % hold.

    Only of tracks that follow an object, the calibration of all.
    """
    parts: dict[str, list[Said]] = {"heads": [], "constant velocity": [], "majority": []}
    truths = []
    for path in records:
        record = load_record(path)
        read = read_record(record)
        truths.append(Truth(record["intent"].astype(np.int64), record["hazard"].astype(np.int64), record["time"]))
        parts["heads"].append(said_by(net, record, read.contact))
        parts["constant velocity"].append(carried_on(record, read))
    truth = Truth(*(np.concatenate(column) for column in zip(*truths, strict=True)))
    known = truth.intent >= 0
    prior = np.bincount(truth.intent[known], minlength=len(INTENTS)) / max(known.sum(), 1)
    rate = float((truth.hazard[known] == 1).mean())
    n = len(truth.intent)
    most = Said(np.tile(prior, (n, 1)), np.full(n, rate), np.full(n, np.inf), np.full(n, np.nan))
    told = {name: Said(*(np.concatenate(c) for c in zip(*of, strict=True))) for name, of in parts.items() if of}
    return {name: _scores(said, truth) for name, said in (told | {"majority": most}).items()}


@torch.no_grad()
def said_by(net: HeadsNetwork, record: Record, contact: FloatArray) -> Said:
    """What the heads say of each row of a record, having followed each track from its first scene.

    contact (M,): as in `Read`.
    """
    tracks = stretches(record, length=None)
    out = unroll(net, torch.from_numpy(tracks.features))
    there, n = tracks.row >= 0, len(record["track_id"])
    said = Said(np.zeros((n, len(INTENTS))), np.zeros(n), np.full(n, np.inf), np.full(n, np.nan))
    rows = tracks.row[there]
    said.intent[rows] = torch.softmax(out.intent, -1).double().numpy()[there]
    said.hazard[rows] = torch.sigmoid(out.hazard).double().numpy()[there]
    said.sigma[rows] = torch.exp(out.log_sigma).double().numpy()[there]
    said.time[rows] = time_to_collision(contact[rows], out.collides.numpy()[there], out.log_time.numpy()[there])
    return said


def carried_on(record: Record, read: Read) -> Said:
    """What follows from constant velocities; nobody brakes."""
    (x, y), (vx, vy), contact = read.place.T, read.velocity.T, read.contact
    speed = np.hypot(vx, vy)
    kind = record["class_score"].argmax(axis=1)
    on_foot = np.isin(kind, _ON_FOOT)
    outside = np.abs(y) - _LANE_M
    inward = -np.sign(y) * vy
    enters = np.where((outside > 0.0) & (inward > 0.2), outside / np.maximum(inward, 0.2), np.inf)
    ahead = (x > 0.0) & (x < _AHEAD_M)
    bent = np.abs(np.arctan2(vy, np.abs(vx)))
    comes_in = np.where(ahead, 1.0 / (1.0 + enters), 0.0)
    score = {
        "stop": np.exp(-speed),
        "brake": np.zeros(len(x)),
        "change_lane": np.where(on_foot | (speed < 3.0), 0.0, np.minimum(np.abs(vy), 2.0) / 4.0),
        "cut_in": np.where(on_foot | (speed < 3.0), 0.0, comes_in),
        "turn": np.where(on_foot | (speed < 2.0) | (bent > 1.4), 0.0, np.minimum(bent, 1.0)),
        "cross": np.where(on_foot, comes_in, 0.0),
    }
    intent = np.stack([score.get(name, np.full(len(x), 0.4)) for name in INTENTS], axis=1)
    return Said(intent, 1.0 / (1.0 + contact), contact, np.full(len(x), np.nan))


def _scores(said: Said, truth: Truth) -> dict[str, float]:
    known = truth.intent >= 0
    right, best = truth.intent[known], said.intent[known].argmax(axis=1)
    out: dict[str, float] = {}
    for i, name in enumerate(INTENTS):
        out[f"{name} AP"] = average_precision(said.intent[known, i], right == i)
        hit = float(((best == i) & (right == i)).sum())
        both = float((best == i).sum() + (right == i).sum())
        out[f"{name} F1"] = 2.0 * hit / both if (right == i).any() else float("nan")
    for measure in ("AP", "F1"):
        out[f"mean {measure}"] = float(np.nanmean([out[f"{name} {measure}"] for name in INTENTS]))
    judged = truth.hazard >= 0
    at_object = judged & known
    out["hazard AUROC"] = auroc(said.hazard[at_object], truth.hazard[at_object] == 1)
    out["hazard AP"] = average_precision(said.hazard[at_object], truth.hazard[at_object] == 1)
    out["hazard ECE"] = calibration_error(said.hazard[judged], truth.hazard[judged] == 1)
    soon = known & (truth.time < 0.6 * SOON_S)
    found = soon & np.isfinite(said.time)
    off = np.log(np.maximum(said.time[found], 0.05)) - np.log(np.maximum(truth.time[found], 0.05))
    out["collision found"] = float(found.sum() / max(soon.sum(), 1))
    out["time error, s"] = float(np.median(np.abs(said.time[found] - truth.time[found]))) if found.any() else np.nan
    out["time within 90 %"] = float((np.abs(off) <= _HALF_90 * said.sigma[found]).mean()) if found.any() else np.nan
    return out


def average_precision(score: FloatArray, positive: npt.NDArray[np.bool_]) -> float:
    """Mean precision over the positives, ties taken together; NaN where there are none."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0.0, True)
    hits, taken = np.cumsum(positive[order])[last], np.flatnonzero(last) + 1.0
    gained = np.diff(np.concatenate([[0], hits]))
    return float((gained * hits / taken).sum() / positive.sum())


def auroc(score: FloatArray, positive: npt.NDArray[np.bool_]) -> float:
    """Probability that a positive has a higher score than a negative, ties count half (Mann and Whitney 1947)."""
    if positive.all() or not positive.any():
        return float("nan")
    values, rank = np.unique(score, return_inverse=True)
    ups, downs = np.bincount(rank[positive], minlength=len(values)), np.bincount(rank[~positive], minlength=len(values))
    below = np.cumsum(downs) - downs
    return float((ups * (below + 0.5 * downs)).sum() / (ups.sum() * downs.sum()))


def calibration_error(probability: FloatArray, positive: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error: |stated - seen| of ten bins of equal width, by their share."""
    seat = np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)
    stated, seen = np.bincount(seat, probability, _BINS), np.bincount(seat, positive, _BINS)
    return float(np.abs(stated - seen).sum() / max(len(probability), 1))
