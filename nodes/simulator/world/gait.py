"""Which mesh of its gait an actor shows: legs follow the distance walked, so they stand still when it does."""

from __future__ import annotations

from collections.abc import Sequence

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


class Gaits:
    """Those of K actors at once."""

    def __init__(self, actors: Sequence[Actor]) -> None:
        self._count = len(actors)
        walkers = [k for k, actor in enumerate(actors) if len(shape(actor.shape).phases) > 1]
        shapes = [shape(actors[k].shape) for k in walkers]
        tables = [actors[k].motion.lengths for k in walkers]
        self._walkers = np.array(walkers, np.int64)
        self._phases = np.array([len(of.phases) for of in shapes])
        self._step = np.array([of.stride / len(of.phases) for of in shapes])
        self._first = np.array([times[0] for times, _ in tables])
        self._last = np.array([times[-1] for times, _ in tables])
        # one search for all: the walkers' times follow each other on one line
        self._apart = np.arange(len(walkers)) * float(np.ptp([*self._first, *self._last, 0.0]) + 1.0)
        line = [times + apart for (times, _), apart in zip(tables, self._apart, strict=True)]
        self._line = np.concatenate([np.zeros(0), *line])
        self._metres = np.concatenate([np.zeros(0), *(metres for _, metres in tables)])

    def phases(self, t: float) -> npt.NDArray[np.int64]:
        """(K,) as `phase` says of each at ``t``, s."""
        out = np.zeros(self._count, np.int64)
        if len(self._walkers):
            metres = np.interp(np.clip(t, self._first, self._last) + self._apart, self._line, self._metres)
            out[self._walkers] = np.floor(metres / self._step).astype(np.int64) % self._phases
        return out
