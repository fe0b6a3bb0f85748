"""Commands that make a run of a drive: `replay` it, or `record` it without fusing."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from calibration.rig import Rig
from nodes.sources.drive import Drive
from pipeline.cli.keys import HELP, Keys
from pipeline.cli.look import beside
from pipeline.cli.paths import config_file
from pipeline.cli.progress import Pace, RunDisplay
from pipeline.cli.results import finish_run
from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.topics import topic_row
from pipeline.graph import Graph, load_graph
from pipeline.run.config import RunConfig
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process
from pipeline.run.supervise import Supervisor

_TRUTH = "truth/objects"

DriveArgument = Annotated[
    str, typer.Argument(help="Recorded drive (folder or file), or simulated:SCENARIO[:SEED[:SECONDS]].")
]
Out = Annotated[Path, typer.Option("--report", "--out", "-o", help="Folder for recording, metrics and report.")]
GraphName = Annotated[str, typer.Option("--graph", "-g", help="Name under configs/graphs, or a YAML file.")]
Rate = Annotated[float, typer.Option(help="Drive seconds per second; 0 = as fast as it goes, losing nothing.", min=0)]
Begin = Annotated[float, typer.Option("--from", help="Start, seconds into the drive.", min=0)]
End = Annotated[float, typer.Option("--to", help="End, seconds into the drive; 0 = all of it.", min=0)]
Sensors = Annotated[list[str] | None, typer.Option("--sensor", "-s", help="Only these sensors (repeatable).")]
Faults = Annotated[
    list[str] | None, typer.Option("--fault", help="Inject it, such as fog:3 (repeatable); see `syncline faults`.")
]
FaultSeed = Annotated[int, typer.Option(help="Another seed gives other random faults.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON, nothing else.")]


def replay(
    drive: DriveArgument,
    out: Out = Path("out/replay"),
    graph: GraphName = "baseline",
    rate: Rate = 0.0,
    live: Annotated[bool, typer.Option(help="The sources stand in for sensors: arrival is stamped anew.")] = False,
    begin: Begin = 0.0,
    end: End = 0.0,
    loop: Annotated[bool, typer.Option(help="Begin again at the end; q ends it.")] = False,
    sensors: Sensors = None,
    faults: Faults = None,
    fault_seed: FaultSeed = 0,
    one_process: Annotated[bool, typer.Option(help="No bus, no processes: for debugging.")] = False,
    ray: Annotated[bool, typer.Option(help="Fuse in a supervised Ray actor.")] = True,
    ray_address: Annotated[str, typer.Option(help="Ray cluster to join; empty starts a local one.")] = "",
    follow: Annotated[Path | None, typer.Option(help="Repeat the alignment decisions of this recording.")] = None,
    show: Annotated[bool, typer.Option("--view", help="Look on in the browser while it runs.")] = False,
    foxglove: Annotated[bool, typer.Option(help="Look on in Foxglove's app, ws://127.0.0.1:8765.")] = False,
    report: Annotated[bool, typer.Option("--page/--no-page", help="Write report.html and the video.")] = True,
    as_json: AsJson = False,
) -> None:
    """Play a recorded drive through the pipeline, score it and write a report.

    In a terminal, keys control it: space pauses and goes on, s one step, , and . one second back and on,
    e to the next event (of a recording), + and - the speed, q ends it.

    Example: syncline replay drives/pandaset_002 --report out/ --fault fog:2
    """
    opened = open_named(drive, faults or (), fault_seed)
    config = run_config(drive, opened, named_graph(graph, ray and not one_process), begin, end, sensors)
    config = msgspec.structs.replace(
        config,
        rate=1.0 if live and not rate else rate,
        live=live,
        loop=loop,
        ray_address=ray_address,
        follow=str(follow.resolve()) if follow else "",
        faults=tuple(faults or ()),
        fault_seed=fault_seed,
    )
    if (show or foxglove) and one_process:
        raise BadInput("replay", "--view, --foxglove", "a run on the bus", "--one-process")
    if loop and one_process:
        raise BadInput("replay", "--loop", "a run on the bus, which can be ended", "--one-process")
    with contextlib.ExitStack() as beside_it:
        if show:
            beside_it.enter_context(beside(out))
        if foxglove:
            beside_it.enter_context(beside(out, "--foxglove"))
        run(config, out, quiet=as_json, in_this_process=opened if one_process else None)
        finish_run(out, page=report, as_json=as_json)


def record(
    drive: DriveArgument,
    out: Out = Path("out/record"),
    rate: Rate = 1.0,
    begin: Begin = 0.0,
    end: End = 0.0,
    sensors: Sensors = None,
    faults: Faults = None,
    fault_seed: FaultSeed = 0,
) -> None:
    """Record a drive's sensor streams, as they come, without fusing them.

    Example: syncline record simulated:cut_in:3:10 --out out/record
    """
    opened = open_named(drive, faults or (), fault_seed)
    config = run_config(drive, opened, Graph(name="record", nodes=()), begin, end, sensors)
    config = msgspec.structs.replace(config, rate=rate, live=True, faults=tuple(faults or ()), fault_seed=fault_seed)
    run(config, out, quiet=False)
    Console().print(f"wrote {out / 'run.mcap'}")


def named_graph(name: str, ray: bool) -> Graph:
    """The graph of that name or file, its fusion step placed."""
    return load_graph(config_file("graphs", name)).with_placement("ray" if ray else "process")


def run_config(
    name: str, drive: Drive, graph: Graph, begin_s: float, end_s: float, sensors: list[str] | None
) -> RunConfig:
    """The whole configuration of a run of ``drive``, checked.

    Raises:
        BadInput: an unknown sensor, wiring that cannot work, or an empty part of the drive.
    """
    known = {topic.rpartition("/")[2] for topic in drive.topics}
    unknown = sorted(set(sensors or ()) - known)
    if unknown:
        raise BadInput(name, "--sensor", f"of {sorted(known)}", unknown)
    topics = tuple(
        topic
        for topic in drive.topics
        if topic_row(topic).role in ("sensor", "truth")  # a recording also holds what was made of them
        if not sensors or topic.rpartition("/")[2] in sensors or topic in ("pose/ego", _TRUTH)
    )
    heard = {topic.rpartition("/")[2] for topic in topics}
    rig = Rig(vehicle=drive.rig.vehicle, sensors=tuple(s for s in drive.rig.sensors if s.name in heard))
    start_ns = drive.start_ns + round(begin_s * 1e9)
    end_ns = drive.start_ns + round(end_s * 1e9) if end_s else drive.end_ns + 1
    if start_ns >= end_ns:
        raise BadInput(name, "--from, --to", f"a part of 0..{(drive.end_ns - drive.start_ns) / 1e9:.1f} s", begin_s)
    config = RunConfig(drive=_absolute(name), graph=graph, rig=rig, topics=topics, start_ns=start_ns, end_ns=end_ns)
    config.plan()  # raises now rather than in a process
    return config


def run(config: RunConfig, out: Path, *, quiet: bool, in_this_process: Drive | None = None) -> Pace:
    """Run to the end, with a live display unless ``quiet``; returns how fast it went.

    in_this_process: the drive as it was opened, to play without a bus and further processes.

    Raises:
        BadInput: a process could not be started, or one stayed dead.
    """
    clock, length = SystemClock(), (config.end_ns - config.start_ns) / 1e9
    begun_ns = clock.now_ns()
    with RunDisplay(config, quiet) as display:
        if in_this_process is not None:
            run_in_one_process(config, out, display.message, in_this_process)
            return Pace(length, 0.0, (clock.now_ns() - begun_ns) / 1e9)
        if sys.stdin.isatty() and not quiet:
            Console(stderr=True).print(HELP, style="dim")
        with Keys(config) as keys:
            state = Supervisor(config, out, display.state, keys.poll).run()
    if state.given_up:
        raise BadInput(out / "logs", "processes", "all to end by themselves", f"dead: {sorted(state.given_up)}")
    return Pace(length, (state.started_ns - begun_ns) / 1e9, (state.ended_ns - state.started_ns) / 1e9)


def _absolute(drive: str) -> str:
    return str(Path(drive).resolve()) if Path(drive).exists() else drive
