"""Ground and road: what a wheel or a shoe can stand on, and what is painted on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nodes.simulator.scenario.path import Path
from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.mesh import Mesh

Rgb: TypeAlias = tuple[int, int, int]

EDGE = 4.0
"""Longest edge of a triangle near the road, m: a picture warped at its corners for a moving shutter stays true."""

ASPHALT, PAVING, GRASS, WHITE = (88, 88, 90), (150, 146, 140), (92, 112, 62), (235, 235, 230)
PAINT_HEIGHT = 0.01  # m; less and a camera far away cannot tell the paint from the road
GROUND_HEIGHT = -0.05


def grid(points: npt.ArrayLike, material: str, rgb: Rgb) -> Mesh:
    """A sheet through (R, C, 3) points; its upper side is where rows crossed with columns point."""
    at = np.asarray(points, dtype=np.float32)
    rows, columns = at.shape[:2]
    index = np.arange(rows * columns, dtype=np.uint32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    return flat_mesh(at.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), material, rgb)


def flat_mesh(vertices: npt.ArrayLike, triangles: npt.ArrayLike, material: str, rgb: Rgb) -> Mesh:
    """Triangles of one material and colour."""
    faces = np.asarray(triangles, dtype=np.uint32).reshape(-1, 3)
    return Mesh(
        np.asarray(vertices, dtype=np.float32),
        faces,
        np.full(len(faces), MATERIAL_ID[material], np.uint8),
        np.tile(np.array(rgb, np.uint8), (len(faces), 1)),
    )


def extrude(
    path: Path, start: float, end: float, profile: Sequence[tuple[float, float]], material: str, rgb: Rgb,
    edge: float = EDGE,
) -> Mesh:  # fmt: skip
    """A cross-section drawn along a path. profile: points (left of the path, up), m, from right to left for a surface
    that faces up. Edges are at most ``edge`` m long."""
    if end - start < 1e-6:
        return Mesh.joined([])
    s = np.linspace(start, end, int(np.ceil((end - start) / edge)) + 1)
    corners = np.array(profile, dtype=np.float64)
    cuts = [
        p + (q - p) * np.linspace(0.0, 1.0, max(1, int(np.ceil(np.hypot(*(q - p)) / edge))), endpoint=False)[:, None]
        for p, q in itertools.pairwise(corners)
    ]
    across = np.concatenate([*cuts, corners[-1:]])
    place = path.at(s)
    points = np.empty((len(s), len(across), 3))
    points[..., :2] = place.xy[:, None] + across[:, 0, None] * place.left[:, None]
    points[..., 2] = across[:, 1]
    return grid(points, material, rgb)


def flat(
    path: Path, start: float, end: float, right: float, left: float, material: str, rgb: Rgb, z: float = 0.0
) -> Mesh:
    """A level strip between two offsets, m."""
    return extrude(path, start, end, [(right, z), (left, z)], material, rgb)


def line(path: Path, start: float, end: float, d: float, width: float = 0.12) -> Mesh:
    """A painted line whose middle is ``d`` m left of the path."""
    return flat(path, start, end, d - 0.5 * width, d + 0.5 * width, "marking", WHITE, PAINT_HEIGHT)


def dashes(
    path: Path, start: float, end: float, d: float, dash: float, pause: float, width: float = 0.12
) -> Mesh:  # fmt: skip
    """A broken line."""
    begins = np.arange(start, end - dash, dash + pause)
    return Mesh.joined([line(path, float(s), float(s) + dash, d, width) for s in begins])


def ground(roads: Iterable[Path], material: str, rgb: Rgb, margin: float = 140.0, near: float = 22.0) -> Mesh:
    """Level ground below all roads, twice as coarse as roads within ``near`` m of them and coarser with distance."""
    points = np.concatenate([np.stack([road.x, road.y], axis=1)[::8] for road in roads])
    low, size = points.min(axis=0) - margin, 64.0
    count = np.ceil((np.ptp(points, axis=0) + 2 * margin) / size).astype(int)
    cells = np.stack(np.meshgrid(*(np.arange(n) for n in count), indexing="ij"), axis=-1).reshape(-1, 2) * size + low
    corners = []
    while len(cells):
        centre = cells + 0.5 * size
        away = np.sqrt(((centre[:, None] - points) ** 2).sum(axis=-1).min(axis=1))
        whole = (away - 0.71 * size > near + 1.5 * size) | (size <= 2.0 * EDGE)
        corners += [(cell, size) for cell in cells[whole]]
        size *= 0.5
        quarters = np.array([[0, 0], [size, 0], [0, size], [size, size]])
        cells = (cells[~whole][:, None] + quarters).reshape(-1, 2)
    origin = np.array([corner for corner, _ in corners])
    extent = np.array([[side] for _, side in corners])
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    vertices = (origin[:, None] + extent[:, None] * square).reshape(-1, 2)
    first = 4 * np.arange(len(origin))[:, None]
    faces = (first[:, None] + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    return flat_mesh(np.c_[vertices, np.full(len(vertices), GROUND_HEIGHT)], faces, material, rgb)
