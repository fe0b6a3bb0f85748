"""`syncline demo`: a whole run of a simulated drive, and what it says at its end."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.cli.progress import Pace
from pipeline.core.errors import BadInput


def test_the_pace_tells_the_start_up_apart() -> None:
    assert str(Pace(20.0, 12.4, 80.0)) == "0.25 x real time: 20.0 s of driving in 80.0 s, after 12 s of start-up"
    assert str(Pace(20.0, 0.0, 10.0)) == "2.00 x real time: 20.0 s of driving in 10.0 s"


def test_a_scenario_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="urban_pedestrian"):
        CliRunner().invoke(app, ["demo", "--scenario", "no", "--out", str(tmp_path)], catch_exceptions=False)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_demo_ends_with_report_film_and_pace(tmp_path: Path) -> None:
    call = ["demo", "--scenario", "cut_in", "--seconds", "1.5", "--no-ray", "--out", str(tmp_path)]
    for again in ([], ["--overwrite"]):
        shown = CliRunner().invoke(app, [*call, *again], catch_exceptions=False)
        assert shown.exit_code == 0, shown.output
        assert re.search(r"pace +[0-9.]+ x real time: 1\.5 s of driving in [0-9.]+ s, after", shown.stdout)
        for name in ("report.html", "film.mp4"):
            assert (tmp_path / name).stat().st_size > 10_000
            assert name in shown.stdout.replace("\n", "")
    values = msgspec.json.decode((tmp_path / "metrics.json").read_bytes())["values"]
    assert values["ledger/balanced"]
    with pytest.raises(BadInput, match="without an earlier recording"):
        CliRunner().invoke(app, call, catch_exceptions=False)
