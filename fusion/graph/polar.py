"""What the graph is told of motion and places, in axes along and across each line of sight.

These quantities depend on the state, which training differentiates through, so they are written for numpy arrays and
torch tensors alike: nothing but indexing and arithmetic.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Numbers: TypeAlias = Any
"""numpy array or torch tensor"""


def pair_motion(
    residual: Numbers, predicted: Numbers, stated: Numbers, velocity: Numbers, carried: Numbers, sight: Numbers
) -> list[Numbers]:
    """`PAIR_MOTION` columns (N,) of N pairs.

    residual (N, 4): x, y, z, radial speed; 0 where unknown. predicted, stated (N, 4, 4): H P H' and R of the same.
    velocity (N, 2): of the track, as predicted. carried (N, 2): of the vehicle's frame where the detection is. sight
    (N, 2): horizontal unit vector from the sensor.
    """
    ux, uy = sight[:, 0], sight[:, 1]
    rx, ry, vx, vy = residual[:, 0], residual[:, 1], velocity[:, 0], velocity[:, 1]
    wx, wy = vx - carried[:, 0], vy - carried[:, 1]
    return [
        ux * rx + uy * ry,
        ux * ry - uy * rx,
        residual[:, 2],
        residual[:, 3],
        _along(predicted, ux, uy),
        _along(predicted, -uy, ux),
        _along(stated, ux, uy),
        _along(stated, -uy, ux),
        predicted[:, 3, 3],
        stated[:, 3, 3],
        predicted[:, 2, 2] + stated[:, 2, 2],
        ux * vx + uy * vy,
        ux * vy - uy * vx,
        ux * wx + uy * wy,
        ux * wy - uy * wx,
    ]


PAIR_MOTION = (
    "residual_along", "residual_across", "residual_up", "residual_radial",
    "predicted_along", "predicted_across", "stated_along", "stated_across",
    "predicted_radial", "stated_radial", "spread_up", "velocity_along", "velocity_across",
    "apparent_along", "apparent_across",
)  # fmt: skip
"""m, m/s; the predicted, stated and spread ones are variances; apparent: velocity as seen from the vehicle."""


def track_motion(mean: Numbers, cov: Numbers, bias: Numbers) -> list[Numbers]:
    """`TRACK_MOTION` columns (M,): mean (M, 5), cov (M, 5, 5), bias (M, 2, 2)."""
    return [
        cov[:, 0, 0] + cov[:, 1, 1],
        cov[:, 3, 3] + cov[:, 4, 4],
        bias[:, 0, 0] + bias[:, 1, 1],
        mean[:, 3] ** 2 + mean[:, 4] ** 2,
    ]


TRACK_MOTION = ("position_variance", "velocity_variance", "common_variance", "speed_squared")


def _along(cov: Numbers, x: Numbers, y: Numbers) -> Numbers:
    return cov[:, 0, 0] * x * x + 2.0 * cov[:, 0, 1] * x * y + cov[:, 1, 1] * y * y
