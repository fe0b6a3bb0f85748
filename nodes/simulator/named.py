"""From what a person names to a simulated drive: `simulated:SCENARIO[:SEED[:SECONDS]][@RIG]`."""

from __future__ import annotations

from pathlib import Path

from calibration.rig import Rig
from nodes.simulator.drive import SimulatedDrive
from nodes.simulator.scenario.load import open_world
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml

PREFIX = "simulated:"
_RIGS = Path(__file__).resolve().parents[2] / "configs" / "rigs"
_FORM = "simulated:SCENARIO[:SEED[:SECONDS]][@RIG], such as simulated:cut_in:3:10@demo"


def open_simulated(name: str) -> SimulatedDrive:
    """The drive of that name.

    RIG is a name under `configs/rigs` or a YAML file; without it `demo`. Without SEED it is the scenario's own.

    Raises:
        BadInput: no such scenario or rig, a wrong one, a scenario that cannot be placed, or a name of no such form.
    """
    rest, _, rig = name.removeprefix(PREFIX).partition("@")
    scenario, *numbers = rest.split(":")
    try:
        seed = int(numbers[0]) if numbers and numbers[0] else None
        seconds = float(numbers[1]) if len(numbers) > 1 else None
    except ValueError as error:
        raise BadInput(name, "drive", _FORM, error) from error
    if len(numbers) > 2 or (seconds is not None and not seconds > 0):
        raise BadInput(name, "drive", _FORM, rest)
    return SimulatedDrive(open_world(scenario, seed), load_yaml(_rig_file(rig or "demo"), Rig), seconds)


def _rig_file(name: str) -> Path:
    return Path(name) if name.endswith((".yaml", ".yml")) else _RIGS / f"{name}.yaml"
