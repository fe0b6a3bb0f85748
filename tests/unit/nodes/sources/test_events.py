"""Events to jump to: each told once, when it begins."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from nodes.sources.events import EventDetector, events
from pipeline.core.messages import ClockState, Message, NodeStatus, Scene, StreamStatus
from pipeline.core.recording import RecordingReader
from tests import recordings


def see(detector: EventDetector, topic: str, payload: object, time_ns: int = 0) -> list[tuple[str, str, str]]:
    message = Message(topic, recordings.run_info().stamp, payload)  # type: ignore[arg-type]
    return [(event.kind, event.about, event.what) for event in detector.see(time_ns, message)]


def scene_with(weight: list[float], missing: tuple[str, ...] = ()) -> Scene:
    return recordings.scene(1, missing).updated(weight=np.array([weight], np.float32))


def test_missing_sensor_of_a_recording(tmp_path: Path) -> None:
    content = sorted([*recordings.messages(frames=5), *recordings.perceived()], key=recordings.drive_time)
    with RecordingReader(recordings.write_recording(tmp_path / "a.mcap", content)) as reader:
        found = list(events(reader))
    assert [(e.kind, e.about, e.what) for e in found] == [("missing", "top", "silent")]
    assert found[0].time_ns == recordings.stamp("lidar/top", 2).arrival_ns


def test_reason_that_lasts_is_told_once_and_a_new_one_again() -> None:
    detector = EventDetector()
    told = [
        see(
            detector,
            "clock/top",
            ClockState(method="envelope", offset_ns=0, skew_ppb=0.0, sigma_ns=0, epoch=0, alarm=a),
        )
        for a in ("", "step", "step", "", "step", "drift")
    ]
    assert [len(t) for t in told] == [0, 1, 0, 0, 1, 1]
    assert told[1] == [("alarm", "top", "step")]


def test_failures_are_told_when_their_count_rises() -> None:
    detector = EventDetector()
    states = [(0, ""), (1, "ValueError: x"), (1, "ValueError: x"), (3, "ValueError: y")]
    told = [
        see(detector, "status/fuse", NodeStatus(node="fuse", received=9, published=9, failed=n, last_error=e))
        for n, e in states
    ]
    assert told == [[], [("fault", "fuse", "ValueError: x")], [], [("fault", "fuse", "ValueError: y")]]
    assert see(detector, "stream/top", StreamStatus(sent=1, watermark_ns=0, losses={"late": 2})) == [
        ("fault", "top", "2 late")
    ]


def test_track_that_nothing_carries_any_more() -> None:
    detector = EventDetector()
    assert see(detector, "scene", scene_with([0.6, 0.4])) == []
    assert see(detector, "scene", scene_with([0.0, 0.0])) == [("track_lost", "truck 17", "was carried by front, top")]
    assert see(detector, "scene", scene_with([0.0, 0.0])) == []


def test_disagreement_is_of_sensors_that_are_there() -> None:
    detector = EventDetector()
    see(detector, "scene", scene_with([0.6, 0.4]))
    assert see(detector, "scene", scene_with([1.0, 0.0], missing=("top: silent",))) == []
    see(detector, "scene", scene_with([0.6, 0.4]))
    assert see(detector, "scene", scene_with([1.0, 0.0])) == [
        ("disagreement", "truck 17", "top no longer, front still")
    ]
    see(detector, "scene", scene_with([0.9, 0.1]))
    assert see(detector, "scene", scene_with([1.0, 0.0])) == [], "it hardly carried it"


def test_a_fault_that_fusion_names_is_told_once_until_another_is() -> None:
    detector = EventDetector()
    scene = recordings.scene(1)
    told = []
    for fault in ("", "lagging", "lagging", "", "blind"):
        health = np.full(len(scene.sensors), 0.5, np.float32)
        judged = msgspec.structs.replace(scene, sensor_health=health, sensor_fault=(fault, *[""] * (len(health) - 1)))
        told.append([event for event in see(detector, "scene", judged) if event[0] == "ailing"])
    first = scene.sensors[0]
    assert told == [[], [("ailing", first, "lagging")], [], [], [("ailing", first, "blind")]]
