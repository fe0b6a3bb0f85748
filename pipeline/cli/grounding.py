"""`syncline evaluate-grounding`: typed questions about simulated drives, of which it is known what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from calibration.rig import Rig
from nodes.intent.language.understand import shipped
from pipeline.cli.paths import config_file
from pipeline.cli.play import named_graph
from pipeline.core.settings import load_yaml
from pipeline.evaluate.grounding import figures
from pipeline.run.clips import ClipSettings
from pipeline.run.questions import ask_clip

_SCENARIOS = ("urban_pedestrian", "cut_in", "cyclist_beside", "highway_cruise", "stop_and_go", "left_turn_across")


def evaluate_grounding(
    count: Annotated[int, typer.Option(help="Simulated drives, every second a placed scenario.", min=1)] = 12,
    seconds: Annotated[float, typer.Option(help="Of each drive.", min=2.0, max=60.0)] = 8.0,
    graph: Annotated[str, typer.Option("--graph", "-g", help="Whose tracks are asked about.")] = "simulated",
    rig: Annotated[str, typer.Option(help="Name under configs/rigs, or a YAML file.")] = "demo",
    scenario: Annotated[list[str] | None, typer.Option(help="Scenarios to place, in turn (repeatable).")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for grounding.json.")] = Path("out/language"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, nothing else.")] = False,
) -> None:
    """Score which object is meant: drives drawn at detection level, fused, asked about in both languages.

    Unclear questions, to which half a metre would give another meaning, are counted and not scored.

    Example: syncline evaluate-grounding --count 12
    """
    clips = ClipSettings(
        count=count, seconds=seconds, label_every=10, scenarios=tuple(scenario or _SCENARIOS), first=7_000
    )
    named, vehicle, words = named_graph(graph, ray=False), load_yaml(config_file("rigs", rig), Rig), shipped()
    console = Console(stderr=True)
    asked = [
        row
        for number in track(range(count), "drives", console=console, disable=as_json)
        for row in ask_clip(named, vehicle, clips, number, words)
    ]
    found = figures(asked)
    out.mkdir(parents=True, exist_ok=True)
    (out / "grounding.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    table = Table("figure", "value", title="grounding")
    for name, value in found.items():
        table.add_row(name, f"{value:.3f}" if value % 1 else f"{value:.0f}")
    Console().print(table)
