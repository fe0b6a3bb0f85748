"""The comparison as pictures and as numbers: recorded spread as a band, simulated median and spread over it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nodes.simulator.realism.compare import Curve

mpl.use("Agg")

_REAL, _SIMULATED = "#8a8f98", "#d9480f"
_COLUMNS = 3


def draw(title: str, curves: Sequence[Curve], path: Path) -> None:
    """One picture of all curves of a sensor."""
    rows = math.ceil(len(curves) / _COLUMNS)
    figure = Figure(figsize=(11.0, 2.9 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for curve, ax in zip(curves, axes, strict=False):
        _draw_curve(curve, ax)
    for ax in axes[len(curves) :]:
        ax.axis("off")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def _draw_curve(curve: Curve, ax: Axes) -> None:
    single = len(curve.x) <= 3
    for values, colour, label, shift in (
        (curve.real, _REAL, "recorded, 5–95 %", -0.12),
        (curve.simulated, _SIMULATED, "simulated, 5–95 %", 0.12),
    ):
        x = curve.x + shift if single else curve.x
        if single:
            spread = np.abs(values[[0, 2]] - values[1])
            ax.errorbar(x, values[1], spread, fmt="o", color=colour, capsize=4, label=label)
        else:
            known = np.isfinite(values[1])
            ax.fill_between(x[known], values[0, known], values[2, known], color=colour, alpha=0.25, lw=0)
            ax.plot(x[known], values[1, known], "o-", color=colour, ms=3, lw=1.5, label=label)
    if single:
        ax.set_xticks(curve.x, curve.x_label.split(", ") if len(curve.x) > 1 else [curve.x_label])
        ax.set_xlim(-0.6, len(curve.x) - 0.4)
        ax.set_ylim(bottom=0)
    else:
        ax.set_xlabel(curve.x_label, fontsize=8)
    if curve.logarithmic:
        ax.set_yscale("log")
    ax.set_ylabel(curve.y_label, fontsize=8)
    share = curve.within
    ax.set_title(curve.name + ("" if math.isnan(share) else f": {share:.0%} of bins within"), loc="left", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def as_json(curves: Mapping[str, Sequence[Curve]]) -> str:
    """Every number: sensor -> curve -> bins, quantiles of both, share within; null where too few samples."""
    return json.dumps(
        {
            sensor: {
                curve.name: {
                    "x": curve.x.tolist(),
                    "recorded": _numbers(curve.real),
                    "simulated": _numbers(curve.simulated),
                    "within": None if math.isnan(curve.within) else curve.within,
                }
                for curve in of
            }
            for sensor, of in curves.items()
        },
        indent=1,
    )


def _numbers(values: np.ndarray) -> list[list[float | None]]:
    return [[float(v) if np.isfinite(v) else None for v in row] for row in values]
