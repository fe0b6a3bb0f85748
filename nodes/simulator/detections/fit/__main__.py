"""Fit the error model of the detection-level simulator to recorded drives.

python -m nodes.simulator.detections.fit ../shared/drives

Runs the pipeline's own detectors on PandaSet 002 (cameras, LiDARs) and Astyx (radar; how many points a small LiDAR
returns), matches them to the labels, and writes `detection_model.json` and a page of plots, fitted against real. Facts
and figures carry over, data does not: of every sensor only these few hundred numbers remain.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from nodes.simulator.detections.fit.estimate import camera_model, lidar_model, radar_model
from nodes.simulator.detections.fit.observe import Observed, observe
from nodes.simulator.detections.fit.plots import plot
from nodes.simulator.detections.model import MODEL_PATH, MODEL_VERSION, DetectionModel
from nodes.sources.astyx import AstyxDrive
from nodes.sources.pandaset import PandaSetDrive

ASTYX_SECTOR = np.radians(58.0)  # where its labels are complete


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nodes.simulator.detections.fit", description=_SUMMARY)
    parser.add_argument("drives", type=Path, help="folder with pandaset_002 and astyx in their local layouts")
    parser.add_argument("--out", type=Path, default=MODEL_PATH, help="the model (default: the committed one)")
    parser.add_argument("--plots", type=Path, help="also draw fitted against real there (PNG)")
    chosen = parser.parse_args()
    console = Console()
    pandaset = observe(PandaSetDrive(chosen.drives / "pandaset_002"))
    astyx = observe(AstyxDrive(chosen.drives / "astyx"), ASTYX_SECTOR)
    cameras = [o for o in pandaset.values() if o.sensor.modality == "camera"]
    lidars = [pandaset["pandar64"], pandaset["pandargt"]]
    for name, observed in {"camera": cameras, "lidar": lidars, "radar": [astyx["front_radar"]]}.items():
        console.print(f"{name}: {_size(observed)}")
    model = DetectionModel(
        version=MODEL_VERSION,
        source="PandaSet 002 (Hesai and Scale AI): cameras, LiDARs; Astyx HiRes2019: radar, returns of a VLP-16",
        command="python -m nodes.simulator.detections.fit ../shared/drives",
        camera=camera_model(cameras),
        lidar=lidar_model(lidars, thin=astyx["vlp16"]),
        radar=radar_model(astyx["front_radar"]),
    )
    chosen.out.write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n")
    console.print(f"wrote {chosen.out}")
    if chosen.plots:
        plot(model, cameras, lidars, astyx["front_radar"], chosen.plots)
        console.print(f"wrote {chosen.plots}")


_SUMMARY = (__doc__ or "").splitlines()[0]


def _size(observed: list[Observed]) -> str:
    looks = sum(len(o.looks["hit"]) for o in observed)
    hits = sum(int(o.looks["hit"].sum()) for o in observed)
    objects = len(np.unique(np.concatenate([o.looks["identity"] for o in observed])))
    false = sum(len(o.false["score"]) for o in observed)
    messages = sum(o.messages for o in observed)
    return f"{messages} messages, {looks} looks at {objects} objects, {hits} found, {false} false alarms"


if __name__ == "__main__":
    main()
