"""Judging the understanding of sentences: accuracy, rejection of what is out of scope, what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def labels_score(found: Sequence[str], truth: Sequence[str]) -> float:
    """Share of labels that are right."""
    return float(np.mean([a == b for a, b in zip(found, truth, strict=True)]))


Span: TypeAlias = tuple[str, int, int]
"""Slot, first token, behind the last."""


def spans_f1(found: Sequence[set[Span]], truth: Sequence[set[Span]]) -> float:
    """F1 of slots over all sentences: a slot counts where its name and both its ends are right."""
    right = sum(len(a & b) for a, b in zip(found, truth, strict=True))
    total = sum(map(len, found)) + sum(map(len, truth))
    return 2 * right / total if total else 1.0


def rejection(inside: Floats, right: npt.NDArray[np.bool_], outside: Floats, keep: float = 0.91) -> dict[str, float]:
    """How well confidence tells what is out of scope.

    Args:
        inside: (n,) confidence of sentences in scope. right: (n,) whether their label is. outside: (m,) confidence of
        sentences out of scope. keep: share of sentences in scope that are to be accepted and right.

    Returns:
        auroc; out_of_scope_recall at the highest threshold that keeps so many, and in_scope_accuracy there. Where not
        even accepting everything keeps so many, the threshold that keeps most.
    """
    auroc = float((inside[:, None] > outside[None]).mean() + 0.5 * (inside[:, None] == outside[None]).mean())
    thresholds = np.unique(np.concatenate([[0.0], inside, outside]))
    kept = np.array([(right & (inside >= t)).mean() for t in thresholds])
    threshold = thresholds[np.flatnonzero(kept >= min(keep, kept.max()))[-1]]
    return {
        "auroc": auroc,
        "out_of_scope_recall": float((outside < threshold).mean()),
        "in_scope_accuracy": float((right & (inside >= threshold)).mean()),
    }


def confusion_plot(confusions: Sequence[tuple[str, str, int]], path: Path, title: str, most: int = 30) -> None:
    """Which meaning was taken for which, the most frequent confusions first, as a PNG."""
    rows = list(confusions)[:most]
    meant, found = sorted({a for a, _, _ in rows}), sorted({b for _, b, _ in rows})
    counts = np.zeros((max(len(meant), 1), max(len(found), 1)))
    for a, b, count in rows:
        counts[meant.index(a), found.index(b)] = count
    figure, axes = plt.subplots(figsize=(4 + 0.3 * counts.shape[1], 2.5 + 0.25 * counts.shape[0]), layout="constrained")
    axes.imshow(counts, cmap="Blues", vmin=0)
    axes.set_xticks(range(len(found)), found, rotation=90, fontsize=7)
    axes.set_yticks(range(len(meant)), meant, fontsize=7)
    for (i, j), often in np.ndenumerate(counts):
        if often:
            axes.text(
                j,
                i,
                f"{often:.0f}",
                ha="center",
                va="center",
                fontsize=7,
                color="w" if often > counts.max() / 2 > 0.5 else "k",
            )
    axes.set_xlabel("understood")
    axes.set_ylabel("meant")
    axes.set_title(title if rows else f"{title}: none", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)
