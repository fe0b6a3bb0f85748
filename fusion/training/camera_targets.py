"""What `CentreNet` should answer, and how wrong an answer is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusion.detect.centre_net import STRIDE
from pipeline.core.messages import C

_MIN_VISIBLE = 0.25  # an object of which less can be seen is neither asked for nor punished
_MIN_HEIGHT_PX = 7.0
_SPREAD = 0.18  # 1-sigma of a peak, as a share of the box's sides


class Targets(NamedTuple):
    """heat: (C, h, w) 0..1, 1 at centres. weight: (h, w) 0 where nothing is asked. edge: (4, h, w) logarithms of cells,
    valid where edge_weight (h, w) > 0."""

    heat: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    edge: npt.NDArray[np.float32]
    edge_weight: npt.NDArray[np.float32]


def targets(
    edges: npt.NDArray[np.float32],
    class_id: npt.NDArray[np.int32],
    visible: npt.NDArray[np.float32],
    height: int,
    width: int,
) -> Targets:
    """Targets of an image of ``height`` x ``width`` pixels with K boxes (K, 4); far ones are drawn first."""
    rows, columns = height // STRIDE, width // STRIDE
    heat = np.zeros((C, rows, columns), np.float32)
    weight = np.ones((rows, columns), np.float32)
    edge = np.zeros((4, rows, columns), np.float32)
    edge_weight = np.zeros((rows, columns), np.float32)
    y, x = np.mgrid[:rows, :columns].astype(np.float32) + 0.5
    for k in np.argsort(edges[:, 3]):
        left, top, right, bottom = edges[k] / STRIDE
        if edges[k, 3] - edges[k, 1] < _MIN_HEIGHT_PX or visible[k] < _MIN_VISIBLE:
            weight[max(int(top), 0) : int(bottom) + 1, max(int(left), 0) : int(right) + 1] = 0.0
            continue
        centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
        if not (0 <= centre_x < columns and 0 <= centre_y < rows):
            continue
        sigma_x, sigma_y = max(_SPREAD * (right - left), 0.4), max(_SPREAD * (bottom - top), 0.4)
        row, column = int(centre_y), int(centre_x)
        across = ((x - column - 0.5) / sigma_x) ** 2 + ((y - row - 0.5) / sigma_y) ** 2
        peak = np.exp(-0.5 * across)
        heat[class_id[k]] = np.maximum(heat[class_id[k]], peak)
        weight[peak > 0.3] = 1.0
        near = peak > 0.6
        reach = np.stack([x - left, y - top, right - x, bottom - y])
        edge[:, near] = np.log(np.maximum(reach[:, near], 0.05))
        edge_weight[near] = peak[near] / peak[near].sum()
    return Targets(heat, weight, edge, edge_weight)


def loss(output: Tensor, heat: Tensor, weight: Tensor, edge: Tensor, edge_weight: Tensor) -> tuple[Tensor, Tensor]:
    """Penalty-reduced focal loss of the heat maps (Law and Deng, CornerNet, 2018) and intersection-over-union loss of
    the edges, both per object.

    Args:
        output: (B, C + 4, h, w). heat: (B, C, h, w). weight, edge_weight: (B, h, w). edge: (B, 4, h, w).
    """
    logit, reach = output[:, :C], output[:, C:]
    p = torch.sigmoid(logit)
    is_centre = (heat >= 0.999).float()
    hit = -is_centre * (1 - p) ** 2 * torch.nn.functional.logsigmoid(logit)
    false = -(1 - is_centre) * (1 - heat) ** 4 * p**2 * torch.nn.functional.logsigmoid(-logit)
    count = is_centre.sum().clamp(min=1.0)
    of_heat = ((hit + false) * weight[:, None]).sum() / count

    found, true = reach.clamp(-8, 5).exp(), edge.exp()  # left, top, right, bottom
    shared = torch.minimum(found, true)
    overlap = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    areas = [(b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) for b in (found, true)]
    iou = overlap / (areas[0] + areas[1] - overlap + 1e-6)
    of_edges = (edge_weight * (1 - torch.log2(1 + iou))).sum() / edge_weight.sum().clamp(min=1.0)
    return of_heat, of_edges
