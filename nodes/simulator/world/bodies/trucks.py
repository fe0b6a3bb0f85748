"""Box truck, lorry, tractor with its semi-trailer, and bus: a cab or a long body, a load, and many wheels."""

from __future__ import annotations

from itertools import pairwise

from nodes.simulator.world.bodies.primitives import (
    DARK,
    GLASS,
    HEADLAMP,
    PAINT,
    PLATE,
    TAIL_LAMP,
    Look,
    fitted,
    loft,
    slab,
    wheel,
)
from nodes.simulator.world.mesh import Mesh

_CARGO: Look = ("paint", (215, 215, 212))
_STEEL: Look = ("metal", (70, 72, 75))
_ROD: Look = ("metal", (165, 168, 172))

TRAILER_TAIL = 0.25
"""Share of a semi-trailer's length that lies behind the middle of its axles."""


def box_truck(size: tuple[float, float, float]) -> Mesh:
    length, width, height = size
    w = 0.5 * width
    parts = [
        *_cab(length - 1.95, length, w * 0.94, 2.55),
        slab((0.0, -w, 0.95), (length - 2.1, w, height), PAINT, 0.05),
        slab((0.1, -0.45, 0.55), (length - 1.9, 0.45, 0.95), _STEEL),
        *_rear(w, 0.72, 0.95),
        *_wheels((1.6, length - 1.25), w, 0.48),
    ]
    return fitted(parts, size)


def lorry(size: tuple[float, float, float]) -> Mesh:
    length, width, height = size
    w = 0.5 * width
    parts = [
        *_cab(length - 2.2, length, w * 0.97, 3.35),
        slab((0.0, -w, 1.15), (length - 2.55, w, height), _CARGO, 0.05),
        slab((0.1, -0.5, 0.75), (length - 1.9, 0.5, 1.15), _STEEL),
        slab((3.9, -w * 0.97, 0.5), (length - 3.9, -w * 0.92, 1.05), _STEEL),
        slab((3.9, w * 0.92, 0.5), (length - 3.9, w * 0.97, 1.05), _STEEL),
        *_rear(w, 0.85, 1.15),
        *_wheels((1.2, 2.5, length - 3.35, length - 1.4), w, 0.50),
    ]
    return fitted(parts, size)


def tractor(size: tuple[float, float, float]) -> Mesh:
    """Pulls a semi-trailer: behind the cab nothing but a frame, the plate that carries the load, and wheels."""
    length, width, height = size
    w = 0.5 * width
    parts = [
        *_cab(length - 2.2, length, w * 0.98, 3.05),
        slab((length - 2.15, -w * 0.86, 2.90), (length - 0.75, w * 0.86, height), PAINT, 0.18),  # wind deflector
        slab((0.05, -0.45, 0.70), (length - 1.9, 0.45, 0.98), _STEEL),
        slab((1.25, -0.50, 0.98), (2.15, 0.50, 1.12), _STEEL, 0.03),  # fifth wheel
        *(slab((2.05, s * w * 0.80 - 0.20, 0.45), (3.35, s * w * 0.80 + 0.20, 0.98), _ROD, 0.06) for s in (-1, 1)),
        *(slab((0.72, s * (w - 0.34) - 0.30, 1.02), (1.80, s * (w - 0.34) + 0.30, 1.06), DARK) for s in (-1, 1)),
        *_rear(w * 0.8, 0.78, 0.92),
        *_wheels((0.21 * length, length - 1.4), w, 0.50),
    ]
    return fitted(parts, size)


def semi_trailer(size: tuple[float, float, float]) -> Mesh:
    """A box on three axles, its front on the tractor."""
    length, width, height = size
    w = 0.5 * width
    middle = TRAILER_TAIL * length
    parts = [
        slab((0.0, -w, 1.22), (length, w, height), PAINT, 0.04),
        slab((0.1, -0.48, 0.92), (length - 0.4, 0.48, 1.22), _STEEL),
        *(slab((middle + 2.2, s * w * 0.95 - 0.03, 0.50), (length - 3.4, s * w * 0.95 + 0.03, 1.05), _STEEL)
          for s in (-1, 1)),
        *(slab((length - 3.0, s * 0.72 - 0.07, 0.42), (length - 2.86, s * 0.72 + 0.07, 1.22), _STEEL) for s in (-1, 1)),
        *_rear(w, 0.85, 1.22),
        *_wheels((middle - 1.31, middle, middle + 1.31), w, 0.50),
    ]  # fmt: skip
    return fitted(parts, size)


