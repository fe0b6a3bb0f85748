"""The weighers by name: what the graph's YAML chooses by `weigh: {method: ...}`."""

from __future__ import annotations

from fusion.graph.ablation import Ablated, AblatedSettings
from fusion.graph.weigher import Graph, GraphSettings
from fusion.noise import (
    Adaptive,
    AdaptiveSettings,
    Intersection,
    IntersectionSettings,
    Nominal,
    NominalSettings,
)
from fusion.softmax_gate import SoftmaxGate, SoftmaxGateSettings
from fusion.static_weights import Constants, ConstantSettings, Static, StaticSettings
from fusion.weigher import Weigher

WeigherSettings = (
    NominalSettings
    | AdaptiveSettings
    | IntersectionSettings
    | StaticSettings
    | ConstantSettings
    | SoftmaxGateSettings
    | GraphSettings
    | AblatedSettings
)


def weigher(settings: WeigherSettings) -> Weigher:
    match settings:
        case AdaptiveSettings():
            return Adaptive(settings)
        case IntersectionSettings():
            return Intersection(settings)
        case StaticSettings():
            return Static(settings)
        case ConstantSettings():
            return Constants(settings)
        case SoftmaxGateSettings():
            return SoftmaxGate(settings)
        case AblatedSettings():
            return Ablated(settings)
        case GraphSettings():
            return Graph(settings)
        case NominalSettings():
            return Nominal(settings)
