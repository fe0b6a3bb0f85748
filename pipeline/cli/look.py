"""Command that shows: `view` a recording in the browser, or write it for the viewer."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from nodes.view import ViewSettings, save_view, view_recording
from pipeline.core.clock import SystemClock

_RECORDING = "run.mcap"


def view(
    run: Annotated[Path, typer.Argument(help="Run folder, .mcap recording, or an .rrd written with --save.")],
    port: Annotated[int, typer.Option(help="Port of the page on 127.0.0.1; 0 = any free one.", min=0, max=65535)] = 0,
    save: Annotated[Path | None, typer.Option(help="Write an .rrd file instead of serving a page.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    points: Annotated[int, typer.Option(help="Points of a sweep that are drawn at most.", min=100)] = 40_000,
) -> None:
    """Look at a run: images with projected boxes, clouds, radar with speeds, tracks with weights, latency, ledger.

    Example: syncline view out/replay
    """
    console, settings = Console(stderr=True), ViewSettings(max_points=points, port=port)
    recording = run / _RECORDING if run.is_dir() else run
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("preparing", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        if save is not None:
            save_view(recording, save, settings, on_progress=show)
            console.print(f"wrote {save}")
            return
        page = view_recording(recording, settings, on_progress=show)
    with page:
        console.print(f"{page.url}   (on this machine only; Ctrl-C ends it)")
        if browser:
            webbrowser.open(page.url)
        clock = SystemClock()
        try:
            while True:
                clock.sleep_until(clock.now_ns() + 3_600_000_000_000)
        except KeyboardInterrupt:
            console.print("closed")
