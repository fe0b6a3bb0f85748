"""What a run of the generated street comes to, in a few numbers that a person can check: kept as a golden file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.cli.play import named_graph, run_config
from pipeline.core.messages import LedgerState, Scene
from pipeline.core.recording import RecordingReader
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process

DRIVE = "generated:1:1.5"
GOLDEN = Path(__file__).parent / "golden" / "generated_street.json"


def run_street(folder: Path) -> None:
    config = run_config(DRIVE, open_named(DRIVE), named_graph("demo", ray=False), 0.0, 0.0, None)
    run_in_one_process(config, folder, lambda _: None)


def summary(folder: Path) -> dict[str, Any]:
    """The ledger, and for each scene where its confirmed tracks are: x and y, metres, odom frame."""
    scenes: list[list[list[float]]] = []
    ledger: dict[str, Any] = {}
    with RecordingReader(folder / "run.mcap") as recording:
        for message in recording.messages(["scene", "ledger"]):
            payload = message.payload
            if isinstance(payload, Scene):
                confirmed = payload.track_position[payload.existence > 0.5, :2]
                scenes.append(sorted(confirmed.round(2).tolist()))
            elif isinstance(payload, LedgerState):
                ledger = {
                    row.sensor: {"received": row.received, "fused": row.fused, "dropped": row.dropped}
                    for row in payload.rows
                }
    return {"command": "make golden", "drive": DRIVE, "ledger": ledger, "scenes": scenes}


def save(summary: dict[str, Any]) -> None:
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
