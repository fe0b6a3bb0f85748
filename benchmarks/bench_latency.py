"""Sensor to scene in real time on PandaSet: cameras of 1920x1080, a LiDAR of 167k points, 10 Hz; and where it goes.

Plays ../shared/drives/pandaset_002 at its own pace through all processes. From the arrival of the last message that a
scene needed until the scene was out: the steps on the way, and the waiting between them. Nothing is measured where the
drive is missing. What else runs on the machine is in these numbers; the load beside them says how much that was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_detect import DRIVES
from pipeline.evaluate.latency import Latency, measure_latency, percentiles
from pipeline.evaluate.run_log import load_run

DRIVE = DRIVES / "pandaset_002"
GRAPH = "fusion_graph"
TARGET_MS = 100.0  # p99, 2 x86 cores
_LIMIT_S = 600.0


def run() -> list[dict[str, Any]]:
    if not DRIVE.is_dir():
        return []
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        call = ["replay", str(DRIVE), "--graph", GRAPH, "--rate", "1", "--no-ray", "--no-page", "--out", str(out)]
        subprocess.run(
            [sys.executable, "-m", "pipeline", *call], check=True, timeout=_LIMIT_S, stdout=subprocess.DEVNULL
        )
        latency = measure_latency(load_run(out))
    load = _row("processes that wanted a core before and after, mean", 0.5 * (before + os.getloadavg()[0]), "")
    return [*rows(latency), load]


def rows(latency: Latency) -> list[dict[str, Any]]:
    """p50 and p99 of the whole way and of each part of it, and of each node's steps and of what waited for them."""
    total = [scene.from_arrival_ms for scene in latency.scenes]
    found = [_row(f"sensor to scene, {len(total)} scenes, {p}", percentiles(total)[p], "ms", p) for p in ("p50", "p99")]
    for part in sorted({name for way in latency.parts for name in way}):
        on_the_way = [way[part] for way in latency.parts if part in way]
        what = f"on the way: {part}, in {len(on_the_way)}"
        found += [_row(f"{what}, {p}", percentiles(on_the_way)[p], "ms") for p in ("p50", "p99")]
    for stage in latency.stages:
        for what, took in (("step", stage.step_ms), ("waited", stage.wait_ms)):
            if np.isfinite(np.asarray(took, dtype=np.float64)).any():
                found += [_row(f"{stage.node}: {what}, {p}", percentiles(took)[p], "ms") for p in ("p50", "p99")]
    return found


def _row(name: str, value: float, unit: str, of_target: str = "") -> dict[str, Any]:
    limit = TARGET_MS if of_target == "p99" else None
    ratio = None if limit is None else value / limit
    limit_name = "" if limit is None else "target on two quiet cores"
    return {"name": name, "value": value, "unit": unit, "limit": limit, "limit_name": limit_name, "ratio": ratio}
