"""However a drive is run, its scenes are the same to the byte: one process or many, live or replayed, Ray or not."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nodes.sources.player import Player, PlayerSettings
from pipeline.cli.play import named_graph, run_config
from pipeline.core.clock import ManualClock, SystemClock
from pipeline.core.messages import FrameSet, LedgerState, Message, NodeStatus, Scene
from pipeline.core.recording import RecordingReader
from pipeline.evaluate.compare import compare
from pipeline.run.config import RunConfig
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process, run_plan
from pipeline.run.process import context_of
from pipeline.run.supervise import RunState, Supervisor
from tests.faults.stubborn_drive import write_drive
from tests.replay.summary import GOLDEN, run_street, summary
from tests.simulated import record_street


def config(drive: Path, ray: bool = False, **changes: object) -> RunConfig:
    name = str(drive)
    made = run_config(name, open_named(name), named_graph("simulated", ray), 0.0, 0.0, None)
    return msgspec.structs.replace(made, **changes)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_street(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def drive(reference: Path) -> Path:
    """What the reference is a run of."""
    return reference.parent / "drive"


def test_the_run_is_the_golden_one(reference: Path) -> None:
    """Scenes may differ a little between processors; the books may not. After a wanted change: `make golden`."""
    golden, now = json.loads(GOLDEN.read_text()), summary(reference)
    assert now["ledger"] == golden["ledger"]
    assert len(now["scenes"]) == len(golden["scenes"])
    for index, (scene, wanted) in enumerate(zip(now["scenes"], golden["scenes"], strict=True)):
        apart = np.linalg.norm(np.array(wanted)[:, None] - np.array(scene)[None], axis=2)
        assert (apart.min(axis=1) < 0.2).mean() > 0.9, f"scene {index}: {wanted} against {scene}"
        assert abs(len(scene) - len(wanted)) <= 1, f"scene {index}"


def test_a_second_run_gives_the_same_bytes(reference: Path, drive: Path, tmp_path: Path) -> None:
    run_in_one_process(config(drive), tmp_path, lambda _: None)
    result = compare(reference, tmp_path)
    assert result.scenes_a >= 14
    assert result.identical, result.to_text()


def test_its_recording_gives_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    run_in_one_process(config(reference), tmp_path, lambda _: None)
    result = compare(reference, tmp_path)
    assert result.identical, result.to_text()


def test_one_changed_threshold_is_found_at_the_first_scene_it_changes(
    reference: Path, drive: Path, tmp_path: Path
) -> None:
    changed = config(drive)
    nodes = list(changed.graph.nodes)
    radar = next(i for i, node in enumerate(nodes) if type(node).__name__ == "RadarNodes")
    detector = msgspec.structs.replace(nodes[radar].settings.detector, min_score=0.5)
    nodes[radar] = msgspec.structs.replace(
        nodes[radar], settings=msgspec.structs.replace(nodes[radar].settings, detector=detector)
    )
    graph = msgspec.structs.replace(changed.graph, nodes=tuple(nodes))
    run_in_one_process(msgspec.structs.replace(changed, graph=graph), tmp_path, lambda _: None)
    result = compare(reference, tmp_path)
    assert not result.identical
    assert result.first is not None
    assert "min_score" in result.settings


def test_a_live_run_goes_on_from_lap_to_lap(tmp_path: Path) -> None:
    """Each lap is a new epoch of every sensor, time goes on, no frame set mixes two, and the books balance.

    Sources and nodes as in a live run, but without waiting.
    """
    write_drive(tmp_path / "drive.mcap", 2.0, [])
    made = config(tmp_path / "drive.mcap", live=True, rate=1.0, loop=True)
    settings = PlayerSettings(start_ns=made.start_ns, end_ns=made.end_ns, loop=True, time_goes_on=True)
    player = Player(made.open(), ManualClock(), settings, made.topics)
    out: list[Message] = []
    run_plan(made.plan(), context_of(made), player.play(lambda: player.laps < 3), out.append)
    assert not any(m.payload.failed for m in out if isinstance(m.payload, NodeStatus))
    times = [m.stamp.time_ns for m in out if m.topic == "frames"]
    assert times == sorted(set(times))
    scenes = Counter((m.stamp.time_ns - made.start_ns) // player.lap_ns for m in out if m.topic == "scene")
    assert scenes.keys() == {0, 1, 2}
    assert scenes[1] >= scenes[0] - 2
    fused: Counter[int] = Counter()
    for message in out:
        if isinstance(message.payload, FrameSet):
            epochs = {slot.epoch for slot in message.payload.slots if not slot.missing}
            assert len(epochs) <= 1, message
            fused.update(epochs)
    assert set(fused) == {0, 1, 2}
    ledger = next(m.payload for m in reversed(out) if isinstance(m.payload, LedgerState))
    for row in ledger.rows:
        assert row.received == row.fused + sum(row.dropped.values()), row
        assert row.in_flight == 0, row
        assert row.fused > 0.9 * len(times), row


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ray", [False, True], ids=["tracker in a process", "tracker in a Ray actor"])
def test_processes_on_the_bus_give_the_same_bytes(reference: Path, drive: Path, tmp_path: Path, ray: bool) -> None:
    state = Supervisor(config(drive, ray), tmp_path).run()
    assert not state.given_up
    result = compare(reference, tmp_path)
    assert result.identical, result.to_text()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds."""
    return record_street(tmp_path_factory.mktemp("street"), 6.0)


