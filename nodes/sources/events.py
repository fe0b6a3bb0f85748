"""Events in a recording to jump to: alarms, faults, missing and ailing sensors, lost tracks, disagreement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from pipeline.core.messages import CLASSES, ClockState, FrameSet, Message, NodeStatus, Scene, StreamStatus
from pipeline.core.run_recording import RunRecording
from pipeline.core.topics import topic_matches

Kind = Literal["alarm", "fault", "missing", "ailing", "track_lost", "disagreement"]
_TOPICS = ("clock/*", "frames", "scene", "status/*", "stream/*")
_CONFIRMED = 0.5  # existence above which a track is worth an event
_CARRIES = 0.3  # share of a track's weight with which a sensor carries it
_GIVES = 0.02  # share below which a sensor gives nothing


class Event(NamedTuple):
    """time_ns: log time in the recording. about: sensor, node or track. what: for the person, in words."""

    time_ns: int
    kind: Kind
    about: str
    what: str


class EventDetector:
    """Sees messages one by one, in order, and tells what has just happened.

    Each event is told when it begins, not for as long as it lasts:

    - alarm: a clock's alarm. fault: a node's step failed, or a source gave messages up.
    - missing: a sensor is not in a frame set, and was in the one before.
    - ailing: fusion names a sensor's fault.
    - track_lost: nothing supports a confirmed track any more.
    - disagreement: a sensor that is there no longer sees a confirmed track that it has carried and others still see.
    """

    def __init__(self) -> None:
        self._reasons: dict[tuple[Kind, str], str] = {}
        self._failed: dict[str, int] = {}
        self._weights: dict[int, dict[str, float]] = {}

    def see(self, time_ns: int, message: Message) -> Iterator[Event]:
        """``time_ns``: when it is to be told to have happened."""
        payload = message.payload
        if isinstance(payload, ClockState):
            yield from self._began(time_ns, "alarm", message.source, payload.alarm)
        elif isinstance(payload, FrameSet):
            for slot in payload.slots:
                yield from self._began(time_ns, "missing", slot.sensor, slot.missing)
        elif isinstance(payload, NodeStatus):
            yield from self._failures(time_ns, message, payload.failed, payload.last_error)
        elif isinstance(payload, StreamStatus):
            what = ", ".join(f"{count} {reason}" for reason, count in payload.losses.items())
            yield from self._failures(time_ns, message, sum(payload.losses.values()), what)
        elif isinstance(payload, Scene):
            for sensor, ails in zip(payload.sensors, payload.sensor_fault, strict=False):  # () where it judges none
                yield from self._began(time_ns, "ailing", sensor, ails)
            yield from self._tracks(time_ns, payload)

    def _began(self, time_ns: int, kind: Kind, about: str, reason: str) -> Iterator[Event]:
        """An event where a state that has a reason begins, or gets another one."""
        if reason and reason != self._reasons.get((kind, about)):
            yield Event(time_ns, kind, about, reason)
        self._reasons[kind, about] = reason

    def _failures(self, time_ns: int, message: Message, count: int, what: str) -> Iterator[Event]:
        """An event where a count of failures has risen."""
        if count > self._failed.get(message.topic, 0):
            yield Event(time_ns, "fault", message.source, what)
        self._failed[message.topic] = count

    def _tracks(self, time_ns: int, scene: Scene) -> Iterator[Event]:
        """Compare what supports each confirmed track with what supported it in the scene before."""
        absent = {text.partition(":")[0] for text in scene.missing}
        before, self._weights = self._weights, {}
        for i, number in enumerate(scene.track_id.tolist()):
            now = {sensor: float(w) for sensor, w in zip(scene.sensors, scene.weight[i], strict=True)}
            self._weights[number] = now
            had = {sensor for sensor, w in before.get(number, {}).items() if w >= _CARRIES}
            if scene.existence[i] < _CONFIRMED or not had:
                continue
            name = f"{CLASSES[int(scene.class_score[i].argmax())]} {number}"
            left = sorted(sensor for sensor, w in now.items() if w >= _GIVES)
            gone = sorted(had - set(left) - absent)
            if not left:
                yield Event(time_ns, "track_lost", name, f"was carried by {', '.join(sorted(had))}")
            elif gone:
                yield Event(time_ns, "disagreement", name, f"{', '.join(gone)} no longer, {', '.join(left)} still")


def events(recording: RunRecording) -> Iterator[Event]:
    """All events of a recording, in order of log time."""
    detector = EventDetector()
    topics = [t for t in recording.topics if any(topic_matches(pattern, t) for pattern in _TOPICS)]
    for time_ns, message in recording.logged(topics):
        yield from detector.see(time_ns, message)
