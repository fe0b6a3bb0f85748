"""Command that lists what can be injected: `faults`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nodes.sources.faults.table import FAULTS


def faults(as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False) -> None:
    """Every fault that --fault can inject, with what its severities 1, 2 and 3 mean.

    Written [SENSOR or MODALITY.]NAME[:SEVERITY or =AMOUNT][@FROM-TO], such as fog:2, lidar.packet_loss=0.05,
    camera_front.dark:3@2-5 (seconds of the drive). Without a sensor it befalls all that it can; without a severity it
    is 3.

    Example: syncline faults --json
    """
    if as_json:
        print(json.dumps([kind._asdict() for kind in FAULTS], indent=1))
        return
    table = Table("fault", "befalls", "severities 1 · 2 · 3", "what happens", box=None, padding=(0, 2, 0, 0))
    for kind in FAULTS:
        amounts = " · ".join(f"{amount:g}" for amount in kind.amounts)
        table.add_row(f"[bold]{kind.name}[/bold]", ", ".join(kind.befalls), f"{amounts} {kind.unit}", kind.doc)
    Console().print(table)
