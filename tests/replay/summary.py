"""What a run of the street comes to, in a few numbers that a person can check: kept as a golden file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.cli.play import named_graph, run_config
from pipeline.core.messages import LedgerState, Scene
from pipeline.core.recording import RecordingReader
from pipeline.run.drives import open_named
from pipeline.run.one_process import run_in_one_process
from tests.simulated import record_street

GOLDEN = Path(__file__).parent / "golden" / "street.json"


def run_street(folder: Path) -> Path:
    """The street's run, in ``folder``/run; its recording, which was fused, in ``folder``/drive."""
    drive = str(record_street(folder / "drive"))
    config = run_config(drive, open_named(drive), named_graph("simulated", ray=False), 0.0, 0.0, None)
    run_in_one_process(config, folder / "run", lambda _: None)
    return folder / "run"


def summary(run: Path) -> dict[str, Any]:
    """The ledger, and for each scene where its confirmed tracks are: x and y, metres, odom frame."""
    scenes: list[list[list[float]]] = []
    ledger: dict[str, Any] = {}
    with RecordingReader(run / "run.mcap") as recording:
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
    return {"command": "make golden", "drive": "tests.simulated.record_street", "ledger": ledger, "scenes": scenes}


def save(summary: dict[str, Any]) -> None:
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
