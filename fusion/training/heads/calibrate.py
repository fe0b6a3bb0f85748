"""Probabilities of intents as often right as they say: training dwells on what is rare, and so makes it too likely."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as f
from torch import Tensor, nn

from fusion.heads.network import HeadsNetwork
from fusion.training.heads.records import load_record
from fusion.training.heads.train import stretches, unroll
from pipeline.core.heads import INTENTS


def calibrate(net: HeadsNetwork, records: Sequence[Path]) -> None:
    """Scale the network's logits of intents and shift each, in place, so that they fit these records best, in which
    everything is as frequent as it is (Platt 1999, for several classes)."""
    logits, intent = _said(net, records)
    scale, shift = torch.zeros(1, requires_grad=True), torch.zeros(len(INTENTS), requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, shift], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        # a class that never occurs must not be shifted without end
        value = f.cross_entropy(torch.exp(scale) * logits + shift, intent) + 1e-4 * (shift * shift).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    last = net.say[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        of = slice(0, len(INTENTS))
        last.weight[of] *= torch.exp(scale)
        last.bias[of] = torch.exp(scale) * last.bias[of] + shift


@torch.no_grad()
def _said(net: HeadsNetwork, records: Sequence[Path]) -> tuple[Tensor, Tensor]:
    """(N, I) logits and (N,) what was right, of all tracks of which it is known."""
    logits, intent = [], []
    for path in records:
        tracks = stretches(load_record(path), length=None)
        known = (tracks.intent >= 0).any(axis=1)
        out = unroll(net, torch.from_numpy(tracks.features[known]))
        of = torch.from_numpy(np.asarray(tracks.intent[known]))
        logits.append(out.intent[of >= 0])
        intent.append(of[of >= 0])
    return torch.cat(logits), torch.cat(intent)
