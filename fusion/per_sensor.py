"""What a fuser remembers of each sensor: one row of an array per sensor name."""

from __future__ import annotations

import numpy as np

from fusion.measurements import FloatArray, IntArray


class PerSensor:
    """values (sensors seen so far, *row.shape) float64; a new name starts with a copy of ``row``."""

    def __init__(self, row: FloatArray) -> None:
        self._row = row
        self.names: list[str] = []
        self.values = np.zeros((0, *row.shape))

    def rows(self, names: tuple[str, ...]) -> IntArray:
        """(S,) rows of these sensors."""
        for name in names:
            if name not in self.names:
                self.names.append(name)
                self.values = np.concatenate([self.values, self._row[None]])
        return np.array([self.names.index(name) for name in names], dtype=np.int64)

    def replaced(self, names: list[str], values: FloatArray) -> PerSensor:
        """One with these rows instead. Raises ValueError where the shapes do not fit."""
        if values.shape != (len(names), *self._row.shape):
            raise ValueError(f"expected {len(names)} rows of {self._row.shape}, found {values.shape}")
        other = PerSensor(self._row)
        other.names, other.values = list(names), values
        return other
