"""Scenarios by name: those of configs/scenarios, files, and `random:SEED`."""

from __future__ import annotations

from pathlib import Path

from nodes.simulator.scenario.draw import draw
from nodes.simulator.scenario.place import place
from nodes.simulator.scenario.settings import Scenario
from nodes.simulator.world.world import World
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml, located

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "scenarios"


def scenario_names() -> tuple[str, ...]:
    """Of the scenarios that come with the project, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """A named scenario, a YAML file, or a random one, `random:SEED`.

    Raises:
        BadInput: no such scenario, or a wrong field, with its line.
    """
    drawn = _random_seed(name_or_path)
    return load_yaml(_file(name_or_path), Scenario) if drawn is None else draw(drawn)


def open_world(name_or_path: str | Path, seed: int | None = None) -> World:
    """Load and place. Errors of placing name the file and the line too.

    Raises:
        BadInput: as `load_scenario` and `place`.
    """
    scenario = load_scenario(name_or_path)
    try:
        return place(scenario, seed)
    except BadInput as error:
        if _random_seed(name_or_path) is not None:
            raise
        path = _file(name_or_path)
        text = path.read_text(encoding="utf-8")
        raise located(BadInput(path, error.field, error.expected, error.found), text) from error


def _random_seed(name: str | Path) -> int | None:
    """The number of a `random:SEED`, None for all other names."""
    kind, colon, number = str(name).partition(":")
    if kind != "random" or not colon:
        return None
    if not (number.isdigit() and len(number) < 19):
        raise BadInput("scenario", str(name), "random: and a whole number from 0", number or "nothing")
    return int(number)


def _file(name_or_path: str | Path) -> Path:
    named = FOLDER / f"{name_or_path}.yaml"
    if isinstance(name_or_path, str) and name_or_path in scenario_names():
        return named
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
    raise BadInput(
        "scenario", str(name_or_path), f"random:SEED, a YAML file or one of {', '.join(scenario_names())}", "none"
    )
