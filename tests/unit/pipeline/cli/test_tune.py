"""`syncline tune` keeps what was measured best as this machine's profile, and prints all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusion.engines.engine import EngineSettings
from fusion.engines.plans import this_processor
from fusion.engines.profile import Profile, this_profile
from fusion.engines.tune import Candidate
from pipeline.cli import tune
from pipeline.cli.app import app
from pipeline.core.settings import load_yaml


@pytest.fixture(autouse=True)
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(tried: list[Candidate], rounds: int, told: Callable[[int], None]) -> list[Candidate]:
        told(rounds)
        found = [c._replace(cpu_ms=5.0, wall_ms=5.0, parity_db=80.0) for c in tried]
        found[0] = found[0]._replace(refused="package: not installed", cpu_ms=float("nan"))
        found[2] = found[2]._replace(cpu_ms=1.0)
        return found

    monkeypatch.setattr(tune, "measured", measured)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_best_of_each_network_is_the_profile_that_auto_follows() -> None:
    assert CliRunner().invoke(app, ["tune", "--rounds", "1"], catch_exceptions=False).exit_code == 0
    profile = this_profile()
    assert profile is not None
    assert set(profile.networks) == set(tune.NETWORKS)
    assert all(tuned.cpu_ms == 1.0 for tuned in profile.networks.values())


def test_all_candidates_are_printed_and_another_file_leaves_this_machine_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "profile.yaml"
    ran = CliRunner().invoke(app, ["tune", "--out", str(out), "--json"], catch_exceptions=False)
    rows = json.loads(ran.stdout)
    assert [row["weights"] for row in rows if row["picked"]] == list(tune.NETWORKS)
    assert rows[0]["refused"] == "package: not installed"
    assert rows[0]["cpu_ms"] is None
    assert this_profile() is None
    written = load_yaml(out, Profile)
    assert written.processor == this_processor()
    assert isinstance(written.networks["graph"].engine, EngineSettings)
