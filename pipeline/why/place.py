"""Which track is meant by a place and an instant, and what the sensors had there where no track was."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from pipeline.core.messages import Scene
from pipeline.core.run_recording import RunRecording
from pipeline.evaluate.boxes import FloatArray, IntArray, class_name
from pipeline.evaluate.run_log import AlignedFrame, RunLog
from pipeline.why.repeat import fuse_node

REACH_M = 4.0
"""A track further from the place asked about is another object's."""
REACH_NS = 2_000_000_000
"""How long a track is carried on at its velocity, before its first scene and after its last."""


class Seen(NamedTuple):
    """A track over the scenes that hold it: times (T,) ns, position (T, 3), velocity (T, 2), odom; existence (T,)."""

    track_id: int
    class_name: str
    time_ns: IntArray
    position: FloatArray
    velocity: FloatArray
    existence: FloatArray

    def at(self, time_ns: int) -> FloatArray:
        """(2,) where it was, or would have been, at an instant."""
        row = int(np.abs(self.time_ns - time_ns).argmin())
        return np.asarray(self.position[row, :2] + (time_ns - self.time_ns[row]) * 1e-9 * self.velocity[row])

    def away_ns(self, time_ns: int) -> int:
        """How far an instant is from its life."""
        return int(max(self.time_ns[0] - time_ns, time_ns - self.time_ns[-1], 0))


def tracks_of(run: RunLog) -> dict[int, Seen]:
    """All published tracks."""
    rows: dict[int, list[tuple[int, FloatArray, FloatArray, float, FloatArray]]] = {}
    for message in run.scenes:
        scene = message.payload
        assert isinstance(scene, Scene)
        for i, number in enumerate(scene.track_id.tolist()):
            state = scene.track_position[i], scene.track_velocity[i], float(scene.existence[i]), scene.class_score[i]
            rows.setdefault(number, []).append((message.stamp.time_ns, *state))
    return {number: _seen(number, states) for number, states in rows.items()}


def near(seen: dict[int, Seen], place: FloatArray, time_ns: int) -> list[tuple[int, float]]:
    """Tracks that were, or carried on would have been, near a place (2,), odom, at an instant, with the distance, m."""
    alive = [track for track in seen.values() if track.away_ns(time_ns) <= REACH_NS]
    apart = [(track.track_id, float(np.hypot(*(track.at(time_ns) - place)))) for track in alive]
    return sorted((a for a in apart if a[1] < REACH_M), key=lambda a: a[1])


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What one sensor had near a place: how many detections, the best score; missing: why its message was not there."""

    sensor: str
    detections: int
    score: float
    missing: str


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """No track was near a place. birth_score: the weakest detection that starts one."""

    run: str
    time_s: float
    place: tuple[float, float]
    reach_m: float
    birth_score: float
    heard: tuple[Heard, ...]


def nothing_near(run: RunLog, path: Path, frame: AlignedFrame, place: FloatArray) -> Nothing:
    """What the sensors had where no track was; place (2,), odom."""
    with RunRecording(path) as recording:
        birth_score = fuse_node(recording).settings.existence.birth_score
    heard = []
    for sensor, slot in frame.slots.items():
        boxes = frame.found.get(sensor)
        score = [] if boxes is None else boxes.existence[np.hypot(*(boxes.position[:, :2] - place).T) < REACH_M]
        best = max((float(s) for s in score), default=0.0)
        heard.append(Heard(sensor=sensor, detections=len(score), score=best, missing=slot.missing))
    return Nothing(
        run=str(path),
        time_s=(frame.time_ns - run.start_ns) / 1e9,
        place=(float(place[0]), float(place[1])),
        reach_m=REACH_M,
        birth_score=birth_score,
        heard=tuple(heard),
    )


def _seen(number: int, states: list[tuple[int, FloatArray, FloatArray, float, FloatArray]]) -> Seen:
    times, position, velocity, existence, scores = zip(*states, strict=True)
    kind = class_name(int(np.sum(scores, axis=0).argmax()))
    return Seen(number, kind, np.array(times), np.array(position), np.array(velocity), np.array(existence))
