"""Command that rewrites: `convert` a drive into the layout of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from nodes.export.nuscenes import SCENE, export_nuscenes
from pipeline.core.messages import Message
from pipeline.run.drives import open_named

DriveArgument = Annotated[str, typer.Argument(help="Recorded drive (folder or file), or a simulated one.")]


def convert(
    drive: DriveArgument,
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    layout: Annotated[Literal["nuscenes"], typer.Option("--to", help="Layout to write.")] = "nuscenes",
    scene: Annotated[str, typer.Option(help="Name of the scene; the devkit scores only names that it knows.")] = SCENE,
) -> None:
    """Write a drive in the layout of nuScenes, for its devkit and for models that train on it.

    Example: syncline convert out/demo/run.mcap out/nuscenes
    """
    opened = open_named(drive)
    total = sum(n for topic, n in opened.counts.items() if topic.partition("/")[0] in ("camera", "lidar", "radar"))
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("writing", total=total)

        def show(message: Message) -> None:
            progress.update(task, advance=1, description=message.topic)

        export_nuscenes(opened, out, scene, show)
    for reason, count in opened.unreadable.items():
        console.print(f"[yellow]left out: {reason}: {count}[/yellow]")
    console.print(f"wrote {out}, layout {layout}, scene {scene}")
