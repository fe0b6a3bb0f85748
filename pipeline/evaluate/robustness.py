"""How well a run resists faults: RA, the score under a fault over the clean score.

MultiCorrupt (Beemelmanns et al. 2024) defines resistance so, for three severities, and takes the mean over all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec
import numpy as np

from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings

Score: TypeAlias = float | None


class RobustnessSettings(Settings, frozen=True, kw_only=True):
    """metric: key of metrics.json. faults: names, or sensor.name, each run at each of the severities."""

    metric: str = "detection/fused/mAP"
    severities: tuple[int, ...] = (1, 2, 3)
    faults: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.faults or not self.severities:
            raise ValueError("faults, severities: expected at least one of each")


class Resistance(msgspec.Struct, frozen=True, kw_only=True):
    """What is left under one fault. scores, ra: by severity."""

    fault: str
    scores: tuple[float, ...]
    ra: tuple[float, ...]
    mean_ra: float


class Robustness(msgspec.Struct, frozen=True, kw_only=True):
    """mean_ra: over all faults and severities. left_out: faults that befall nothing of the drive."""

    drive: str
    graph: str
    metric: str
    severities: tuple[int, ...]
    clean: float
    rows: tuple[Resistance, ...]
    mean_ra: float
    left_out: tuple[str, ...]

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def robustness(
    settings: RobustnessSettings,
    drive: str,
    graph: str,
    clean: Score,
    faulty: Mapping[str, tuple[Score, ...]],
    left_out: tuple[str, ...],
) -> Robustness:
    """Resistance to each fault, from scores by severity. A score that is undefined under a fault counts as 0.

    Raises:
        BadInput: the clean score is undefined or 0, so that nothing can be compared with it.
    """
    if not clean:
        raise BadInput(drive, settings.metric, "a clean score above 0", clean)
    rows = []
    for fault, found in faulty.items():
        scores = tuple(float(score or 0.0) for score in found)
        ra = tuple(score / clean for score in scores)
        rows.append(Resistance(fault=fault, scores=scores, ra=ra, mean_ra=float(np.mean(ra))))
    return Robustness(
        drive=drive,
        graph=graph,
        metric=settings.metric,
        severities=settings.severities,
        clean=clean,
        rows=tuple(rows),
        mean_ra=float(np.mean([row.mean_ra for row in rows])) if rows else 1.0,
        left_out=left_out,
    )
