"""A few tracked objects shown whole: existence, weights, which sensors fed them, how well their place is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.evaluate import style
from pipeline.evaluate.boxes import FloatArray
from pipeline.evaluate.plots import stacked
from pipeline.evaluate.style import COLOUR, plot
from pipeline.evaluate.weights import TrackWeights

PICTURES = 4
"""Instants at which an object is cut out of an image."""
_EACH = 2  # objects of each kind
_PAUSE_NS = 500_000_000  # confirmed for less than this between two losses, it is one
_WINDOW = 8  # updates on either side of a change of weights


def chosen(
    tracks: Sequence[TrackWeights], confirmed: float, labelled: Collection[int] = ()
) -> list[tuple[TrackWeights, str]]:
    """Confirmed tracks and why they are shown: the longest lost and found again, those whose weights changed most, the
    longest-lived; each track once. labelled: ids of tracks on labelled objects, which come first."""
    sure = [t for t in tracks if t.existence.max() >= confirmed]
    out: dict[int, tuple[TrackWeights, str]] = {}

    def add(found: Sequence[tuple[float, TrackWeights]], words: str) -> None:
        new = [(value, t) for value, t in found if t.track_id not in out and value > 0.0]
        for value, track in sorted(new, key=lambda item: (item[1].track_id not in labelled, -item[0]))[:_EACH]:
            out[track.track_id] = track, words.format(value)

    add([(_lost_s(t, confirmed), t) for t in sure], "lost for {:.1f} s and found again")
    add([(weight_change(t), t) for t in sure], "its weights changed by {:.0%}")
    add([((t.time_ns[-1] - t.time_ns[0]) / 1e9, t) for t in sure], "there for {:.1f} s")
    return list(out.values())


def unconfirmed(times_ns: Sequence[int], existence: Sequence[float], confirmed: float) -> list[list[int]]:
    """Stretches of rows in which a track that had been confirmed was not; short returns in between belong to one."""
    first = next((i for i, e in enumerate(existence) if e >= confirmed), len(existence))
    out: list[list[int]] = []
    for row in (i for i in range(first, len(existence)) if existence[i] < confirmed):
        if out and times_ns[row] - times_ns[out[-1][-1]] <= _PAUSE_NS:
            out[-1] += range(out[-1][-1] + 1, row + 1)
        else:
            out.append([row])
    return out


def weight_change(track: TrackWeights) -> float:
    """The largest share of the weight that went from some sensors to others between two stretches of updates."""
    fed = track.weight[track.weight.any(axis=1)]
    if len(fed) < 2 * _WINDOW:
        return 0.0
    total = np.cumsum(np.insert(fed, 0, 0.0, axis=0), axis=0)
    mean: FloatArray = (total[_WINDOW:] - total[:-_WINDOW]) / _WINDOW
    return float(0.5 * np.abs(mean[_WINDOW:] - mean[:-_WINDOW]).sum(axis=1).max())


def instants(track: TrackWeights) -> list[int]:
    """Frame sets, evenly spread over its life, at which it is to be seen in a picture."""
    rows = np.unique(np.linspace(0, len(track.time_ns) - 1, PICTURES + 2).round().astype(int)[1:-1])
    return [int(i) for i in track.frame_index[rows]]


@plot
def strip(
    sensors: Sequence[str], track: TrackWeights, missing: Mapping[str, Sequence[int]], colours: Mapping[str, str],
    start_ns: int, confirmed: float,
) -> Figure:  # fmt: skip
    """One object over time. missing: by sensor the frame sets that had no message of it."""
    seconds = (track.time_ns - start_ns) / 1e9
    rows = [s for s, column in zip(sensors, track.weight.T, strict=True) if column.any()]
    ratios = [1.2, 1.0, 0.24 * len(rows) + 0.1, 0.7]
    fig, axes = style.figure(10.4, 1.15 * sum(ratios), 4, 1, sharex=True, height_ratios=ratios)
    there, weights, fed, sigma = axes
    there.plot(seconds, track.existence, color=COLOUR["fused"])
    there.axhline(confirmed, color=COLOUR["muted"], lw=0.8, ls=(0, (4, 4)))
    there.set_ylim(0, 1.02)
    there.set_ylabel("existence")
    stacked(weights, seconds, track.weight, [COLOUR[colours[s]] for s in sensors])
    weights.set_ylim(0, 1)
    weights.set_ylabel("weights")
    for y, sensor in enumerate(rows):
        used = track.weight[:, sensors.index(sensor)] > 0.0
        gone = np.isin(track.frame_index, missing.get(sensor, ()))
        fed.plot(seconds[used], np.full(used.sum(), y), "o", ms=3.2, color=COLOUR[colours[sensor]])
        fed.plot(seconds[gone], np.full(gone.sum(), y), "x", ms=3.8, color=COLOUR["bad"])
    fed.set_yticks(range(len(rows)), rows)
    fed.set_ylim(len(rows) - 0.4, -0.6)
    sigma.plot(seconds, track.sigma_m, color=COLOUR["muted"])
    sigma.set_ylim(0, max(0.5, 1.1 * float(np.percentile(track.sigma_m, 90))))
    sigma.set_ylabel("place ±, m")
    sigma.set_xlabel("time, s")
    weights.grid(visible=False)
    fed.grid(axis="y", visible=False)
    for ax in (there, fed, sigma):
        for stretch in unconfirmed(track.time_ns.tolist(), track.existence.tolist(), confirmed):
            ax.axvspan(seconds[stretch[0]], seconds[stretch[-1]], color=COLOUR["bad"], alpha=0.1, lw=0)
    return fig


def _lost_s(track: TrackWeights, confirmed: float) -> float:
    """Seconds without confirmation before it was confirmed again."""
    stretches = unconfirmed(track.time_ns.tolist(), track.existence.tolist(), confirmed)
    found = [rows for rows in stretches if rows[-1] + 1 < len(track.time_ns)]
    return float(sum((track.time_ns[r[-1] + 1] - track.time_ns[r[0]]) / 1e9 for r in found))