def run_live(drive: Path, folder: Path, stalls: dict[str, tuple[float, float]]) -> Counter[str]:
    """Play it in real time, processes being stopped from .. to s; returns what was decided under pressure of time."""
    due = sorted(
        (at_s, process, number)
        for process, times in stalls.items()
        for at_s, number in zip(times, (signal.SIGSTOP, signal.SIGCONT), strict=True)
    )
    clock, began_ns = SystemClock(), []

    def strike(state: RunState) -> None:
        if state.started:
            began_ns.append(clock.now_ns())
        while due and began_ns and clock.now_ns() >= began_ns[0] + due[0][0] * 1e9:
            _, process, number = due.pop(0)
            pid = supervisor.pid(process)
            assert pid is not None
            os.kill(pid, number)

    supervisor = Supervisor(config(drive, live=True, rate=1.0), folder, strike)
    state = supervisor.run()
    assert not due
    assert not state.given_up
    decided: Counter[str] = Counter()
    with RecordingReader(folder / "run.mcap") as recording:
        for message in recording.messages(["frames", "scene"]):
            if isinstance(message.payload, FrameSet):
                slots = message.payload.slots
                decided["late_processing"] += sum(slot.missing == "late_processing" for slot in slots)
                decided["hurried"] += sum(slot.detections is not None and slot.detections.hurried for slot in slots)
            elif isinstance(message.payload, Scene):
                decided["skipped"] += message.payload.skipped
    lost = state.status["record"].losses
    if any(topic.startswith(("frames", "scene")) for topic in lost):
        pytest.skip(f"the recorder could not keep up, so that not even what was decided is known: {lost}")
    return decided


STALLS = {
    "detect_lidar_top": (1.2, 2.4),
    "source_ego": (2.0, 3.6),
    "fuse": (3.0, 4.2),
    "align": (4.4, 5.2),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stalls", [{}, STALLS], ids=["undisturbed", "stalled"])
def test_the_recording_of_a_live_run_gives_the_bytes_of_the_live_run(
    street: Path, tmp_path: Path, stalls: dict[str, tuple[float, float]]
) -> None:
    decided = run_live(street, tmp_path / "live", stalls)
    assert decided["late_processing"] > 0 or not stalls, decided
    recording = tmp_path / "live" / "run.mcap"
    run_in_one_process(config(recording, follow=str(recording)), tmp_path / "again", lambda _: None)
    result = compare(tmp_path / "live", tmp_path / "again")
    assert result.scenes_a > 0
    assert result.identical, (decided, result.to_text())
