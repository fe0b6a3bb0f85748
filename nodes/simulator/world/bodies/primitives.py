"""What bodies are made of: lofts, tubes, ellipsoids, slabs and wheels. Closed, with normals that point outwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.mesh import Mesh

Rgb: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float, float]
Look: TypeAlias = tuple[str, Rgb]
"""Material and sRGB colour."""

PAINT: Look = ("paint", (128, 128, 128))
GLASS: Look = ("glass", (24, 30, 34))
DARK: Look = ("plastic", (24, 24, 26))
TYRE: Look = ("tyre", (20, 20, 21))
RIM: Look = ("metal", (150, 152, 156))
HEADLAMP: Look = ("headlamp", (225, 228, 230))
TAIL_LAMP: Look = ("tail_lamp", (150, 12, 12))
PLATE: Look = ("plate", (225, 225, 215))


def mesh(vertices: npt.ArrayLike, triangles: npt.ArrayLike, looks: Look | list[Look]) -> Mesh:
    """Of V points and T triangles with one look, or one for each triangle."""
    faces = np.asarray(triangles, dtype=np.uint32).reshape(-1, 3)
    each: list[Look] = looks if isinstance(looks, list) else [looks] * len(faces)
    return Mesh(
        np.asarray(vertices, dtype=np.float32).reshape(-1, 3),
        faces,
        np.array([MATERIAL_ID[name] for name, _ in each], np.uint8),
        np.array([rgb for _, rgb in each], np.uint8).reshape(-1, 3),
    )


def loft(x: Sequence[float], half: npt.ArrayLike, looks: Sequence[Sequence[Look]], ends: tuple[Look, Look]) -> Mesh:
    """A body that is alike left and right.

    Args:
        x: (S,) places of the sections, increasing, m.
        half: (S, K, 2) y >= 0 and z of the left half of each, from the middle below to the middle above.
        looks: (S - 1, K - 1) between sections and points. ends: of the flat faces behind and in front.
    """
    section = np.asarray(half, dtype=np.float64)
    s, k = section.shape[:2]
    left = np.concatenate([np.repeat(np.asarray(x, float)[:, None, None], k, axis=1), section], axis=2).reshape(-1, 3)
    points = np.concatenate([left, left * [1.0, -1.0, 1.0]])
    faces, look = [], []
    for i in range(s - 1):
        for j in range(k - 1):
            a, b, c, d = i * k + j, i * k + j + 1, (i + 1) * k + j + 1, (i + 1) * k + j
            m = s * k
            faces += [(a, b, c), (a, c, d), (m + a, m + c, m + b), (m + a, m + d, m + c)]
            look += [looks[i][j]] * 4
    for first, end, turned in ((0, ends[0], True), ((s - 1) * k, ends[1], False)):
        ring = [*range(first, first + k), *(s * k + j for j in range(first + k - 1, first - 1, -1))]
        middle = len(points)
        points = np.concatenate([points, points[ring].mean(axis=0, keepdims=True)])
        for a, b in zip(ring, [*ring[1:], ring[0]], strict=True):
            faces.append((middle, b, a) if turned else (middle, a, b))
            look.append(end)
    return _whole(mesh(points, faces, look))


def slab(low: Point, high: Point, look: Look, bevel: float = 0.0) -> Mesh:
    """A box from corner to corner, its edges along x cut off by ``bevel``, m, and its ends drawn in as much."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    y, z = 0.5 * (y0 + y1), [z0, z0 + bevel, z1 - bevel, z1]
    w = 0.5 * (y1 - y0)
    full = np.array([(0, z[0]), (w - bevel, z[0]), (w, z[1]), (w, z[2]), (w - bevel, z[3]), (0, z[3])])
    small = np.array([(0, z[1]), (w - bevel, z[1]), (w - bevel, z[1]), (w - bevel, z[2]), (w - bevel, z[2]), (0, z[2])])
    if bevel:
        x, sections = [x0, x0 + bevel, x1 - bevel, x1], [small, full, full, small]
    else:
        x, sections = [x0, x1], [full, full]
    body = loft(x, sections, [[look] * 5] * (len(x) - 1), (look, look))
    body.vertices[:, 1] += y
    return body


