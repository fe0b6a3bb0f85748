"""A robustness table as people read it: Markdown, and two plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipeline.evaluate.robustness import MEASURES, Robustness

_ERRORS, _NAMED = "uncertainty/position_rmse_m", "alarms/named_in_2s"


def as_markdown(result: Robustness) -> str:
    """Fusers side by side: all measures clean and under faults, then RA and the position's error by fault."""
    fusers = result.fusers
    lines = [f"`{result.metric}` over {result.source}: RA by fuser, clean and mean over all faults and severities.", ""]
    lines += [_row(["", *(f.fuser for f in fusers)]), _rule(len(fusers))]
    lines.append(_row(["**mRA**", *_best([f.mean_ra for f in fusers], "more", 3)]))
    if any(f.silent_ra is not None for f in fusers):
        lines.append(_row(["mRA, silent faults", *_best([f.silent_ra for f in fusers], "more", 3)]))
    for measure in MEASURES:
        for place, when in enumerate(("clean", "faulty")):
            numbers = [f.values.get(measure.key, (None, None))[place] for f in fusers]
            if any(number is not None for number in numbers):
                unit = f", {measure.unit}" if measure.unit else ""
                lines.append(_row([f"{measure.name}{unit}, {when}", *_best(numbers, measure.better, 3)]))
    lines += [
        "",
        "RA by fault, mean of the severities:",
        "",
        _row(["", *(f.fuser for f in fusers)]),
        _rule(len(fusers)),
    ]
    for number, row in enumerate(fusers[0].rows):
        lines.append(_row([f"`{row.fault}`", *_best([f.rows[number].mean_ra for f in fusers], "more", 2)]))
    if all(_ERRORS in f.by_fault for f in fusers):
        lines += ["", "RMSE of the position of matched tracks, m, mean of the severities:", ""]
        lines += [_row(["", *(f.fuser for f in fusers)]), _rule(len(fusers))]
        for fault in (row.fault for row in fusers[0].rows):
            means = [_known_mean(f.by_fault[_ERRORS][fault]) for f in fusers]
            lines.append(_row([f"`{fault}`", *_best(means, "less", 2)]))
    judges = [f for f in fusers if _NAMED in f.by_fault]
    if judges:
        lines += [
            "",
            "Share of the ailing sensors whose fault was rightly named within 2 s, mean of the severities:",
            "",
        ]
        lines += [_row(["", *(f.fuser for f in judges)]), _rule(len(judges))]
        for fault in (row.fault for row in fusers[0].rows):
            means = [_known_mean(f.by_fault[_NAMED][fault]) for f in judges]
            if any(mean is not None for mean in means):
                lines.append(_row([f"`{fault}`", *_best(means, "more", 2)]))
    if result.left_out:
        lines += ["", f"Left out, for there is none of their sensors: {', '.join(result.left_out)}."]
    return "\n".join(lines) + "\n"


def write_plots(result: Robustness, folder: Path) -> list[Path]:
    """`resistance.png`, RA by fault and fuser; `coverage.png`, where coverage was measured. What was written."""
    figures = {"resistance.png": _resistance(result)}
    if any(f.coverage for f in result.fusers):
        figures["coverage.png"] = _coverage(result)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=110)
    return [folder / name for name in figures]


def _resistance(result: Robustness) -> Figure:
    fusers = result.fusers
    faults = [row.fault for row in fusers[0].rows]
    ra = np.array([[row.mean_ra for row in f.rows] for f in fusers]).T.reshape(len(faults), len(fusers))
    ra = np.vstack([ra, [f.mean_ra for f in fusers]])
    figure = Figure(figsize=(3.0 + 0.75 * len(fusers), 1.6 + 0.235 * len(ra)), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(ra, cmap="RdYlGn", vmin=0.4, vmax=1.1, aspect="auto")
    ax.set_xticks(range(len(fusers)), [f.fuser for f in fusers], rotation=35, ha="right", fontsize=8)
    ax.set_yticks(range(len(ra)), [*faults, "mean"], fontsize=8)
    ax.axhline(len(faults) - 0.5, color="black", linewidth=1.0)
    for (row, column), value in np.ndenumerate(ra):
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7)
    ax.set_title(f"RA of {result.metric}, mean of the severities", fontsize=9)
    figure.colorbar(image, ax=ax, shrink=0.4, label="faulty / clean")
    return figure


def _coverage(result: Robustness) -> Figure:
    figure = Figure(figsize=(8.0, 3.9), layout="constrained")
    for ax, place, title in zip(figure.subplots(1, 2, sharey=True), (1, 2), ("clean", "under faults"), strict=True):
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        for fuser in result.fusers:
            points = [(row[0], row[place]) for row in fuser.coverage if row[place] is not None]
            ax.plot([p[0] for p in points], [p[1] for p in points], label=fuser.fuser, linewidth=1.3)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("region should hold")
        ax.grid(linewidth=0.4)
    ax.legend(fontsize=7, frameon=False, loc="lower right")
    figure.axes[0].set_ylabel("holds")
    return figure


def _best(numbers: Sequence[float | None], better: str, digits: int) -> list[str]:
    """As text, the best of several in bold; a dash where there is none."""
    known = {i: n for i, n in enumerate(numbers) if n is not None}
    cost = {i: -n if better == "more" else n if better == "less" else abs(n - float(better)) for i, n in known.items()}
    winner = min(cost, key=lambda i: cost[i]) if len(cost) > 1 else -1
    text = [f"{n:.{digits}f}" if n is not None else "–" for n in numbers]
    return [f"**{t}**" if i == winner else t for i, t in enumerate(text)]


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|---" * (columns + 1) + "|"
