"""Standard normals that persist along each object's looks: AR(1) processes, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[Any]  # float32 or float64


class Latents:
    """Draws for looks that are sorted by object and then frame; a gap of more than ``gap`` frames starts anew.

    Args:
        frame, object_: (N,) int64.
    """

    def __init__(self, frame: IntArray, object_: IntArray, rng: np.random.Generator, gap: int = 1) -> None:
        self._rng = rng
        n = len(frame)
        fresh = np.ones(n, bool)
        fresh[1:] = (object_[1:] != object_[:-1]) | (frame[1:] - frame[:-1] > gap)
        start = np.flatnonzero(fresh)
        self._begin = np.repeat(start, np.diff(np.append(start, n)))
        self._age = np.arange(n) - self._begin
        self._oldest = int(self._age.max(initial=0))

    def __len__(self) -> int:
        return len(self._begin)

    def normal(self, rho: float) -> npt.NDArray[np.float32]:
        """(N,) standard normals with correlation ``rho`` from one look at an object to the next.

        One filter runs over all rows; what it carried from one object into the next is then taken out again, for an
        AR(1) process is linear in where it starts.
        """
        fresh = self._rng.standard_normal(len(self), dtype=np.float32)
        if rho <= 0.0 or self._oldest == 0:
            return fresh
        carried = lfilter(np.array([np.sqrt(1.0 - rho**2)], np.float32), np.array([1.0, -rho], np.float32), fresh)
        fade = np.power(np.float32(rho), np.arange(self._oldest + 1, dtype=np.float32))
        wrong = carried[self._begin] - fresh[self._begin]
        return np.asarray(carried - fade[self._age] * wrong, dtype=np.float32)
