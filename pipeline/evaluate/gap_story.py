"""A gap frame by frame: what each sensor saw, which of it the track used, and where the track's existence went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import NamedTuple

from pipeline.core.messages import Scene
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.gaps import Gap, Moment, sight_of
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.sight import Sight, Witnesses
from pipeline.evaluate.timeline import svg, text

_CONTEXT_NS = 500_000_000  # shown before and after the gap
_WIDTH, _LEFT, _RIGHT = 380.0, 92.0, 370.0
_CURVE, _ROW = 46.0, 15.0


class StoryFrame(NamedTuple):
    """One scored frame around a gap.

    track_id: of the track that stood for the object, the confirmed one on it or else the nearest within the match
    distance, -1 none. existence: its. fed: sensors that its update used. sights: by sensor.
    """

    time_ns: int
    lost: bool
    track_id: int
    existence: float
    fed: tuple[str, ...]
    sights: dict[str, Sight]


def story(run: RunLog, witnesses: Witnesses, gap: Gap, config: EvalConfig) -> list[StoryFrame]:
    """The frames of a gap and half a second around it, in order of time."""
    scenes = {m.payload.index: m.payload for m in run.scenes if isinstance(m.payload, Scene)}
    first_ns, last_ns = gap.moments[0].time_ns - _CONTEXT_NS, gap.moments[-1].time_ns + _CONTEXT_NS
    lost = {moment.time_ns for moment in gap.moments}
    frames = []
    for moment in gap.history.moments:
        if first_ns <= moment.time_ns <= last_ns:
            track_id = _stands_for_it(moment, config)
            existence, fed = _state(scenes.get(moment.scene_index), track_id)
            sights = {sensor: sight_of(witnesses, sensor, gap.history, moment) for sensor in run.sensors}
            frames.append(StoryFrame(moment.time_ns, moment.time_ns in lost, track_id, existence, fed, sights))
    return frames


def picture(frames: list[StoryFrame], config: EvalConfig, colours: Mapping[str, str], start_ns: int) -> str:
    """SVG: existence of the track above, below it a row per sensor: filled where its detection went into the track,
    hollow where there was one that did not, a dash where there was none, a cross where the sensor was missing."""
    if not frames:
        return ""
    sensors = list(frames[0].sights)
    step = (_RIGHT - _LEFT) / len(frames)
    xs = [_LEFT + step * (i + 0.5) for i in range(len(frames))]
    height = _CURVE + _ROW * len(sensors) + 4
    parts = [_shade(x, step, height) for x, frame in zip(xs, frames, strict=True) if frame.lost]
    parts += _curve(frames, xs, config.confirmed_existence)
    for row, sensor in enumerate(sensors):
        y = _CURVE + _ROW * (row + 0.5) + 4
        parts.append(text(_LEFT - 10, y + 3.5, sensor, "end"))
        radius = min(4.2, 0.42 * step)
        parts += [_mark(x, y, radius, sensor, f, f"var(--{colours[sensor]})") for x, f in zip(xs, frames, strict=True)]
    for i in (0, len(frames) - 1):
        parts.append(text(xs[i], height + 12, f"{(frames[i].time_ns - start_ns) / 1e9:.1f} s", "middle"))
    return svg(height + 17, parts, "the gap frame by frame", _WIDTH)


def _stands_for_it(moment: Moment, config: EvalConfig) -> int:
    if moment.track_id >= 0:
        return moment.track_id
    near = moment.nearest
    return near.track_id if near is not None and near.distance_m < config.match_threshold_m else -1


def _state(scene: Scene | None, track_id: int) -> tuple[float, tuple[str, ...]]:
    rows = [] if scene is None else (scene.track_id == track_id).nonzero()[0]
    if scene is None or not len(rows):
        return float("nan"), ()
    used = zip(scene.sensors, scene.weight[rows[0]].tolist(), strict=True)
    return float(scene.existence[rows[0]]), tuple(sensor for sensor, weight in used if weight > 0)


def _shade(x: float, step: float, height: float) -> str:
    return f'<rect x="{x - step / 2:.1f}" y="0" width="{step:.1f}" height="{height}" fill="var(--bad)" opacity=".1"/>'


def _curve(frames: list[StoryFrame], xs: list[float], confirmed: float) -> Iterator[str]:
    """Existence over time, broken where another track takes over, and the line above which a track counts."""
    floor = _CURVE - 3

    def y(existence: float) -> float:
        return floor - existence * (_CURVE - 8)

    yield text(_LEFT - 10, y(0.75), "existence", "end")
    line = f'x1="{_LEFT}" x2="{_RIGHT}" y1="{y(confirmed):.1f}" y2="{y(confirmed):.1f}"'
    yield f'<line {line} stroke="var(--muted)" stroke-width=".8" stroke-dasharray="3 3"/>'
    yield text(_LEFT - 10, y(confirmed) + 9, f"confirmed {confirmed:g}", "end")
    for i, frame in enumerate(frames):
        if frame.track_id < 0:
            continue
        here = f"{xs[i]:.1f}", f"{y(frame.existence):.1f}"
        if i and frames[i - 1].track_id == frame.track_id:
            before = f'x1="{xs[i - 1]:.1f}" y1="{y(frames[i - 1].existence):.1f}"'
            yield f'<line {before} x2="{here[0]}" y2="{here[1]}" stroke="var(--fused)" stroke-width="1.6"/>'
        title = f"<title>track {frame.track_id}, existence {frame.existence:.2f}</title>"
        yield f'<circle cx="{here[0]}" cy="{here[1]}" r="2.4" fill="var(--fused)">{title}</circle>'


def _mark(x: float, y: float, radius: float, sensor: str, frame: StoryFrame, colour: str) -> str:
    sight = frame.sights[sensor]
    if sight.kind == "saw":
        used = sensor in frame.fed
        fill = colour if used else "none"
        what = f"score {sight.score:.2f}, {'used' if used else 'not used'} by track {frame.track_id}"
        if frame.track_id < 0:
            what = f"score {sight.score:.2f}, no track near"
        shape = (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="{colour}" stroke-width="1.3">'
        )
        return f"{shape}<title>{escape(sensor)}: {what}</title></circle>"
    if sight.kind == "missing":
        reason = f"<title>{escape(sensor)}: {escape(sight.reason)}</title>"
        return (
            f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11" fill="var(--bad)">×{reason}</text>'
        )
    if sight.kind == "silent":
        line = f'x1="{x - radius:.1f}" x2="{x + radius:.1f}" y1="{y:.1f}" y2="{y:.1f}"'
        title = f"<title>{escape(sensor)}: no detection near it</title>"
        return f'<line {line} stroke="var(--truth)" stroke-width="1.6">{title}</line>'
    return ""
