"""However a drive is run, its scenes are the same to the byte: one process or many, live or replayed, Ray or not."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nodes.sources.recording import RecordedDrive
from pipeline.cli.play import named_graph, run_config
from pipeline.core.messages import FrameSet
from pipeline.core.recording import RecordingReader
from pipeline.evaluate.compare import compare
from pipeline.run.config import RunConfig
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process
from pipeline.run.supervise import Supervisor
from tests.replay.summary import DRIVE, GOLDEN, summary


def config(drive: str = DRIVE, ray: bool = False, **changes: object) -> RunConfig:
    made = run_config(drive, open_named(drive), named_graph("demo", ray), 0.0, 0.0, None)
    return msgspec.structs.replace(made, **changes)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    run_in_one_process(config(), folder, lambda _: None)
    return folder


def test_the_run_is_the_golden_one(reference: Path) -> None:
    """Scenes may differ a little between processors; the books may not. After a wanted change: `make golden`."""
    golden, now = json.loads(GOLDEN.read_text()), summary(reference)
    assert now["ledger"] == golden["ledger"]
    assert len(now["scenes"]) == len(golden["scenes"])
    for index, (scene, wanted) in enumerate(zip(now["scenes"], golden["scenes"], strict=True)):
        apart = np.linalg.norm(np.array(wanted)[:, None] - np.array(scene)[None], axis=2)
        assert (apart.min(axis=1) < 0.2).mean() > 0.9, f"scene {index}: {wanted} against {scene}"
        assert abs(len(scene) - len(wanted)) <= 1, f"scene {index}"


def test_a_second_run_gives_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    run_in_one_process(config(), tmp_path, lambda _: None)
    result = compare(reference, tmp_path)
    assert result.scenes_a >= 14
    assert result.identical, result.to_text()


def test_its_recording_gives_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    run_in_one_process(config(str(reference)), tmp_path, lambda _: None)
    result = compare(reference, tmp_path)
    assert result.identical, result.to_text()


def test_one_changed_threshold_is_found_at_the_first_scene_it_changes(reference: Path, tmp_path: Path) -> None:
    changed = config()
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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ray", [False, True], ids=["tracker in a process", "tracker in a Ray actor"])
def test_processes_on_the_bus_give_the_same_bytes(reference: Path, tmp_path: Path, ray: bool) -> None:
    state = Supervisor(config(ray=ray), tmp_path).run()
    assert not state.given_up
    result = compare(reference, tmp_path)
    assert result.identical, result.to_text()


def kept(recording: Path) -> int:
    """How many sensor messages are in a recording."""
    counts = RecordedDrive(recording).counts
    return sum(n for topic, n in counts.items() if topic.partition("/")[0] in ("camera", "lidar", "radar", "pose"))


def waited_in_vain(recording: Path) -> bool:
    with RecordingReader(recording) as reader:
        frames = [message.payload for message in reader.messages(["frames"])]
    return any(slot.missing == "late_processing" for f in frames if isinstance(f, FrameSet) for slot in f.slots)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_recording_of_a_live_run_gives_the_bytes_of_the_live_run(reference: Path, tmp_path: Path) -> None:
    """Played in real time from a recording, for the street is not drawn as fast as it happens."""
    Supervisor(config(str(reference), live=True, rate=1.0), tmp_path / "live").run()
    recording = tmp_path / "live" / "run.mcap"
    if kept(recording) < kept(reference / "run.mcap") or waited_in_vain(recording):
        pytest.skip("this machine cannot keep up with real time: what was not recorded in time cannot be repeated")
    run_in_one_process(config(str(recording), follow=str(recording)), tmp_path / "again", lambda _: None)
    result = compare(tmp_path / "live", tmp_path / "again")
    assert result.scenes_a > 0
    assert result.identical, result.to_text()