def bus(size: tuple[float, float, float]) -> Mesh:
    length, width, height = size
    w = 0.5 * width
    posts = [0.5 + 1.55 * i for i in range(int((length - 1.0) / 1.55) + 1)]
    x = sorted({0.0, 0.08, length - 0.10, length, *(p - 0.06 for p in posts), *(p + 0.06 for p in posts)})
    top = height - 0.02
    sections = []
    for at in x:
        pull = 0.05 if at in (0.0, length) else 0.0
        sections.append(
            [(0, 0.36), (w - pull, 0.36), (w - pull, 1.22), (w - 0.02 - pull, top - 0.45),
             (w - 0.07 - pull, top - 0.12),
             (w - 0.25, top - pull), (0, top - pull)]
        )  # fmt: skip
    looks = []
    for a, b in pairwise(x):
        pane = b - a > 0.5 and a > 0.4 and b < length - 0.05
        looks.append([DARK, PAINT, GLASS if pane else DARK, PAINT, PAINT, PAINT])
    parts = [
        loft(x, sections, looks, (PAINT, PAINT)),
        slab((length - 0.06, -w * 0.90, 1.05), (length + 0.02, w * 0.90, top - 0.45), GLASS, 0.015),
        slab((length - 0.06, -w * 0.60, top - 0.38), (length + 0.015, w * 0.60, top - 0.14), DARK, 0.01),
        slab((-0.015, -w * 0.80, 1.55), (0.06, w * 0.80, top - 0.50), GLASS, 0.01),
        slab((0.3, -w * 0.7, top - 0.01), (3.5, w * 0.7, height + 0.12), PAINT, 0.05),
        *_front_lamps(length + 0.01, w, 0.72),
        *_rear(w, 0.75, 1.05),
        *_wheels((2.9, length - 2.7), w + 0.06, 0.48),
    ]
    return fitted(parts, size)


def _cab(back: float, front: float, w: float, height: float) -> list[Mesh]:
    """A cab over the engine: upright face, windscreen above, door window in front of a blind wall."""
    x = [back, back + 0.55, back + 0.65, front - 0.36, front - 0.12, front]
    screen = 0.62 * height
    rake = [0.06, 0.0, 0.0, 0.0, 0.03, 0.30]
    sections = []
    for at, pull in zip(x, rake, strict=True):
        side, roof = w - 0.4 * pull, height - 0.35 * pull - (0.10 if at == front else 0.0)
        sections.append(
            [
                (0, 0.42),
                (side, 0.42),
                (side, screen - 0.25),
                (side - 0.05, roof - 0.32),
                (side - 0.16, roof - 0.05),
                (0, roof),
            ]
        )
    looks = [[DARK, PAINT, GLASS if i == 2 else PAINT, PAINT, PAINT] for i in range(len(x) - 1)]
    return [
        loft(x, sections, looks, (PAINT, PAINT)),
        slab((front - 0.05, -0.84 * w, screen - 0.22), (front + 0.03, 0.84 * w, height - 0.50), GLASS, 0.015),
        slab((front - 0.05, -0.62 * w, 0.85), (front + 0.02, 0.62 * w, screen - 0.38), DARK, 0.01),
        slab((front - 0.2, -0.93 * w, 0.38), (front + 0.05, 0.93 * w, 0.74), DARK, 0.03),
        *(
            slab((front - 0.25, s * w - 0.10, screen - 0.1), (front - 0.15, s * w + 0.10, screen + 0.45), DARK, 0.02)
            for s in (-1, 1)
        ),
        *_front_lamps(front + 0.06, w, 0.66),
    ]  # fmt: skip


def _front_lamps(x: float, w: float, z: float) -> list[Mesh]:
    lamps = [
        slab((x - 0.15, s * 0.74 * w - 0.17, z - 0.08), (x, s * 0.74 * w + 0.17, z + 0.10), HEADLAMP, 0.02)
        for s in (-1, 1)
    ]
    return [*lamps, slab((x - 0.05, -0.26, z - 0.20), (x + 0.01, 0.26, z - 0.09), PLATE)]


def _rear(w: float, z: float, top: float) -> list[Mesh]:
    lamps = [
        slab((-0.02, s * 0.82 * w - 0.18, z - 0.10), (0.12, s * 0.82 * w + 0.18, z + 0.10), TAIL_LAMP, 0.02)
        for s in (-1, 1)
    ]
    return [
        *lamps,
        slab((0.0, -0.95 * w, z - 0.28), (0.12, 0.95 * w, z - 0.14), _STEEL),
        slab((-0.015, -0.26, z - 0.06), (0.06, 0.26, z + 0.06), PLATE),
        slab((0.02, -0.9 * w, z + 0.1), (0.2, 0.9 * w, top + 0.02), DARK),
    ]


def _wheels(axles: tuple[float, ...], w: float, radius: float) -> list[Mesh]:
    return [wheel((x, s * (w - 0.17), radius), radius, 0.30, 16) for x in axles for s in (-1.0, 1.0)]
