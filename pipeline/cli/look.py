"""Command that shows: `view` a recording or a run that goes on, in the browser or in Foxglove's app."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from nodes.view import View, ViewSettings, save_view, view_recording
from nodes.view_foxglove import FoxgloveView
from pipeline.cli.paths import ROOT
from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.run.crew import current_run
from pipeline.run.watch import is_running, watch

_HOST = ViewSettings().address
_FOXGLOVE_PORT = 8765
_YIELDS = 10  # of niceness: the run comes first
_WAIT_NS = 180_000_000_000


def view(
    run: Annotated[Path, typer.Argument(help="Run folder, .mcap recording, or an .rrd written with --save.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 = any free one (Foxglove: 8765).", max=65535)] = 0,
    save: Annotated[Path | None, typer.Option(help="Write an .rrd file instead of serving a page.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    points: Annotated[int, typer.Option(help="Points of a sweep that are drawn at most.", min=100)] = 40_000,
    track: Annotated[
        list[int] | None, typer.Option("--track", "-t", help="A panel for this track (repeatable).")
    ] = None,
    foxglove: Annotated[bool, typer.Option(help="Show a run that goes on in Foxglove's app instead.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until a run begins in that folder.")] = False,
    every: Annotated[
        bool, typer.Option(help="RUN is the folder of `syncline conduct`: show one run after another.")
    ] = False,
    address: Annotated[
        str, typer.Option(help="To listen at; for containers. Others can look on, unencrypted.")
    ] = _HOST,
    data_port: Annotated[int, typer.Option(help="Port of the live data; 0 = any free one.", max=65535)] = 0,
    tied: Annotated[bool, typer.Option(hidden=True, help="End when standard input does.")] = False,
) -> None:
    """Look at a run: images with projected boxes, clouds, radar with speeds, tracks with weights, latency, ledger.

    A folder whose run goes on is shown live; a slow viewer misses messages, and never slows the run.

    Example: syncline view out/replay
    """
    console = Console(stderr=True)
    settings = ViewSettings(
        max_points=points, port=port, data_port=data_port, address=address, tracks=tuple(track or ())
    )
    if tied:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    if every:
        _every(run, settings, console)
        return
    if wait:
        _until_running(run)
    if foxglove or (save is None and is_running(run)):
        _live(run, settings, foxglove, browser, console)
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("preparing", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        if save is not None:
            save_view(run, save, settings, on_progress=show)
            console.print(f"wrote {save}")
            return
        page = view_recording(run, settings, on_progress=show)
    with page:
        console.print(f"{page.url}   (on this machine only; Ctrl-C ends it)", soft_wrap=True)
        if browser:
            webbrowser.open(page.url)
        _until_told(console)


@contextlib.contextmanager
def beside(run: Path, *options: str) -> Iterator[None]:
    """`syncline view` of the run that is about to begin in this folder, in a process of its own, which stays until
    Ctrl-C after the run has ended."""
    command = [sys.executable, "-m", "pipeline", "view", str(run.resolve()), "--wait", "--tied", *options]
    viewer = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
        if viewer.poll() is None:
            Console(stderr=True).print("the view stays open; Ctrl-C ends it")
            with contextlib.suppress(KeyboardInterrupt):
                viewer.wait()
    finally:
        viewer.terminate()
        viewer.wait()
        assert viewer.stdin is not None
        viewer.stdin.close()


def _live(run: Path, settings: ViewSettings, foxglove: bool, browser: bool, console: Console) -> None:
    """Show the run until it ends, and what is on the page after it for as long as it is wanted."""
    if not is_running(run):
        raise BadInput(run, "run", "one that goes on now; open a recording in Foxglove as the file it is", "none")
    with FoxgloveView(settings.port or _FOXGLOVE_PORT) if foxglove else View(settings=settings) as viewer:
        what = "open this connection in Foxglove" if foxglove else "on this machine only"
        console.print(f"{viewer.url}   ({what}; live; Ctrl-C ends it)", soft_wrap=True)
        if browser and not foxglove:
            webbrowser.open(viewer.url)
        with _sigterm_interrupts(), contextlib.suppress(KeyboardInterrupt):
            os.nice(_YIELDS)
            missed = watch(run, [viewer])
            if missed:
                console.print("not shown: " + ", ".join(f"{what} {count}" for what, count in missed.items()))
            console.print("the run has ended")
            _until_told(console)


def _every(runs: Path, settings: ViewSettings, console: Console) -> None:
    """Show each run that goes on among ``runs``, one after the other, on one page."""
    clock, shown = SystemClock(), None
    with View(settings=settings) as viewer, _sigterm_interrupts(), contextlib.suppress(KeyboardInterrupt):
        console.print(f"{viewer.url}   (live; Ctrl-C ends it)", soft_wrap=True)
        while True:
            run = current_run(runs)
            if run is None or run == shown or not is_running(run):
                clock.sleep_until(clock.now_ns() + 200_000_000)
                continue
            if shown is not None:
                viewer.begin_anew()
            shown = run
            watch(run, [viewer], lambda: current_run(runs) != run)  # noqa: B023  called before it changes


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: with its server."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_with_stdin() -> None:
    """Nobody is left who would end us: whoever started us has died."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _until_running(run: Path) -> None:
    clock = SystemClock()
    give_up_ns = clock.now_ns() + _WAIT_NS
    while not is_running(run):
        if clock.now_ns() > give_up_ns:
            raise BadInput(run, "run", "one to begin within three minutes", "none")
        clock.sleep_until(clock.now_ns() + 100_000_000)


def _until_told(console: Console) -> None:
    clock = SystemClock()
    try:
        while True:
            clock.sleep_until(clock.now_ns() + 3_600_000_000_000)
    except KeyboardInterrupt:
        console.print("closed")
