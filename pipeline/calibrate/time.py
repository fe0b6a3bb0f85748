"""`syncline calibrate time`: the offset of two sensors' clocks, from the motion that both felt."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from calibration.time_offset import Signal, TimeOffset, TimeOffsetSettings, smoothed, time_offset
from pipeline.calibrate.page import Outcome, Section, Table, Tile
from pipeline.evaluate import style
from pipeline.evaluate.style import COLOUR, legend, plot


def time(first: Signal, second: Signal, settings: TimeOffsetSettings) -> Outcome:
    """Find the offset, and say it as a page.

    Raises:
        CannotCalibrate: the motion does not tell, or windows contradict each other.
    """
    found = time_offset(first, second, settings)
    passed = found.passed
    offset_ms, sigma_ms, spread_ms = (1e3 * v for v in (found.offset_s, found.sigma_s, found.spread_s))
    tiles = [
        Tile("offset", f"{offset_ms:+.2f}", "ms", f"to be added to the stamps of {second.name}"),
        Tile("1-sigma", f"{sigma_ms:.2f}", "ms", "what windows state, or what their spread says if that is more"),
        Tile("spread of the windows", f"{spread_ms:.2f}", "ms", f"{len(passed)} of {len(found.windows)} passed"),
        Tile("correlation", f"{np.median([w.correlation for w in passed]):.3f}", "", "median at the peak"),
    ]
    rows = [
        [
            f"{w.start_s:.1f} s",
            *((f"{w.offset_s * 1e3:+.2f}", f"{w.sigma_s * 1e3:.2f}") if not w.refused else ("–", "–")),
            f"{w.correlation:.3f}",
            w.refused or "passed",
        ]
        for w in found.windows
    ]
    sections = [
        Section(
            "Windows",
            "Each gives an offset of its own. One that shows no clear common motion is refused; the rest must agree.",
            [Table(["window from", "offset, ms", "1-sigma, ms", "correlation", ""], rows)],
            [_windows(found), _curves(found)],
        ),
        Section(
            "The two signals",
            f"{first.name} and {second.name} as stamped, and with the offset taken out.",
            plots=[_overlay(first, second, found, settings)],
        ),
        Section(
            "What this can tell",
            "",
            notes=[
                "The offset of the stamps as they are, transport and filters of either sensor included.",
                "A constant offset: over a longer drive, compare the windows for a drift.",
                "Where a signal is itself filtered, its delay is part of the offset.",
            ],
        ),
    ]
    alerts = []
    if spread_ms > 5.0:
        alerts.append(f"The windows spread by {spread_ms:.1f} ms: good enough to align a sweep, not to fuse a gyro.")
    values = {
        "offset_ms": offset_ms,
        "sigma_ms": sigma_ms,
        "spread_ms": spread_ms,
        "windows_ms": [w.offset_s * 1e3 for w in passed],
        "windows_refused": len(found.windows) - len(passed),
    }
    under = f"{first.name} against {second.name}"
    return Outcome("Time offset", under, tiles, sections, values, alerts)


@plot
def _windows(found: TimeOffset) -> Figure:
    fig, (ax,) = style.figure(10.4, 2.3)
    passed = found.passed
    middle = [w.start_s for w in passed]
    ax.errorbar(
        middle,
        [w.offset_s * 1e3 for w in passed],
        [w.sigma_s * 1e3 for w in passed],
        fmt="o",
        ms=4,
        capsize=3,
        color=COLOUR["fused"],
    )
    ax.axhline(found.offset_s * 1e3, color=COLOUR["good"], lw=1.2)
    ax.axhspan(*(1e3 * (found.offset_s + s * found.sigma_s) for s in (-1, 1)), color=COLOUR["good"], alpha=0.15, lw=0)
    ax.set_ylabel("offset, ms")
    ax.set_xlabel("start of the window, s")
    return fig


@plot
def _curves(found: TimeOffset) -> Figure:
    fig, (ax,) = style.figure(10.4, 2.3)
    for w in found.windows:
        colour = COLOUR["bad" if w.refused else "fused"]
        ax.plot(w.lags * 1e3, w.correlations, color=colour, lw=0.9, alpha=0.7)
    ax.set_xlabel("lag, ms")
    ax.set_ylabel("correlation")
    return fig


@plot
def _overlay(first: Signal, second: Signal, found: TimeOffset, settings: TimeOffsetSettings) -> Figure:
    """Ten seconds of the best window: the second, turned and scaled onto the first, before and after."""
    a, b = smoothed(first, second, settings.smooth_s)
    best = max(found.passed, key=lambda w: w.correlation)
    inside = (a.t >= best.start_s) & (a.t <= best.start_s + settings.window_s)
    t, target = a.t[inside], a.value[inside]
    channel = int(target.std(axis=0).argmax())
    fig, axes = style.figure(10.4, 3.6, 2, 1, sharex=True)
    for ax, offset, title in zip(axes, (0.0, found.offset_s), ("as stamped", "offset taken out"), strict=True):
        shifted = np.stack([np.interp(t - offset, b.t, column) for column in b.value.T], axis=1)
        basis = np.concatenate([shifted, np.ones((len(t), 1))], axis=1)
        fitted = basis @ np.linalg.lstsq(basis, target[:, channel], rcond=None)[0]
        ax.plot(t, target[:, channel], color=COLOUR["truth"], lw=2.2, label=first.name)
        ax.plot(t, fitted, color=COLOUR["fused"], lw=1.0, label=f"{second.name}, scaled")
        ax.plot(t, target[:, channel] - fitted, color=COLOUR["bad"], lw=0.8, label="difference")
        ax.set_title(title, loc="right")
    legend(axes[0])
    axes[1].set_xlabel("time, s")
    return fig
