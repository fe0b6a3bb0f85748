"""Why did the truck vanish for 0.4 s? Every hole in the tracking of a labelled object, and what each sensor saw."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipeline.core.messages import Scene
from pipeline.evaluate.amota import associate
from pipeline.evaluate.boxes import Boxes, FloatArray, centre_distance, class_name
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.pairing import inside, pair, scene_outputs
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.sight import SensorView, Sight, Witnesses
from pipeline.evaluate.truth import TruthTrack

KINDS = ("between", "after", "before", "never")


class Near(NamedTuple):
    """The track that a scene had closest to an object. fed: the sensors that its last update used."""

    track_id: int
    distance_m: float
    existence: float
    coasted: int
    fed: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Moment:
    """A labelled object in one scored frame.

    frame_index, scene_index: the frame set and the scene then, -1 none. track_id: the confirmed track on it, -1 none.
    nearest: None where the scene held no track at all.
    """

    time_ns: int
    position: FloatArray
    range_m: float
    lidar_points: int
    frame_index: int
    scene_index: int
    track_id: int
    track_class: str
    nearest: Near | None


@dataclass(frozen=True, eq=False)
class History:
    """One labelled object over the run, only while it is in the region. name: its class, numbered by appearance."""

    object_id: int
    class_name: str
    name: str
    moments: tuple[Moment, ...]

    @property
    def tracked(self) -> float:
        """Share of its frames with a track on it."""
        return sum(m.track_id >= 0 for m in self.moments) / len(self.moments)


@dataclass(frozen=True, eq=False)
class Gap:
    """A stretch of frames in which an object had no track.

    kind: before its first track, between two, after the last, or never tracked at all. dropped: by sensor and reason,
    messages that the ledger gave up from the account before the gap to the one after it. cause: one of a few; verdict:
    the sentence.
    """

    number: int
    history: History
    kind: str
    moments: tuple[Moment, ...]
    duration_ns: int
    sensors: tuple[SensorView, ...]
    dropped: dict[str, dict[str, int]]
    cause: str
    verdict: str

    @property
    def start_ns(self) -> int:
        return self.moments[0].time_ns

    @property
    def range_m(self) -> float:
        return min(m.range_m for m in self.moments)


def histories(run: RunLog, truth: TruthTrack, config: EvalConfig) -> list[History]:
    """Every identified object of a scored class, whatever class its track claims; by first appearance."""
    outputs = scene_outputs(run)
    scenes = [m.payload for m in run.scenes if isinstance(m.payload, Scene)]
    tolerance_ns = round(config.pairing_tolerance_ms * 1e6)
    partner: dict[int, int] = {}
    found: dict[int, list[Moment]] = {}
    names: dict[int, str] = {}
    for frame, index in pair(outputs, truth, tolerance_ns):
        time_ns = int(truth.times_ns[frame]) if index is None else outputs[index].time_ns
        ego = run.ego_at(time_ns) if index is None else outputs[index].ego
        labels, points = truth.at(time_ns, frame)
        rows = np.flatnonzero(
            (labels.identity >= 0) & np.isin(labels.class_id, config.class_ids) & inside(labels, ego, config)
        )
        objects = labels[rows]
        tracks = Boxes.empty() if index is None else outputs[index].boxes
        distance = np.nan_to_num(centre_distance(objects, tracks), nan=np.inf)
        reach = np.where(distance < config.match_threshold_m, distance, np.nan)
        reach[:, tracks.existence < config.confirmed_existence] = np.nan
        paired = dict(associate(objects.identity, tracks.identity, reach, partner))
        ranges = np.hypot(*(objects.position - ego.translation)[:, :2].T)
        for row, object_id in enumerate(objects.identity.tolist()):
            column = paired.get(row, -1)
            nearest = int(distance[row].argmin()) if len(tracks) and np.isfinite(distance[row]).any() else -1
            if column >= 0:
                partner[object_id] = int(tracks.identity[column])
            names.setdefault(object_id, class_name(int(objects.class_id[row])))
            found.setdefault(object_id, []).append(
                Moment(
                    time_ns,
                    objects.position[row],
                    float(ranges[row]),
                    int(points[rows[row]]),
                    _frame_at(run, time_ns, tolerance_ns) if index is None else scenes[index].index,
                    -1 if index is None else scenes[index].index,
                    int(tracks.identity[column]) if column >= 0 else -1,
                    class_name(int(tracks.class_id[column])) if column >= 0 else "",
                    _near(scenes[index], nearest, float(distance[row, nearest]))
                    if index is not None and nearest >= 0
                    else None,
                )
            )
    count: Counter[str] = Counter()
    result = []
    for object_id, moments in found.items():
        kind = names[object_id]
        count[kind] += 1
        result.append(History(object_id, kind, f"{kind.replace('_', ' ')} {count[kind]}", tuple(moments)))
    return result


def find_gaps(run: RunLog, truth: TruthTrack, all_histories: Sequence[History], config: EvalConfig) -> list[Gap]:
    """Gaps of objects that could be seen, vanishings first, then the longest and nearest."""
    witnesses = Witnesses(run, truth, config)
    period_ns = truth.typical_period_ns
    gaps = []
    for history in all_histories:
        for kind, moments in _stretches(history, config.min_lidar_points):
            views = tuple(
                SensorView.of(sensor, [sight_of(witnesses, sensor, history, moment) for moment in moments])
                for sensor in run.sensors
            )
            duration_ns = moments[-1].time_ns - moments[0].time_ns + period_ns
            dropped = dropped_during(run, moments[0].time_ns, moments[-1].time_ns)
            cause, verdict = _verdict(kind, moments, views, config)
            gaps.append(Gap(0, history, kind, moments, duration_ns, views, dropped, cause, verdict))
    order = {kind: number for number, kind in enumerate(KINDS)}
    gaps.sort(key=lambda g: (order[g.kind], -g.duration_ns, g.range_m, g.history.object_id))
    return [replace(gap, number=n) for n, gap in enumerate(gaps, start=1)]


def sight_of(witnesses: Witnesses, sensor: str, history: History, moment: Moment) -> Sight:
    """What ``sensor`` made of the object of ``history`` then."""
    return witnesses.sight(sensor, moment.frame_index, history.object_id, moment.position, moment.range_m)


def _frame_at(run: RunLog, time_ns: int, tolerance_ns: int) -> int:
    """Index of the frame set nearest to a label without a scene, -1 where none is near."""
    frame = min(run.frames, key=lambda f: abs(f.time_ns - time_ns), default=None)
    return frame.index if frame is not None and abs(frame.time_ns - time_ns) <= tolerance_ns else -1


def _stretches(history: History, min_points: int) -> Iterator[tuple[str, tuple[Moment, ...]]]:
    """Untracked stretches with at least one frame in which the labels count the object as observable."""
    tracked = [i for i, m in enumerate(history.moments) if m.track_id >= 0]
    for is_tracked, group in itertools.groupby(enumerate(history.moments), key=lambda item: item[1].track_id >= 0):
        rows = list(group)
        if is_tracked or not any(m.lidar_points < 0 or m.lidar_points >= max(1, min_points) for _, m in rows):
            continue
        if not tracked:
            kind = "never"
        elif rows[-1][0] < tracked[0]:
            kind = "before"
        else:
            kind = "after" if rows[0][0] > tracked[-1] else "between"
        yield kind, tuple(m for _, m in rows)


def dropped_during(run: RunLog, start_ns: int, end_ns: int) -> dict[str, dict[str, int]]:
    """Messages that the ledger gave up, by sensor and reason, from the account before an interval to that after it."""
    accounts = run.accounts
    before = [state for time_ns, state in accounts if time_ns < start_ns]
    after = [state for time_ns, state in accounts if time_ns >= end_ns] or [state for _, state in accounts[-1:]]
    if not after:
        return {}
    past = {row.sensor: row.dropped for row in before[-1].rows} if before else {}
    result = {}
    for row in after[0].rows:
        new = {reason: n - past.get(row.sensor, {}).get(reason, 0) for reason, n in row.dropped.items()}
        new = {reason: n for reason, n in new.items() if n > 0}
        if new:
            result[row.sensor] = new
    return result


def _verdict(kind: str, moments: Sequence[Moment], views: Sequence[SensorView], config: EvalConfig) -> tuple[str, str]:
    """Cause and sentence, the first that fits: no input, then no detection, then what the tracker made of it."""
    silent = sum(m.scene_index < 0 for m in moments)
    if 2 * silent > len(moments):
        return "no scene", f"No scene was published in {silent} of {len(moments)} frames."
    gone = {v.sensor: v.missing for v in views if sum(v.missing.values()) * 2 >= len(moments)}
    seen_by = {v.sensor: v.saw for v in views if v.saw}
    points = [m.lidar_points for m in moments if m.lidar_points >= 0]
    if not seen_by:
        lost = "; ".join(f"{s} missing ({', '.join(reasons)})" for s, reasons in gone.items())
        hidden = f"; {min(points)}–{max(points)} LiDAR returns on it" if points else ""
        cause = "sensor missing" if gone else "not detected"
        return cause, f"No sensor detected it{hidden}{'; ' + lost if lost else ''}."
    seen = ", ".join(f"{sensor} in {count} of {len(moments)}" for sensor, count in seen_by.items())
    nearest = min((m.nearest for m in moments if m.nearest), key=lambda n: n.distance_m, default=None)
    if nearest is None:
        return "no track formed", f"Detected ({seen}), but the scene held no track at all."
    there = f"track {nearest.track_id}, {nearest.distance_m:.1f} m away"
    if nearest.distance_m >= config.match_threshold_m:
        return "no track formed", f"Detected ({seen}), but the nearest is {there}."
    if nearest.existence >= config.confirmed_existence:
        return "track on another object", f"Detected ({seen}); {there}, is on another object."
    return "track not confirmed", f"Detected ({seen}); {there}, {_doubted(kind, moments, nearest.track_id)}."


def _doubted(kind: str, moments: Sequence[Moment], track_id: int) -> str:
    """What an unconfirmed track on the object took of the detections, and where its existence went."""
    course = [m.nearest for m in moments if m.nearest is not None and m.nearest.track_id == track_id]
    took = Counter(sensor for near in course for sensor in near.fed)
    used = ", ".join(f"{sensor} {count}" for sensor, count in took.most_common())
    first, last = course[0].existence, course[-1].existence
    went = f"existence {first:.2f}" + (f" to {last:.2f}" if len(course) > 1 else "")
    state = "was not yet confirmed" if kind == "before" else "was doubted"
    return f"used them (frames: {used}) but {state}, {went}" if took else f"used none of them and coasted, {went}"


def _near(scene: Scene, row: int, distance_m: float) -> Near:
    fed = tuple(s for s, weight in zip(scene.sensors, scene.weight[row].tolist(), strict=True) if weight > 0)
    return Near(int(scene.track_id[row]), distance_m, float(scene.existence[row]), int(scene.coasted[row]), fed)
