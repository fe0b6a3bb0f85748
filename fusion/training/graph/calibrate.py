"""How well the network's filter does on windows that it never saw, and how much wider its regions have to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fusion.graph.alarm import follow
from fusion.graph.network import GraphNetwork
from fusion.graph.weigher import FAULTS
from fusion.training.graph.train import TERMS
from fusion.training.graph.unroll import batch_of, unroll
from fusion.training.graph.windows import Window, load_window

_SETTLE = 5  # frames of a window until its memory has something in it
_INNER, _OUTER = 1.386, 4.605  # 50 and 90 % of a chi-squared of two degrees of freedom
_AT_ONCE = 8
_ODD = 200  # of so many clips one may come above the alarm: else a single odd one would silence it for good
_ABOVE = 1.05  # the highest sum of a healthy sensor in the others
_LEAST_ALARM = 0.5  # nats times s


def spread_to_cover(network: GraphNetwork, windows: Sequence[Window], share: float = 0.9) -> float:
    """Factor on the published covariance with which so large a share of the places lie in their 90 % region: split
    conformal prediction (Vovk et al. 2005) with the Mahalanobis distance as score.
    """
    distance, *_ = _played(network, windows)
    rank = min(int(np.ceil((len(distance) + 1) * share)), len(distance)) - 1
    return float(np.sort(distance)[rank] / _OUTER)


@torch.no_grad()
def alarm_threshold(network: GraphNetwork, files: Sequence[Path]) -> float:
    """Threshold of `fusion.graph.alarm` that no sensor comes near while none ails, but in one of `_ODD` clips.

    files: those of a clip in order.
    """
    peaks: dict[str, float] = {}
    sums = np.zeros((0, 0))
    for file in files:
        window, clip = load_window(file), file.stem.rpartition("_")[0]
        if clip not in peaks:
            peaks[clip], sums = 0.0, np.zeros((len(window["modality"]), len(FAULTS) - 1))
        for _, out, *_, frame in unroll(network, batch_of([window], np.random.default_rng(0))):
            sums = follow(sums, out.fault.double().numpy(), float(frame.dt[0]) if len(frame.dt) else 0.1, np.inf)
            sums *= float(not frame.fault.any())
            peaks[clip] = max(peaks[clip], float(sums.max(initial=0.0)))
    return threshold_above(list(peaks.values()))


def threshold_above(peaks: Sequence[float]) -> float:
    """Threshold over the highest sums of healthy sensors, one for each clip."""
    highest = sorted(peaks, reverse=True)
    return max(_ABOVE * highest[len(highest) // _ODD], _LEAST_ALARM)


def scores_of(network: GraphNetwork, windows: Sequence[Window], inflation: float) -> dict[str, float]:
    """Means over held-out windows: the loss terms, root mean square and median place error, m, coverage, how often the
    most probable fault of a sensor is the right one, and how often a healthy sensor is called ill.
    """
    distance, error, named, terms = _played(network, windows)
    ill = named[named[:, 0] > 0]
    well = named[named[:, 0] == 0]
    return {
        **terms,
        "place_rms_m": float(np.sqrt((error**2).mean())),
        "place_median_m": float(np.median(error)),
        "coverage_50": float((distance / inflation < _INNER).mean()),
        "coverage_90": float((distance / inflation < _OUTER).mean()),
        "fault_named": float((ill[:, 0] == ill[:, 1]).mean()) if len(ill) else float("nan"),
        "health_denied": float((well[:, 1] != FAULTS.index("healthy")).mean()) if len(well) else float("nan"),
    }


@torch.no_grad()
def _played(
    network: GraphNetwork, windows: Sequence[Window]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64], dict[str, float]]:
    """Squared distances and errors (m) of places of tracks of objects; (n, 2) true and named fault of each sensor and
    frame; means of the loss terms."""
    distance: list[torch.Tensor] = []
    error: list[torch.Tensor] = []
    named: list[torch.Tensor] = []
    terms: dict[str, list[float]] = {name: [] for name in TERMS}
    equal = [w for w in windows if len(w["dt"]) == len(windows[0]["dt"])]
    for start in range(0, len(equal), _AT_ONCE):
        batch = batch_of(equal[start : start + _AT_ONCE], np.random.default_rng(start))
        for number, (losses, out, mean, cov, frame) in enumerate(unroll(network, batch)):
            if number < _SETTLE:
                continue
            known = torch.isfinite(frame.columns["truth"][:, 0]) & (frame.columns["exists"] > 0)
            off = frame.columns["truth"][known, :2] - mean[known, :2]
            distance.append((off * torch.linalg.solve(cov[known, :2, :2], off[..., None])[..., 0]).sum(-1))
            error.append(off.norm(dim=-1))
            named.append(torch.stack([frame.fault, out.fault.argmax(-1)], dim=-1))
            for name in TERMS:
                terms[name].append(float(getattr(losses, name)))
    return (
        torch.cat(distance).double().numpy(), torch.cat(error).double().numpy(), torch.cat(named).numpy(),
        {name: float(np.mean(values)) for name, values in terms.items()},
    )  # fmt: skip
