"""Faults at random, for training: which sensors, what, how much and when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.rig import Rig
from fusion.training.clips import FaultSpan
from nodes.simulator.detections.faults import EFFECTS, Sensor
from nodes.sources.faults.table import FAULTS, FaultKind

_SECOND_FAULT = 0.25  # share of the faulty clips that hold two at once
_WHOLE_KIND = 0.25  # share in which one kind of sensor is dead altogether: modality dropout
_KINDS = tuple(kind for kind in FAULTS if kind.name in EFFECTS)


def random_faults(rig: Rig, frames: int, share: float, seed: int) -> tuple[FaultSpan, ...]:
    """None with probability 1 - ``share``; else one or two, of any kind, at one of its three severities or between."""
    rng = np.random.default_rng([seed, 77])
    if rng.random() >= share:
        return ()
    sensors: list[Sensor] = [*rig.cameras, *rig.lidars, *rig.radars]
    if rng.random() < _WHOLE_KIND:
        lost = rng.choice(sorted({s.modality for s in sensors}))
        start, end = _span(frames, rng)
        return tuple(FaultSpan(s.name, "dead", 10.0, start, end) for s in sensors if s.modality == lost)
    out: list[FaultSpan] = []
    for _ in range(2 if rng.random() < _SECOND_FAULT else 1):
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        out += spans(kind, amount(kind, rng), sensors, frames, rng)
    return tuple(out)


def spans(
    kind: FaultKind, amount: float, sensors: Sequence[Sensor], frames: int, rng: np.random.Generator
) -> list[FaultSpan]:
    """One fault: weather befalls all sensors that feel it, anything else one of them; a mounting the whole clip."""
    fitting = [s for s in sensors if s.modality in kind.befalls]
    if not fitting:
        return []
    chosen = fitting if kind.stage == "air" else [fitting[int(rng.integers(len(fitting)))]]
    start, end = (0, frames) if kind.stage in ("air", "mounting") else _span(frames, rng)
    return [FaultSpan(s.name, kind.name, amount, start, end) for s in chosen]


def amount(kind: FaultKind, rng: np.random.Generator) -> float:
    """At one of the three severities or between."""
    return float(np.interp(rng.uniform(1.0, 3.0), (1, 2, 3), kind.amounts))


def _span(frames: int, rng: np.random.Generator) -> tuple[int, int]:
    """At least a fifth of the clip, or all of it, each in half of the cases."""
    if rng.random() < 0.5:
        return 0, frames
    length = int(rng.integers(max(frames // 5, 1), frames + 1))
    start = int(rng.integers(0, frames - length + 1))
    return start, start + length
