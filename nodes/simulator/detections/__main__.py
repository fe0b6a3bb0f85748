"""Make clips: detection-level simulation of many scenarios, for training and Monte-Carlo runs.

python -m nodes.simulator.detections clips/ --count 1000 --faults 0.6

Clip number i of a seed is always the same, whatever else is made; what is there already is not made again.
"""

from __future__ import annotations

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from calibration.rig import Rig
from fusion.training.clips import save_clip
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.detections.random_faults import random_faults
from nodes.simulator.detections.random_traffic import random_traffic
from nodes.simulator.scenario.load import open_world
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml

_RIG = Path(__file__).resolve().parents[3] / "configs" / "rigs" / "demo.yaml"


class Job(NamedTuple):
    """Clip ``number`` of ``seed``: where it goes, how probable faults are, and which rig. scenario: the name or file of
    one, placed by the clip's own seed; "" = quick traffic at random, ``seconds`` long."""

    path: Path
    seed: int
    number: int
    seconds: float
    faults: float
    rig: Rig
    scenario: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nodes.simulator.detections", description=(__doc__ or "")[:93])
    parser.add_argument("folder", type=Path, help="where the clips go, as SEED_NUMBER.npz")
    parser.add_argument("--count", type=int, default=100, help="how many")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each, of quick traffic")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0, help="share of the clips in which something is faulty")
    parser.add_argument("--rig", type=Path, default=_RIG, help="YAML of the vehicle's sensors")
    parser.add_argument(
        "--scenario", action="append", help="name or YAML file; of several each in turn. None: quick random traffic"
    )
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args()
    rig = load_yaml(chosen.rig, Rig)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        Job(chosen.folder / f"{chosen.seed}_{i:06d}.npz", chosen.seed, i, chosen.seconds, chosen.faults, rig, scenario)
        for i, scenario in zip(range(chosen.count), itertools.cycle(chosen.scenario or [""]), strict=False)
    ]
    missing = [job for job in jobs if not job.path.exists()]
    console = Console()
    console.print(f"{len(jobs) - len(missing)} of {len(jobs)} clips are there")
    frames = make_all(missing, chosen.processes)
    console.print(f"made {frames} frame sets in {len(missing)} clips in {chosen.folder}")


def make_all(jobs: list[Job], processes: int) -> int:
    """Make these clips, with a progress bar; how many frame sets they hold."""
    if processes <= 1:
        return sum(make(job) for job in track(jobs, "clips"))
    with ProcessPoolExecutor(processes) as pool:
        return sum(track(pool.map(make, jobs, chunksize=1), "clips", total=len(jobs)))


def make(job: Job) -> int:
    """Make one clip; how many frame sets it holds."""
    seed = job.seed * 1_000_003 + job.number
    world = open_world(job.scenario, seed) if job.scenario else random_traffic(seed, job.seconds)
    frames = round(world.duration * 10.0) - 1
    clip = draw_clip(world, job.rig, seed, random_faults(job.rig, frames, job.faults, seed))
    save_clip(clip, job.path)
    return len(clip)


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        raise SystemExit(str(error)) from error
