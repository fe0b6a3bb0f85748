"""The n-gram classifier and a linear head on a sentence encoder, fused: they err on different sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nodes.intent.language.classifier import LinearClassifier, Probabilities
from nodes.intent.language.encoder import SentenceEncoder, Vector
from pipeline.core.bounded import read_npz
from pipeline.core.errors import BadInput

Floats = npt.NDArray[np.float32]


class EncoderHead:
    """logits = bias + (vector - mean) / spread @ weight.

    Args:
        labels: those of the n-gram classifier it is fused with, in its order. weight: (dimensions, labels). bias:
        (labels,). mean, spread: (dimensions,). share: (2,) what the log-probabilities of n-grams and head count.
        encoder: its name.
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        weight: Floats,
        bias: Floats,
        mean: Floats,
        spread: Floats,
        share: Floats,
        encoder: str,
    ) -> None:
        self.labels, self.weight, self.bias = labels, weight, bias
        self.mean, self.spread, self.share, self.encoder = mean, spread, share, encoder

    def logits(self, vector: Vector) -> Floats:
        """(labels,) float32."""
        return np.asarray(self.bias + (vector - self.mean) / self.spread @ self.weight, np.float32)

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[np.generic]]:
        """As `load_head` reads them back."""
        return {
            f"{prefix}_labels": np.frombuffer("\n".join(self.labels).encode(), np.uint8),
            f"{prefix}_encoder": np.frombuffer(self.encoder.encode(), np.uint8),
            f"{prefix}_weight": self.weight.astype(np.float16),
            f"{prefix}_bias": self.bias,
            f"{prefix}_mean": self.mean,
            f"{prefix}_spread": self.spread,
            f"{prefix}_share": self.share,
        }


class FusedClassifier:
    """p ~ p_ngrams^share[0] * p_head^share[1]; the shares are fitted on sentences that neither was trained on.

    Raises:
        BadInput: the head belongs to another encoder or to other labels.
    """

    def __init__(self, ngrams: LinearClassifier, head: EncoderHead, encoder: SentenceEncoder) -> None:
        if head.encoder != encoder.name or head.labels != ngrams.labels:
            raise BadInput("head", "encoder, labels", f"{encoder.name} and those of the n-grams", head.encoder)
        self._ngrams, self._head, self._encoder = ngrams, head, encoder
        self.labels = ngrams.labels

    def probabilities(self, text: str) -> Probabilities:
        mixed = fused(self._ngrams.logits(text), self._head.logits(self._encoder.encode(text)), self._head.share)
        odds = np.exp(mixed - mixed.max())
        return np.asarray(odds / odds.sum(), np.float32)


def fused(ngrams: Floats, head: Floats, share: Floats) -> Floats:
    """Log-probabilities of both, (..., labels), summed by their shares; not normalised."""
    return np.asarray(share[0] * _log_odds(ngrams) + share[1] * _log_odds(head), np.float32)


def _log_odds(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float32)


def load_head(path: Path, prefix: str) -> EncoderHead:
    """One head of a weights file. Raises BadInput where it is not one."""
    dtypes = {
        "labels": "u1",
        "encoder": "u1",
        "weight": "f2",
        "bias": "f4",
        "mean": "f4",
        "spread": "f4",
        "share": "f4",
    }
    shapes: dict[str, tuple[int | None, ...]] = {"weight": (None, None), "share": (2,)}
    fields = {f"{prefix}_{name}": (dtype, shapes.get(name, (None,))) for name, dtype in dtypes.items()}
    found = read_npz(path, fields, limit=16 << 20, same_length=False)
    names, encoder, weight, bias, mean, spread, share = (found[f"{prefix}_{name}"] for name in dtypes)
    labels = tuple(names.tobytes().decode().split("\n"))
    shape = (len(mean), len(labels))
    if weight.shape != shape or bias.shape != shape[1:] or spread.shape != shape[:1]:
        raise BadInput(path, f"{prefix}_weight, _bias, _spread", f"of {shape}", weight.shape)
    return EncoderHead(labels, weight.astype(np.float32), bias, mean, spread, share, encoder.tobytes().decode())
