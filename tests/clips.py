"""Short clips of simulated detections, for tests of what learns from them."""

from __future__ import annotations

from pathlib import Path

from calibration.rig import Rig
from fusion.training.clips import Clip, FaultSpan
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.detections.random_traffic import random_traffic
from pipeline.core.settings import load_yaml

_RIG = Path(__file__).resolve().parents[1] / "configs" / "rigs" / "demo.yaml"


def rig() -> Rig:
    """The demo's."""
    return load_yaml(_RIG, Rig)


def small_clip(seed: int, seconds: float = 2.0, faults: tuple[FaultSpan, ...] = ()) -> Clip:
    """Quick traffic as the demo's rig detects it, ten frame sets a second."""
    return draw_clip(random_traffic(seed, seconds), rig(), seed, faults)
