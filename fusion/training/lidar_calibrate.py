"""Makes the pillar network's scores and sigmas mean what they say, on sweeps that it was not trained on.

Scores: one line through the logits, fitted by logistic regression on whether an object was there (Platt, 1999). Sigmas:
one factor for each, so that nine tenths of the errors lie in the region that should hold them. Both are written into
the network's last layer: nothing is left to do where it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from fusion.detect.pillar_decode import GROUPS, PillarBoxes, decode
from fusion.detect.pillar_layout import FIELDS
from fusion.detect.pillar_net import PillarNet
from fusion.training.lidar_augment import plain
from fusion.training.sweeps import LabelledSweep
from pipeline.core.messages import CLASSES, C
from pipeline.core.settings import Settings

Array = npt.NDArray[np.float64]

SIGMAS = ("along", "across", "height", "log_size", "yaw", "moved")
"""What the channels of `log_sigma` are of."""

_NEAR_M = 2.0
_TRUSTED = 0.3  # boxes of a lower score are too often somebody else's to judge a sigma by
_CHI2_90_OF_2, _NORMAL_90 = 4.605, 1.645
_GROUP_OF = np.array([next(g for g, names in enumerate(GROUPS) if name in names) for name in CLASSES])


class Calibration(Settings, frozen=True):
    """logit -> slope logit + shift; sigma -> factor sigma, in the order of `SIGMAS`."""

    slope: float
    shift: float
    factors: tuple[float, ...]


class Matches(NamedTuple):
    """score (N,) of all boxes of some sweeps and hit (N,) whether an object was there; of the hits that can be trusted
    their errors over their sigmas (M, 6), NaN where unknown, and log sigmas (M, 6)."""

    score: Array
    hit: npt.NDArray[np.bool_]
    error: Array
    log_sigma: Array


@torch.no_grad()
def matches(
    net: PillarNet, sweeps: Sequence[LabelledSweep], progress: Callable[[int], None] = lambda done: None
) -> Matches:
    """What the network says of sweeps, against their labels; every second one without the sweep before."""
    parts: list[tuple[Array, npt.NDArray[np.bool_], Array, Array]] = []
    for i, sweep in enumerate(sweeps):
        view = plain(sweep, before=i % 2 == 0)
        grid = net.eval()(torch.from_numpy(view.occupied)[None].float())[0].numpy()
        boxes = decode(grid, min_score=0.01, margin_m=0.3)
        truth, hit, forgiven = _match(boxes, sweep)
        kept = np.flatnonzero(hit & (boxes.score >= _TRUSTED))
        error = _errors(boxes.pick(kept), sweep.boxes[truth[kept]].astype(np.float64), view.gap_s)
        counted = ~forgiven
        parts.append((boxes.score[counted], hit[counted], error / boxes.sigma[kept], np.log(boxes.sigma[kept])))
        progress(i + 1)
    return Matches(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def fit(found: Matches) -> Calibration:
    """Raises ValueError where too little was found to calibrate by."""
    if found.hit.sum() < 50 or len(found.error) < 50:
        raise ValueError(f"calibration: expected at least 50 objects found, got {int(found.hit.sum())}")
    logit = np.log(found.score) - np.log1p(-found.score.clip(None, 1 - 1e-9))
    slope, shift = _platt(logit, found.hit)
    flat = np.quantile(np.square(found.error[:, :2]).sum(axis=1), 0.9) / _CHI2_90_OF_2
    factors = [float(np.sqrt(flat))] * 2
    for column in found.error[:, 2:].T:
        known = np.abs(column[np.isfinite(column)])
        factors.append(float(np.quantile(known, 0.9) / _NORMAL_90) if len(known) else 1.0)
    return Calibration(slope=slope, shift=shift, factors=tuple(factors))


@torch.no_grad()
def calibrated(net: PillarNet, by: Calibration) -> PillarNet:
    """The same network, its last layer changed."""
    weight, bias = net.answer.weight, net.answer.bias
    assert bias is not None
    weight[: 4 * C] *= by.slope
    bias[: 4 * C] = bias[: 4 * C] * by.slope + by.shift
    first = 4 * (C + sum(FIELDS.values()) - FIELDS["log_sigma"])
    bias[first:] += torch.log(torch.tensor(by.factors)).repeat_interleave(4)
    return net


def coverage(found: Matches) -> dict[str, float]:
    """Share of the errors within the region that should hold 50 and 90 % of them, and the place's mean negative
    log-likelihood, nats (two dimensions)."""
    squared = np.square(found.error[:, :2]).sum(axis=1)
    out = {"place 50 %": float((squared < 1.386).mean()), "place 90 %": float((squared < _CHI2_90_OF_2).mean())}
    for name, column in zip(SIGMAS[2:], found.error[:, 2:].T, strict=True):
        known = np.abs(column[np.isfinite(column)])
        out[f"{name} 90 %"] = float((known < _NORMAL_90).mean()) if len(known) else float("nan")
    likelihood = 0.5 * squared + found.log_sigma[:, :2].sum(axis=1) + np.log(2 * np.pi)
    out["place NLL"] = float(likelihood.mean())
    return out


def _match(
    boxes: PillarBoxes, sweep: LabelledSweep
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """For each box, best first, the nearest free object of its group within 2 m: which, whether there is one, and
    whether it is forgiven, for what it found has no return of its own."""
    k = len(boxes.score)
    which, hit, forgiven = np.zeros(k, np.int64), np.zeros(k, bool), np.zeros(k, bool)
    free = sweep.points > 0
    group = _GROUP_OF[sweep.class_id]
    for i in range(k):
        same = group == _GROUP_OF[int(boxes.class_score[i].argmax())]
        distance = np.where(same, np.hypot(*(sweep.boxes[:, :2] - boxes.xy[i]).T), np.inf)
        taken = np.where(free, distance, np.inf)
        if len(taken) and taken.min() < _NEAR_M:
            which[i], hit[i] = taken.argmin(), True
            free[which[i]] = False
        else:
            forgiven[i] = bool(((distance < _NEAR_M) & (sweep.points == 0)).any())
    return which, hit, forgiven


def _errors(boxes: PillarBoxes, truth: Array, gap_s: float) -> Array:
    """(M, 6) errors in the order of `SIGMAS`; along and across the box as it was said."""
    d = boxes.xy - truth[:, :2]
    cos, sin = np.cos(boxes.yaw), np.sin(boxes.yaw)
    turn = (boxes.yaw - truth[:, 6] + np.pi / 2) % np.pi - np.pi / 2
    moved = boxes.moved - truth[:, 7:9] * gap_s if gap_s > 0 else np.full_like(boxes.moved, np.nan)
    columns = [
        d[:, 0] * cos + d[:, 1] * sin,
        d[:, 1] * cos - d[:, 0] * sin,
        boxes.height - truth[:, 2],
        np.sqrt(np.square(np.log(boxes.size) - np.log(truth[:, 3:6])).mean(axis=1)),
        turn,
        np.sqrt(np.square(moved).mean(axis=1)),
    ]
    return np.column_stack(columns)


def _platt(logit: Array, hit: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and shift of the likeliest line, by Newton's method, with a weak pull towards 1 and 0."""
    basis, w = np.column_stack([logit, np.ones(len(logit))]), np.array([1.0, 0.0])
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-basis @ w))
        gradient = basis.T @ (p - hit) + (w - [1.0, 0.0])
        hessian = (basis * (p * (1 - p))[:, None]).T @ basis + np.eye(2)
        w = w - np.linalg.solve(hessian, gradient)
    return float(w[0]), float(w[1])
