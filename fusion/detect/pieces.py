"""Clusters that are only a piece of a vehicle: glass and gaps between beams break one object into several."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fusion.detect.box import Boxes, Completed

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def pieces(boxes: Boxes, full: Completed, exists: Array, vehicle: Mask, margin_m: float) -> Mask:
    """(K,) True for clusters that are a piece of a vehicle that more was seen of.

    A piece lies wholly inside the other: one that looks like a vehicle itself inside the other's full box, anything
    else inside what was seen of it, for a person may well stand where a car is only guessed to be.

    Args:
        boxes, full: visible and completed boxes. exists: (K,) probability of being an object.
        vehicle: (K,) taken for vehicles. margin_m: how far a piece may stick out.
    """
    seen = np.where(vehicle, exists * (boxes.high - boxes.low)[:, 0], 0.0)
    owners = np.argsort(-seen, kind="stable")[: int((seen > 0).sum())]
    yaw = boxes.yaw[owners]
    axes = np.stack([np.stack([np.cos(yaw), -np.sin(yaw)], -1), np.stack([np.sin(yaw), np.cos(yaw)], -1)], -2)
    corners = boxes.corners.reshape(-1, 2) @ axes  # of every cluster in every owner's axes: (owners, 4 K, 2)
    corners = corners.reshape(len(owners), len(seen), 4, 2)
    middle = (full.centre[owners, None] @ axes)[:, None]
    half = full.size[owners, None, None] / 2 + margin_m
    low, high = boxes.low[owners, None, None] - margin_m, boxes.high[owners, None, None] + margin_m
    inside_full = (np.abs(corners - middle) < half).all(axis=(2, 3))
    inside_seen = ((corners > low) & (corners < high)).all(axis=(2, 3))
    inside = np.where(vehicle, inside_full, inside_seen) & (seen < seen[owners, None])

    piece = np.zeros(len(seen), bool)
    for row, owner in enumerate(owners):
        if not piece[owner]:
            piece |= inside[row]
    return piece
