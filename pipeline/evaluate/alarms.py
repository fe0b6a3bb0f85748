"""How soon a sensor's fault is named, how often by its right name, and how often without cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.evaluate.units import Value

_SOON_S = 2.0


class Ailing(NamedTuple):
    """A sensor ails from ``start_ns`` to ``end_ns``; fault: as a judge of sensors would name it."""

    sensor: str
    fault: str
    start_ns: int
    end_ns: int


class Told(NamedTuple):
    """What was named at one instant: faults by sensor, "" = none. Empty where nothing judges the sensors."""

    time_ns: int
    named: dict[str, str]


class Alarms(NamedTuple):
    """watched_s: of driving. false: alarms that began on a sensor that was well. delays, right: of each ailing, s until
    its sensor is named, inf = never, and until it is named rightly.
    """

    watched_s: float
    false: int
    delays: tuple[float, ...]
    right: tuple[float, ...]


def alarms(told: Sequence[Told], ailings: Iterable[Ailing]) -> Alarms | None:
    """None where nothing judges the sensors. An alarm up to a second after a fault's end is not without cause."""
    if not any(t.named for t in told):
        return None
    ailings = list(ailings)
    false, before = 0, dict[str, str]()
    for now in told:
        for sensor, fault in now.named.items():
            ill = any(a.sensor == sensor and a.start_ns <= now.time_ns <= a.end_ns + 10**9 for a in ailings)
            false += bool(fault) and not before.get(sensor) and not ill
        before = now.named
    return Alarms(
        watched_s=(told[-1].time_ns - told[0].time_ns) * 1e-9,
        false=false,
        delays=tuple(_delay(told, a, None) for a in ailings),
        right=tuple(_delay(told, a, a.fault) for a in ailings),
    )


def of_alarms(parts: Sequence[Alarms]) -> dict[str, Value]:
    """Numbers under the keys of metrics.json."""
    hours = sum(part.watched_s for part in parts) / 3600.0
    delays = np.array([d for part in parts for d in part.delays])
    right = np.array([d for part in parts for d in part.right])

    def share(of: np.ndarray) -> float | None:
        return float(of.mean()) if len(of) else None

    return {
        "alarms/false_per_hour": sum(part.false for part in parts) / max(hours, 1e-9),
        "alarms/recognised_in_2s": share(delays <= _SOON_S),
        "alarms/named_in_2s": share(right <= _SOON_S),
        "alarms/named": share(np.isfinite(right)),
    }


def _delay(told: Sequence[Told], ailing: Ailing, name: str | None) -> float:
    """Seconds until the sensor is named to have this fault, or any, where ``name`` is None."""
    for now in told:
        named = now.named.get(ailing.sensor, "")
        if ailing.start_ns <= now.time_ns <= ailing.end_ns and named and named == (name or named):
            return (now.time_ns - ailing.start_ns) * 1e-9
    return float("inf")
