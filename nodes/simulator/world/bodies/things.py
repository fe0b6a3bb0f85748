"""Cone and barrier."""

from __future__ import annotations

import numpy as np

from nodes.simulator.world.bodies.primitives import Look, fitted, loft, mesh, slab
from nodes.simulator.world.mesh import Mesh

_ORANGE: Look = ("plastic", (235, 85, 20))
_WHITE: Look = ("sign", (235, 235, 235))
_CONCRETE: Look = ("plastic", (150, 148, 142))


def cone(size: tuple[float, float, float]) -> Mesh:
    heights, radii = [0.03, 0.24, 0.36, 0.46, 0.56, 0.70], [0.145, 0.105, 0.083, 0.066, 0.047, 0.022]
    looks = [_ORANGE, _WHITE, _ORANGE, _WHITE, _ORANGE]
    sides = 16
    turn = 2 * np.pi * np.arange(sides) / sides
    points = np.concatenate(
        [
            np.column_stack([r * np.cos(turn), r * np.sin(turn), np.full(sides, z)])
            for z, r in zip(heights, radii, strict=True)
        ]
    )
    points = np.concatenate([points, [[0, 0, heights[0]], [0, 0, heights[-1]]]])
    faces, look = [], []
    for ring in range(5):
        for i in range(sides):
            p, n = ring * sides + i, ring * sides + (i + 1) % sides
            faces += [(p, n, n + sides), (p, n + sides, p + sides)]
            look += [looks[ring]] * 2
    for i in range(sides):
        n = (i + 1) % sides
        faces += [(6 * sides, n, i), (6 * sides + 1, 5 * sides + i, 5 * sides + n)]
        look += [_ORANGE] * 2
    return fitted(
        [mesh(points, faces, look), slab((-0.18, -0.18, 0), (0.18, 0.18, 0.035), ("plastic", (30, 30, 30)))], size
    )


def barrier(size: tuple[float, float, float]) -> Mesh:
    """A jersey barrier across the way: its length lies along y, with a striped reflector on top of each face."""
    profile = np.array([(0.0, 0.0), (0.30, 0.0), (0.30, 0.08), (0.16, 0.33), (0.10, 1.0), (0.0, 1.0)])
    wall = loft([-1.0, 1.0], [profile, profile], [[_CONCRETE] * 5], (_CONCRETE, _CONCRETE))
    turned = wall._replace(vertices=wall.vertices[:, [1, 0, 2]] * np.array([-1, 1, 1], np.float32))
    stripes = [
        slab(
            (-0.135, -0.95 + 0.2375 * i, 0.62),
            (0.135, -0.95 + 0.2375 * (i + 1), 0.86),
            ("sign", (200, 25, 25)) if i % 2 else _WHITE,
        )
        for i in range(8)
    ]
    return fitted([turned, *stripes], size)
