"""`syncline robustness`: fusers side by side, clean and under faults, and what is left of the score."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

import msgspec
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from calibration.rig import Rig
from nodes.sources.faults.fault import befalls_nothing
from pipeline.cli.paths import config_file
from pipeline.cli.play import AsJson, Begin, DriveArgument, End, FaultSeed, named_graph, run_config
from pipeline.cli.results import eval_config_for
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml, to_yaml
from pipeline.deploy_ray import spread
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.robustness import Cell, RobustnessSettings, cells
from pipeline.evaluate.robustness import robustness as resistance
from pipeline.evaluate.robustness_page import as_markdown, write_plots
from pipeline.evaluate.units import Value
from pipeline.graph import Graph
from pipeline.run.clips import ClipCells, ClipRobustness, befalls_no_sensor, parsed
from pipeline.run.drives import open_named
from pipeline.run.fused_anew import DriveCells, same_input

_CLIPS = "clips"
_TABLE, _PAGE, _MADE_FROM = "robustness.json", "robustness.md", "made_from.yaml"


class Place(NamedTuple):
    """Where cells are made: in so many processes of this machine, or, with an address, on that Ray cluster."""

    jobs: int
    ray: str = ""


class Cells(Protocol):
    """Makes the cells of a table; it is sent to other processes."""

    def scores(self, cell: Cell, graphs: Sequence[Graph]) -> list[dict[str, Value]]: ...


def robustness(
    drive: Annotated[str, typer.Argument(help="Recorded or simulated drive, or `clips`: many, drawn as detections.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for runs, scores and table.")] = Path(
        "out/robustness"
    ),
    graphs: Annotated[
        list[str] | None, typer.Option("--graph", "-g", help="Fuser: name under configs/graphs, or YAML (repeatable).")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Each graph also without this: camera, lidar, radar, memory, sensors, order, precision."),
    ] = None,
    config: Annotated[str, typer.Option("--config", "-c", help="Name under configs/eval, or a YAML file.")] = "",
    metric: Annotated[str, typer.Option(help="Key of metrics.json; empty = the configuration's.")] = "",
    faults: Annotated[
        list[str] | None, typer.Option("--fault", help="Only these of the configuration (repeatable).")
    ] = None,
    severities: Annotated[
        list[int] | None, typer.Option("--severity", help="Only these of the configuration (repeatable).")
    ] = None,
    clips: Annotated[int, typer.Option(help="How many clips; 0 = the configuration's.", min=0, max=10_000)] = 0,
    begin: Begin = 0.0,
    end: End = 0.0,
    fault_seed: FaultSeed = 0,
    jobs: Annotated[int, typer.Option(help="Runs side by side.", min=1, max=64)] = 1,
    on_ray: Annotated[
        str, typer.Option("--ray", help="Address of a Ray cluster that makes the cells; `local`: one of our own.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fuse clean and under each fault, and print how much of the score is left (RA = faulty / clean), by fuser.

    Detectors run once however many fusers there are. What has been run is kept: a second call goes on where the first
    ended, and another metric or fuser costs only itself.

    Example: syncline robustness clips -g baseline -g adaptive --out out/resist --jobs 2
    """
    chosen = _named_graphs(graphs or ["baseline"])
    chosen += [graph.without(part) for graph in chosen for part in without or ()]
    kind = ClipRobustness if drive == _CLIPS else RobustnessSettings
    settings = load_yaml(config_file("eval", config or ("robustness_clips" if drive == _CLIPS else "robustness")), kind)
    settings = msgspec.structs.replace(settings, metric=metric or settings.metric)
    settings = _only(settings, faults or settings.faults, severities or settings.severities)
    if isinstance(settings, ClipRobustness):
        if clips:
            settings = msgspec.structs.replace(settings, clips=msgspec.structs.replace(settings.clips, count=clips))
        maker, left_out = _of_clips(settings, out)
    else:
        maker, left_out = _of_drive(settings, drive, out, chosen, begin, end, fault_seed)
    wanted = cells(settings, left_out)
    _make_all(maker, wanted, chosen, out, Place(jobs, on_ray), quiet=as_json)
    scores = {graph.name: {cell: _read(out, graph, cell) for cell in wanted} for graph in chosen}
    result = resistance(settings, drive, scores, left_out)
    (out / _TABLE).write_bytes(result.to_json())
    (out / _PAGE).write_text(as_markdown(result), encoding="utf-8")
    plots = write_plots(result, out)
    if as_json:
        print(result.to_json().decode())
        return
    Console().print(Markdown(as_markdown(result)))
    Console().print(f"table  {out / _PAGE}, {out / _TABLE}\nplots  {', '.join(map(str, plots))}", highlight=False)


def _named_graphs(names: Sequence[str]) -> list[Graph]:
    found = [named_graph(name, ray=False) for name in dict.fromkeys(names)]
    if len({graph.name for graph in found}) < len(found):
        raise BadInput("--graph", ", ".join(names), "graphs of different names", [graph.name for graph in found])
    return found


