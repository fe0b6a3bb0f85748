"""`syncline tune`: finds out by measuring how this machine runs each network best, and keeps it for `auto`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from fusion.engines.plans import this_processor
from fusion.engines.profile import Profile, Tuned, profile_file, save_profile
from fusion.engines.tune import WARM_UP, Candidate, best, candidates, measured
from pipeline.cli.training_run import bar, bars

NETWORKS = ("camera_simulated", "lidar_simulated", "graph")
_HALF = 0.5  # of the machine's processor time; the rest is for all else that a drive needs


def tune(
    out: Annotated[Path | None, typer.Option(help="Where to write the profile; default: where `auto` looks.")] = None,
    rate: Annotated[float, typer.Option(help="Sensor messages a second that have to be answered.", min=0.1)] = 10.0,
    rounds: Annotated[int, typer.Option(help="Answers of each candidate that are timed.", min=1)] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print all candidates as JSON.")] = False,
) -> None:
    """Measure every form of each network on every engine here, and keep the best as this machine's profile.

    Least processor time wins among those that answer within the period of the rate and agree with ONNX Runtime on the
    same file. Networks whose settings say `engine: {name: auto}` follow the profile from then on.

    Example: syncline tune --rate 10
    """
    cores = psutil.cpu_count(logical=True) or 1
    tried: dict[str, list[Candidate]] = {}
    with bars() as shown:
        for name in NETWORKS:
            told = bar(shown, name, WARM_UP + rounds)
            tried[name] = measured(list(candidates(name, cores)), rounds, told=told)
    picked = {name: best(found, 1e3 / rate) for name, found in tried.items()}
    path = out or profile_file()
    save_profile(Profile(processor=this_processor(), networks={n: _tuned(c, cores) for n, c in picked.items()}), path)
    if as_json:
        print(json.dumps([_row(c, c is picked[n]) for n, found in tried.items() for c in found], indent=1))
        return
    table = Table("network", "engine", "CPU ms", "ms", "parity dB", "", box=None)
    for name, found in tried.items():
        for one in found:
            mark = "[green]picked[/green]" if one is picked[name] else one.refused[:60]
            numbers = ("-",) * 3 if one.refused else (f"{one.cpu_ms:.2f}", f"{one.wall_ms:.2f}", f"{one.parity_db:.0f}")
            table.add_row(one.weights, _named(one), *numbers, mark)
    Console().print(table)
    Console().print(f"profile  {path}", highlight=False)


def _row(one: Candidate, is_picked: bool) -> dict[str, object]:
    known = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in one._asdict().items()}
    return known | {"engine": _named(one), "picked": is_picked}


def _named(one: Candidate) -> str:
    kind = "" if one.engine.arithmetic == "fp32" else f" {one.engine.arithmetic}"
    return f"{one.engine.name}{kind}, {one.engine.threads} thread{'s' if one.engine.threads > 1 else ''}"


def _tuned(one: Candidate, cores: int) -> Tuned:
    return Tuned(
        weights=one.weights,
        engine=one.engine,
        cpu_ms=round(one.cpu_ms, 3),
        wall_ms=round(one.wall_ms, 3),
        most_hz=round(_HALF * cores * 1e3 / max(one.cpu_ms, 1e-3), 1),
    )
