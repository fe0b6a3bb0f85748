"""Clips to train the graph on: other sensors, other traffic and other faults in each, all from one number.

Forty of a hundred are clean. In a third a fault is silent, as a shifted clock or a sensor knocked askew is; in the rest
any of the table befalls. In a third of all, sensors are missing; a fifth have a second LiDAR.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from calibration.rig import Extrinsic, LidarSensor, Rig
from fusion.training.clips import Clip, FaultSpan
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.detections.random_faults import amount, random_faults, spans
from nodes.simulator.detections.random_traffic import random_traffic
from nodes.simulator.scenario.eventful import eventful_world
from nodes.simulator.scenario.load import open_world, scenario_names
from nodes.simulator.world.world import World
from nodes.sources.faults.table import kind_named
from pipeline.core.settings import load_yaml

SECONDS = 10.7
_CLEAN, _SILENT = 0.4, 0.32
_COMPOUND = 0.25  # share of those with a silent fault that have another one too
_SILENT_KINDS = (
    "misaligned",
    "misaligned",
    "miscalibrated",
    "clock_step",
    "clock_step",
    "clock_drift",
    "stale",
    "frozen",
)
_RIG = Path(__file__).resolve().parents[3] / "configs" / "rigs" / "demo.yaml"


def training_clip(seed: int) -> tuple[Clip, Rig]:
    """The clip, and the rig that saw it. Same seed, same bytes."""
    return _seen(random_traffic(seed, SECONDS), seed)


def heads_clip(seed: int) -> tuple[Clip, Rig]:
    """A clip to train heads on, in which people do things for reasons; and the rig. Same seed, same bytes.

    Of four, two are eventful (`nodes.simulator.scenario.eventful`), one is drawn as worlds usually are, and one is of
    the scenarios with a name, with other traffic.
    """
    kind, names = seed % 4, scenario_names()
    if kind < 2:
        return _seen(eventful_world(seed), seed)
    drawn = f"random:{seed}" if kind == 2 else names[seed // 4 % len(names)]
    return _seen(open_world(drawn, seed), seed)


def _seen(world: World, seed: int) -> tuple[Clip, Rig]:
    rng = np.random.default_rng([seed, 9])
    rig = _rig(rng)
    frames = round(world.duration * 10.0) - 1
    return draw_clip(world, rig, seed, _faults(rig, frames, seed, rng)), rig


def _rig(rng: np.random.Generator) -> Rig:
    rig = load_yaml(_RIG, Rig)
    beams = int(rng.choice([16, 32, 32, 64]))
    sensors = [msgspec.structs.replace(s, beams=beams) if isinstance(s, LidarSensor) else s for s in rig.sensors]
    if rng.random() < 0.2:
        behind = Extrinsic(translation=(-0.4, 0.0, 1.7), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
        roof = next(s for s in sensors if isinstance(s, LidarSensor))
        sensors.append(msgspec.structs.replace(roof, name="lidar_rear", extrinsic=behind))
    if rng.random() < 0.35:
        kept = [s for s in sensors if rng.random() < 0.6]
        sensors = kept if len(kept) >= 2 else sensors
    return msgspec.structs.replace(rig, sensors=tuple(sensors))


def _faults(rig: Rig, frames: int, seed: int, rng: np.random.Generator) -> tuple[FaultSpan, ...]:
    draw = rng.random()
    if draw < _CLEAN:
        return ()
    if draw > _CLEAN + _SILENT:
        return random_faults(rig, frames, 1.0, seed)
    kind = kind_named(str(rng.choice(_SILENT_KINDS)))
    assert kind is not None
    silent = tuple(spans(kind, amount(kind, rng), list(rig.sensors), frames, rng))  # type: ignore[arg-type]
    return silent + (random_faults(rig, frames, 1.0, seed + 1) if rng.random() < _COMPOUND else ())
