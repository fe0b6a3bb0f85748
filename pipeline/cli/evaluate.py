"""Commands that judge: `evaluate` one run, `compare` two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli.results import finish_run
from pipeline.evaluate.compare import compare as compare_runs

Run = Annotated[Path, typer.Argument(help="Run folder or .mcap file.")]


def evaluate(
    run: Run,
    config: Annotated[
        str, typer.Option("--config", "-c", help="Name under configs/eval, a YAML file, or auto.")
    ] = "auto",
    page: Annotated[bool, typer.Option("--page/--no-page", help="Write report.html and the video.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON, nothing else.")] = False,
) -> None:
    """Score a run: detection, tracking, streaming, latency, alignment, uncertainty.

    Example: syncline evaluate out/replay --json
    """
    finish_run(run, page=page, as_json=as_json, config=config)


def compare(
    a: Run, b: Run, as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False
) -> None:
    """Whether two runs gave the same scenes to the byte; if not, where they part first, and by how much.

    Exit code 1 when they differ. Example: syncline compare out/a out/b
    """
    result = compare_runs(a, b)
    if as_json:
        print(result.to_json().decode())
    else:
        Console().print(result.to_text(), highlight=False)
    if not result.identical:
        raise typer.Exit(1)