def tube(start: Point, end: Point, radii: tuple[float, float], look: Look, sides: int = 8) -> Mesh:
    """A truncated cone between two points with rounded ends."""
    a, b = np.array(start, float), np.array(end, float)
    along = b - a
    length = float(np.linalg.norm(along))
    along /= length
    beside = np.cross(along, [0.0, 1.0, 0.0] if abs(along[1]) < 0.9 else [1.0, 0.0, 0.0])
    beside /= np.linalg.norm(beside)
    third = np.cross(along, beside)
    turn = 2 * np.pi * np.arange(sides) / sides
    around = np.outer(np.cos(turn), beside) + np.outer(np.sin(turn), third)
    (r, q), points = radii, [a - along * radii[0] * 0.6]
    rings = [(a - along * r * 0.35, 0.75 * r), (a, r), (b, q), (b + along * q * 0.35, 0.75 * q)]
    vertices = np.concatenate([points, *[c + around * w for c, w in rings], [b + along * q * 0.6]])
    faces = [(0, 1 + (i + 1) % sides, 1 + i) for i in range(sides)]
    for ring in range(3):
        for i in range(sides):
            p, n = 1 + ring * sides + i, 1 + ring * sides + (i + 1) % sides
            faces += [(p, n, n + sides), (p, n + sides, p + sides)]
    last = 1 + 3 * sides
    faces += [(last + i, last + (i + 1) % sides, len(vertices) - 1) for i in range(sides)]
    return mesh(vertices, faces, look)


def ellipsoid(centre: Point, radii: Point, look: Look, rows: int = 6, columns: int = 10) -> Mesh:
    """Radii along x, y, z."""
    up = np.pi * np.arange(1, rows) / rows
    turn = 2 * np.pi * np.arange(columns) / columns
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    balls = [np.column_stack([np.sin(u) * ring, np.full(columns, np.cos(u))]) for u in up]
    vertices = np.concatenate([[[0, 0, 1]], *balls, [[0, 0, -1]]]) * radii + np.array(centre)
    faces = [(0, 1 + i, 1 + (i + 1) % columns) for i in range(columns)]
    for row in range(rows - 2):
        for i in range(columns):
            p, n = 1 + row * columns + i, 1 + row * columns + (i + 1) % columns
            faces += [(p, p + columns, n + columns), (p, n + columns, n)]
    last = 1 + (rows - 2) * columns
    faces += [(last + i, len(vertices) - 1, last + (i + 1) % columns) for i in range(columns)]
    return mesh(vertices, faces, look)


def wheel(centre: Point, radius: float, width: float, sides: int = 18, rim: Look = RIM) -> Mesh:
    """A tyre with a rim set into both its faces; the axle lies along y."""
    turn = 2 * np.pi * np.arange(sides) / sides
    circle = np.stack([np.cos(turn), np.zeros(sides), np.sin(turn)], axis=1)
    half = 0.5 * width
    profile = [(0.0, -half * 0.75), (0.62, -half * 0.75), (0.66, -half), (0.93, -half), (1.0, -half * 0.7)]
    profile += [(r, -y) for r, y in reversed(profile)]
    across = np.array([0.0, 1.0, 0.0])
    rings = [circle * r * radius + across * y for r, y in profile]
    faces, looks = [], []
    for j in range(len(profile) - 1):
        look = rim if j in (0, len(profile) - 2) else TYRE
        for i in range(sides):
            p, n = j * sides + i, j * sides + (i + 1) % sides
            faces += [(p, n + sides, n), (p, p + sides, n + sides)]
            shaded = look if look is TYRE or i % 3 else ("metal", (60, 60, 62))
            looks += [shaded] * 2
    return _whole(mesh(np.concatenate(rings) + np.array(centre), faces, looks))


def fitted(parts: Sequence[Mesh], size: tuple[float, float, float]) -> Mesh:
    """Joined and stretched to fill a box of this size, the origin in the middle of its underside."""
    whole = Mesh.joined(parts)
    return stretched([whole], size)[0]


def stretched(phases: Sequence[Mesh], size: tuple[float, float, float]) -> tuple[Mesh, ...]:
    """All by the same scale, so that together they fill the box."""
    every = np.concatenate([phase.vertices for phase in phases]).astype(np.float64)
    low, high = every.min(axis=0), every.max(axis=0)
    start = np.array([-0.5 * size[0], -0.5 * size[1], 0.0])
    return tuple(
        phase._replace(vertices=((phase.vertices - low) / (high - low) * size + start).astype(np.float32))
        for phase in phases
    )


def _whole(of: Mesh) -> Mesh:
    """Without triangles that have no area."""
    a, b, c = np.moveaxis(of.vertices[of.triangles.astype(np.int64)], 1, 0)
    keep = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-8
    return of._replace(triangles=of.triangles[keep], material=of.material[keep], colour=of.colour[keep])
