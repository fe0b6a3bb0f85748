"""The weighers by name: what the graph's YAML chooses by `weigh: {method: ...}`."""

from __future__ import annotations

from fusion.noise import (
    Adaptive,
    AdaptiveSettings,
    Intersection,
    IntersectionSettings,
    Nominal,
    NominalSettings,
)
from fusion.weigher import Weigher

WeigherSettings = NominalSettings | AdaptiveSettings | IntersectionSettings


def weigher(settings: WeigherSettings) -> Weigher:
    match settings:
        case AdaptiveSettings():
            return Adaptive(settings)
        case IntersectionSettings():
            return Intersection(settings)
        case NominalSettings():
            return Nominal(settings)
