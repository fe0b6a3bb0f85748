"""All tracking scores of a run, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.messages import CLASSES
from pipeline.evaluate.amota import AmotaResult, of_class, score_amota
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.detection import Sample
from pipeline.evaluate.hota import ClearResult, HotaResult, clear, hota, idf1
from pipeline.evaluate.pairing import confirmed


@dataclass(frozen=True, eq=False)
class TrackingResult:
    amota: dict[str, AmotaResult]
    hota: dict[str, HotaResult]
    clear: dict[str, ClearResult]
    idf1: dict[str, float]


def score_tracking(fused: Sequence[Sample], config: EvalConfig) -> TrackingResult:
    """AMOTA over all tracks; HOTA, CLEAR and IDF1 over the confirmed ones; classes with truth."""
    sure = [confirmed(s, config) for s in fused]
    result = TrackingResult(score_amota(fused, config), {}, {}, {})
    for name in result.amota:
        frames = [of_class(s.truth, s.predictions, CLASSES.index(name)) for s in sure]
        result.hota[name] = hota(frames, config.hota_zero_m)
        result.clear[name] = clear(frames, config.hota_zero_m)
        result.idf1[name] = idf1(frames, config.hota_zero_m)
    return result
