"""Two pictures against time, written as SVG so that they can be hovered and clicked: which sensor was taken into which
frame set, and which object was tracked when, each gap a link to its explanation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TypeVar

import numpy as np

from pipeline.core.messages import Message, Scene
from pipeline.evaluate.alignment import SensorAlignment
from pipeline.evaluate.gaps import Gap, History

_WIDTH = 1000.0
_LEFT = 158.0
_ROW = 15.0
_TRACK_COLOURS = 6

V = TypeVar("V")


def matrix(sensors: Sequence[SensorAlignment], times_ns: Sequence[int], colours: Mapping[str, str]) -> str:
    """Sensors by frame sets; filled where the sensor was taken, red where it was missing, with the reason on hover."""
    if not times_ns:
        return ""
    row = 22.0
    scale = _Scale(times_ns)
    parts: list[str] = []
    for number, sensor in enumerate(sensors):
        y = number * row
        parts.append(text(_LEFT - 8, y + 14, sensor.sensor, "end"))
        for reason, frames in _runs(sensor.missing, times_ns, scale.step_ns):
            x0, x1 = scale.x(times_ns[frames[0]]), scale.x(times_ns[frames[-1]] + scale.step_ns)
            style = "miss" if reason else ""
            fill = "var(--bad)" if reason else f"var(--{colours[sensor.sensor]})"
            span = f"frame {frames[0]}" + (f"–{frames[-1]}" if len(frames) > 1 else "")
            title = f"{sensor.sensor}, {span}: {reason or 'taken'}"
            parts.append(_bar(x0, y + 3, x1 - x0, row - 6, fill, title, style))
    height = len(sensors) * row
    return svg(height + 20, [*scale.axis(height), *parts], "which sensor was taken into which frame set")


def health(scenes: Sequence[Message], start_ns: int) -> str:
    """Sensors by scene: green while nothing is thought to ail one, redder the surer it is that something does; what
    that is stands where it was first named. "" where fusion does not judge its sensors."""
    times = [m.stamp.time_ns for m in scenes]
    judged: dict[str, list[tuple[int, str]]] = {}  # tenths of health, -1 = not judged, and the fault
    for number, message in enumerate(scenes):
        scene = message.payload
        assert isinstance(scene, Scene)
        # both are empty where nothing is said
        said = zip(
            scene.sensors, np.round(10.0 * scene.sensor_health).astype(int).tolist(), scene.sensor_fault, strict=False
        )
        for sensor, tenths, fault in said:
            judged.setdefault(sensor, [(-1, "")] * number).append((tenths, fault))
        for rows in judged.values():
            rows.extend([(-1, "")] * (number + 1 - len(rows)))
    if not judged:
        return ""
    scale, row, parts = _Scale(times, start_ns), 27.0, list[str]()
    for number, (sensor, states) in enumerate(judged.items()):
        y = number * row
        parts.append(text(_LEFT - 8, y + 13, sensor, "end"))
        for (tenths, fault), scenes_of in _runs(states, times, scale.step_ns):
            if tenths >= 0:
                x0, x1 = scale.x(times[scenes_of[0]]), scale.x(times[scenes_of[-1]] + scale.step_ns)
                fill = f"color-mix(in srgb, var(--good) {10 * tenths}%, var(--bad))"
                at = (times[scenes_of[0]] - start_ns) / 1e9
                named = f", said to be {fault}" if fault else ""
                title = f"{sensor} from {at:.1f} s: healthy with {tenths / 10:.1f}{named}"
                parts.append(_bar(x0, y + 3, x1 - x0 + 0.8, 11, fill, title))
        parts += _names([fault for _, fault in states], times, scale, y + 24)
    height = len(judged) * row
    return svg(height + 20, [*scale.axis(height), *parts], "what is thought to ail each sensor")


def _names(faults: Sequence[str], times_ns: Sequence[int], scale: _Scale, y: float) -> Iterator[str]:
    """The name of each fault at its first frame, unless another name stands there."""
    free = _LEFT
    for fault, scenes in _runs(faults, times_ns, scale.step_ns):
        x = scale.x(times_ns[scenes[0]])
        if fault and x >= free:
            yield f'<path d="M{x:.1f} {y - 9:.1f}v7" stroke="var(--bad)" stroke-width="1.2"/>'
            yield text(x + 3, y, fault, "start")
            free = x + 8.0 + 6.0 * len(fault)


def tracks(shown: Sequence[History], gaps: Sequence[Gap], start_ns: int, linked: int) -> str:
    """Objects by time: thin while labelled, a bar while tracked (a new colour for a new track), red where lost.

    linked: the first so many gaps have an explanation to link to.
    """
    times = sorted({m.time_ns for h in shown for m in h.moments})
    if not times:
        return ""
    scale = _Scale(times, start_ns)
    by_object: dict[int, list[Gap]] = {}
    for gap in gaps:
        by_object.setdefault(gap.history.object_id, []).append(gap)
    parts: list[str] = []
    for number, history in enumerate(shown):
        parts += _object_row(history, number * _ROW, scale, by_object.get(history.object_id, []), linked)
    height = len(shown) * _ROW
    return svg(height + 20, [*scale.axis(height), *parts], "which labelled object was tracked when")


def _object_row(history: History, y: float, scale: _Scale, gaps: Sequence[Gap], linked: int) -> Iterator[str]:
    moments = history.moments
    near = min(m.range_m for m in moments)
    yield text(_LEFT - 8, y + 11, f"{history.name} · {near:.0f} m", "end")
    first, last = scale.x(moments[0].time_ns), scale.x(moments[-1].time_ns + scale.step_ns)
    middle = y + _ROW / 2
    yield f'<line x1="{first:.1f}" x2="{last:.1f}" y1="{middle}" y2="{middle}" stroke="var(--truth)" stroke-width="1"/>'
    colour, previous = -1, -1
    ids, times = [m.track_id for m in moments], [m.time_ns for m in moments]
    for track_id, rows in _runs(ids, times, scale.step_ns):
        if track_id < 0:
            continue
        held = [moments[i] for i in rows]
        if track_id != previous:
            colour, previous = colour + 1, track_id
        x0, x1 = scale.x(held[0].time_ns), scale.x(held[-1].time_ns + scale.step_ns)
        names = sorted({m.track_class for m in held})
        title = f"{history.name}: track {track_id} as {', '.join(names)}, {len(held)} frames"
        yield _bar(x0, y + 3, x1 - x0, _ROW - 6, f"var(--track-{colour % _TRACK_COLOURS})", title)
    for gap in gaps:
        x0, x1 = scale.x(gap.start_ns), scale.x(gap.moments[-1].time_ns + scale.step_ns)
        title = f"{history.name}, {gap.duration_ns / 1e9:.1f} s without a track: {gap.verdict}"
        bar = _bar(x0, y + 4.5, x1 - x0, _ROW - 9, "var(--bad)", title, f"gap {gap.kind}")
        yield f'<a href="#gap-{gap.number}">{bar}</a>' if gap.number <= linked else bar


def _runs(values: Sequence[V], times_ns: Sequence[int], step_ns: int) -> Iterator[tuple[V, list[int]]]:
    """Stretches of equal value without a pause in time: the value and the indices."""
    stretch = 0
    keys: list[tuple[V, int]] = []
    for i, value in enumerate(values):
        stretch += i > 0 and times_ns[i] - times_ns[i - 1] > 2.5 * step_ns
        keys.append((value, stretch))
    for key, group in itertools.groupby(range(len(keys)), key=keys.__getitem__):
        yield key[0], list(group)


class _Scale:
    """Time to x; the last instant is given the width of a typical step."""

    def __init__(self, times_ns: Sequence[int], start_ns: int | None = None) -> None:
        self.step_ns = int(np.median(np.diff(times_ns))) if len(times_ns) > 1 else 100_000_000
        self.zero_ns = times_ns[0] if start_ns is None else start_ns
        self._from_ns = times_ns[0]
        self._span_ns = max(1, times_ns[-1] + self.step_ns - times_ns[0])

    def x(self, time_ns: int) -> float:
        return _LEFT + (_WIDTH - _LEFT) * (time_ns - self._from_ns) / self._span_ns

    def axis(self, height: float) -> Iterator[str]:
        """Grid lines at round seconds, at most twelve."""
        span_s = self._span_ns / 1e9
        step_s = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1e9) if span_s / s <= 12)
        first = int(np.ceil((self._from_ns - self.zero_ns) / 1e9 / step_s - 1e-9))
        for tick in itertools.count(first):
            seconds = tick * step_s
            x = self.x(self.zero_ns + round(seconds * 1e9))
            if x > _WIDTH - 4:
                return
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="var(--line)" stroke-width="1"/>'
            yield text(x, height + 14, f"{seconds:g} s", "middle")


def _bar(x: float, y: float, width: float, height: float, fill: str, title: str, style: str = "") -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, width - 0.8):.1f}" height="{height:.1f}" rx="1.5"'
        f' fill="{fill}" class="{style}"><title>{escape(title)}</title></rect>'
    )


def text(x: float, y: float, words: str, anchor: str) -> str:
    """Small print; ``anchor`` as SVG has it."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="tick">{escape(words)}</text>'


def svg(height: float, parts: Sequence[str], label: str, width: float = _WIDTH) -> str:
    """A picture of these parts, as wide as its place."""
    inner = "\n".join(parts)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">\n{inner}\n</svg>'
