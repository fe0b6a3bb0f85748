"""Which mesh of its gait an actor shows: legs follow the distance walked, so they stand still when it does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor


def phase(actor: Actor, t: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """(...) index into the `phases` of the actor's shape at times ``t`` (...), s."""
    of = shape(actor.shape)
    if len(of.phases) == 1 or not of.stride:
        return np.zeros(np.shape(t), np.int64)
    strides = actor.motion.travelled(t) / of.stride
    return np.asarray(np.floor(strides * len(of.phases)), dtype=np.int64) % len(of.phases)
