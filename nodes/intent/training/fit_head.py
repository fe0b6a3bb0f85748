"""Fitting a linear head on an encoder's vectors, and how much it and the n-grams count when both are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nodes.intent.language.fused import EncoderHead, Floats, fused

EVEN: Floats = np.ones(2, np.float32)


class HeadFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """epochs over the sentences; rate of Adam; decay of weights; smoothing of labels; dropout of the vector."""

    epochs: int = 40
    rate: float = 0.005
    decay: float = 1e-4
    smoothing: float = 0.05
    dropout: float = 0.2
    batch: int = 256
    seed: int = 0


def fit_head(
    vectors: Floats,
    labels: Sequence[str],
    names: tuple[str, ...],
    encoder: str,
    weights: Sequence[float] | None = None,
    settings: HeadFit | None = None,
    told: Callable[[int], None] = lambda epoch: None,
) -> EncoderHead:
    """A head of (n, dimensions) ``vectors``, whose shares are even; see `shared`. names: all labels, in order."""
    settings = settings or HeadFit()
    torch.manual_seed(settings.seed)
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + np.float32(1e-6)
    inputs = torch.from_numpy(((vectors - mean) / spread).astype(np.float32))
    target = torch.tensor([names.index(label) for label in labels])
    count = torch.tensor(weights if weights is not None else [1.0] * len(labels))
    linear, drop = nn.Linear(inputs.shape[1], len(names)), nn.Dropout(settings.dropout)
    optimizer = torch.optim.AdamW(linear.parameters(), lr=settings.rate, weight_decay=settings.decay)
    steps = settings.epochs * (len(labels) // settings.batch + 1)
    fade = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss_of = nn.CrossEntropyLoss(reduction="none", label_smoothing=settings.smoothing)
    for epoch in range(settings.epochs):
        for rows in torch.randperm(len(labels)).split(settings.batch):  # type: ignore[no-untyped-call]
            loss = (loss_of(linear(drop(inputs[rows])), target[rows]) * count[rows]).sum() / count[rows].sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            fade.step()
        told(epoch + 1)
    weight = linear.weight.detach().numpy().T.astype(np.float16).astype(np.float32)
    bias = linear.bias.detach().numpy().astype(np.float32)
    return EncoderHead(names, weight, bias, mean.astype(np.float32), spread.astype(np.float32), EVEN, encoder)


def shared(ngrams: Floats, head: Floats, truth: npt.NDArray[np.int64]) -> Floats:
    """(2,) the shares under which the labels are most probable, of (n, labels) logits of sentences not trained on."""

    def surprise(share: Floats) -> float:
        mixed = fused(ngrams, head, share)
        mixed -= mixed.max(axis=1, keepdims=True)
        return float((np.log(np.exp(mixed).sum(axis=1)) - mixed[np.arange(len(truth)), truth]).mean())

    steps = np.geomspace(0.1, 8.0, 24)
    pairs = [np.array([a, b], np.float32) for a in steps for b in steps]
    return min(pairs, key=surprise)
