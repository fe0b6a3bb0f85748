"""Commands about this machine: `doctor` checks it, `models` finds and fetches weights."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from fusion.detect import weights
from pipeline.cli.findings import Finding
from pipeline.cli.paths import config_file
from pipeline.cli.sensors import check_sensors
from pipeline.core.clock import SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.recording import RecordingReader, repair
from pipeline.transport.feed import open_feed

models = typer.Typer(help="Pretrained weights: where they are, and how to get them.", no_args_is_help=True)


def doctor(
    recording: Annotated[Path | None, typer.Argument(help="A recording to check (and mend with --repair).")] = None,
    mend: Annotated[bool, typer.Option("--repair", help="Rebuild the index of a cut-off recording.")] = False,
    live: Annotated[str, typer.Option(help="A live configuration whose sensors are listened to, 3 s each.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check machine, clocks, packages and models, the sensors of a live configuration, or one recording.

    Exit code 1 when something is wrong. Example: syncline doctor out/replay/run.mcap
    """
    if recording:
        findings = list(_recording(recording, mend))
    elif live:
        findings = list(check_sensors(config_file("live", live), SystemClock(), open_feed))
    else:
        findings = list(_machine())
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=1))
    else:
        table = Table(box=None, show_header=False)
        for finding in findings:
            mark = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "wrong": "[red]wrong[/red]"}
            table.add_row(mark[finding.verdict], finding.subject, finding.text)
        Console().print(table)
    if any(finding.verdict == "wrong" for finding in findings):
        raise typer.Exit(1)


@models.command("list")
def list_models() -> None:
    """Every known set of weights, and where it is on this machine."""
    table = Table("name", "where", "licence", box=None)
    for name in weights.shipped():
        table.add_row(name, str(weights.resolve(name)), "as the project")
    for name, spec in weights.WEIGHTS.items():
        try:
            where = str(weights.resolve(name))
        except BadInput:
            where = "[yellow]not here; `syncline models fetch` gets it[/yellow]"
        table.add_row(name, where, spec.licence)
    Console().print(table)


@models.command("fetch")
def fetch_models(name: Annotated[str, typer.Argument(help="Which; empty = all.")] = "") -> None:
    """Fetch weights from their upstream, checked against their pinned SHA-256.

    Example: syncline models fetch fastestdet
    """
    for one in [name] if name else list(weights.WEIGHTS):
        Console().print(f"{one}: {weights.fetch(one)}")


def _machine() -> Iterator[Finding]:
    version = sys.version_info
    fits = version >= (3, 10)
    yield Finding("python", "ok" if fits else "wrong", f"{platform.python_version()} on {platform.machine()}")
    cores, memory = psutil.cpu_count(logical=True) or 1, psutil.virtual_memory()
    yield Finding("processor", "ok" if cores >= 2 else "note", f"{cores} cores, load {os.getloadavg()[0]:.1f}")
    free_gb = memory.available / 2**30
    yield Finding("memory", "ok" if free_gb > 3 else "note", f"{free_gb:.1f} of {memory.total / 2**30:.1f} GiB free")
    shared = shutil.disk_usage("/dev/shm")
    enough = shared.free > 512 << 20
    yield Finding(
        "shared memory",
        "ok" if enough else "wrong",
        f"{shared.free >> 20} MiB free in /dev/shm" + ("" if enough else "; a run with three cameras needs 512 MiB"),
    )
    yield _clock()
    for library, why in (("ray", "fusion actor"), ("zmq", "bus"), ("cv2", "images"), ("onnxruntime", "detectors")):
        found = importlib.util.find_spec(library) is not None
        yield Finding(library, "ok" if found else "wrong", f"{why}{'' if found else ' - not installed'}")
    fast = importlib.util.find_spec("openvino") is not None
    yield Finding(
        "openvino", "ok" if fast else "note", "engine" + ("" if fast else " not installed (extra `openvino`)")
    )
    viewer = importlib.util.find_spec("rerun") is not None
    yield Finding("rerun", "ok" if viewer else "note", "viewer" + ("" if viewer else " not installed (extra `view`)"))
    yield from (_model(name) for name in (*weights.shipped(), *weights.WEIGHTS))


def _model(name: str) -> Finding:
    try:
        return Finding(f"model {name}", "ok", str(weights.resolve(name)))
    except BadInput:
        return Finding(f"model {name}", "note", f"not on this machine: `syncline models fetch {name}`")


def _clock() -> Finding:
    """How finely and evenly the host clock ticks: it bounds every arrival stamp."""
    clock = SystemClock()
    ticks = [clock.now_ns() for _ in range(10_000)]
    steps = sorted(b - a for a, b in itertools.pairwise(ticks))
    backwards = steps[0] < 0
    text = f"reads every {steps[len(steps) // 2]} ns, worst gap {steps[-1] / 1000:.0f} µs"
    return Finding("clock", "wrong" if backwards else "ok", text + (", went backwards" if backwards else ""))


def _recording(path: Path, mend: bool) -> Iterator[Finding]:
    if mend:
        mended = repair(path)
        text = f"{mended.messages} messages in {mended.chunks} chunks are in the index now"
        if mended.cut_bytes:
            text += f"; the broken end, {mended.cut_bytes} bytes, is kept in {mended.cut_path}"
        yield Finding("repair", "ok", "nothing to mend" if mended.was_complete and not mended.damage else text)
    with RecordingReader(path) as recording:
        for damage in recording.damage:
            lost = ", ".join(f"{count} of {topic}" for topic, count in damage.messages.items())
            yield Finding("damage", "wrong", f"{damage.what}; lost: {lost or 'not known from an index'}")
        complete = recording.complete
        yield Finding("index", "ok" if complete else "wrong", "whole" if complete else "missing: use --repair")
        for topic, count in sorted(recording.counts.items()):
            yield Finding(topic, "ok", f"{count} messages")
