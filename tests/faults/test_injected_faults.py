"""A run of a faulty drive: its books balance, its configuration repeats it, and its truth is on record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from nodes.sources.faults.table import FAULTS
from pipeline.cli.app import app
from pipeline.cli.play import named_graph, run_config
from pipeline.core.messages import LedgerState
from pipeline.core.recording import RecordingReader
from pipeline.core.truth import TruthSensor
from pipeline.evaluate.compare import compare
from pipeline.evaluate.run_log import load_run
from pipeline.run.config import load_config
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process
from tests.simulated import record_street

_STREAM = [kind.name for kind in FAULTS if kind.stage in ("link", "clock") and kind.name != "gnss_loss"]


def ledger(folder: Path) -> LedgerState:
    with RecordingReader(folder / "run.mcap") as recording:
        states = [m.payload for m in recording.messages(["ledger"])]
    last = states[-1]
    assert isinstance(last, LedgerState)
    return last


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_street(tmp_path_factory.mktemp("street"), 1.0)


def run_of(street: Path, folder: Path, *faults: str) -> Path:
    drive = str(street)
    made = run_config(drive, open_named(drive, faults), named_graph("simulated", ray=False), 0.0, 0.0, None)
    run_in_one_process(msgspec.structs.replace(made, faults=faults), folder, lambda _: None)
    return folder


@pytest.mark.parametrize("name", [*_STREAM, "frozen", "stale"])
def test_the_books_balance_under_every_fault_of_a_stream(name: str, street: Path, tmp_path: Path) -> None:
    faults = [f"{name}:3"] if name != "dead" else ["lidar_top.dead@0.3-0.6", "camera_front.dead"]
    run_of(street, tmp_path, *faults)
    rows = {row.sensor: row for row in ledger(tmp_path).rows}
    assert len(rows) == 4
    for row in rows.values():
        assert row.received == row.fused + sum(row.dropped.values())
        assert row.in_flight == 0
    dropped = {reason for row in rows.values() for reason in row.dropped}
    if name == "duplicate":
        assert "duplicate" in dropped
    if name in ("packet_loss", "missing"):
        assert "not_in_drive" in dropped


def test_a_run_can_be_repeated_from_its_configuration(street: Path, tmp_path: Path) -> None:
    first = run_of(street, tmp_path / "first", "packet_loss:2", "lidar_top.stale:2", "fog:2")
    run_in_one_process(load_config(first), tmp_path / "again", lambda _: None)
    result = compare(first, tmp_path / "again")
    assert result.scenes_a > 0
    assert result.identical, result.to_text()
    assert not compare(run_of(street, tmp_path / "clean"), first).identical


def test_what_was_injected_is_on_record(street: Path, tmp_path: Path) -> None:
    run_of(street, tmp_path, "camera_front.dirt:1@0.2-0.5")
    with RecordingReader(tmp_path / "run.mcap") as recording:
        told = [m.payload for m in recording.messages(["truth/sensor/camera_front"])]
    assert [t.faults for t in told if isinstance(t, TruthSensor)][:3] == [(), ("dirt:1",), ()]


def test_the_list_of_faults() -> None:
    shown = CliRunner().invoke(app, ["faults", "--json"])
    assert shown.exit_code == 0
    assert {row["name"] for row in msgspec.json.decode(shown.stdout)} == {kind.name for kind in FAULTS}


@pytest.mark.parametrize(
    ("faults", "shown"),
    [
        (("camera_front.dirt:1@0.2-0.5",), ("camera_front.dirt:1",)),
        (("lidar.stale:1", "radar.clutter=5"), ("lidar_top.stale:1", "radar.clutter=5")),
        (("fog:1",), ("fog:1",)),
    ],
)
def test_the_report_names_what_was_injected(
    faults: tuple[str, ...], shown: tuple[str, ...], street: Path, tmp_path: Path
) -> None:
    assert load_run(run_of(street, tmp_path, *faults)).faults == shown
