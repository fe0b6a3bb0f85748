"""A linear classifier over hashed n-grams: how probable each label is, from one small file.

Any other encoder fits behind `Classifier`: what understanding asks of it is a probability per label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nodes.intent.language.features import hashed
from pipeline.core.bounded import read_npz

Probabilities = npt.NDArray[np.float32]


class Classifier(Protocol):
    """labels: in the order of what `probabilities` gives."""

    labels: tuple[str, ...]

    def probabilities(self, text: str) -> Probabilities:
        """(len(labels),) float32, sums to 1, calibrated; of a normalised sentence."""
        ...


class LinearClassifier:
    """logits = temperature^-1 (bias + sum over n-grams of idf * weight), the n-gram vector scaled to unit length.

    Args:
        weight: (buckets, labels) int8, times scale (labels,). idf: (buckets,). bias: (labels,). temperature: > 0,
        fitted on sentences that were not trained on.
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        weight: npt.NDArray[np.int8],
        scale: npt.NDArray[np.float32],
        idf: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
        temperature: float = 1.0,
    ) -> None:
        self.labels = labels
        self.weight, self.scale, self.idf, self.bias, self.temperature = weight, scale, idf, bias, temperature

    def logits(self, text: str) -> Probabilities:
        """(labels,) float32, before the temperature."""
        rows, counts = hashed(text, len(self.idf))
        value = counts * self.idf[rows]
        value /= max(float(np.linalg.norm(value)), 1e-9)
        return np.asarray(self.bias + (value @ self.weight[rows].astype(np.float32)) * self.scale, np.float32)

    def probabilities(self, text: str) -> Probabilities:
        logits = self.logits(text) / self.temperature
        odds = np.exp(logits - logits.max())
        return np.asarray(odds / odds.sum(), np.float32)

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[np.generic]]:
        """As `load` reads them back."""
        return {
            f"{prefix}_labels": np.frombuffer("\n".join(self.labels).encode(), np.uint8),
            f"{prefix}_weight": self.weight,
            f"{prefix}_scale": self.scale,
            f"{prefix}_idf": self.idf.astype(np.float16),
            f"{prefix}_bias": self.bias,
            f"{prefix}_temperature": np.array([self.temperature], np.float32),
        }


def load(path: Path, prefix: str) -> LinearClassifier:
    """One classifier of a weights file. Raises BadInput where it is not one."""
    dtypes = {"labels": "u1", "weight": "i1", "scale": "f4", "idf": "f2", "bias": "f4", "temperature": "f4"}
    shape: dict[str, tuple[int | None, ...]] = {"weight": (None, None), "temperature": (1,)}
    fields = {f"{prefix}_{name}": (dtype, shape.get(name, (None,))) for name, dtype in dtypes.items()}
    found = read_npz(path, fields, limit=64 << 20, same_length=False)
    labels, weight, scale, idf, bias, temperature = (found[f"{prefix}_{name}"] for name in dtypes)
    names = tuple(labels.tobytes().decode().split("\n"))
    return LinearClassifier(names, weight, scale, idf.astype(np.float32), bias, float(temperature[0]))
