"""A wrong scenario gets an error with line and field; one that cannot be placed says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.simulator.scenario.load import load_scenario, open_world, scenario_names
from pipeline.core.errors import BadInput

GOOD = """\
name: mine
duration: 3
road: {lanes: 2, speed_limit: 20}
ego: {lane: 1, speed: 15}
vehicles:
  - shape: sedan
    ahead: 30
    speed: 15
  - shape: suv
    ahead: 50
    lane: 2
    speed: 14
"""


@pytest.mark.parametrize("name", scenario_names())
def test_named_scenarios_are_called_as_their_files(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert len(scenario.description) > 20


@pytest.mark.parametrize(
    ("was", "spoilt", "line", "field", "problem"),
    [
        ("lane: 2", "lane: two", 11, "$.vehicles[1].lane", "Expected `int`"),
        ("shape: suv", "shape: tank", 9, "$.vehicles[1].shape", "tank"),
        ("    ahead: 50\n", "", 9, "$.vehicles[1]", "missing required field `ahead`"),
        ("    speed: 14", "    sped: 14", 12, "$.vehicles[1]", "unknown field `sped`"),
        ("duration: 3", "duration: -3", 2, "$.duration", ">= 1"),
        ("lanes: 2,", "lanes: 2, line: [{length: 9, radius: 3}],", 3, "$.road.line[0]", "at least 25 m"),
        ("lane: 2", "lane: 3", 11, "$.vehicles[1].lane", "lane 3 of 2 does not exist"),
        ("lane: 2", "does: [{lane: 4}]", 11, "$.vehicles[1].does[0].lane", "lane 4 of 2 does not exist"),
        ("ahead: 50", "ahead: 5000", 10, "$.vehicles[1].ahead", "5000"),
        ("name: mine", "name: mine\nparked: [{side: left}]", 2, "$.parked[0]", "road.parking is 0"),
        ("ahead: 30", "ahead: 3", 7, "$.vehicles[0].ahead", "overlaps ego"),
    ],
)
def test_errors_name_line_and_field(tmp_path: Path, was: str, spoilt: str, line: int, field: str, problem: str) -> None:
    path = tmp_path / "mine.yaml"
    assert was in GOOD
    path.write_text(GOOD.replace(was, spoilt, 1))
    with pytest.raises(BadInput) as caught:
        open_world(path)
    error = caught.value
    assert (error.source, error.line, error.field) == (str(path), line, field)
    assert problem in error.found


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(BadInput, match="highway_cruise"):
        load_scenario("highway_crews")


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nroad: {lanes: 2\nego: {}\n")
    with pytest.raises(BadInput, match=r"mine\.yaml:3: file"):
        load_scenario(path)


@pytest.mark.parametrize(
    ("was", "spoilt", "told"),
    [
        ("shape: suv", "shape: car", ("mine.yaml:9", "sedan, suv, tractor", "'car'")),
        ("    speed: 14", "    velocity: 14", ("mine.yaml:12", "heedless", "`velocity`")),
        ("speed: 15}", "speed: 130}", ("mine.yaml:4", "<= 60", "got 130")),
        ("speed: 15}", "speed: 50 km/h}", ("mine.yaml:4", "$.ego.speed", "`str`")),
        ("duration: 3", "duration: 3\nduration: 5", ("mine.yaml:3", "`duration` stands twice")),
        ("duration: 3", "light: {sun_elevation: 45}", ("mine.yaml:2", "$.light", "1.57 rad", "degrees?")),
        ("duration: 3", "traffic: {mix: {car: 1}}", ("mine.yaml:2", "$.traffic.mix", "sedan", "'car'")),
        ("duration: 3", "people: [{ahead: 20, does: run}]", ("mine.yaml:2", "cross, stand, walk", "'run'")),
        ("duration: 3", "\tduration: 3", ("mine.yaml:2", "character")),
        ("vehicles:\n", "vehicles:\n  - {ahead: 9, turn: left}\n", ("mine.yaml:6", "a road with a junction")),
    ],
)
def test_a_newcomer_is_told_what_would_have_been_right(
    tmp_path: Path, was: str, spoilt: str, told: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.yaml"
    assert was in GOOD
    path.write_text(GOOD.replace(was, spoilt, 1))
    with pytest.raises(BadInput) as caught:
        open_world(path)
    assert all(part in str(caught.value) for part in told), caught.value
