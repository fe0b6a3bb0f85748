"""`syncline export`: a network in 8 bits with its card, its forms in 16 bits, and how much was lost."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import onnx
import typer
from rich.console import Console
from rich.table import Table

from fusion.detect.weights import resolve
from fusion.engines.choice import best_for_8_bits
from fusion.engines.engine import EngineSettings
from fusion.quantise.form import deployed
from fusion.quantise.half import in_half
from fusion.quantise.parity import ClassParity, answers, class_parity, compare, worst_loss
from fusion.quantise.quantise import Quantised, QuantiseSettings, check_representative, quantise, saturation
from fusion.quantise.ranges import Feed
from pipeline.cli.export_plots import plots
from pipeline.cli.export_subjects import PARTS, Camera, Lidar, Subject
from pipeline.cli.training_run import bar, bars, commit
from pipeline.core.errors import BadInput

SUBJECTS: dict[str, Callable[[Path], Subject]] = {"camera_simulated": Camera, "lidar_simulated": Lidar}
_MOST_SAMPLES = 64


class Exported(msgspec.Struct, frozen=True):
    """The parity report, and what the card is made of. outputs: SQNR, dB. sensitivity: the same of each layer alone in
    8 bits. beyond: share of a tensor's values outside its range on the test data."""

    name: str
    source_sha256: str
    sha256: str
    bytes_fp32: int
    bytes_int8: int
    engine: str
    ranges: str
    kept_in_float: tuple[str, ...]
    outputs: dict[str, float]
    classes: dict[str, ClassParity]
    sensitivity: dict[str, float]
    beyond: dict[str, float]

    @property
    def worst_loss(self) -> float:
        return worst_loss(self.classes)


