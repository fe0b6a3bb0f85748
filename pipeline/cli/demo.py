"""`syncline demo`: a simulated drive through everything, with a report and a film at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from pipeline.cli.play import Faults, named_graph, run, run_config
from pipeline.cli.results import finish_run
from pipeline.core.run_recording import recording_parts
from pipeline.run.drives import open_named


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out/demo"),
    scenario: Annotated[str, typer.Option(help="What to drive through; see `syncline simulate --list`.")] = (
        "urban_pedestrian"
    ),
    seconds: Annotated[float, typer.Option(help="Length of the drive, at most the scenario's.", min=1, max=60)] = 20.0,
    seed: Annotated[int | None, typer.Option(help="Other traffic and noise; default the scenario's own.")] = None,
    graph: Annotated[str, typer.Option("--graph", "-g", help="Name under configs/graphs, or a YAML file.")] = (
        "simulated"
    ),
    ray: Annotated[bool, typer.Option(help="Fuse in a supervised Ray actor.")] = True,
    faults: Faults = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the recording of an earlier demo there.")] = False,
) -> None:
    """Simulate a drive with cameras, LiDAR and radars, run the whole pipeline on it, and write a report and a film.

    Example: syncline demo --scenario cut_in --seconds 5
    """
    drive = f"simulated:{scenario}:{'' if seed is None else seed}:{seconds:g}"
    with Console(stderr=True).status(f"placing {scenario} (once; then it is kept)"):
        opened = open_named(drive, faults or ())
    config = run_config(drive, opened, named_graph(graph, ray), 0.0, 0.0, None)
    config = msgspec.structs.replace(config, faults=tuple(faults or ()))
    if overwrite:
        for part in recording_parts(out):
            part.unlink()
    pace = run(config, out, quiet=False)
    with Console(stderr=True).status("scoring, drawing report and film"):
        finish_run(out, page=True, as_json=False)
    Console().print(f"pace     {pace}", highlight=False)
