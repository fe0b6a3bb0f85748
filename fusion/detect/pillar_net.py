"""`PillarNet`: a small convolutional network from bird's-eye occupancy to boxes as centre points.

Lang et al., PointPillars (2019), for the grid; Yin et al., CenterPoint (2021), for the heads. The pillars are occupancy
slices (`pillar_grid`) instead of learned features, so that the graph holds convolutions only. It works at cells of 1, 2
and 4 m; each 2 m cell answers for the four 1 m cells in it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.detect.centre_net import Separable
from fusion.detect.pillar_grid import CHANNELS
from fusion.detect.pillar_layout import AWAY, OUTPUTS
from pipeline.core.messages import C


class PillarNet(nn.Module):
    """Occupancy to heat maps and boxes.

    Args:
        width: channels at 2 m; the others follow.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        w = width
        self.stem = _conv(CHANNELS, w // 2, 1)
        self.range = nn.Conv2d(1, w // 2, 1)
        self.at_2 = nn.Sequential(_conv(w // 2, w, 3, 2), Separable(w), Separable(w))
        self.at_4 = nn.Sequential(_conv(w, 2 * w, 3, 2), *(Separable(2 * w) for _ in range(4)))
        self.from_4 = nn.Conv2d(2 * w, w, 1)
        self.mix = nn.Sequential(*(Separable(w) for _ in range(3)))
        self.answer = nn.Conv2d(w, 4 * OUTPUTS, 1)
        self.away: Tensor
        self.register_buffer("away", torch.from_numpy(AWAY)[None], persistent=False)
        with torch.no_grad():
            bias = torch.zeros(OUTPUTS, 4)
            bias[:C] = -4.6  # at first 1 % everywhere
            self.answer.weight.mul_(0.1)
            self.answer.bias.copy_(bias.reshape(-1))  # type: ignore[union-attr]

    def forward(self, occupied: Tensor, away: Tensor | None = None) -> Tensor:
        """(B, CHANNELS, BLOCKS, BLOCKS) 0 or 1 -> (B, OUTPUTS, CELLS, CELLS).

        The first channels are logits of "an object of this class has its centre here", the others are `FIELDS`.

        Args:
            away: (B, 1, h, w), that part of `away` which ``occupied`` (B, CHANNELS, h, w) is a part of; None = all.
        """
        c1 = self.stem(occupied) + self.range(self.away if away is None else away)  # (B, w/2, 128, 128)
        c2 = self.at_2(c1)  # (B, w, 64, 64)
        c4 = self.at_4(c2)  # (B, 2w, 32, 32)
        p2 = self.mix(c2 + nn.functional.interpolate(self.from_4(c4), scale_factor=2.0, mode="nearest"))
        return nn.functional.pixel_shuffle(self.answer(p2), 2)


def _conv(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU())
