"""Command that makes a drive out of a scenario: `simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nodes.simulator.scenario.load import load_scenario, scenario_names
from nodes.sources.drive import Drive
from pipeline.cli.play import AsJson, Faults, FaultSeed, run, run_config
from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.recording import RecordingWriter
from pipeline.core.run_recording import RECORDING_FILE
from pipeline.graph import Graph
from pipeline.run.config import RunConfig, run_info, save_config
from pipeline.run.drives import open_named


def simulate(
    scenario: Annotated[str, typer.Argument(help="Name under configs/scenarios, a YAML file, or random:SEED.")] = "",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the recording.")] = Path("out/simulated"),
    seed: Annotated[int | None, typer.Option(help="Other traffic and noise; default the scenario's own.")] = None,
    seconds: Annotated[float, typer.Option(help="Only so much of it; 0 = all.", min=0)] = 0.0,
    rig: Annotated[str, typer.Option(help="Name under configs/rigs, or a YAML file.")] = "demo",
    faults: Faults = None,
    fault_seed: FaultSeed = 0,
    live: Annotated[
        bool, typer.Option(help="In real time onto the bus, each sensor from a process of its own.")
    ] = False,
    names: Annotated[bool, typer.Option("--list", help="Show the scenarios there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a drive with camera, LiDAR, radar and full truth out of a scenario, and record it.

    Without --live as fast as it goes, in one process. To run the pipeline on it while it is being made, name it to
    replay: syncline replay simulated:cut_in:3 --report out/

    Example: syncline simulate cut_in --seed 3 --out out/cut_in
    """
    if names or not scenario:
        _list()
        return
    name = f"simulated:{scenario}:{'' if seed is None else seed}{f':{seconds:g}' if seconds else ''}@{rig}"
    drive = open_named(name, faults or (), fault_seed)
    config = run_config(name, drive, Graph(name="simulate", nodes=()), 0.0, 0.0, None)
    config = msgspec.structs.replace(config, faults=tuple(faults or ()), fault_seed=fault_seed)
    if live:
        run(msgspec.structs.replace(config, rate=1.0, live=True), out, quiet=as_json)
        return
    took = _record(drive, config, out, quiet=as_json)
    length = (drive.end_ns - drive.start_ns) / 1e9
    if as_json:
        print(msgspec.json.encode({"recording": str(out / RECORDING_FILE), "seconds": length, "took": took}).decode())
    else:
        Console().print(
            f"wrote {out / RECORDING_FILE}: {length:.1f} s in {took:.1f} s, {length / took:.2f} x real time"
        )


def _list() -> None:
    table = Table("scenario", "seconds", "what happens", box=None, padding=(0, 2, 0, 0))
    for name in scenario_names():
        scenario = load_scenario(name)
        table.add_row(f"[bold]{name}[/bold]", f"{scenario.duration:g}", scenario.description)
    Console().print(table)


def _record(drive: Drive, config: RunConfig, out: Path, quiet: bool) -> float:
    """Write every message of the drive, in order of arrival; returns the seconds that it took.

    Raises:
        BadInput: a recording is there already.
    """
    if (out / RECORDING_FILE).exists():
        raise BadInput(out, RECORDING_FILE, "a folder without an earlier recording", "one")
    save_config(config, out)
    clock = SystemClock()
    started_ns = clock.now_ns()
    columns = (
        TextColumn("{task.description:<30}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:6.1f}/{task.total:.1f} s"),
        TimeElapsedColumn(),
    )
    with (
        Progress(*columns, console=Console(stderr=True), disable=quiet) as progress,
        RecordingWriter(out / RECORDING_FILE, run_info(config, drive.start_ns, 0)) as writer,
    ):
        task = progress.add_task(drive.name, total=(drive.end_ns - drive.start_ns) / 1e9)
        for message in drive.messages():
            writer.write(message)
            done = min(max(message.stamp.time_ns - drive.start_ns, 0), drive.end_ns - drive.start_ns)
            progress.update(task, completed=done / 1e9)
    return (clock.now_ns() - started_ns) / 1e9
