"""Fitting the CRF of `nodes.intent.language.tagger` by its likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from nodes.intent.language.tagger import BUCKETS, Tagger, hashed_features
from nodes.intent.training.corpus import Tagged


class TaggerFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """epochs over the sentences; rate of Adam; dropped: share of features left out while learning; buckets: of the
    table."""

    epochs: int = 8
    rate: float = 0.02
    dropped: float = 0.1
    batch: int = 64
    seed: int = 0
    buckets: int = BUCKETS


def fit_tagger(
    sentences: Sequence[Tagged],
    settings: TaggerFit | None = None,
    told: Callable[[int], None] = lambda epoch: None,
) -> Tagger:
    """A tagger of ``sentences``; told: epochs done."""
    settings = settings or TaggerFit()
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    tags = tuple(sorted({tag for s in sentences for tag in s.tags} | {"O"}))
    rows = [hashed_features(s.tokens, s.intent, settings.buckets) for s in sentences]
    truth = [torch.tensor([tags.index(tag) for tag in s.tags]) for s in sentences]
    table = nn.EmbeddingBag(settings.buckets, len(tags), mode="sum", sparse=True)
    nn.init.zeros_(table.weight)
    transition, start = nn.Parameter(torch.zeros(len(tags), len(tags))), nn.Parameter(torch.zeros(len(tags)))
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam([table.weight], lr=settings.rate),
        torch.optim.Adam([transition, start], lr=settings.rate),
    ]
    by_length = sorted(range(len(sentences)), key=lambda i: len(truth[i]))
    batches = [by_length[i : i + settings.batch] for i in range(0, len(by_length), settings.batch)]
    steps = settings.epochs * len(batches)
    fades = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: max(0.02, 1 - step / steps)) for o in optimizers]
    for epoch in range(settings.epochs):
        for at in rng.permutation(len(batches)):
            chosen = batches[at]
            emission, mask, target = _padded(
                table, [rows[i] for i in chosen], [truth[i] for i in chosen], settings, rng
            )
            loss = (
                _all_paths(emission, mask, transition, start) - _path(emission, mask, target, transition, start)
            ).mean()
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer, fade in zip(optimizers, fades, strict=True):
                optimizer.step()
                fade.step()
        told(epoch + 1)
    weight = table.weight.detach().numpy()
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-9).astype(np.float32) / 127
    return Tagger(
        tags,
        np.round(weight / scale).astype(np.int8),
        scale,
        transition.detach().numpy().copy(),
        start.detach().numpy().copy(),
    )


def _padded(
    table: nn.EmbeddingBag,
    rows: list[list[np.ndarray]],
    truth: list[Tensor],
    settings: TaggerFit,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Emissions (B, T, K), which tokens there are (B, T), and their tags (B, T)."""
    bags = [row[rng.random(len(row)) >= settings.dropped] for sentence in rows for row in sentence]
    lengths = torch.tensor([0, *(len(b) for b in bags[:-1])]).cumsum(0)
    flat = table(torch.from_numpy(np.concatenate(bags)), lengths)
    sizes = [len(t) for t in truth]
    emission = nn.utils.rnn.pad_sequence(list(flat.split(sizes)), batch_first=True)
    target = nn.utils.rnn.pad_sequence(truth, batch_first=True)
    mask = torch.arange(emission.shape[1])[None] < torch.tensor(sizes)[:, None]
    return emission, mask, target


def _all_paths(emission: Tensor, mask: Tensor, transition: Tensor, start: Tensor) -> Tensor:
    """(B,) log of the sum over all rows of tags."""
    alpha = start + emission[:, 0]
    for t in range(1, emission.shape[1]):
        top = alpha.max(dim=1, keepdim=True).values
        onward = top + ((alpha - top).exp() @ transition.exp()).log() + emission[:, t]
        alpha = torch.where(mask[:, t, None], onward, alpha)
    return alpha.logsumexp(dim=1)


def _path(emission: Tensor, mask: Tensor, target: Tensor, transition: Tensor, start: Tensor) -> Tensor:
    """(B,) score of the true row of tags."""
    there = mask.float()
    of_tokens = (emission.gather(2, target[..., None])[..., 0] * there).sum(dim=1)
    between = (transition[target[:, :-1], target[:, 1:]] * there[:, 1:]).sum(dim=1)
    return of_tokens + between + start[target[:, 0]]
