"""What `PillarNet` should answer, and how wrong an answer is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusion.detect.pillar_grid import RANGE_M
from fusion.detect.pillar_layout import CELL_M, CELLS, FIELDS
from pipeline.core.messages import C

MIN_POINTS = 2
"""Objects with fewer returns are not asked for; one with a single return is not punished either."""

_BOX = sum(FIELDS.values()) - FIELDS["log_sigma"]
_SPREAD, _LEAST_M = 0.15, 0.55  # 1-sigma of a peak: as a share of the box's sides, and at least
_WEIGHTS = {"offset": 2.0, "height": 1.0, "log_size": 2.0, "axis": 1.0, "heading": 0.3, "moved": 1.0}
_UNCERTAINTY = 0.1  # weight of the likelihood, which only moves the sigmas


class Targets(NamedTuple):
    """heat: (C, n, n) 0..1, 1 at centres. weight: (n, n) 0 where nothing is asked. box: (12, n, n) the `FIELDS` before
    log_sigma, valid where box_weight (n, n) > 0; moved_weight (n, n): where its motion is known too. yaw: (n, n)."""

    heat: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    box: npt.NDArray[np.float32]
    box_weight: npt.NDArray[np.float32]
    moved_weight: npt.NDArray[np.float32]
    yaw: npt.NDArray[np.float32]


def targets(
    boxes: npt.NDArray[np.float32],
    class_id: npt.NDArray[np.int32],
    points: npt.NDArray[np.int32],
    gap_s: float,
) -> Targets:
    """Targets of K boxes (K, 9), those of `LabelledSweep`; gap_s: since the sweep before, 0 = there is none."""
    heat = np.zeros((C, CELLS, CELLS), np.float32)
    weight = np.ones((CELLS, CELLS), np.float32)
    box = np.zeros((_BOX, CELLS, CELLS), np.float32)
    box_weight, moved_weight, yaws = (np.zeros((CELLS, CELLS), np.float32) for _ in range(3))
    middle = ((np.arange(CELLS) + 0.5) * CELL_M - RANGE_M).astype(np.float32)
    for k in np.argsort(points, kind="stable"):  # what is seen best has the last word
        x, y, z, length, width, height, yaw, vx, vy = boxes[k].tolist()
        row, column = int((x + RANGE_M) // CELL_M), int((y + RANGE_M) // CELL_M)
        if not (0 <= row < CELLS and 0 <= column < CELLS) or points[k] < 1:
            continue
        reach = int(np.ceil(length / 2 / CELL_M)) + 2
        rows, columns = (slice(max(i - reach, 0), i + reach + 1) for i in (row, column))
        dx, dy = middle[rows, None] - x, middle[None, columns] - y
        cos, sin = np.cos(yaw), np.sin(yaw)
        along, across = dx * cos + dy * sin, dy * cos - dx * sin
        if points[k] < MIN_POINTS:
            weight[rows, columns][(np.abs(along) < length / 2) & (np.abs(across) < width / 2 + 0.3)] = 0.0
            continue
        sigma = [max(_SPREAD * side, _LEAST_M) for side in (length, width)]
        peak = np.exp(-0.5 * ((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2))
        peak /= peak[row - rows.start, column - columns.start]
        peak = np.minimum(peak, 0.99)
        peak[row - rows.start, column - columns.start] = 1.0
        heat[class_id[k], rows, columns] = np.maximum(heat[class_id[k], rows, columns], np.where(peak < 0.05, 0, peak))
        weight[rows, columns][peak > 0.3] = 1.0
        near = peak > 0.5
        moved = [vx * gap_s, vy * gap_s]
        known = gap_s > 0 and np.isfinite(vx)
        same = [z, np.log(length), np.log(width), np.log(height), np.cos(2 * yaw), np.sin(2 * yaw), cos, sin]
        values = np.array([*same, *(moved if known else [0.0, 0.0])], np.float32)
        place = box[:, rows, columns]
        place[:2, near] = np.stack(np.broadcast_arrays(-dx, -dy))[:, near] / CELL_M
        place[2:, near] = values[:, None]
        share = peak[near] / peak[near].sum()
        box_weight[rows, columns][near] = share
        moved_weight[rows, columns][near] = share * known
        yaws[rows, columns][near] = yaw
    return Targets(heat, weight, box, box_weight, moved_weight, yaws)


def split(box: Tensor) -> dict[str, Tensor]:
    """The channels after the heat maps, or the first of them, by the names of `FIELDS`; the channels are axis 1."""
    ends = np.cumsum(list(FIELDS.values())).tolist()
    return {name: box[:, end - FIELDS[name] : end] for name, end in zip(FIELDS, ends, strict=True)}


def loss(
    output: Tensor, heat: Tensor, weight: Tensor, box: Tensor, box_weight: Tensor, moved_weight: Tensor, yaw: Tensor
) -> dict[str, Tensor]:
    """Penalty-reduced focal loss of the heat maps (Law and Deng, CornerNet, 2018), smooth L1 of the boxes, and the
    Gaussian log-likelihood of their errors, in which only the sigmas learn. All per object.

    Args:
        output: (B, OUTPUTS, n, n). The others as in `Targets`, with B in front.
    """
    logit = output[:, :C]
    p = torch.sigmoid(logit)
    is_centre = (heat >= 0.999).float()
    hit = -is_centre * (1 - p) ** 2 * torch.nn.functional.logsigmoid(logit)
    false = -(1 - is_centre) * (1 - heat) ** 4 * p**2 * torch.nn.functional.logsigmoid(-logit)
    of_heat = ((hit + false) * weight[:, None]).sum() / is_centre.sum().clamp(min=1.0)

    said, true = split(output[:, C:]), split(box)
    per_field = {"moved": moved_weight}
    of_box = output.new_zeros(())
    for name, factor in _WEIGHTS.items():
        w = per_field.get(name, box_weight)
        wrong = torch.nn.functional.smooth_l1_loss(said[name], true[name], beta=0.1, reduction="none").sum(dim=1)
        of_box = of_box + factor * (wrong * w).sum() / w.sum().clamp(min=1.0)

    residuals, log_sigma = residual(said, true, yaw), said["log_sigma"].clamp(-5.0, 4.0)
    likelihood = 0.5 * (residuals.detach() * torch.exp(-log_sigma)) ** 2 + log_sigma
    weights = torch.stack([box_weight] * 5 + [moved_weight], dim=1)
    of_sigma = (likelihood * weights).sum() / box_weight.sum().clamp(min=1.0)
    return {"heat": of_heat, "box": of_box, "sigma": of_sigma}


def total(losses: dict[str, Tensor]) -> Tensor:
    """What is minimised."""
    return losses["heat"] + losses["box"] + _UNCERTAINTY * losses["sigma"]


def residual(said: dict[str, Tensor], true: dict[str, Tensor], yaw: Tensor) -> Tensor:
    """(B, 6, n, n) what each of `log_sigma` is the 1-sigma of: along and across the true box, height, m; log_size (root
    mean square of the three); axis, rad; moved, m (root mean square of the two)."""
    d = (said["offset"] - true["offset"]) * CELL_M
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    a, b = said["axis"], true["axis"]
    turn = 0.5 * torch.atan2(a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1], (a * b).sum(dim=1) + 1e-9)
    return torch.stack(
        [
            d[:, 0] * cos + d[:, 1] * sin,
            d[:, 1] * cos - d[:, 0] * sin,
            (said["height"] - true["height"])[:, 0],
            (said["log_size"] - true["log_size"]).square().mean(dim=1).add(1e-12).sqrt(),
            turn,
            (said["moved"] - true["moved"]).square().mean(dim=1).add(1e-12).sqrt(),
        ],
        dim=1,
    )
