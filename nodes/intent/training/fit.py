"""Multinomial logistic regression over hashed n-grams, its temperature, and its weights as eight-bit integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import torch
from torch import nn

from nodes.intent.language.classifier import LinearClassifier
from nodes.intent.language.features import BUCKETS, hashed


class Fit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """epochs over the sentences; rate of Adam; smoothing of labels."""

    epochs: int = 12
    rate: float = 0.03
    smoothing: float = 0.05
    batch: int = 128
    seed: int = 0


def fit(
    texts: Sequence[str],
    labels: Sequence[str],
    weights: Sequence[float] | None = None,
    settings: Fit | None = None,
    told: Callable[[int], None] = lambda epoch: None,
) -> LinearClassifier:
    """A classifier of normalised ``texts``. weights: how much each counts. Its temperature is 1; see `calibrated`."""
    settings = settings or Fit()
    torch.manual_seed(settings.seed)
    names = tuple(sorted(set(labels)))
    target = torch.tensor([names.index(label) for label in labels])
    count = torch.tensor(weights if weights is not None else [1.0] * len(texts))
    vectors = [hashed(text) for text in texts]
    seen = np.bincount(np.concatenate([rows for rows, _ in vectors]), minlength=BUCKETS)
    idf = np.log((1 + len(texts)) / (1 + seen)).astype(np.float16).astype(np.float32)
    values = [counts * idf[rows] for rows, counts in vectors]
    values = [v / max(float(np.linalg.norm(v)), 1e-9) for v in values]

    net = nn.EmbeddingBag(BUCKETS, len(names), mode="sum", sparse=True)
    nn.init.zeros_(net.weight)
    bias = nn.Parameter(torch.zeros(len(names)))
    # a sentence touches a hundred rows of the table, so only theirs are stepped
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam([net.weight], lr=settings.rate),
        torch.optim.Adam([bias], lr=settings.rate),
    ]
    loss_of = nn.CrossEntropyLoss(reduction="none", label_smoothing=settings.smoothing)
    steps = settings.epochs * (len(texts) // settings.batch + 1)
    fades = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: max(0.02, 1 - step / steps)) for o in optimizers]
    for epoch in range(settings.epochs):
        for rows in torch.randperm(len(texts)).split(settings.batch):  # type: ignore[no-untyped-call]
            chosen = rows.tolist()
            lengths = torch.tensor([0, *(len(vectors[i][0]) for i in chosen[:-1])]).cumsum(0)
            index = torch.from_numpy(np.concatenate([vectors[i][0] for i in chosen]))
            value = torch.from_numpy(np.concatenate([values[i] for i in chosen]))
            logits = net(index, lengths, per_sample_weights=value) + bias
            loss = (loss_of(logits, target[rows]) * count[rows]).sum() / count[rows].sum()
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer, fade in zip(optimizers, fades, strict=True):
                optimizer.step()
                fade.step()
        told(epoch + 1)
    weight = net.weight.detach().numpy()
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-9).astype(np.float32) / 127
    return LinearClassifier(
        names, np.round(weight / scale).astype(np.int8), scale, idf, bias.detach().numpy().astype(np.float32)
    )


def calibrated(model: LinearClassifier, texts: Sequence[str], labels: Sequence[str]) -> LinearClassifier:
    """``model`` with the temperature under which sentences that it was not trained on are most probable."""
    logits = np.stack([model.logits(text) for text in texts])
    wanted = np.array([model.labels.index(label) for label in labels])

    def surprise(temperature: float) -> float:
        scaled = logits / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        odds = np.log(np.exp(scaled).sum(axis=1))
        return float((odds - scaled[np.arange(len(wanted)), wanted]).mean())

    best = min(np.geomspace(0.05, 5, 80), key=surprise)
    return LinearClassifier(model.labels, model.weight, model.scale, model.idf, model.bias, float(best))
