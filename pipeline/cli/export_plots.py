"""Pictures of a parity report: what each layer loses by itself, and each class's metric before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pipeline.cli.export import Exported


def plots(report: Exported, metric: str, folder: Path) -> None:
    """Writes `sensitivity.png` and `classes.png`."""
    _sensitivity(report, folder / "sensitivity.png")
    _classes(report, metric, folder / "classes.png")


def _sensitivity(report: Exported, path: Path) -> None:
    names, values = list(report.sensitivity), np.array(list(report.sensitivity.values()))
    kept = np.isin(names, report.kept_in_float)
    figure = Figure(figsize=(9, 0.19 * len(names) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(names)), values, color=np.where(kept, "#c1440e", "#35618f"))
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("SQNR of the worst output with only this layer in 8 bits, dB")
    axes.set_title(f"{report.name}: layers in the order in which they run (orange: kept in float)", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _classes(report: Exported, metric: str, path: Path) -> None:
    names = list(report.classes)
    place = np.arange(len(names))
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for shift, values, label, colour in (
        (-0.2, [c.reference for c in report.classes.values()], "FP32", "#9aa5b1"),
        (0.2, [c.quantised for c in report.classes.values()], "INT8", "#35618f"),
    ):
        axes.bar(place + shift, values, 0.38, label=label, color=colour)
    ticks = [f"{name}\n{c.labels}" for name, c in report.classes.items()]
    axes.set_xticks(place, ticks, fontsize=8)
    axes.set_ylabel(metric, fontsize=8)
    axes.set_title(f"{report.name} on data that it was neither trained nor calibrated on (labels below)", fontsize=10)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
