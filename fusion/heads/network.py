"""The heads: a gated recurrent unit over what a scene says of a track, and what it makes of it.

It remembers each track by itself, and depends on no weights but its own: any fuser's scenes can be read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fusion.heads.features import FEATURES
from pipeline.core.heads import INTENTS

REMEMBERED = 48
_WIDTH = 64
_CONTACT = FEATURES.index("contact")
_SECONDS = (0.05, 20.0)  # what constant velocities say of the time is taken between these, and corrected


class HeadsOutput(NamedTuple):
    """intent (M, I) logits. hazard (M,) logit. collides (M,): logit of a contact within 10 s at constant velocities.
    log_time (M,): of the seconds until it, log_sigma (M,): of its 1-sigma. next_memory (M, REMEMBERED)."""

    intent: Tensor
    hazard: Tensor
    collides: Tensor
    log_time: Tensor
    log_sigma: Tensor
    next_memory: Tensor


class HeadsNetwork(nn.Module):
    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))
        self.read = nn.Sequential(nn.Linear(len(FEATURES), _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU())
        self.remember = nn.GRUCell(_WIDTH, REMEMBERED)
        self.say = nn.Sequential(nn.Linear(_WIDTH + REMEMBERED, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, len(INTENTS) + 4))

    def forward(self, features: Tensor, memory: Tensor) -> HeadsOutput:
        """features (M, F), memory (M, REMEMBERED), 0 for a track that is new."""
        seen = self.read((features - self.mean) / self.scale)
        memory = self.remember(seen, memory)
        said = self.say(torch.cat([seen, memory], dim=-1))
        hazard, collides, later, log_sigma = said[:, len(INTENTS) :].unbind(-1)
        straight = torch.log((1.0 / features[:, _CONTACT].clamp_min(1e-3) - 1.0).clamp(*_SECONDS))
        return HeadsOutput(
            said[:, : len(INTENTS)], hazard, collides, straight + later, 2.0 * torch.tanh(0.5 * log_sigma) - 1.0, memory
        )
