"""After a run: score it, write what people and scripts read, and say where it is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from calibration.rig import Rig
from pipeline.cli.paths import CONFIGS, config_file
from pipeline.core.run_recording import RunRecording
from pipeline.core.settings import load_yaml
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.judge import Evaluation, judge
from pipeline.evaluate.report import FILM, REPORT, write_report
from pipeline.evaluate.run_log import load_run

_HEADLINES = (
    ("run/faults", "faults injected"),
    ("run/scenes", "scenes"),
    ("ledger/balanced", "ledger balanced"),
    ("detection/fused/mAP", "mAP fused"),
    ("tracking/AMOTA", "AMOTA"),
    ("tracking/HOTA", "HOTA"),
    ("alignment/residual_m_p50", "residual p50 m"),
    ("latency/sensor_to_scene_ms_p50", "sensor to scene p50 ms"),
    ("latency/sensor_to_scene_ms_p99", "sensor to scene p99 ms"),
)


def eval_config(run: Path, name: str) -> EvalConfig:
    """The named scoring settings; ``auto`` = those of the drive's vehicle, else nuScenes'."""
    if name == "auto":
        with RunRecording(run) as recording:
            return eval_config_for(recording.rig)
    return load_yaml(config_file("eval", name), EvalConfig)


def eval_config_for(rig: Rig) -> EvalConfig:
    """The scoring settings of a vehicle, else nuScenes'."""
    vehicle = rig.vehicle.lower()
    known = (CONFIGS / "eval" / f"{vehicle}.yaml").is_file()
    return load_yaml(config_file("eval", vehicle if known else "nuscenes"), EvalConfig)


def finish_run(run: Path, *, page: bool, as_json: bool, config: str = "auto") -> Evaluation:
    """Score ``run``, write metrics.json (and report.html), print the headlines or the JSON."""
    evaluation = judge(load_run(run), eval_config(run, config))
    folder = run if run.is_dir() else run.parent
    (folder / "metrics.json").write_bytes(evaluation.metrics.to_json())
    if page:
        write_report(evaluation, folder)
    if as_json:
        print(evaluation.metrics.to_json().decode())
    else:
        _print(evaluation, folder, page)
    return evaluation


def _print(evaluation: Evaluation, folder: Path, page: bool) -> None:
    values = evaluation.metrics.values
    table = Table(box=None, show_header=False)
    for key, label in _HEADLINES:
        value = values.get(key)
        if value is not None:
            table.add_row(label, f"{value:.3f}" if isinstance(value, float) else str(value))
    console = Console()
    console.print(table)
    for note in evaluation.metrics.notes:
        if note.startswith(("LEDGER", "Recording damaged")):
            console.print(f"[red]{note}[/red]")
    console.print(f"metrics  {folder / 'metrics.json'}")
    if page:
        console.print(f"report   {folder / REPORT}")
        if (folder / FILM).exists():
            console.print(f"film     {folder / FILM}")
