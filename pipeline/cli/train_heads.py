"""`syncline train heads`: simulated drives in which things happen, fused; the heads, their ONNX file, their card."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import torch
import typer
from rich.console import Console
from rich.table import Table

from fusion.training.heads.calibrate import calibrate
from fusion.training.heads.export import export
from fusion.training.heads.records import record
from fusion.training.heads.score import scores_of
from fusion.training.heads.train import HeadsTraining, train
from fusion.training.parts import part_names, write_arrays
from nodes.simulator.detections.curriculum import heads_clip
from pipeline.cli.paths import config_file
from pipeline.cli.training_run import bar, bars, write_card
from pipeline.graph import load_graph

_FIRST = {"train": 11_000_000, "test": 13_000_000}  # seeds
_NAME = "heads"


class _Job(NamedTuple):
    path: Path
    seed: int
    graph: Path


def heads(
    out: Annotated[Path, typer.Argument(help="Folder for records, state, network and card.")],
    clips: Annotated[int, typer.Option(help="Drives to train on.", min=1)] = 240,
    held_out: Annotated[int, typer.Option(help="Others to score on.", min=1)] = 64,
    graph: Annotated[str, typer.Option("--graph", "-g", help="Whose fused scenes are read.")] = "fusion_graph",
    steps: Annotated[int, typer.Option(help="Optimizer steps.", min=1)] = HeadsTraining().steps,
    seed: Annotated[int, typer.Option(help="Of first weights and of the order of tracks.", min=0)] = 0,
    processes: Annotated[int, typer.Option(help="That make records.", min=1)] = 2,
    threads: Annotated[int, typer.Option(help="For the network; 0 = as many as there are cores.", min=0)] = 0,
) -> None:
    """Train the heads of intent and hazard on what a graph's fusion makes of simulated drives.

    They read scenes only, so that a graph that is trained anew does not put them out of work. What is there already is
    kept: a command that was stopped goes on where it was.

    Example: syncline train heads out/heads
    """
    settings = HeadsTraining(steps=steps, seed=seed)
    if threads:
        torch.set_num_threads(threads)
    chosen = config_file("graphs", graph)
    with bars() as shown:
        for part, count in (("train", clips), ("test", held_out)):
            done = bar(shown, f"drives to {part}", count)
            for number in _make(out / part, _FIRST[part], count, chosen, processes):
                done(number)
        done = bar(shown, "training", steps)

        def told(step: int, losses: dict[str, float]) -> None:
            done(step, f"training, loss {losses['total']:.2f}")

        net = train(part_names(out / "train"), out / "state", settings, told)
    calibrate(net, part_names(out / "train")[::2])
    onnx = out / f"{_NAME}.onnx"
    digest, scores = export(net, onnx), scores_of(net, part_names(out / "test"))
    write_card(onnx.with_suffix(".json"), {
        "name": _NAME,
        "what": "intent, hazard and time to collision of each track of a fused scene",
        "sha256": digest,
        "data": f"simulated detections only: {clips} drives from seed {_FIRST['train']}, met by {graph}",
        "test": f"{held_out} drives from seed {_FIRST['test']}, never trained on",
        "command": f"syncline train heads OUT --clips {clips} --held-out {held_out} --graph {graph} --steps {steps} "
        f"--seed {seed}",
        "settings": msgspec.to_builtins(settings),
        "scores": {who: {name: _rounded(v) for name, v in of.items()} for who, of in scores.items()},
    })  # fmt: skip
    console = Console()
    console.print(_table(scores))
    console.print(f"network  {onnx}, {onnx.stat().st_size / 1e6:.2f} MB\ncard     {onnx.with_suffix('.json')}")


def _rounded(value: float) -> float | None:
    return round(value, 4) if value == value else None


def _table(scores: dict[str, dict[str, float]]) -> Table:
    table = Table("", *scores)
    for name in next(iter(scores.values())):
        table.add_row(name, *(f"{of[name]:.3f}" if of[name] == of[name] else "-" for of in scores.values()))
    return table


def _make(folder: Path, start: int, count: int, graph: Path, processes: int) -> Iterator[int]:
    """Records of so many drives; how many are done."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [_Job(folder / f"{start + i}.npz", start + i, graph) for i in range(count)]
    with ProcessPoolExecutor(processes) as pool:
        for number, _ in enumerate(pool.map(_make_one, jobs), 1):
            yield number


def _make_one(job: _Job) -> None:
    if not job.path.exists():
        clip, rig = heads_clip(job.seed)
        write_arrays(job.path, record(clip, load_graph(job.graph).fusion.fuser(rig)))
