"""From what a person names to a simulated drive: `simulated:SCENARIO[:SEED[:SECONDS]][@RIG]`."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import msgspec

from calibration.rig import Rig
from fusion.detect.weights import cache_folder
from nodes.simulator.drive import SimulatedDrive
from nodes.simulator.scenario.load import load_scenario, open_world
from nodes.simulator.world.store import load_world, save_world
from nodes.simulator.world.world import World
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml

PREFIX = "simulated:"
_RIGS = Path(__file__).resolve().parents[2] / "configs" / "rigs"
_KEPT = 128  # worlds in the cache, about 1.5 MB each
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
    return SimulatedDrive(placed_world(scenario, seed), load_yaml(_rig_file(rig or "demo"), Rig), seconds)


def placed_world(scenario: str, seed: int | None) -> World:
    """The placed scenario, kept in the user's cache: a run opens it in every one of its processes."""
    path = cache_folder().parent / "worlds" / f"{_key(scenario, seed)}.npz"
    with contextlib.suppress(BadInput, FileNotFoundError):  # a damaged one is made anew
        return load_world(path)
    world = open_world(scenario, seed)
    with contextlib.suppress(OSError):  # a full or read-only disk costs time, no more
        save_world(world, path)
        kept = sorted(path.parent.glob("*.npz"), key=lambda file: file.stat().st_mtime)
        for oldest in kept[:-_KEPT]:
            oldest.unlink()
    return world


def _key(scenario: str, seed: int | None) -> str:
    """Changes with all that a world is made from: the scenario as written, the seed, the code that places it."""
    digest = hashlib.sha256(f"{scenario} {seed}".encode())
    with contextlib.suppress(BadInput):
        digest.update(msgspec.msgpack.encode(load_scenario(scenario)))
    for folder in ("scenario", "world"):
        for path in sorted((Path(__file__).parent / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _rig_file(name: str) -> Path:
    return Path(name) if name.endswith((".yaml", ".yml")) else _RIGS / f"{name}.yaml"
