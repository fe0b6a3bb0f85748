"""Trees and hedges."""

from __future__ import annotations

import numpy as np

from nodes.simulator.scenario.surface import Rgb, flat_mesh
from nodes.simulator.world.mesh import Mesh

_BARK = (84, 68, 52)
_GREENS: tuple[Rgb, ...] = ((62, 92, 40), (74, 100, 46), (56, 82, 44), (88, 104, 52), (70, 88, 34))


def tree(rng: np.random.Generator) -> Mesh:
    """A trunk on z = 0 at the origin and a crown of three lumps, 5 to 10 m high."""
    height = float(rng.uniform(5.0, 10.0))
    radius = height * float(rng.uniform(0.18, 0.27))
    rgb = _GREENS[rng.integers(len(_GREENS))]
    lumps = [_lump((0.0, 0.0, height - 1.1 * radius), radius, rgb, rng)]
    for _ in range(2):
        angle = rng.uniform(0.0, 2.0 * np.pi)
        at = (0.6 * radius * np.cos(angle), 0.6 * radius * np.sin(angle), height - rng.uniform(1.4, 2.0) * radius)
        lumps.append(_lump(at, 0.75 * radius, rgb, rng))
    return Mesh.joined([post(0.025 * height, height - 1.4 * radius, "bark", _BARK), *lumps])


def post(radius: float, height: float, material: str, rgb: Rgb, sides: int = 6) -> Mesh:
    """A round post on z = 0 at the origin, without a lid."""
    angle = np.arange(sides) * 2.0 * np.pi / sides
    ring = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.r_[np.c_[ring, np.zeros(sides)], np.c_[ring, np.full(sides, height)]]
    k, after = np.arange(sides), (np.arange(sides) + 1) % sides
    faces = np.r_[np.c_[k, after, after + sides], np.c_[k, after + sides, k + sides]]
    return flat_mesh(points, faces, material, rgb)


def _lump(at: tuple[float, float, float], radius: float, rgb: Rgb, rng: np.random.Generator) -> Mesh:
    """An icosahedron with corners pushed in and out."""
    shade = rng.uniform(0.8, 1.15)
    points = _ICOSAHEDRON * radius * rng.uniform(0.8, 1.15, (12, 1)) + np.array(at)
    red, green, blue = (int(min(255, c * shade)) for c in rgb)
    return flat_mesh(points, _ICOSAHEDRON_FACES, "foliage", (red, green, blue))


_G = 0.5 * (1.0 + np.sqrt(5.0))
_ICOSAHEDRON = np.array(
    [[-1, _G, 0], [1, _G, 0], [-1, -_G, 0], [1, -_G, 0], [0, -1, _G], [0, 1, _G],
     [0, -1, -_G], [0, 1, -_G], [_G, 0, -1], [_G, 0, 1], [-_G, 0, -1], [-_G, 0, 1]]
) / np.sqrt(1.0 + _G * _G)  # fmt: skip
_ICOSAHEDRON_FACES = np.array(
    [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6],
     [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7],
     [9, 8, 1]]
)  # fmt: skip
