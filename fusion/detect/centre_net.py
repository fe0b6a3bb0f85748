"""`CentreNet`: a small network that finds road users in images as centre points.

Each object is a peak in its class's heat map, with the distances from there to the four edges of its box (Zhou et al.,
Objects as Points, 2019; Tian et al., FCOS, 2019). One output grid at an eighth of the image, fed by features of a
half-size pyramid (Lin et al., Feature Pyramid Networks, 2017): about 0.4 G multiply-adds at 640 x 352.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRIDE = 8
"""Image pixels per cell of the output grid."""

DEEPEST = 32
"""Both sides of an image must be multiples of this."""


class Separable(nn.Module):
    """Depthwise and pointwise convolution with a way around: y = x + f(x), both (B, n, h, w)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n, n, 3, padding=1, groups=n, bias=False),
            nn.BatchNorm2d(n),
            nn.ReLU(),
            nn.Conv2d(n, n, 1, bias=False),
            nn.BatchNorm2d(n),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


def _halve(n_in: int, n_out: int) -> nn.Sequential:
    """(B, n_in, h, w) -> (B, n_out, h/2, w/2)"""
    conv = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU())


def _stage(n_in: int, n_out: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(_halve(n_in, n_out), *(Separable(n_out) for _ in range(blocks)))


class CentreNet(nn.Module):
    """Image to heat maps and box edges.

    Args:
        classes: number of heat maps.
        width: channels at stride 8; the others follow.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(_halve(3, w // 4), _stage(w // 4, w // 2, 1))
        self.at_8 = _stage(w // 2, w, 3)
        self.at_16 = _stage(w, 2 * w, 3)
        self.at_32 = _stage(2 * w, 3 * w, 2)
        self.from_32 = nn.Conv2d(3 * w, 2 * w, 1)
        self.from_16 = nn.Conv2d(2 * w, w, 1)
        self.mix_16, self.mix_8 = Separable(2 * w), nn.Sequential(Separable(w), Separable(w))
        self.heat = nn.Sequential(Separable(w), nn.Conv2d(w, classes, 1))
        self.edge = nn.Sequential(Separable(w), nn.Conv2d(w, 4, 1))
        nn.init.constant_(self.heat[1].bias, -4.6)  # type: ignore[arg-type]  # at first 1 % everywhere
        nn.init.constant_(self.edge[1].bias, 1.0)  # type: ignore[arg-type]

    def forward(self, bgr: Tensor) -> Tensor:
        """(B, 3, H, W) blue-green-red 0..255 -> (B, classes + 4, H/8, W/8).

        The first channels are logits of "an object of this class has its centre here", the last four the logarithms of
        the distances to its left, top, right and bottom edge, in cells.
        """
        c8 = self.at_8(self.stem((bgr - 110.0) / 60.0))  # (B, w, H/8, W/8)
        c16 = self.at_16(c8)  # (B, 2w, H/16, W/16)
        c32 = self.at_32(c16)  # (B, 3w, H/32, W/32)
        p16 = self.mix_16(c16 + _doubled(self.from_32(c32)))
        p8 = self.mix_8(c8 + _doubled(self.from_16(p16)))
        return torch.cat([self.heat(p8), self.edge(p8)], dim=1)


def _doubled(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
