"""`syncline train camera`: labelled images out of the simulator, the network, its ONNX file, its scores, its card."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
import typer
from rich.console import Console

from fusion.detect.centre_points import CentrePoints
from fusion.detect.onnx_detectors import OnnxSettings
from fusion.detect.weights import is_known, resolve
from fusion.training.camera import CameraTraining, train
from fusion.training.camera_export import export_onnx
from fusion.training.camera_score import score
from fusion.training.images import read_folder
from nodes.simulator.training_images import PER_WORLD, write_images
from pipeline.cli.training_run import bar, bars, write_card

_TRAIN_SEED, _TEST_SEED = 0, 700_000
_NAME = "camera_simulated"
_EVERYTHING = OnnxSettings(min_score=0.02)  # average precision looks at the whole curve


def camera(
    out: Annotated[Path, typer.Argument(help="Folder for images, state, network and card.")],
    worlds: Annotated[int, typer.Option(help=f"Random worlds to train on, {PER_WORLD} images each.", min=1)] = 24,
    test_worlds: Annotated[int, typer.Option(help="Other worlds to score on.", min=1)] = 8,
    steps: Annotated[int, typer.Option(help="Optimizer steps.", min=1)] = CameraTraining().steps,
    channels: Annotated[int, typer.Option(help="Width of the network; a multiple of 4.", min=8)] = (
        CameraTraining().channels
    ),
    seed: Annotated[int, typer.Option(help="Of first weights and of the order of views.", min=0)] = 0,
    height: Annotated[int, typer.Option(help="Of the exported network's input, px.")] = 384,
    width: Annotated[int, typer.Option(help="Of the exported network's input, px.")] = 640,
    start: Annotated[
        str, typer.Option(help="Weights to begin with: a name among the shipped ones, or an ONNX file; empty: none.")
    ] = "",
    rate: Annotated[float, typer.Option(help="Peak of the learning rate.", min=0)] = CameraTraining().rate,
    threads: Annotated[int, typer.Option(help="For the network; 0 = as many as there are cores.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes that make views; 0 = none.", min=0)] = 1,
) -> None:
    """Train the camera network on simulated images, from nothing to an ONNX file and its card.

    What is there already is kept: a command that was stopped goes on where it was. The weights that come with the
    project were made by this command with the settings that stand in their card.

    Example: syncline train camera out/camera
    """
    settings = CameraTraining(steps=steps, channels=channels, seed=seed, rate=rate)
    begin = (resolve(start) if is_known(start) else Path(start)) if start else None
    if threads:
        torch.set_num_threads(threads)
    with bars() as shown:
        for folder, count, first in (("train", worlds, _TRAIN_SEED), ("test", test_worlds, _TEST_SEED)):
            write_images(out / folder, count, first, bar(shown, f"images to {folder}", count))
        done = bar(shown, "training", steps)

        def told(step: int, losses: dict[str, float]) -> None:
            done(step, f"training, loss {losses['heat']:.2f} + {losses['edges']:.2f}")

        net = train(out / "train", out / "state", settings, told, workers, begin)
        onnx = out / f"{_NAME}.onnx"
        digest = export_onnx(net, onnx, height, width)
        test = read_folder(out / "test")
        scores = score(CentrePoints(onnx, _EVERYTHING), test, progress=bar(shown, "scoring", len(test)))
    card = {
        "name": _NAME,
        "what": "2D detector of road users in camera images, ten nuScenes classes, centre-point layout (CentreNet)",
        "sha256": digest,
        "input": f"(1, 3, {height}, {width}) float32, blue-green-red 0..255",
        "data": f"simulated only: {worlds} random worlds from seed {_TRAIN_SEED}, {worlds * PER_WORLD} images",
        "test": f"{test_worlds} random worlds from seed {_TEST_SEED}, {len(test)} images, never trained on",
        "command": f"syncline train camera OUT --worlds {worlds} --test-worlds {test_worlds} --steps {steps} "
        f"--channels {channels} --seed {seed} --height {height} --width {width} --rate {rate:g}"
        + (f" --start {start}" if start else ""),
        "settings": msgspec.to_builtins(settings),
        "scores": {name: None if math.isnan(value) else round(value, 4) for name, value in scores.items()},
    }
    write_card(onnx.with_suffix(".json"), card)
    _print(card, onnx)


def _print(card: dict[str, Any], onnx: Path) -> None:
    console = Console()
    for name, value in card["scores"].items():
        if name == "mAP" or name.startswith("AP"):
            console.print(f"{name:<26}{'-' if value is None else format(value, '.3f')}", highlight=False)
    console.print(f"network  {onnx}, {onnx.stat().st_size / 1e6:.2f} MB\ncard     {onnx.with_suffix('.json')}")
