"""What works at a road: a crawler excavator and a wheel loader."""

from __future__ import annotations

import numpy as np

from nodes.simulator.world.bodies.primitives import (
    DARK,
    GLASS,
    HEADLAMP,
    PAINT,
    TAIL_LAMP,
    TYRE,
    Look,
    Point,
    fitted,
    loft,
    mesh,
    slab,
    tube,
    wheel,
)
from nodes.simulator.world.mesh import Mesh

_STEEL: Look = ("metal", (72, 72, 74))
_ROD: Look = ("metal", (190, 192, 196))
_BEACON: Look = ("plastic", (240, 130, 10))


def excavator(size: tuple[float, float, float]) -> Mesh:
    """On two tracks; its arm reaches forward, the bucket near the ground."""
    parts = [
        *(_track(side * 1.07, -1.75, 1.75) for side in (-1.0, 1.0)),
        slab((-1.1, -0.9, 0.45), (1.1, 0.9, 0.85), _STEEL, 0.05),
        slab((-0.6, -0.6, 0.85), (0.6, 0.6, 1.05), DARK),
        slab((-1.55, -1.33, 1.02), (1.45, 1.33, 1.25), _STEEL, 0.03),
        slab((-1.95, -1.36, 1.10), (-1.15, 1.36, 2.05), PAINT, 0.14),  # counterweight
        slab((-1.20, -1.33, 1.25), (1.10, -0.30, 1.95), PAINT, 0.06),  # pumps and tank
        slab((-1.20, -0.35, 1.25), (-0.20, 1.33, 2.00), PAINT, 0.08),  # engine
        tube((-0.9, 0.5, 1.95), (-0.9, 0.5, 2.45), (0.06, 0.06), DARK, 6),
        *_cab((-0.15, 0.38, 1.22), (1.50, 1.33, 2.95)),
        _beam((0.95, -0.05, 1.45), (2.55, -0.05, 3.05), 0.34, 0.42, PAINT),  # boom, in two parts
        _beam((2.45, -0.05, 2.98), (4.15, -0.05, 2.75), 0.36, 0.34, PAINT),
        _beam((4.05, -0.05, 2.98), (5.00, -0.05, 0.95), 0.30, 0.24, PAINT),  # stick
        *(tube((1.35, y, 1.30), (2.45, y, 2.55), (0.08, 0.05), _ROD, 6) for y in (-0.34, 0.24)),
        tube((2.75, -0.05, 3.22), (4.00, -0.05, 3.15), (0.08, 0.05), _ROD, 6),
        tube((4.35, -0.05, 2.75), (5.10, -0.05, 1.35), (0.06, 0.04), _ROD, 6),
        _bucket(4.65, 0.05, 1.10, 1.15, -0.05),
        slab((1.05, -1.20, 1.70), (1.13, -0.95, 1.84), HEADLAMP, 0.01),
        slab((-1.98, 0.80, 1.75), (-1.90, 1.15, 1.88), TAIL_LAMP),
    ]
    return fitted(parts, size)


def wheel_loader(size: tuple[float, float, float]) -> Mesh:
    """Steered in the middle; its bucket is carried low in front."""
    radius = 0.74
    parts = [
        *(wheel((x, side * 0.98, radius), radius, 0.55, 20) for x in (-1.75, 1.25) for side in (-1.0, 1.0)),
        slab((-3.25, -0.85, 0.85), (-0.95, 0.85, 2.05), PAINT, 0.12),  # engine, counterweight
        slab((-3.40, -1.00, 0.75), (-2.75, 1.00, 1.35), DARK, 0.08),
        slab((-0.95, -0.60, 0.60), (2.05, 0.60, 1.30), PAINT, 0.05),
        tube((-2.0, -0.45, 2.0), (-2.0, -0.45, 2.6), (0.06, 0.06), DARK, 6),
        *(slab((x - 0.8, s * 0.98 - 0.32, 1.52), (x + 0.8, s * 0.98 + 0.32, 1.60), PAINT)
          for x in (-1.75, 1.25) for s in (-1.0, 1.0)),
        *_cab((-0.95, -0.72, 1.25), (0.55, 0.72, 3.15)),
        *(_beam((0.85, y, 1.75), (2.75, y, 0.75), 0.34, 0.16, PAINT) for y in (-0.45, 0.45)),
        *(tube((0.70, y, 1.05), (1.90, y, 1.05), (0.08, 0.05), _ROD, 6) for y in (-0.30, 0.30)),
        _beam((1.35, 0.0, 1.75), (2.70, 0.0, 1.30), 0.22, 0.18, _STEEL),
        _bucket(2.55, 0.12, 1.15, 2.60, 0.0, length=1.25),
        *(slab((0.55, s * 0.95 - 0.14, 1.70), (0.65, s * 0.95 + 0.14, 1.92), HEADLAMP, 0.01) for s in (-1.0, 1.0)),
        *(slab((-3.43, s * 0.72 - 0.16, 1.40), (-3.22, s * 0.72 + 0.16, 1.56), TAIL_LAMP, 0.01) for s in (-1.0, 1.0)),
    ]  # fmt: skip
    return fitted(parts, size)


