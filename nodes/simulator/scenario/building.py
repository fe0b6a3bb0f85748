"""Houses: walls with windows and doors, and a roof."""

from __future__ import annotations

import numpy as np

from nodes.simulator.scenario.path import FloatArray
from nodes.simulator.scenario.surface import Rgb, flat_mesh, grid
from nodes.simulator.world.mesh import Mesh

STOREY = 3.0
_WALLS: tuple[tuple[str, Rgb], ...] = (
    ("brick", (146, 84, 66)), ("brick", (128, 92, 78)), ("facade", (212, 204, 188)), ("facade", (190, 178, 150)),
    ("facade", (172, 176, 178)), ("facade", (216, 186, 150)), ("concrete", (160, 158, 152)),
)  # fmt: skip
_ROOMS = 16
"""Windows differ in red by 0..15, which tells a camera's renderer who is at home."""
_GLASS, _DOOR, _TILES, _FLAT_ROOF = (58, 72, 88), (86, 58, 42), (122, 62, 48), (110, 110, 112)


def house(width: float, depth: float, floors: int, rng: np.random.Generator) -> Mesh:
    """Its front on y = 0 from x = 0 to ``width``, facing -y; the house lies behind it, on z = 0. Metres."""
    material, rgb = _WALLS[rng.integers(len(_WALLS))]
    height, door = floors * STOREY + 0.4, int(rng.integers(max(1, int(width / 3.2))))
    corners = np.array([[0.0, 0.0], [width, 0.0], [width, depth], [0.0, depth]])
    parts = []
    for side in range(4):
        a, b = corners[side], corners[(side + 1) % 4]
        parts += _wall(a, b, height, floors, material, rgb, windows=side != 2, door=door if side == 0 else -1)
    pitched = floors <= 3 and rng.random() < 0.7
    parts.append(_gable(corners, height, 0.35 * depth) if pitched else _lid(corners, height))
    return Mesh.joined(parts)


def _wall(
    a: FloatArray, b: FloatArray, height: float, floors: int, material: str, rgb: Rgb, windows: bool, door: int
) -> list[Mesh]:  # fmt: skip
    """From a to b, seen from its right hand: a grid of bays, windows a little before the wall."""
    length = float(np.linalg.norm(b - a))
    along = (b - a) / length
    out = np.array([along[1], -along[0]])
    bays = max(1, int(length / 3.2))

    def sheet(x: FloatArray, z: FloatArray, before: float) -> FloatArray:
        at = a + x[:, None] * along + before * out
        return np.concatenate(
            [np.broadcast_to(at[:, None], (len(x), len(z), 2)), np.broadcast_to(z[None, :, None], (len(x), len(z), 1))],
            axis=-1,
        )

    x, z = np.linspace(0.0, length, bays + 1), np.linspace(0.0, height, floors + 1)
    parts = [grid(sheet(x, z, 0.0), material, rgb)]
    rooms = np.random.default_rng([round(1e3 * v) for v in (length, height)])
    if windows:
        for bay, floor in np.ndindex(bays, floors):
            middle = (bay + 0.5) * length / bays
            half, low, high = (0.5, 0.0, 2.1) if bay == door and floor == 0 else (0.6, 0.9, 2.2)
            pane = sheet(middle + np.array([-half, half]), floor * STOREY + np.array([low, high]), 0.04)
            glass = (_GLASS[0] + int(rooms.integers(_ROOMS)), *_GLASS[1:])
            parts.append(grid(pane, *(("bark", _DOOR) if half == 0.5 else ("window", glass))))
    return parts


def _lid(corners: FloatArray, height: float) -> Mesh:
    return flat_mesh(np.c_[corners, np.full(4, height)], [[0, 1, 2], [0, 2, 3]], "concrete", _FLAT_ROOF)


def _gable(corners: FloatArray, height: float, rise: float) -> Mesh:
    ridge = 0.5 * (corners[[0, 1]] + corners[[3, 2]])
    points = np.r_[np.c_[corners, np.full(4, height)], np.c_[ridge, np.full(2, height + rise)]]
    return flat_mesh(points, [[0, 1, 5], [0, 5, 4], [2, 3, 4], [2, 4, 5], [1, 2, 5], [3, 0, 4]], "brick", _TILES)