def _only(settings: RobustnessSettings, faults: Sequence[str], severities: Sequence[int]) -> RobustnessSettings:
    unknown = sorted(set(faults) - set(settings.faults))
    if unknown:
        raise BadInput("--fault", ", ".join(unknown), f"of {', '.join(settings.faults)}", "others")
    if not set(severities) <= set(settings.severities):
        raise BadInput("--severity", f"{list(severities)}", f"of {list(settings.severities)}", "others")
    silent = tuple(fault for fault in settings.silent if fault in faults)
    return msgspec.structs.replace(settings, faults=tuple(faults), severities=tuple(severities), silent=silent)


def _of_clips(settings: ClipRobustness, out: Path) -> tuple[Cells, tuple[str, ...]]:
    """What makes the cells, and the faults that befall none of the rig's sensors."""
    rig = load_yaml(config_file("rigs", settings.rig), Rig)
    left_out = tuple(f for f in settings.faults if any(befalls_no_sensor(one, rig) for one in f.split("+")))
    for cell in cells(settings, left_out):
        for fault in cell.faults:
            parsed(fault, rig)  # raises now rather than in a process
    scoring = load_yaml(config_file("eval", settings.scoring), EvalConfig)
    _stands_for(out, msgspec.structs.replace(settings, metric="", faults=("any",), silent=(), severities=(1,)))
    return ClipCells(rig, settings.clips, scoring), left_out


def _of_drive(
    settings: RobustnessSettings,
    drive: DriveArgument,
    out: Path,
    graphs: Sequence[Graph],
    begin: float,
    end: float,
    fault_seed: int,
) -> tuple[Cells, tuple[str, ...]]:
    """What makes the cells, and the faults that befall none of the drive's sensors."""
    for graph in graphs[1:]:
        if not same_input(graphs[0], graph):
            raise BadInput(graph.name, "nodes", f"all but `fuse` as in {graphs[0].name}: detectors run once", "others")
    opened = open_named(drive)
    left_out = tuple(
        f for f in settings.faults if any(befalls_nothing(one, opened.rig, opened.topics) for one in f.split("+"))
    )
    made = run_config(drive, opened, graphs[0], begin, end, None)
    made = msgspec.structs.replace(made, fault_seed=fault_seed, record_roles=("derived", "truth", "run"))
    maker = DriveCells(made, eval_config_for(made.rig), out)
    for cell in cells(settings, left_out):
        open_named(drive, cell.faults, fault_seed)
        maker.holds(cell)
    return maker, left_out


def _stands_for(out: Path, settings: msgspec.Struct) -> None:
    """Note what the scores below ``out`` are made from; refuse where they are made from something else."""
    text, path = to_yaml(settings), out / _MADE_FROM
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise BadInput(path, "file", "the same settings as now, or another --out", "others")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _place(out: Path, graph: Graph, cell: Cell) -> Path:
    return out / "fusers" / graph.name / f"{cell.name}.json"


def _read(out: Path, graph: Graph, cell: Cell) -> dict[str, Value]:
    return msgspec.json.decode(_place(out, graph, cell).read_bytes(), type=dict[str, Value])


def _make_all(
    maker: Cells, wanted: Sequence[Cell], graphs: Sequence[Graph], out: Path, place: Place, quiet: bool
) -> None:
    """Make what is not there yet, with a progress bar."""
    for graph in graphs:
        _stands_for(out / "fusers" / graph.name, graph)
    missing = {cell: [g for g in graphs if not _place(out, g, cell).is_file()] for cell in wanted}
    todo = {cell: of_cell for cell, of_cell in missing.items() if of_cell}
    columns = (
        TextColumn("{task.description:<24}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("running", total=len(wanted), completed=len(wanted) - len(todo))
        for cell in _each(maker, todo, out, place):
            progress.update(task, advance=1, description=cell.name)


def _each(maker: Cells, todo: dict[Cell, list[Graph]], out: Path, place: Place) -> Iterator[Cell]:
    """Each cell, given out when its scores are kept."""
    if place.ray:
        order = list(todo.items())
        jobs = [(maker, cell, graphs) for cell, graphs in order]
        for number, scores in spread(scores_of, jobs, place.ray, place.jobs):
            cell, graphs = order[number]
            _keep(out, cell, graphs, scores)
            yield cell
        return
    if not todo:
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(min(place.jobs, len(todo)), mp_context=context) as pool:
        running = {pool.submit(make, maker, cell, graphs, out): cell for cell, graphs in todo.items()}
        for done in as_completed(running):
            done.result()  # raises what was raised there
            yield running[done]


def scores_of(maker: Cells, cell: Cell, graphs: Sequence[Graph]) -> list[dict[str, Value]]:
    """What a Ray task does: a function of our own, which crosses by its name."""
    return maker.scores(cell, graphs)


def make(maker: Cells, cell: Cell, graphs: Sequence[Graph], out: Path) -> None:
    """What a process of our own does: the scores are kept there, so that nothing is lost with this one."""
    _keep(out, cell, graphs, maker.scores(cell, graphs))


def _keep(out: Path, cell: Cell, graphs: Sequence[Graph], scores: Sequence[dict[str, Value]]) -> None:
    """Leave the scores of one cell; each file appears only when it is whole."""
    for graph, values in zip(graphs, scores, strict=True):
        place = _place(out, graph, cell)
        partial = place.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(values))
        partial.replace(place)
