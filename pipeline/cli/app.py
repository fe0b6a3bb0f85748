"""The `syncline` command and how it ends: a wrong input is one line on standard error and exit code 2; data that
determine no calibration, exit code 3."""

from __future__ import annotations

import logging
import sys

import typer
from rich.console import Console
from rich.logging import RichHandler

from calibration.cannot import CannotCalibrate
from pipeline.cli import (
    calibrate,
    calibrate_sensors,
    conduct,
    convert,
    demo,
    evaluate,
    export,
    faults,
    grounding,
    language,
    live,
    look,
    machine,
    play,
    realism,
    robustness,
    say,
    serve,
    simulate,
    train,
    tune,
    why,
)
from pipeline.core.errors import BadInput

app = typer.Typer(
    name="syncline",
    help="Streaming multimodal sensor fusion: aligned, weighed, accounted for.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(play.replay)
app.command()(play.record)
app.command()(simulate.simulate)
app.command()(realism.realism)
app.command()(live.live)
app.command()(conduct.conduct)
app.command()(conduct.join)
app.command()(faults.faults)
app.command()(convert.convert)
app.command()(evaluate.evaluate)
app.command()(evaluate.compare)
app.command()(robustness.robustness)
app.command()(why.why)
app.command()(language.evaluate_language)
app.command()(grounding.evaluate_grounding)
app.command()(look.view)
app.command()(say.say)
app.command()(serve.serve)
app.command()(export.export)
app.command()(tune.tune)
app.command()(machine.doctor)
calibrate.calibrate.command("lidar-board")(calibrate_sensors.lidar_board)
calibrate.calibrate.command("lidar-camera")(calibrate_sensors.lidar_camera)
calibrate.calibrate.command("radar-yaw")(calibrate_sensors.radar_yaw)
app.add_typer(calibrate.calibrate, name="calibrate")
app.add_typer(train.train, name="train")
app.add_typer(machine.models, name="models")


def main() -> None:
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False)],
    )
    try:
        app()
    except CannotCalibrate as error:
        Console(stderr=True).print(f"[yellow]no calibration[/yellow] {error}", highlight=False)
        sys.exit(3)
    except BadInput as error:
        Console(stderr=True).print(f"[red]error[/red] {error}", highlight=False)
        sys.exit(2)
