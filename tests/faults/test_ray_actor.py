"""The Ray actor that fuses is killed in the middle of a run of a recorded drive: the run does not notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.cli.play import named_graph, run_config
from pipeline.core.messages import Scene, Timing
from pipeline.core.run_recording import RunRecording
from pipeline.evaluate.compare import compare
from pipeline.run.config import RunConfig
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process
from pipeline.run.supervise import RunState, Supervisor

KILL_AFTER = (8, 19)  # frame sets; the tracker's state is kept every ten steps
LASTS = 3  # scenes for which an object is seen before and after, so that it must keep its identity


def config_of(drive: str, ray: bool) -> RunConfig:
    """One LiDAR of it: what fusion goes through is the same, and the run is short."""
    return run_config(drive, open_named(drive), named_graph("baseline", ray), 0.0, 0.0, ["pandargt"])


def kill_the_actor(fuse_pid: int | None) -> int:
    """SIGKILL to the worker process that Ray keeps for the fusion process; its process id."""
    for process in psutil.Process(fuse_pid).children(recursive=True):
        if process.name().startswith("ray::FusionActor"[:15]):
            process.kill()
            return process.pid
    raise AssertionError("no fusion actor below the fusion process")


@pytest.mark.slow
@pytest.mark.drives
@pytest.mark.timeout(1200)
def test_a_killed_actor_comes_back_with_its_tracks(
    drives_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    drive = str(drives_folder / "pandaset_002")
    killed: list[int] = []

    def strike(state: RunState) -> None:
        if len(killed) < len(KILL_AFTER) and state.index >= KILL_AFTER[len(killed)]:
            killed.append(kill_the_actor(supervisor.pid("fuse")))

    supervisor = Supervisor(config_of(drive, ray=True), tmp_path / "killed", strike)
    state = supervisor.run()
    assert len(set(killed)) == len(KILL_AFTER)
    assert not state.restarts, "only the actor died, none of the run's own processes"
    assert not state.given_up
    assert state.ledger is not None
    for row in state.ledger.rows:
        assert row.received == row.fused + sum(row.dropped.values()), row
        assert row.in_flight == 0, row

    with RunRecording(tmp_path / "killed") as recording:
        scenes = [m.payload for m in recording.messages(["scene"]) if isinstance(m.payload, Scene)]
        steps = [m.payload for m in recording.messages(["timing/fuse"]) if isinstance(m.payload, Timing)]
    run_in_one_process(config_of(drive, ray=False), tmp_path / "undisturbed", lambda _: None)
    result = compare(tmp_path / "undisturbed", tmp_path / "killed")
    assert result.identical, result.to_text()

    by_index = {scene.index: scene for scene in scenes}
    assert sorted(by_index) == list(range(min(by_index), min(by_index) + len(scenes)))
    for index in KILL_AFTER:
        before, after = by_index[index - LASTS], by_index[index + LASTS]
        lasting = before.track_id[(before.existence > 0.9) & (before.coasted == 0)]
        assert len(lasting) >= 5
        assert np.isin(lasting, after.track_id).mean() > 0.7, f"identities around scene {index}"

    took_s = sorted((step.ended_ns - step.started_ns) / 1e9 for step in steps)
    slow = " and ".join(f"{seconds:.1f} s" for seconds in took_s[-len(KILL_AFTER) :])
    with capsys.disabled():
        print(f"\n{len(scenes)} scenes identical; actor killed twice, back after {slow}; a step takes", end=" ")
        print(f"{1e3 * float(np.median(took_s)):.0f} ms otherwise")
