"""`syncline live`: a run of real sensors instead of a recorded drive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli.paths import config_file
from pipeline.cli.play import named_graph, run
from pipeline.core.clock import SystemClock
from pipeline.graph import Graph
from pipeline.run.live_source import live_config


def live(
    sensors: Annotated[str, typer.Argument(help="Name under configs/live, or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the recording.")] = Path("out/live"),
    graph: Annotated[str, typer.Option("--graph", "-g", help="What to make of them; none = only record.")] = "baseline",
    seconds: Annotated[float, typer.Option(help="How long; it ends sooner with Ctrl-C.", min=0.1, max=1e6)] = 3600.0,
    ray: Annotated[bool, typer.Option(help="Fuse in a supervised Ray actor.")] = True,
) -> None:
    """Read real sensors, fuse and record them; then: syncline evaluate, view or replay the recording.

    Example: syncline live three_sensors --seconds 60 --out out/first_drive
    """
    wanted = Graph(name="record", nodes=()) if graph == "none" else named_graph(graph, ray)
    config = live_config(config_file("live", sensors), wanted, seconds, SystemClock())
    run(config, out, quiet=False)
    Console().print(f"wrote {out / 'run.mcap'}")