def export(
    model: Annotated[str, typer.Argument(help=f"Which network: {', '.join(SUBJECTS)}.")],
    out: Annotated[Path, typer.Option(help="Folder for data, networks, report and plots.")] = Path("out/export"),
    weights: Annotated[
        Path | None, typer.Option(help="Another ONNX file of this network than the one that comes with the project.")
    ] = None,
    drive: Annotated[list[Path] | None, typer.Option(help="Recorded drive to calibrate on too; repeatable.")] = None,
    install: Annotated[
        bool,
        typer.Option(
            "--install", help="Put the 8-bit network and its card beside the shipped weights, if it loses at most 1 %."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Quantise a network to 8 bits: calibrate, keep what loses too much in float, and compare with the float network.

    Data that are there already are kept. Exit code 1 where a class loses more than 1 % on the test data.

    Example: syncline export lidar_simulated --out out/export
    """
    if model not in SUBJECTS:
        raise BadInput(model, "model", f"one of {', '.join(SUBJECTS)}", model)
    subject = SUBJECTS[model](out / model / "data")
    plain = weights or resolve(model)
    folder = out / model
    with bars() as shown:
        for part in PARTS:
            subject.make(part, bar(shown, f"data to {part}: worlds", subject.worlds[part]))
        task = shown.add_task("quantising", total=None)
        report = _exported(subject, plain, folder, drive or [], lambda text: shown.update(task, description=text))
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    plots(report, subject.metric, folder)
    _write_card(subject, report, folder, drive or [], weights)
    within = report.worst_loss <= QuantiseSettings().max_loss
    if install and within:
        for suffix in ("onnx", "json"):
            shutil.copy(folder / f"{model}_int8.{suffix}", resolve(model).parent / f"{model}_int8.{suffix}")
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        _print(report, subject.metric, folder)
    if not within:
        raise typer.Exit(1)


def _exported(subject: Subject, plain: Path, folder: Path, drives: list[Path], told: Callable[[str], None]) -> Exported:
    name, settings, engine = subject.name, QuantiseSettings(), best_for_8_bits()
    whole, eight = folder / f"{name}_fp32.onnx", folder / f"{name}_int8.onnx"
    model = deployed(onnx.load(str(plain)))
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(whole))
    told("calibration data")
    samples = _some(subject.feeds(whole, "calibrate"), _MOST_SAMPLES)
    samples += [feed for drive in drives for feed in subject.recorded(whole, drive)]
    reference = subject.scores(plain, engine, "calibrate")
    trial = folder / "trial.onnx"

    def judge(candidate: onnx.ModelProto) -> float:
        onnx.save(candidate, str(trial))
        return worst_loss(class_parity(reference, subject.scores(trial, engine, "calibrate")))

    found = quantise(model, samples, plain, judge, settings, told)
    trial.unlink(missing_ok=True)
    onnx.save(found.model, str(eight))
    for kind in ("fp16", "bf16"):
        onnx.save(in_half(model, kind, plain), str(folder / f"{name}_{kind}.onnx"))
    onnx.save(in_half(found.model, "fp16", plain), str(folder / f"{name}_int8_fp16.onnx"))
    told("comparing on the test data")
    return _report(subject, plain, model, found, eight, engine, settings)


def _report(
    subject: Subject,
    plain: Path,
    model: onnx.ModelProto,
    found: Quantised,
    eight: Path,
    engine: EngineSettings,
    settings: QuantiseSettings,
) -> Exported:
    feeds = _some(subject.feeds(eight, "test"), _MOST_SAMPLES)
    beyond = saturation(model, found.limits, feeds, plain)
    check_representative(beyond, settings, plain)
    before, after = (subject.scores(path, engine, "test") for path in (plain, eight))
    return Exported(
        name=subject.name,
        source_sha256=hashlib.sha256(plain.read_bytes()).hexdigest(),
        sha256=hashlib.sha256(eight.read_bytes()).hexdigest(),
        bytes_fp32=plain.stat().st_size,
        bytes_int8=eight.stat().st_size,
        engine=engine.name,
        ranges=found.ranges,
        kept_in_float=found.kept,
        outputs=compare(answers(model, feeds), answers(found.model, feeds)),
        classes=class_parity(before, after),
        sensitivity=found.sensitivity,
        beyond=beyond,
    )


def _some(feeds: list[Feed], most: int) -> list[Feed]:
    return feeds[:: max(1, len(feeds) // most)][:most]


def _write_card(subject: Subject, report: Exported, folder: Path, drives: list[Path], weights: Path | None) -> None:
    card: dict[str, Any] = {
        "name": f"{report.name}_int8",
        "what": f"{report.name} in 8 bits, symmetric signed Q/DQ, scales per channel of the weights (docs/engines.md)",
        "sha256": report.sha256,
        "licence": "Apache-2.0",
        "of": report.source_sha256,
        "data": subject.data("calibrate") + "".join(f"; {drive.name}" for drive in drives),
        "test": subject.data("test"),
        "command": f"syncline export {report.name}"
        + ("" if weights is None else f" --weights {weights.name}")
        + "".join(f" --drive {drive.name}" for drive in drives),
        "commit": commit(),
        "ranges": report.ranges,
        "kept_in_float": report.kept_in_float,
        "metric": subject.metric,
        "engine": report.engine,
        "bytes": report.bytes_int8,
        "bytes_fp32": report.bytes_fp32,
        "sqnr_db": {name: round(value, 2) for name, value in report.outputs.items()},
        "classes": {
            name: {"labels": c.labels, "fp32": round(c.reference, 4), "int8": round(c.quantised, 4)}
            for name, c in report.classes.items()
        },
    }
    path = folder / f"{report.name}_int8.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")


def _print(report: Exported, metric: str, folder: Path) -> None:
    console = Console()
    table = Table("class", "labels", "FP32", "INT8", "lost", title=f"{report.name}: {metric}", box=None)
    for name, one in report.classes.items():
        lost = f"{100 * one.loss:.2f} %" if one.judged else "not judged"
        table.add_row(name, str(one.labels), f"{one.reference:.4f}", f"{one.quantised:.4f}", lost)
    console.print(table)
    for name, value in report.outputs.items():
        console.print(f"SQNR of {name}: {value:.1f} dB", highlight=False)
    smaller = 1 - report.bytes_int8 / report.bytes_fp32
    console.print(
        f"{report.bytes_fp32 / 1e3:.0f} -> {report.bytes_int8 / 1e3:.0f} kB (-{100 * smaller:.0f} %), "
        f"{len(report.kept_in_float)} of {len(report.sensitivity)} layers in float, {report.ranges}\n"
        f"files    {folder}",
        highlight=False,
    )
