"""`write_report`: a judged run as one HTML file that needs nothing else, readable in light and dark."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from pipeline.evaluate import gap_story, objects, page, page_scores, plots, style, timeline
from pipeline.evaluate.boxes import centre_distance
from pipeline.evaluate.cutout import cutout
from pipeline.evaluate.detection import Sample
from pipeline.evaluate.draw import CLASS_RGB, Bev, draw_bev
from pipeline.evaluate.gaps import Gap, History
from pipeline.evaluate.judge import Evaluation
from pipeline.evaluate.pairing import confirmed
from pipeline.evaluate.sight import Witnesses
from pipeline.evaluate.video import CAMERA_WIDTH, Film, encode
from pipeline.evaluate.views import FrameView, Image, frame_views
from pipeline.evaluate.weights import TrackWeights, track_weights

REPORT = "report.html"
FILM = "film.mp4"
_HERE = Path(__file__).parent
_FILM_BYTES = 7_000_000  # base64 makes it a third more; the page is to stay below 15 MB
_FILM_FRAMES = 300
_CARDS, _CARD_PICTURES = 36, 18
_ROWS = 56
_CROP_M = 30.0
_RING_PX, _RING_BGR = 40, (90, 110, 255)  # around the object that was lost


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write report.html into ``folder``, and beside it film.mp4, which the page holds too; returns the page's path."""
    pictures = _pictures(evaluation)
    (folder / FILM).unlink(missing_ok=True)
    if pictures.film:
        (folder / FILM).write_bytes(pictures.film)
    path = folder / REPORT
    path.write_text(_page(evaluation, pictures), encoding="utf-8")
    return path


def render(evaluation: Evaluation) -> str:
    """The page. Sensor data is read from the recording that the run was loaded from."""
    return _page(evaluation, _pictures(evaluation))


def _page(e: Evaluation, pictures: _Pictures) -> str:
    colours = {**style.sensor_colours(e.run.modality), "fused": "fused"}
    start_ns = e.run.start_ns
    cards = e.gaps[:_CARDS]
    witnesses = Witnesses(e.run, e.truth, e.config)
    stories = {
        gap.number: gap_story.picture(gap_story.story(e.run, witnesses, gap, e.config), e.config, colours, start_ns)
        for gap in cards
    }
    shown = _rows(e)
    context: dict[str, Any] = {
        **page.tables(e),
        "css": (_HERE / "report.css").read_text(encoding="utf-8"),
        "colours": colours,
        "class_colours": [(n.replace("_", " "), f"rgb{rgb}") for n, rgb in CLASS_RGB.items() if n in _classes(e)],
        "film": base64.b64encode(pictures.film).decode(),
        "film_lead": pictures.film_lead,
        "matrix": timeline.matrix(e.alignment, [f.time_ns for f in e.run.frames], colours),
        "drops": plots.drops(e.run, colours, start_ns),
        "shots": pictures.shots,
        "gaps": [page_scores.gap_card(e, g, pictures.gaps.get(g.number, ""), stories[g.number]) for g in cards],
        "gaps_left_out": max(0, len(e.gaps) - len(cards)),
        "timeline": timeline.tracks(shown, e.gaps, start_ns, len(cards)),
        "tracks_left_out": len(e.histories) - len(shown),
    }
    if e.alignment:
        seconds = np.array([(f.time_ns - start_ns) / 1e9 for f in e.run.frames])
        context["alignment_plot"] = plots.alignment(e.alignment, seconds, colours)
    if e.latency.scenes:
        context["latency_parts"] = plots.latency_parts(e.latency, colours)
        context["latency_time"] = plots.latency_over_time(e.latency, start_ns)
    if e.detection:
        context["pr"] = plots.precision_recall(e.detection, e.config.match_threshold_m, colours)
    if e.uncertainty is not None and len(e.uncertainty.existence):
        context |= {"honesty": plots.honesty(e.uncertainty), "honesty_lead": page_scores.honesty_lead(e)}
    sensors, tracks = track_weights(e.run)
    if tracks and any(t.weight.any() for t in tracks):
        context["mean_weights"] = plots.mean_weights(sensors, tracks, colours, start_ns)
        context["weights_by_range"] = plots.weights_by_range(sensors, tracks, colours)
        context["weights_lead"] = page_scores.weights_lead(e)
        context["objects"] = _objects(e, sensors, colours, pictures)
    context["health"] = timeline.health(e.run.scenes, start_ns)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.ChainableUndefined
    )
    return environment.get_template("report.html.j2").render(context)


