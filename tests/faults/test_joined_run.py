"""A run whose processes are started by others, as containers do: one dies with all that it runs, and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.sources.recording import RecordedDrive
from pipeline.cli.play import named_graph, run_config
from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import Scene
from pipeline.core.run_recording import RunRecording
from pipeline.evaluate.reasons import REASONS
from pipeline.run.config import save_config
from pipeline.run.crew import CURRENT_FILE, AbsentCrew, current_run, newest_frame
from pipeline.run.drives import open_named
from pipeline.run.join import join
from pipeline.run.supervise import RunState, Supervisor
from tests.faults.stubborn_drive import write_drive

SECOND, SECONDS = 1_000_000_000, 12.0
PARTS = {
    "top": ("source_top", "detect_top"),
    "rest": ("source_front", "detect_front", "source_bumper", "detect_bumper", "source_ego"),
    "align": ("align",),
    "fusion": ("fuse", "record"),
}


class Parts:
    """Each a program of its own, with whatever it starts in one process group."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._programs = {name: self._start(name) for name in PARTS}

    def kill(self, name: str) -> None:
        os.killpg(self._programs[name].pid, signal.SIGKILL)
        self._programs[name].wait()

    def start_again(self, name: str) -> None:
        self._programs[name] = self._start(name)

    def end(self) -> list[int]:
        """Exit codes after being asked to end."""
        for program in self._programs.values():
            program.terminate()
        return [program.wait(60) for program in self._programs.values()]

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipeline", "join", *PARTS[name], "--runs", str(self._runs)]
        return subprocess.Popen(command, start_new_session=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["top", "align"])
def test_a_part_dies_whole_and_comes_back(tmp_path: Path, victim: str) -> None:
    write_drive(tmp_path / "drive.mcap", SECONDS, [])
    drive = str(tmp_path / "drive.mcap")
    config = run_config(drive, open_named(drive), named_graph("simulated", ray=False), 0.0, 0.0, None)
    runs = tmp_path / "runs"
    runs.mkdir()
    folder = runs / "000001"
    parts, clock = Parts(runs), SystemClock()
    killed_ns = 0

    def strike(state: RunState) -> None:
        nonlocal killed_ns
        if state.index >= 30 and not killed_ns:
            killed_ns = clock.now_ns()
            parts.kill(victim)
            parts.start_again(victim)

    try:
        state = Supervisor(config, folder, strike, crew=AbsentCrew(folder)).run()
        assert current_run(runs) is None
    finally:
        codes = parts.end()
    assert codes == [0] * len(PARTS)
    assert killed_ns
    assert (folder / "lives" / PARTS[victim][0]).read_bytes() == b".."
    assert state.ledger is not None
    for row in state.ledger.rows:
        assert row.received == row.fused + sum(row.dropped.values()), row
        assert row.in_flight == 0, row
        assert row.dropped.keys() <= REASONS.keys(), row
        assert "lost_in_transit" not in row.dropped, row
    with RunRecording(folder) as recording:
        scenes = [m.stamp.time_ns for m in recording.messages(["scene"]) if isinstance(m.payload, Scene)]
    assert max(scenes) - min(scenes) > (SECONDS - 1.0) * SECOND
    assert len(scenes) > 0.8 * SECONDS * 10
    assert RecordedDrive(folder).counts["pose/ego"] > 0.9 * SECONDS * 100


def test_a_run_is_current_only_while_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "000007"
    folder.mkdir()
    crew = AbsentCrew(folder)
    assert current_run(tmp_path) is None
    crew.start("align", None)  # type: ignore[arg-type]  whoever starts it, counts its lives
    assert current_run(tmp_path) == folder
    assert newest_frame(folder) == (0, -1)
    crew.progress(3, 41)
    assert newest_frame(folder) == (3, 41)
    crew.end(SystemClock())
    assert current_run(tmp_path) is None


@pytest.mark.parametrize("name", ["..", "../elsewhere", "", "a b", "/etc", "nowhere"])
def test_no_name_leads_out_of_the_folder_of_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / CURRENT_FILE).write_text(name)
    assert current_run(tmp_path) is None


def test_spoiled_progress_is_none(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"epoch": 1}')
    assert newest_frame(tmp_path) == (0, -1)


def test_a_part_that_the_run_has_not_is_named(tmp_path: Path) -> None:
    write_drive(tmp_path / "drive.mcap", 1.0, [])
    drive = str(tmp_path / "drive.mcap")
    config = run_config(drive, open_named(drive), named_graph("simulated", ray=False), 0.0, 0.0, None)
    folder = tmp_path / "runs" / "000001"
    save_config(config, folder)
    AbsentCrew(folder).start("align", None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"detect_rear"):
        join(tmp_path / "runs", ["align", "detect_rear"], SystemClock())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_conductor_that_is_told_to_end_begins_no_other_run(tmp_path: Path) -> None:
    write_drive(tmp_path / "drive.mcap", SECONDS, [])
    runs = tmp_path / "runs"
    command = [sys.executable, "-m", "pipeline", "conduct", str(tmp_path / "drive.mcap"), "--runs", str(runs)]
    conductor, clock = subprocess.Popen(command), SystemClock()
    while current_run(runs) is None:
        clock.sleep_until(clock.now_ns() + SECOND // 10)
        assert conductor.poll() is None
    conductor.terminate()
    assert conductor.wait(60) == 0
    assert [folder.name for folder in runs.iterdir()] == ["000001"]
