"""Axes along and across the line of sight, in which errors of sensors are simple."""

from __future__ import annotations

import numpy as np

from fusion.measurements import FloatArray


def sight_axes(sight: FloatArray) -> FloatArray:
    """(N, 2, 2) unit vectors in the plane: along the line of sight, and across it, to its left.

    sight (N, 2): horizontal part of the unit vector from the sensor, any frame; the axes are in the same.
    """
    along = sight / np.maximum(np.hypot(sight[:, 0], sight[:, 1]), 1e-9)[:, None]
    return np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=1)


def stretch(axes: FloatArray, scale: FloatArray) -> FloatArray:
    """(N, 2, 2) symmetric matrices that multiply lengths along ``axes`` (N, 2, 2) by ``scale`` (N, 2)."""
    return np.asarray(np.swapaxes(axes, 1, 2) @ (scale[:, :, None] * axes))