def _cab(low: Point, high: Point) -> list[Mesh]:
    """A glass house on four posts under a roof, with a lamp that warns."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    sill = z0 + 0.32 * (z1 - z0)
    posts = [(x, y) for x in (x0, x1 - 0.09) for y in (y0, y1 - 0.09)]
    return [
        slab((x0, y0, z0), (x1, y1, sill), PAINT, 0.03),
        slab((x0 + 0.04, y0 + 0.04, sill - 0.02), (x1 - 0.04, y1 - 0.04, z1 - 0.08), GLASS),
        *(slab((x, y, sill - 0.02), (x + 0.09, y + 0.09, z1 - 0.08), DARK) for x, y in posts),
        slab((x0 - 0.05, y0 - 0.03, z1 - 0.12), (x1 + 0.08, y1 + 0.03, z1), PAINT, 0.04),
        tube((x0 + 0.2, y0 + 0.2, z1), (x0 + 0.2, y0 + 0.2, z1 + 0.10), (0.07, 0.06), _BEACON, 6),
    ]


def _track(y: float, back: float, front: float) -> Mesh:
    """A crawler, 0.55 m wide: a flat belt round two wheels 0.84 m high."""
    r, half = 0.42, 0.275
    turn = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 7)
    ends = [(front - r + r * np.cos(a), r + r * np.sin(a)) for a in turn]
    ends += [(back + r - r * np.cos(a), r - r * np.sin(a)) for a in turn]
    ring = np.array(ends)
    n = len(ring)
    points = np.concatenate([np.c_[ring[:, 0], np.full(n, y + s * half), ring[:, 1]] for s in (-1.0, 1.0)])
    points = np.concatenate([points, [[0.5 * (back + front), y + s * half, r] for s in (-1.0, 1.0)]])
    faces, looks = [], []
    for i in range(n):
        k = (i + 1) % n
        faces += [(i, k, n + k), (i, n + k, n + i), (2 * n, k, i), (2 * n + 1, n + i, n + k)]
        looks += [TYRE, TYRE, _STEEL, _STEEL]
    return _outwards(mesh(points, faces, looks))


def _beam(start: Point, end: Point, depth: float, width: float, look: Look) -> Mesh:
    """A bar with a square section between two points of one y: depth in the plane of y, width along y."""
    a, b = np.array(start, float), np.array(end, float)
    along = (b - a) / np.linalg.norm(b - a)
    up, across = np.array([-along[2], 0.0, along[0]]) * 0.5 * depth, np.array([0.0, 0.5 * width, 0.0])
    points = [p + u * up + v * across for p in (a, b) for u, v in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    quads = [(0, 1, 2, 3), (7, 6, 5, 4), (0, 4, 5, 1), (1, 5, 6, 2), (2, 6, 7, 3), (3, 7, 4, 0)]
    return _outwards(mesh(points, [t for p, q, r, s in quads for t in ((p, q, r), (p, r, s))], look))


def _bucket(x: float, z: float, height: float, width: float, y: float, length: float = 0.85) -> Mesh:
    """A scoop: its back upright, its lip in front, drawn closed."""
    half = 0.5 * width
    section = [
        [(0.0, z + 0.25 * height), (half, z + 0.25 * height), (half, z + 0.95 * height), (0.0, z + 0.95 * height)],
        [(0.0, z), (half, z), (half, z + height), (0.0, z + height)],
        [(0.0, z), (half, z), (half, z + 0.55 * height), (0.0, z + 0.55 * height)],
        [(0.0, z), (half, z), (half, z + 0.06), (0.0, z + 0.06)],
    ]
    body = loft([x, x + 0.25 * length, x + 0.6 * length, x + length], section, [[_STEEL] * 3] * 3, (_STEEL, _STEEL))
    body.vertices[:, 1] += np.float32(y)
    return body


def _outwards(of: Mesh) -> Mesh:
    """With its triangles turned where they face inwards; for convex bodies."""
    corner = of.vertices[of.triangles.astype(np.int64)].astype(np.float64)
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    inward = ((corner.mean(axis=1) - of.vertices.mean(axis=0)) * normal).sum(axis=1) < 0.0
    return of._replace(triangles=np.where(inward[:, None], of.triangles[:, ::-1], of.triangles))
