"""An answer as a picture: the track's life; beside it the scene from above, and the object as a camera saw it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fusion.account import Account, Contribution
from pipeline.evaluate import style
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.cutout import cutout
from pipeline.evaluate.draw import Bev, draw_bev
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.truth import TruthTrack
from pipeline.evaluate.views import FrameView, Image, frame_views
from pipeline.why.answer import Answer

_MARGIN_NS = 2_000_000_000  # of a long life, shown before and after the instant or its losses
_LONG_NS = 12_000_000_000
_BEV_PX, _BEV_M = 620, 40.0
_CAMERA_PX = 1920
_RING_PX, _RING_BGR = 44, (90, 110, 255)


def draw(answer: Answer, run: RunLog, path: Path, truth: TruthTrack, config: EvalConfig, target: Path) -> None:
    """Write the picture of ``answer`` as a PNG; sensor data is read from the recording at ``path``."""
    colours = _colours(run)
    views = list(frame_views(run, path, truth, config, {answer.moment.index}, _CAMERA_PX))
    cut = cutout(views[0], run, answer.track_id) if views else None
    with mpl.rc_context(_LOOK):
        fig = Figure(figsize=(15.5, 8.4), layout="constrained")
        sensors = [s.sensor for s in answer.sensors]
        panels: Any = fig.subfigures(1, 2, width_ratios=[1.55, 1])
        left, right = panels
        _life(left, answer, sensors, colours)
        _scene(right, answer, views, cut, list(run.sensors), config)
        fig.savefig(target, dpi=110)


def _life(fig: Any, a: Answer, sensors: list[str], colours: dict[str, str]) -> None:
    shown = _shown(a)
    t = np.array([(x.time_ns - a.start_ns) / 1e9 for x in shown])
    axes = fig.subplots(4, 1, sharex=True, height_ratios=[1.5, 1.1, 0.36 * len(sensors) + 0.2, 0.8])
    existence, weight, marks, sigma = axes
    existence.plot(t, [x.existence for x in shown], ".-", color=_INK, ms=4)
    existence.axhline(a.confirmed, color=_MUTED, lw=0.8, ls=(0, (4, 4)))
    existence.set_ylim(0, 1.02)
    existence.set_ylabel("existence")
    existence.set_title(f"track {a.track_id}, {a.moment.class_name}", loc="left", fontsize=13, fontweight="bold")
    share = np.array([[one.weight if (one := _of(x, s)) else 0.0 for s in sensors] for x in shown])
    step = float(np.median(np.diff(t))) if len(t) > 1 else 0.1
    base = np.zeros(len(t))
    for column, sensor in enumerate(sensors):
        weight.bar(t, share[:, column], step, base, color=colours[sensor], label=sensor, linewidth=0)
        base = base + share[:, column]
    weight.set_ylim(0, 1)
    weight.set_ylabel("weight λ/Σλ")
    _marks(marks, shown, t, sensors, colours)
    sigma.plot(t, [x.sigma_m for x in shown], color=_INK)
    sigma.set_ylim(bottom=0)
    sigma.set_ylabel("position ±, m")
    sigma.set_xlabel("time of the run, s")
    weight.grid(visible=False)
    for ax in axes:
        ax.axvline((a.moment.time_ns - a.start_ns) / 1e9, color=_BAD, lw=1.0)
        for loss in a.losses if ax is not weight else ():
            end_ns = loss.end_ns if loss.end_ns >= 0 else a.life[-1].time_ns
            ax.axvspan((loss.start_ns - a.start_ns) / 1e9, (end_ns - a.start_ns) / 1e9, color=_BAD, alpha=0.1, lw=0)
    existence.set_xlim(t[0] - step, t[-1] + step)


def _marks(ax: Any, shown: list[Account], t: np.ndarray, sensors: list[str], colours: dict[str, str]) -> None:
    """A row per sensor; what each mark means stands in the legend below."""
    for row, sensor in enumerate(sensors):
        for what, (marker, filled) in _MARKS.items():
            at = [i for i, x in enumerate(shown) if (one := _of(x, sensor)) is not None and one.what == what]
            ink = _BAD if what == "missing" else colours[sensor] if what in ("used", "rejected") else _MUTED
            face = ink if filled else "none"
            ax.scatter(t[at], np.full(len(at), row), s=26, marker=marker, facecolors=face if marker != "x" else ink,
                       edgecolors=None if marker in "x_." else ink, color=ink if marker in "x_." else None)  # fmt: skip
        faults = [one.fault if (one := _of(x, sensor)) else "" for x in shown]
        for name, stretch in itertools.groupby(range(len(shown)), key=faults.__getitem__):
            rows = list(stretch)
            if name:
                ax.plot(t[[rows[0], rows[-1]]], [row + 0.34] * 2, color=_BAD, lw=2.5, solid_capstyle="butt")
                ax.annotate(name, (t[rows[0]], row + 0.38), fontsize=7, color=_BAD, va="top")
    ax.set_yticks(range(len(sensors)), sensors)
    ax.set_ylim(len(sensors) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_title("● used   ○ rejected   – nothing seen   · hidden or out of view   × missing   ▬ said to be ill",
                 loc="left", fontsize=8.5, color=_MUTED)  # fmt: skip


def _scene(
    fig: Any, a: Answer, views: list[FrameView], cut: tuple[str, Image] | None, sensors: list[str], config: EvalConfig
) -> None:
    if not views:
        return
    moment, view = a.moment, views[0]
    x, y, _ = view.frame.ego.inverse() @ np.array(moment.position)
    bev = Bev(_BEV_PX, _BEV_PX, _BEV_PX / _BEV_M, (float(x), float(y)))
    above = draw_bev(view, bev, sensors, config.confirmed_existence)
    cv2.circle(above, (_BEV_PX // 2, _BEV_PX // 2), _RING_PX, _RING_BGR, 2, cv2.LINE_AA)
    rows = 1 if cut is None else 2
    axes = fig.subplots(rows, 1, squeeze=False, height_ratios=[1.6, 1][:rows]).ravel()
    _image(axes[0], above)
    seconds = (moment.time_ns - a.start_ns) / 1e9
    axes[0].set_title(f"at {seconds:.2f} s, {_BEV_M:g} m across   △ camera  + LiDAR  ◇ radar", loc="left", fontsize=9)
    if cut is not None:
        name, image = cut
        _image(axes[1], image)
        axes[1].set_title(name, loc="left", fontsize=9)


def _image(ax: Any, bgr: Image) -> None:
    ax.imshow(bgr[:, :, ::-1])
    ax.set_axis_off()


def _shown(a: Answer) -> list[Account]:
    """The whole life, or of a long one what lies around the instant."""
    if a.life[-1].time_ns - a.life[0].time_ns <= _LONG_NS:
        return list(a.life)
    around = [loss for loss in a.losses if loss.falls_ns <= a.moment.time_ns]
    first = min([a.moment.time_ns, *(loss.falls_ns for loss in around[-1:])]) - 2 * _MARGIN_NS
    return [x for x in a.life if first <= x.time_ns <= a.moment.time_ns + 2 * _MARGIN_NS]


def _of(account: Account, sensor: str) -> Contribution | None:
    return next((c for c in account.contributions if c.sensor == sensor), None)


def _colours(run: RunLog) -> dict[str, str]:
    """By sensor the colour that it has on a light page."""
    css = (Path(style.__file__).parent / "report.css").read_text(encoding="utf-8").partition("@media")[0]
    page = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", css))
    return {sensor: page[name] for sensor, name in style.sensor_colours(run.modality).items()}


_INK, _MUTED, _BAD = "#1a1e26", "#9aa0ab", "#c63d2b"
_MARKS = {
    "used": ("o", True), "rejected": ("o", False), "silent": ("_", True), "hidden": (".", True),
    "out_of_view": (".", True), "missing": ("x", True), "not_fused": (".", True),
}  # fmt: skip
_LOOK: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e1d8",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#c9c4b8",
    "axes.labelcolor": _MUTED,
    "xtick.color": _MUTED,
    "ytick.color": "#4a505c",
}
