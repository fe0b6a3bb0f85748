"""Runs whose processes are started elsewhere: `conduct` begins them one after the other, `join` is a part of each. What
the containers of docker-compose.yml run."""

from __future__ import annotations

import itertools
import shutil
import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from pipeline.cli.play import DriveArgument, GraphName, Rate, named_graph, run_config
from pipeline.core.clock import SystemClock
from pipeline.run.crew import AbsentCrew
from pipeline.run.drives import open_named
from pipeline.run.join import join as join_runs
from pipeline.run.supervise import RunState, Supervisor

_ALIVE = Path("/tmp/syncline-alive")
_TOLD_NS = 10_000_000_000

Runs = Annotated[Path, typer.Option(help="Folder that all parts share; each run gets a folder in it.")]


def conduct(
    drive: DriveArgument,
    runs: Runs = Path("runs"),
    graph: GraphName = "simulated",
    rate: Rate = 0.0,
    keep: Annotated[int, typer.Option(help="Runs whose recordings are kept.", min=1)] = 3,
    count: Annotated[int, typer.Option(help="How many runs; 0 = without end.", min=0)] = 0,
    ray_address: Annotated[str, typer.Option(help="Ray cluster to join; empty: one within the fusion process.")] = "",
) -> None:
    """Begin a run of the drive, wait until it has ended, begin the next; its processes are started by `syncline join`.

    If it dies, the run that goes on ends, its recording is kept, and the next one begins.

    Example: syncline conduct simulated:urban_pedestrian --runs runs
    """
    config = run_config(drive, open_named(drive, (), 0), named_graph(graph, True), 0.0, 0.0, None)
    config = msgspec.structs.replace(config, rate=rate, ray_address=ray_address)
    runs.mkdir(parents=True, exist_ok=True)
    stopped = _stops()
    first = 1 + max((int(folder.name) for folder in runs.iterdir() if folder.name.isdigit()), default=0)
    for number in itertools.islice(itertools.count(first), count or None):
        for old in sorted(folder for folder in runs.iterdir() if folder.name.isdigit())[:-keep]:
            shutil.rmtree(old)
        folder = runs / f"{number:06d}"
        told = _Told(folder.name)
        state = Supervisor(config, folder, told.state, crew=AbsentCrew(folder)).run()
        told.end(state)
        if stopped:
            break


def _stops() -> list[int]:
    """Holds the signals that have asked for an end; the first one interrupts the run that goes on."""
    told: list[int] = []

    def tell(number: int, frame: object) -> None:
        told.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    return told


def join(
    names: Annotated[list[str], typer.Argument(help="Processes: of nodes, source_<sensor>, or record.")],
    runs: Runs = Path("runs"),
) -> None:
    """Be these processes of every run that `syncline conduct` begins; what dies is started again.

    Example: syncline join source_lidar_top detect_lidar_top --runs runs
    """
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopped.append(number))
    join_runs(runs, names, SystemClock(), lambda: bool(stopped), _ALIVE.touch)


class _Told:
    """Lines for a log: what the run has come to, every ten seconds and where something goes wrong."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._console = Console(stderr=True)
        self._clock = SystemClock()
        self._next_ns = 0
        self._failed: set[str] = set()

    def state(self, state: RunState) -> None:
        _ALIVE.touch()
        for node, status in state.status.items():
            if status.failed and node not in self._failed:
                self._failed.add(node)
                self._say(f"{node}: {status.last_error}")
        now_ns = self._clock.now_ns()
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + _TOLD_NS
            late = sorted(set(state.names) - state.ready)
            self._say(f"frame set {state.index}" if state.started else f"waiting for {', '.join(late)}")

    def end(self, state: RunState) -> None:
        rows = state.ledger.rows if state.ledger else ()
        balanced = all(row.received == row.fused + sum(row.dropped.values()) + row.in_flight for row in rows)
        self._say(f"ended at frame set {state.index}; ledger {'balanced' if balanced else 'NOT balanced'}")

    def _say(self, text: str) -> None:
        self._console.print(f"run {self._name}: {text}", soft_wrap=True, highlight=False)
