"""`syncline robustness`: one drive clean and under each fault at each severity, and what is left of the score."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from nodes.sources.faults.fault import befalls_nothing
from pipeline.cli.paths import config_file
from pipeline.cli.play import AsJson, Begin, DriveArgument, End, FaultSeed, GraphName, named_graph, run_config
from pipeline.cli.results import eval_config
from pipeline.core.errors import BadInput
from pipeline.core.run_recording import RECORDING_FILE
from pipeline.core.settings import load_yaml
from pipeline.evaluate.judge import judge
from pipeline.evaluate.robustness import Robustness, RobustnessSettings, Score
from pipeline.evaluate.robustness import robustness as resistance
from pipeline.evaluate.run_log import load_run
from pipeline.run.config import CONFIG_FILE, RunConfig, load_config, save_config
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process

_CLEAN = "clean"
_METRICS = "metrics.json"
_TABLE = "robustness.json"


def robustness(
    drive: DriveArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; one below it for each run.")] = Path(
        "out/robustness"
    ),
    graph: GraphName = "baseline",
    config: Annotated[
        str, typer.Option("--config", "-c", help="Name under configs/eval, or a YAML file.")
    ] = "robustness",
    metric: Annotated[str, typer.Option(help="Key of metrics.json; empty = the configuration's.")] = "",
    begin: Begin = 0.0,
    end: End = 0.0,
    fault_seed: FaultSeed = 0,
    jobs: Annotated[int, typer.Option(help="Runs side by side.", min=1, max=64)] = 1,
    as_json: AsJson = False,
) -> None:
    """Run a drive clean and under each fault, and print how much of the score is left (RA = faulty / clean).

    What has been run is kept: a second call goes on where the first ended, and another metric costs nothing.

    Example: syncline robustness drives/pandaset_002 --out out/resist --jobs 2
    """
    settings = load_yaml(config_file("eval", config), RobustnessSettings)
    if metric:
        settings = msgspec.structs.replace(settings, metric=metric)
    clean = open_named(drive)
    left_out = tuple(f for f in settings.faults if befalls_nothing(f, clean.rig, clean.topics))
    named = [f for f in settings.faults if f not in left_out]
    wanted = {_CLEAN: ()} | {_folder(f, s): (f"{f}:{s}",) for f in named for s in settings.severities}
    todo = []
    for folder, faults in wanted.items():
        opened = open_named(drive, faults, fault_seed)
        made = run_config(drive, opened, named_graph(graph, ray=False), begin, end, None)
        made = msgspec.structs.replace(
            made, faults=faults, fault_seed=fault_seed, record_roles=("derived", "truth", "run")
        )
        if not _is_done(out / folder, made):
            save_config(made, out / folder)
            todo.append(out / folder)
    _run_all(todo, len(wanted), jobs, quiet=as_json)
    scores = {folder: _score(out / folder, settings.metric) for folder in wanted}
    by_fault = {f: tuple(scores[_folder(f, s)] for s in settings.severities) for f in named}
    result = resistance(settings, drive, graph, scores[_CLEAN], by_fault, left_out)
    (out / _TABLE).write_bytes(result.to_json())
    if as_json:
        print(result.to_json().decode())
    else:
        _print(result, out)


def _folder(fault: str, severity: int) -> str:
    return f"{fault}.{severity}"


def _is_done(folder: Path, config: RunConfig) -> bool:
    """Whether this very run has been scored.

    Raises:
        BadInput: the folder holds another run.
    """
    if not (folder / CONFIG_FILE).is_file():
        return False
    if load_config(folder) != config:
        raise BadInput(folder, CONFIG_FILE, "the same drive, graph, part and seed as now, or another --out", "others")
    return (folder / _METRICS).is_file()


def _run_all(folders: list[Path], total: int, jobs: int, quiet: bool) -> None:
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("running", total=total, completed=total - len(folders))
        for folder in _run_each(folders, jobs):
            progress.update(task, advance=1, description=folder.name)


def _run_each(folders: list[Path], jobs: int) -> Iterator[Path]:
    """Each run in a process of a pool; the folder of each when it is done."""
    if not folders:
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(min(jobs, len(folders)), mp_context=context, max_tasks_per_child=None) as pool:
        running = {pool.submit(run_and_score, folder): folder for folder in folders}
        for done in as_completed(running):
            done.result()  # raises what was raised there
            yield running[done]


def run_and_score(folder: Path) -> None:
    """Run what ``folder``/run.yaml says and leave metrics.json; a recording that was cut off is made anew."""
    config = load_config(folder)
    (folder / RECORDING_FILE).unlink(missing_ok=True)
    run_in_one_process(config, folder, lambda _: None)
    evaluation = judge(load_run(folder), eval_config(folder, "auto"))
    (folder / _METRICS).write_bytes(evaluation.metrics.to_json())


def _score(folder: Path, metric: str) -> Score:
    values = msgspec.json.decode((folder / _METRICS).read_bytes())["values"]
    if metric not in values:
        raise BadInput(folder / _METRICS, metric, "a key of it", ", ".join(sorted(values))[:200])
    value = values[metric]
    return None if value is None else float(value)


def _print(result: Robustness, out: Path) -> None:
    columns = [f"RA {severity}" for severity in result.severities]
    table = Table("fault", *columns, "mean", title=f"{result.metric}, clean {result.clean:.3f}", box=None)
    for row in result.rows:
        table.add_row(row.fault, *(f"{ra:.2f}" for ra in row.ra), f"[bold]{row.mean_ra:.3f}[/bold]")
    table.add_row("[bold]all[/bold]", *("" for _ in columns), f"[bold]{result.mean_ra:.3f}[/bold]")
    console = Console()
    console.print(table)
    if result.left_out:
        console.print(f"left out, for the drive has none of their sensors: {', '.join(result.left_out)}")
    console.print(f"table  {out / _TABLE}")
