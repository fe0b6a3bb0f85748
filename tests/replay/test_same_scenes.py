"""However a drive is run, its scenes are the same to the byte: one process or many, live or replayed, Ray or not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.cli.play import named_graph, run_config
from pipeline.evaluate.compare import compare
from pipeline.run.config import RunConfig
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process
from pipeline.run.supervise import Supervisor

DRIVE = "generated:1:1.5"


def config(drive: str = DRIVE, ray: bool = False, **changes: object) -> RunConfig:
    made = run_config(drive, open_named(drive), named_graph("demo", ray), 0.0, 0.0, None)
    return msgspec.structs.replace(made, **changes)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    run_in_one_process(config(), folder, lambda _: None)
    return folder


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_recording_of_a_live_run_gives_the_bytes_of_the_live_run(tmp_path: Path) -> None:
    Supervisor(config(live=True, rate=1.0), tmp_path / "live").run()
    recording = tmp_path / "live" / "run.mcap"
    run_in_one_process(config(str(recording), follow=str(recording)), tmp_path / "again", lambda _: None)
    result = compare(tmp_path / "live", tmp_path / "again")
    assert result.scenes_a > 0
    assert result.identical, result.to_text()
