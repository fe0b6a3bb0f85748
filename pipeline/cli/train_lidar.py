"""`syncline train lidar`: simulated labelled sweeps, the network, its calibration, its ONNX file, its card."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import torch
import typer
from rich.console import Console

from fusion.training.lidar import LidarTraining, train
from fusion.training.lidar_calibrate import calibrated, coverage, fit, matches
from fusion.training.lidar_export import export_onnx
from fusion.training.sweeps import read_folder
from nodes.simulator.training_sweeps import PER_WORLD, training_world, write_sweeps
from pipeline.cli.training_run import bar, bars, write_card

_FIRST = {"train": 0, "validation": 10_000, "test": 20_000}
"""First seed of the worlds of each part: no world is in two."""
_NAME = "lidar_simulated"


def lidar(
    out: Annotated[Path, typer.Argument(help="Folder for sweeps, state, network and card.")],
    worlds: Annotated[int, typer.Option(help=f"Worlds to train on, {PER_WORLD} sweeps each.", min=1)] = 31,
    other_worlds: Annotated[int, typer.Option(help="As many others to calibrate on, and to test on.", min=1)] = 4,
    steps: Annotated[int, typer.Option(help="Optimizer steps.", min=1)] = LidarTraining().steps,
    rate: Annotated[float, typer.Option(help="Peak of the learning rate.")] = LidarTraining().rate,
    seed: Annotated[int, typer.Option(help="Of first weights and of the order of views.", min=0)] = 0,
    start: Annotated[Path | None, typer.Option(help="State of another training to start from.")] = None,
    threads: Annotated[int, typer.Option(help="For the network; 0 = as many as there are cores.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes that make views; 0 = none.", min=0)] = 0,
) -> None:
    """Train the LiDAR network on simulated sweeps of six makes, from nothing to an ONNX file and its card.

    What is there already is kept: a command that was stopped goes on where it was.

    Example: syncline train lidar out/lidar
    """
    settings = LidarTraining(steps=steps, rate=rate, seed=seed)
    if threads:
        torch.set_num_threads(threads)
    with bars() as shown:
        for part, first in _FIRST.items():
            count = worlds if part == "train" else other_worlds
            done = bar(shown, f"sweeps to {part}: worlds", count)
            write_sweeps(partial(training_world, first), out / part, count, first, done)
        done = bar(shown, "training", steps)

        def told(step: int, losses: dict[str, float]) -> None:
            done(step, "training, loss " + " + ".join(f"{value:.2f}" for value in losses.values()))

        net = train(out / "train", out / "state", settings, start, told, workers).cpu()
        to_fit, to_test = read_folder(out / "validation"), read_folder(out / "test")
        calibration = fit(matches(net, to_fit, bar(shown, "calibrating", len(to_fit))))
        calibrated(net, calibration)
        found = matches(net, to_test, bar(shown, "testing", len(to_test)))
    onnx = out / f"{_NAME}.onnx"
    card = {
        "name": _NAME,
        "what": "3D detector of road users in LiDAR sweeps, ten nuScenes classes, occupancy pillars and centre points",
        "sha256": export_onnx(net, onnx),
        "data": f"simulated only: {worlds} worlds from seed {_FIRST['train']}, {worlds * PER_WORLD} sweeps, six LiDARs",
        "test": f"{other_worlds} worlds from seed {_FIRST['test']}, {len(to_test)} sweeps, never trained on",
        "command": f"syncline train lidar OUT --worlds {worlds} --other-worlds {other_worlds} --steps {steps} "
        f"--rate {rate:g} --seed {seed}" + (f" --start {start.name}" if start else ""),
        "settings": msgspec.to_builtins(settings),
        "calibration": msgspec.to_builtins(calibration),
        "coverage": {name: round(value, 4) for name, value in coverage(found).items()},
    }
    write_card(onnx.with_suffix(".json"), card)
    console = Console()
    for name, value in coverage(found).items():
        console.print(f"{name:<26}{value:.3f}", highlight=False)
    console.print(f"network  {onnx}, {onnx.stat().st_size / 1e6:.2f} MB\ncard     {onnx.with_suffix('.json')}")
