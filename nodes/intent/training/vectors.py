"""Vectors of many sentences, kept in a file between trainings: to encode them takes minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nodes.intent.language.encoder import SentenceEncoder, Vector
from nodes.intent.language.fused import Floats
from pipeline.core.bounded import read_npz

_LIMIT = 512 << 20


class Vectors:
    """Encodes each sentence once. path: file to begin with and to `save` to; None: only this time."""

    def __init__(self, encoder: SentenceEncoder, path: Path | None = None) -> None:
        self.encoder, self._path = encoder, path
        self._known: dict[str, Vector] = {}
        if path is not None and path.exists():
            fields: dict[str, tuple[str, tuple[int | None, ...]]] = {
                "texts": ("u1", (None,)), "vectors": ("f2", (None, encoder.dimensions)),
            }  # fmt: skip
            found = read_npz(path, fields, limit=_LIMIT, same_length=False)
            texts = found["texts"].tobytes().decode().split("\n")
            self._known = dict(zip(texts, found["vectors"].astype(np.float32), strict=True))

    def of(self, texts: Sequence[str], told: Callable[[int, int], None] = lambda done, total: None) -> Floats:
        """(n, dimensions) float32. told: how many of those not known are encoded, of how many."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for done, text in enumerate(new, 1):
            self._known[text] = self.encoder.encode(text).astype(np.float16).astype(np.float32)
            if done % 50 == 0 or done == len(new):
                told(done, len(new))
        return np.stack([self._known[text] for text in texts])

    def save(self) -> None:
        """Keep what is known."""
        if self._path is not None and self._known:
            texts = np.frombuffer("\n".join(self._known).encode(), np.uint8)
            np.savez(self._path, texts=texts, vectors=np.stack(list(self._known.values())).astype(np.float16))
