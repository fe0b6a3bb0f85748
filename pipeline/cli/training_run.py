"""What the training commands share: progress bars, and what a card says of the checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.cli.paths import ROOT


def bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def bar(shown: Progress, text: str, total: int) -> Callable[..., None]:
    """Adds a bar; call what it returns with the number done, and another text where wanted."""
    task = shown.add_task(text, total=total)

    def done(number: int, description: str = text) -> None:
        shown.update(task, completed=number, description=description)

    return done


def write_card(path: Path, facts: dict[str, Any]) -> None:
    """The card beside the weights; commit, torch and licence are added."""
    card = facts | {"licence": "Apache-2.0", "commit": commit(), "torch": str(torch.__version__)}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")


def commit() -> str:
    """Of the checkout, with a mark where it was changed since; empty where there is no git."""
    try:
        ran = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ran.stdout.strip()
