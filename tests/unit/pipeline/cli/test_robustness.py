from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from nodes.sources.faults.fault import parse_fault
from pipeline.cli.app import app
from pipeline.cli.paths import config_file
from pipeline.cli.robustness import run_and_score
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml
from pipeline.evaluate.robustness import RobustnessSettings, robustness
from pipeline.run.drives import open_named


def test_resistance_is_what_is_left_of_the_clean_score() -> None:
    settings = RobustnessSettings(severities=(1, 2), faults=("fog", "dark"))
    result = robustness(settings, "drive", "graph", 0.4, {"fog": (0.3, 0.1), "dark": (0.4, None)}, ("clutter",))
    assert result.rows[0].ra == pytest.approx((0.75, 0.25))
    assert result.rows[1].ra == (1.0, 0.0)
    assert result.mean_ra == pytest.approx(0.5)
    with pytest.raises(BadInput, match="clean score above 0"):
        robustness(settings, "drive", "graph", None, {}, ())


def test_the_list_that_comes_with_it_can_be_put_on_the_demo_drive() -> None:
    settings = load_yaml(config_file("eval", "robustness"), RobustnessSettings)
    drive = open_named("generated:0:1")
    for name in settings.faults:
        for severity in settings.severities:
            assert parse_fault(f"{name}:{severity}", drive.rig, drive.topics).sensors


@pytest.mark.slow
def test_a_second_call_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    config = tmp_path / "few.yaml"
    config.write_text("faults: [packet_loss, gnss_loss]\nseverities: [3]\n")
    call = ["robustness", "generated:1:1", "--graph", "demo", "--json", "-o", str(tmp_path / "out"), "-c", str(config)]
    first = CliRunner().invoke(app, call)
    assert first.exit_code == 0, first.output
    result = msgspec.json.decode(first.stdout)
    assert [row["fault"] for row in result["rows"]] == ["packet_loss"]
    assert result["left_out"] == ["gnss_loss"]
    assert 0.0 <= result["mean_ra"] < 1.2
    scored = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/metrics.json")}
    assert len(scored) == 2
    again = CliRunner().invoke(app, call)
    assert msgspec.json.decode(again.stdout) == result
    assert scored == {path: path.stat().st_mtime_ns for path in scored}
    other = CliRunner().invoke(app, [*call, "--fault-seed", "5"])
    assert isinstance(other.exception, BadInput), "runs of another seed are not mixed in"


def test_a_folder_that_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        run_and_score(tmp_path)