@dataclass(frozen=True)
class _Pictures:
    """The film, MP4; in base64 snapshots with captions, by gap number what it looked like, and by track its cut-outs.

    chosen: the tracks that are shown whole, and why.
    """

    film: bytes
    film_lead: str
    shots: list[dict[str, str]]
    gaps: dict[int, str]
    chosen: list[tuple[TrackWeights, str]]
    objects: dict[int, list[dict[str, str]]]


def _pictures(e: Evaluation) -> _Pictures:
    """One pass over the raw sensor data for all pictures."""
    film = Film(e.run, e.truth, e.config)
    indices = [frame.index for frame in e.run.frames]
    filmed = set(indices[:_FILM_FRAMES])
    captions = _snapshots(e)
    at: dict[int, list[Gap]] = {}
    for gap in e.gaps[:_CARD_PICTURES]:
        at.setdefault(gap.moments[len(gap.moments) // 2].frame_index, []).append(gap)
    sensors = list(e.run.sensors)
    frames: list[Image] = []
    shots: list[dict[str, str]] = []
    crops: dict[int, str] = {}
    shown: dict[int, list[int]] = {}
    chosen = objects.chosen(track_weights(e.run)[1], e.config.confirmed_existence, _objects_of(e))
    for track, _ in chosen:
        for index in objects.instants(track):
            shown.setdefault(index, []).append(track.track_id)
    cut: dict[int, list[dict[str, str]]] = {track.track_id: [] for track, _ in chosen}
    wanted = filmed | captions.keys() | at.keys() | shown.keys()
    for view in frame_views(e.run, Path(e.run.source), e.truth, e.config, wanted, CAMERA_WIDTH):
        index = view.frame.index
        if index in filmed:
            frames.append(film.draw(view))
        if index in captions:
            bev = Bev(720, 720, 720 / (film.bev.height / film.bev.scale), film.bev.centre)
            picture = draw_bev(view, bev, sensors, e.config.confirmed_existence)
            shots.append({"caption": captions[index], "picture": _jpeg(picture)})
        for gap in at.get(index, ()):
            crops[gap.number] = _jpeg(_crop(e, view, gap, sensors))
        for number in shown.get(index, ()):
            found = cutout(view, e.run, number)
            if found is not None:
                seconds = (view.frame.time_ns - e.run.start_ns) / 1e9
                cut[number].append({"caption": f"{seconds:.1f} s, {found[0]}", "picture": _jpeg(found[1])})
    rate_hz = _rate(e)
    data = encode(frames, film.size, rate_hz, _FILM_BYTES)
    seconds = len(frames) / rate_hz
    part = "" if len(indices) <= _FILM_FRAMES else f" (the first {seconds:.0f} s of the run)"
    times = np.array([frame.time_ns for frame in e.run.frames])
    steady = len(times) < 3 or np.diff(times).max() < 2.5e9 / rate_hz
    pace = "At real time" if steady else "One frame set after another, without the pauses between"
    labels = ", labels in white" if len(e.truth) else ""
    lead = f"{pace}{part}, {rate_hz:.0f} Hz. Confirmed tracks in the colour of their class{labels}."
    return _Pictures(data, lead, shots, crops, chosen, cut)


def _crop(e: Evaluation, view: FrameView, gap: Gap, sensors: Sequence[str]) -> Image:
    """The surroundings of the lost object, in the middle of its gap."""
    moment = gap.moments[len(gap.moments) // 2]
    x, y, _ = view.frame.ego.inverse() @ moment.position
    bev = Bev(480, 360, 360 / _CROP_M, (float(x), float(y)))
    picture = draw_bev(view, bev, sensors, e.config.confirmed_existence)
    cv2.circle(picture, (bev.width // 2, bev.height // 2), _RING_PX, _RING_BGR, 2, cv2.LINE_AA)
    return picture


def _snapshots(e: Evaluation) -> dict[int, str]:
    """Frame set index -> caption: early, late, and the worst by misses and by false tracks."""
    frames = e.run.frames
    if not frames:
        return {}
    chosen = {
        frames[len(frames) // 4].index: "A quarter into the run",
        frames[3 * len(frames) // 4].index: "Three quarters",
    }
    by_time = {frame.time_ns: frame.index for frame in frames}
    scored = [(by_time[s.time_ns], *_wrong(e, s)) for s in e.samples if s.time_ns in by_time]
    if scored:
        index, misses, _ = max(scored, key=lambda item: item[1])
        if misses:
            chosen[index] = f"Frame {index}: most objects missed, {misses}"
        index, _, false = max(scored, key=lambda item: item[2])
        if false:
            chosen[index] = f"Frame {index}: most confirmed tracks on nothing labelled, {false}"
    return chosen


def _wrong(e: Evaluation, sample: Sample) -> tuple[int, int]:
    """Objects without a confirmed track near, and confirmed tracks without an object near, whatever the classes."""
    said = confirmed(sample, e.config).predictions
    near = centre_distance(said, sample.truth) < e.config.match_threshold_m
    return int((~near.any(axis=0)).sum()), int((~near.any(axis=1)).sum())


def _rows(e: Evaluation) -> list[History]:
    """Objects for the timeline: those with a gap first, then the nearest; by name."""
    gap_of: dict[int, int] = {}
    for gap in e.gaps:
        gap_of.setdefault(gap.history.object_id, gap.number)
    by_interest = sorted(
        e.histories, key=lambda h: (gap_of.get(h.object_id, len(e.gaps) + 1), min(m.range_m for m in h.moments))
    )
    return sorted(by_interest[:_ROWS], key=lambda h: (h.class_name, h.moments[0].time_ns, h.object_id))


def _objects_of(e: Evaluation) -> dict[int, str]:
    """Track id -> the labelled object that the track was on most often."""
    names: dict[int, list[str]] = {}
    for history in e.histories:
        for moment in history.moments:
            if moment.track_id >= 0:
                names.setdefault(moment.track_id, []).append(history.name)
    return {track: max(sorted(set(seen)), key=seen.count) for track, seen in names.items()}


def _objects(
    e: Evaluation,
    sensors: Sequence[str],
    colours: Mapping[str, str],
    pictures: _Pictures,
) -> list[dict[str, Any]]:
    missing: dict[str, list[int]] = {}
    for frame in e.run.frames:
        for sensor, slot in frame.slots.items():
            if slot.missing:
                missing.setdefault(sensor, []).append(frame.index)
    on, confirmed = _objects_of(e), e.config.confirmed_existence
    return [
        {
            "title": _track_title(track, on),
            "why": why,
            "track": track.track_id,
            "strip": objects.strip(sensors, track, missing, colours, e.run.start_ns, confirmed),
            "pictures": pictures.objects[track.track_id],
        }
        for track, why in pictures.chosen
    ]


def _track_title(track: TrackWeights, on: Mapping[int, str]) -> str:
    title = f"track {track.track_id}, {track.class_name.replace('_', ' ')}"
    return f"{title} · on {on[track.track_id]}" if track.track_id in on else title


def _classes(e: Evaluation) -> set[str]:
    """Classes that appear in the pictures."""
    from_tracks = {t.class_name for t in track_weights(e.run)[1]}
    return from_tracks | {name for result in e.detection.values() for name in result.classes}


def _rate(e: Evaluation) -> float:
    times = [frame.time_ns for frame in e.run.frames]
    period_ns = float(np.median(np.diff(times))) if len(times) > 1 else 1e8
    return float(np.clip(1e9 / period_ns, 1.0, 30.0)) if period_ns > 0 else 10.0


def _jpeg(picture: Image) -> str:
    return base64.b64encode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 86])[1].tobytes()).decode()
