"""`syncline train graph`: clips of simulated detections, the network through the filter, its ONNX file, its card.

In two courses: on what the nominal filter meets, then on what the tracker meets with the network of the first course,
whose pairs and tracks are others. At last the heads that steer no filter, by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import torch
import typer
from rich.console import Console
from safetensors import SafetensorError

from fusion.field_of_view import fields_of_view
from fusion.graph.network import GraphNetwork
from fusion.graph.weigher import GraphSettings
from fusion.noise import NominalSettings
from fusion.tracker import Tracker, TrackerSettings
from fusion.training.graph.calibrate import alarm_threshold, scores_of, spread_to_cover
from fusion.training.graph.export import export
from fusion.training.graph.heads import learn_heads
from fusion.training.graph.train import GraphTraining, train
from fusion.training.graph.windows import load_window, windows
from fusion.training.loop import load_averaged
from fusion.training.parts import part_names, write_arrays
from nodes.simulator.detections.curriculum import training_clip
from pipeline.cli.training_run import bar, bars, write_card
from pipeline.core.errors import BadInput

_FIRST, _SECOND, _CALIBRATE, _TEST = 1_000_000, 3_000_000, 5_000_000, 7_000_000  # seeds
_FRAMES, _SKIP = 20, 5
_NAME = "graph"


class _Job(NamedTuple):
    folder: Path
    seed: int
    model: str  # "" = the nominal filter


def graph(
    out: Annotated[Path, typer.Argument(help="Folder for windows, state, network and card.")],
    clips: Annotated[int, typer.Option(help="Of 10.7 s, in each of the two courses.", min=1)] = 300,
    held_out: Annotated[int, typer.Option(help="Clips to calibrate on, and as many to score on.", min=1)] = 20,
    steps: Annotated[int, typer.Option(help="Optimizer steps, of each course.", min=1)] = GraphTraining().steps,
    seed: Annotated[int, typer.Option(help="Of first weights and of the order of windows.", min=0)] = 0,
    processes: Annotated[int, typer.Option(help="That make clips.", min=1)] = 2,
    threads: Annotated[int, typer.Option(help="For the network; 0 = as many as there are cores.", min=0)] = 0,
    start: Annotated[
        Path | None, typer.Option(help="State of an earlier training, of which only the heads are trained again.")
    ] = None,
) -> None:
    """Train the graph on simulated detections, from nothing to an ONNX file and its card.

    What is there already is kept: a command that was stopped goes on where it was.

    Example: syncline train graph out/graph
    """
    settings = GraphTraining(steps=steps, seed=seed)
    if threads:
        torch.set_num_threads(threads)
    onnx, first = out / f"{_NAME}.onnx", out / "first.onnx"
    with bars() as shown:

        def course(
            name: str, start: int, model: str, settings: GraphTraining, warm: GraphNetwork | None
        ) -> GraphNetwork:
            done = bar(shown, f"clips, {name} course", clips)
            for number in _make(out / name, start, clips, model, processes):
                done(number)
            done = bar(shown, f"training, {name} course", steps)

            def told(step: int, losses: dict[str, float]) -> None:
                done(step, f"training, loss {losses['total']:.2f}")

            return train(out / name, out / f"{name}_state", settings, told, warm)

        if start is None:
            net = course("first", _FIRST, "", settings, None)
            export(net, first)
            gentle = msgspec.structs.replace(settings, rate=0.4 * settings.rate)
            net = course("second", _SECOND, str(first), gentle, net)
        else:
            net = _earlier(start)
            export(net, first)
            done = bar(shown, "clips", clips)
            for number in _make(out / "second", _SECOND, clips, str(first), processes):
                done(number)
        files = part_names(out / "second")
        learn_heads(net, files, progress=bar(shown, "training, heads", len(files)))
        export(net, first)
        for name, from_seed in (("calibrate", _CALIBRATE), ("test", _TEST)):
            done = bar(shown, f"clips to {name}", held_out)
            for number in _make(out / name, from_seed, held_out, str(first), processes):
                done(number)
    inflation = spread_to_cover(net, [load_window(p) for p in part_names(out / "calibrate")])
    alarm = alarm_threshold(net, [*files, *part_names(out / "calibrate")])
    digest = export(net, onnx, inflation, alarm)
    scores = scores_of(net, [load_window(p) for p in part_names(out / "test")], inflation)
    write_card(onnx.with_suffix(".json"), {
        "name": _NAME,
        "what": "weighs each detection of each sensor; existence, class trust and sensor faults beside it",
        "sha256": digest,
        "data": f"simulated detections only: {clips} clips of 10.7 s from seed {_FIRST} met by the nominal filter, "
        f"{clips} from seed {_SECOND} met with the network; demo rig with other beams, a second LiDAR, missing sensors",
        "test": f"{held_out} clips from seed {_TEST}; spread calibrated on {held_out} from seed {_CALIBRATE}",
        "command": f"syncline train graph OUT --clips {clips} --held-out {held_out} --steps {steps} --seed {seed}"
        + ("" if start is None else " --start STATE"),
        "settings": msgspec.to_builtins(settings),
        "inflation": round(inflation, 4),
        "alarm": round(alarm, 3),
        "scores": {name: round(value, 4) for name, value in scores.items()},
    })  # fmt: skip
    console = Console()
    for name, value in scores.items():
        console.print(f"{name:<26}{value:.3f}", highlight=False)
    console.print(f"network  {onnx}, {onnx.stat().st_size / 1e6:.2f} MB\ncard     {onnx.with_suffix('.json')}")


def _earlier(state: Path) -> GraphNetwork:
    """Raises BadInput where the file holds no weights of this network."""
    net = GraphNetwork()
    try:
        net.load_state_dict(load_averaged(state))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadInput(state, "start", "state.safetensors of a training of the graph", error) from error
    return net.eval()


def _make(folder: Path, start: int, count: int, model: str, processes: int) -> Iterator[int]:
    """Windows of so many clips; how many clips are done."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [_Job(folder, start + i, model) for i in range(count)]
    with ProcessPoolExecutor(processes) as pool:
        for number, _ in enumerate(pool.map(_make_one, jobs), 1):
            yield number


def _make_one(job: _Job) -> None:
    mark = job.folder / f"{job.seed}.done"
    if mark.exists():
        return
    clip, rig = training_clip(job.seed)
    weigh = GraphSettings(model=job.model) if job.model else NominalSettings()
    tracker = Tracker(TrackerSettings(fields=fields_of_view(rig), weigh=weigh))
    for number, window in enumerate(windows(clip, tracker, _FRAMES, _SKIP)):
        write_arrays(job.folder / f"{job.seed}_{number}.npz", window)
    mark.touch()
