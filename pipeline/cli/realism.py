"""Command that holds the simulator against recorded drives: `realism`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from pipeline.cli.play import AsJson
from pipeline.run.drives import open_named


def realism(
    drive: Annotated[str, typer.Argument(help="Recorded drive, whose rig is simulated too.")],
    scenario: Annotated[
        str, typer.Option(help="What is simulated: a scene like the recorded one.")
    ] = "urban_pedestrian",
    seed: Annotated[int | None, typer.Option(help="Default the scenario's own.")] = None,
    seconds: Annotated[float, typer.Option(help="Of the simulated drive.", min=1)] = 8.0,
    every: Annotated[int, typer.Option(help="Measure every n-th message.", min=1)] = 2,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and numbers.")] = Path("out/realism"),
    as_json: AsJson = False,
) -> None:
    """Compare what simulated sensors give with what recorded ones gave: points, intensity, returns, Doppler, images.

    For each statistic, the share of its bins in which the simulated median lies within the recorded 5 to 95 %.

    Example: syncline realism DRIVES/pandaset_002 --scenario configs/realism/pandaset_002.yaml
    """
    # Ray casting and rendering take long to import, and no other command needs them.
    from nodes.simulator.drive import SimulatedDrive
    from nodes.simulator.named import placed_world
    from nodes.simulator.realism.drives import compare_drives
    from nodes.simulator.realism.report import as_json as curves_as_json
    from nodes.simulator.realism.report import draw

    real = open_named(drive)
    simulated = SimulatedDrive(placed_world(scenario, seed), real.rig, seconds)
    console = Console(stderr=True)
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
        task = progress.add_task("measuring")
        curves = compare_drives(real, simulated, every, lambda name: progress.update(task, description=name))
    out.mkdir(parents=True, exist_ok=True)
    (out / "realism.json").write_text(curves_as_json(curves), encoding="utf-8")
    for sensor, of in curves.items():
        draw(f"{sensor}: {real.name} against {simulated.name}", of, out / f"{sensor}.png")
    if as_json:
        print(json.dumps({sensor: {c.name: c.within for c in of} for sensor, of in curves.items()}, indent=1))
        return
    table = Table("sensor", "statistic", "bins within the recorded spread", box=None, padding=(0, 2, 0, 0))
    for sensor, of in curves.items():
        for curve in of:
            table.add_row(sensor, curve.name, f"{curve.within:.0%}" if curve.within == curve.within else "too few")
    Console().print(table)
    console.print(f"pictures and numbers: {out}")
