"""What the heads read out of a fused scene: what each road user is about to do, which of them are hazards, the weather.

On the scene itself and, for those who need no more, on `heads/*`. It is true of the reference instant (= stamp.time_ns)
and may be relied on for ``fresh_ns`` after it.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import numpy as np

from pipeline.core.arrays import Payload, Spec

Array: TypeAlias = np.ndarray  # dtype and shape stand in the Spec beside it

INTENTS = ("keep", "stop", "brake", "change_lane", "cut_in", "turn", "cross")
"""What a road user does or begins within a second. stop: stands, parked or not. cut_in: into the gap before the ego."""
WEATHERS = ("clear", "fog", "rain", "snow")
FRESH_NS = 500_000_000


class TrackHeads(Payload, frozen=True, kw_only=True):
    """M tracks of a scene, in its order.

    intent: probability of each of `INTENTS`, rows sum to 1. hazard: probability that the ego must brake for it, now or
    within a second. time_to_collision: s until its box and the ego's touch if both keep their velocities; inf where
    they will not within 10 s. time_sigma: 1-sigma of its logarithm. deceleration: of the ego, m/s2,
    that this would take if it is to end just short of it. attention: rank, 0 = look at this one first.
    """

    index: int
    track_id: Annotated[Array, Spec("<i8", "M")]
    intent: Annotated[Array, Spec("<f4", "M", len(INTENTS))]
    hazard: Annotated[Array, Spec("<f4", "M")]
    time_to_collision: Annotated[Array, Spec("<f4", "M")]
    time_sigma: Annotated[Array, Spec("<f4", "M")]
    deceleration: Annotated[Array, Spec("<f4", "M")]
    attention: Annotated[Array, Spec("<i4", "M")]
    fresh_ns: int = FRESH_NS


class WeatherHead(Payload, frozen=True, kw_only=True):
    """probability: of each of `WEATHERS`, as the sensors show it together; sums to 1."""

    index: int
    probability: Annotated[Array, Spec("<f4", len(WEATHERS))]
    fresh_ns: int = FRESH_NS
