"""Events in a recording that a person wants to jump to: alarms, faults, missing sensors, lost tracks, disagreement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from pipeline.core.messages import CLASSES, ClockState, FrameSet, Message, NodeStatus, Scene, StreamStatus
from pipeline.core.recording import RecordingReader
from pipeline.core.topics import topic_matches

Kind = Literal["alarm", "fault", "missing", "track_lost", "disagreement"]
_TOPICS = ("clock/*", "frames", "scene", "status/*", "stream/*")
_CONFIRMED = 0.5  # existence above which a track is worth an event
_SHARE = 0.1  # of a track's weight, below which a sensor has not contributed


class Event(NamedTuple):
    """time_ns: log time in the recording. about: sensor, node or track. what: for the person, in words."""

    time_ns: int
    kind: Kind
    about: str
    what: str


def events(recording: RecordingReader) -> Iterator[Event]:
    """Events in order of time. Each is told when it begins, not for as long as it lasts.

    - alarm: a clock's alarm. fault: a node's step failed, or a source gave messages up.
    - missing: a sensor is not in a frame set, and was in the one before.
    - track_lost: nothing supports a confirmed track any more.
    - disagreement: a sensor that is there no longer supports a confirmed track that others still see.
    """
    topics = [t for t in recording.topics if any(topic_matches(pattern, t) for pattern in _TOPICS)]
    begun: set[tuple[Kind, str, str]] = set()
    failed: dict[str, int] = {}
    weights: dict[int, dict[str, float]] = {}
    for time_ns, message in recording.logged(topics):
        payload = message.payload
        if isinstance(payload, ClockState):
            yield from _edge(begun, time_ns, "alarm", message.source, payload.alarm)
        elif isinstance(payload, FrameSet):
            for slot in payload.slots:
                yield from _edge(begun, time_ns, "missing", slot.sensor, slot.missing)
        elif isinstance(payload, NodeStatus | StreamStatus):
            yield from _faults(failed, time_ns, message)
        elif isinstance(payload, Scene):
            yield from _tracks(weights, time_ns, payload)


def _edge(begun: set[tuple[Kind, str, str]], time_ns: int, kind: Kind, about: str, what: str) -> Iterator[Event]:
    """An event where a state that has a reason begins."""
    for known in [b for b in begun if b[:2] == (kind, about) and b[2] != what]:
        begun.discard(known)
    if what and (kind, about, what) not in begun:
        begun.add((kind, about, what))
        yield Event(time_ns, kind, about, what)


def _faults(failed: dict[str, int], time_ns: int, message: Message) -> Iterator[Event]:
    """An event where a count of failures has risen."""
    payload = message.payload
    if isinstance(payload, NodeStatus):
        count, what = payload.failed, payload.last_error
    else:
        assert isinstance(payload, StreamStatus)
        count, what = sum(payload.losses.values()), ", ".join(f"{n} {reason}" for reason, n in payload.losses.items())
    if count > failed.get(message.topic, 0):
        yield Event(time_ns, "fault", message.source, what)
    failed[message.topic] = count


def _tracks(weights: dict[int, dict[str, float]], time_ns: int, scene: Scene) -> Iterator[Event]:
    """Compare what supports each confirmed track with what supported it in the scene before."""
    absent = {text.partition(":")[0] for text in scene.missing}
    now: dict[int, dict[str, float]] = {}
    for i, number in enumerate(scene.track_id.tolist()):
        support = {s: float(w) for s, w in zip(scene.sensors, scene.weight[i], strict=True) if w >= _SHARE}
        before = weights.get(number, {})
        now[number] = support
        if scene.existence[i] < _CONFIRMED or not before:
            continue
        name = f"{CLASSES[int(scene.class_score[i].argmax())]} {number}"
        gone = sorted(before.keys() - support.keys() - absent)
        if not support:
            yield Event(time_ns, "track_lost", name, f"was supported by {', '.join(sorted(before))}")
        elif gone:
            yield Event(
                time_ns, "disagreement", name, f"{', '.join(gone)} no longer, {', '.join(sorted(support))} still"
            )
    weights.clear()
    weights.update(now)
