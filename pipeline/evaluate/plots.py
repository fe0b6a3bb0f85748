"""The report's plots, one function each: alignment, latency, precision and recall, honesty, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.evaluate import style
from pipeline.evaluate.alignment import SensorAlignment
from pipeline.evaluate.detection import RECALLS, DetectionResult
from pipeline.evaluate.latency import Latency
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.style import COLOUR, legend, plot
from pipeline.evaluate.uncertainty import LEVELS, Uncertainty
from pipeline.evaluate.weights import TrackWeights

_WIDE = 10.4
_BIN_M, _BINS = 10.0, 8


@plot
def alignment(sensors: Sequence[SensorAlignment], seconds: np.ndarray, colours: Mapping[str, str]) -> Figure | None:
    """Offset before, and where it is known residual displacement after compensation, per sensor over time."""
    known = any(np.isfinite(sensor.residual_m).any() for sensor in sensors)
    fig, axes = style.figure(_WIDE, 4.2 if known else 2.1, 2 if known else 1, 1, sharex=True)
    before, after = axes[0], axes[-1]
    for sensor in sensors:
        colour = COLOUR[colours[sensor.sensor]]
        before.plot(seconds, sensor.offset_ms, _dots(seconds), ms=3, color=colour, label=sensor.sensor)
        if known:
            after.plot(seconds, sensor.residual_m * 100, _dots(seconds), ms=3, color=colour)
    before.set_ylabel("message minus\nreference, ms")
    if known:
        after.set_ylabel("left after\ncompensation, cm")
        after.set_ylim(bottom=0)
    after.set_xlabel("time, s")
    legend(before, 8)
    return fig


@plot
def drops(run: RunLog, colours: Mapping[str, str], start_ns: int) -> Figure | None:
    """Messages given up so far, by sensor; nothing where there are none."""
    states = run.accounts
    names = [row.sensor for row in states[-1][1].rows if row.dropped] if states else []
    if not names:
        return None
    fig, (ax,) = style.figure(_WIDE, 1.7)
    for name in names:
        points = [(t, sum(r.dropped.values())) for t, s in states for r in s.rows if r.sensor == name]
        seconds = [(t - start_ns) / 1e9 for t, _ in points]
        ax.step(seconds, [n for _, n in points], where="post", color=COLOUR[colours.get(name, "ink")], label=name)
    ax.set_ylabel("dropped so far")
    ax.set_xlabel("time, s")
    ax.set_ylim(bottom=0)
    legend(ax, 8)
    return fig


@plot
def latency_parts(latency: Latency, colours: Mapping[str, str]) -> Figure | None:
    """Where the time of a median and of a slow scene went."""
    totals = np.array([s.from_arrival_ms for s in latency.scenes])
    near = [int(np.abs(totals - np.percentile(totals, q)).argmin()) for q in (50, 99)]
    picks = list(zip(("a median scene", "one near p99"), near, strict=True))
    fig, (ax,) = style.figure(_WIDE, 1.7)
    for y, (_, pick) in enumerate(picks):
        left = 0.0
        for name, took in latency.parts[pick].items():
            sensor = colours.get(name.removeprefix("detect "), "truth")
            colour = COLOUR["fused" if name == "fuse" else sensor]
            ax.barh(y, took, left=left, height=0.62, color=colour)
            if took > 0.06 * totals[[p for _, p in picks]].max():
                ax.text(
                    left + took / 2, y, f"{name}\n{took:.1f}", ha="center", va="center", color="white", fontsize=7.5
                )
            left += took
        ax.annotate(f"{left:.1f} ms", (left, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    ax.set_yticks(range(len(picks)), [name for name, _ in picks])
    ax.invert_yaxis()
    ax.set_xlabel("ms since the last sensor message that the scene needed")
    ax.set_xlim(0, 1.12 * max(sum(latency.parts[p].values()) for _, p in picks))
    ax.grid(axis="y", visible=False)
    return fig


@plot
def latency_over_time(latency: Latency, start_ns: int) -> Figure | None:
    """Per scene: since its last sensor message, and since the instant it describes."""
    fig, (ax,) = style.figure(_WIDE, 1.9)
    seconds = [(s.reference_ns - start_ns) / 1e9 for s in latency.scenes]
    lines = (
        ("age of the scene", "truth", [s.age_ms for s in latency.scenes]),
        ("sensor to scene", "fused", [s.from_arrival_ms for s in latency.scenes]),
    )
    for label, colour, values in lines:
        ax.plot(seconds, values, _dots(seconds), ms=3, color=COLOUR[colour], label=label)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("ms")
    ax.set_xlabel("time, s")
    legend(ax)
    return fig


@plot
def precision_recall(
    detection: Mapping[str, DetectionResult], threshold_m: float, colours: Mapping[str, str]
) -> Figure | None:
    """One small plot per class: fused and every single sensor."""
    classes = sorted(detection["fused"].classes, key=lambda c: -detection["fused"].classes[c].truths)
    if not classes:
        return None
    columns = 4
    rows = -(-len(classes) // columns)
    fig, axes = style.figure(_WIDE, 2.4 * rows + 0.2, rows, columns, sharex=True, sharey=True)
    for ax, name in zip(axes, classes, strict=False):
        for source in [s for s in detection if s != "fused"] + ["fused"]:
            scores = detection[source].classes.get(name)
            if scores is None:
                continue
            precision = scores.curves[threshold_m].precision
            shown = np.where(precision > 0, precision, np.nan)
            wide = 2.2 if source == "fused" else 1.1
            ax.plot(RECALLS, shown, color=COLOUR[colours[source]], lw=wide, label=source)
        ax.set_title(f"{name.replace('_', ' ')}  ·  {detection['fused'].classes[name].truths}")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.02)
    for ax in axes[len(classes) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(classes) - columns) : len(classes)]:  # the lowest of each column
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("recall")
    axes[0].set_ylabel("precision")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles[::-1], labels[::-1], loc="outside upper left", ncols=8)
    return fig


@plot
def honesty(uncertainty: Uncertainty) -> Figure | None:
    """Coverage of the confidence regions, and how often a track of some existence is real."""
    fig, (left, right) = style.figure(_WIDE * 0.72, 3.1, 1, 2)
    for of, colour, label in (
        ("mahalanobis2", "fused", "position"),
        ("speed_mahalanobis2", "camera-0", "velocity"),
    ):
        if len(getattr(uncertainty, of)):
            shares = [uncertainty.coverage(level, of) for level in LEVELS]
            left.plot(LEVELS, shares, ".-", ms=4, color=COLOUR[colour], label=label)
    left.set_xlabel("region that should hold this share")
    left.set_ylabel("share it holds")
    bins = uncertainty.reliability
    if bins:
        said, found, count = (np.array(column) for column in zip(*bins, strict=True))
        right.bar(said, count / count.max(), width=0.06, color=COLOUR["line"], label="how many")
        right.plot(said, found, ".-", ms=5, color=COLOUR["fused"], label="tracks")
    right.set_xlabel("existence stated")
    right.set_ylabel("share on a labelled object")
    for ax in (left, right):
        ax.plot([0, 1], [0, 1], color=COLOUR["muted"], lw=0.8, ls=(0, (4, 4)))
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.02)
        legend(ax)
    return fig


@plot
def mean_weights(
    sensors: Sequence[str], tracks: Sequence[TrackWeights], colours: Mapping[str, str], start_ns: int
) -> Figure | None:
    """Mean share over all tracks that were updated, at each scene."""
    times = np.unique(np.concatenate([t.time_ns for t in tracks]))
    total, count = np.zeros((len(times), len(sensors))), np.zeros(len(times))
    for track in tracks:
        rows = np.searchsorted(times, track.time_ns)
        total[rows] += track.weight
        count[rows] += track.weight.sum(axis=1) > 0
    fig, (ax,) = style.figure(_WIDE, 1.6)
    stacked(ax, (times - start_ns) / 1e9, total / np.maximum(1, count)[:, None], [COLOUR[colours[s]] for s in sensors])
    ax.set_ylim(0, 1)
    ax.set_ylabel("mean weight")
    ax.set_xlabel("time, s")
    ax.grid(visible=False)
    return fig


@plot
def weights_by_range(sensors: Sequence[str], tracks: Sequence[TrackWeights], colours: Mapping[str, str]) -> Figure:
    """Mean share over all updates of tracks at such a distance from the vehicle."""
    weight = np.concatenate([t.weight for t in tracks])
    fed = weight.any(axis=1)
    bin_of = np.minimum(np.concatenate([t.range_m for t in tracks])[fed] // _BIN_M, _BINS - 1).astype(int)
    count = np.bincount(bin_of, minlength=_BINS)
    total = np.stack([np.bincount(bin_of, column, _BINS) for column in weight[fed].T], axis=1)
    mean = total / np.maximum(count, 1)[:, None]
    fig, (ax,) = style.figure(_WIDE, 1.9)
    base = np.zeros(_BINS)
    for column, sensor in enumerate(sensors):
        ax.bar(np.arange(_BINS), mean[:, column], 0.86, base, color=COLOUR[colours[sensor]], linewidth=0, label=sensor)
        base = base + mean[:, column]
    names = [f"{_BIN_M * i:g}–{_BIN_M * (i + 1):g} m" for i in range(_BINS - 1)] + [f"from {_BIN_M * (_BINS - 1):g} m"]
    ax.set_xticks(range(_BINS), [f"{name}\n{n}" for name, n in zip(names, count.tolist(), strict=True)])
    ax.set_ylim(0, 1)
    ax.set_ylabel("mean weight")
    ax.set_xlabel("distance, and how many updates")
    ax.grid(visible=False)
    legend(ax, 8)
    return fig


def stacked(ax: Any, seconds: np.ndarray, share: np.ndarray, colours: Sequence[str]) -> None:
    """Stacked steps, each scene as wide as to the next one, blank in a pause."""
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.1
    pauses = np.flatnonzero(np.diff(seconds, append=np.inf) > 2.5 * step)  # the last scene ends in one
    edges = np.insert(seconds, pauses + 1, seconds[pauses] + step)
    top = np.cumsum(np.insert(share, pauses + 1, 0.0, axis=0), axis=1)
    base = np.zeros(len(edges))
    for column, colour in enumerate(colours):
        ax.fill_between(edges, base, top[:, column], step="post", color=colour, linewidth=0)
        base = top[:, column]


def _dots(values: Sequence[float] | np.ndarray) -> str:
    """Single points are told apart only where they are few."""
    return ".-" if len(values) <= 240 else "-"
