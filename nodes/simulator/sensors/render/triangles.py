"""Meshes as a graphics processor wants them: small triangles, a normal at each corner, sorted by place and looks."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.mesh import Mesh

Records: TypeAlias = npt.NDArray[Any]  # of a structured type

VERTEX = np.dtype([("position", "<f4", 3), ("normal", "u1", 4), ("colour", "<f2", 3), ("material", "u1"), ("", "u1")])
"""colour: linear."""
VERTEX_FORMAT = "3f4 4f1 3f2 1u1 1x1"

GROUND = ("marking", "pavement", "asphalt", "grass")
LOOKS = ("body", "plant", "window", "brick", "wall", *GROUND)
"""Groups of materials that one program draws, in drawing order: what hides much comes first, and what lies on top."""
_LOOK_OF = {
    **{name: name for name in ("window", "brick", *GROUND)},
    **dict.fromkeys(("facade", "concrete"), "wall"),
    **dict.fromkeys(("foliage", "bark"), "plant"),
}
_LOOK = np.array([LOOKS.index(_LOOK_OF.get(name, "body")) for name in MATERIAL_ID], np.uint8)

_CREASE = np.cos(np.radians(42.0))  # surfaces that meet at a larger angle keep their edge
_LONGEST = 12.0  # m; an edge must look straight to a rolling shutter


class Part(NamedTuple):
    """Triangles of one look in one place: indices [start, start + length) of the buffer; bounds in metres."""

    look: str
    start: int
    length: int
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]


class Soup(NamedTuple):
    """T triangles by themselves: corners (T, 3, 3) float32 metres, material (T,) uint8, colour (T, 3) uint8."""

    corners: npt.NDArray[np.float32]
    material: npt.NDArray[np.uint8]
    colour: npt.NDArray[np.uint8]


def packed(mesh: Mesh, cell: float, longest: float = _LONGEST) -> tuple[Records, npt.NDArray[np.uint32], list[Part]]:
    """Vertices (V,) of `VERTEX`, indices (3 T,), and parts of at most ``cell`` metres square that use them."""
    soup = divided(Soup(mesh.vertices[mesh.triangles.astype(np.int64)], mesh.material, mesh.colour), longest)
    if not len(soup.corners):
        return np.zeros(0, VERTEX), np.zeros(0, np.uint32), []
    corners = np.empty((len(soup.corners), 3), VERTEX)
    corners["position"] = soup.corners
    corners["normal"][..., :3] = np.rint(127.5 + 127.0 * corner_normals(soup.corners))
    corners["normal"][..., 3] = 0
    corners["colour"] = (soup.colour[:, None] / 255.0) ** 2.2
    corners["material"] = soup.material[:, None]

    place = np.floor(soup.corners[..., :2].mean(axis=1) / cell).astype(np.int64)
    place -= place.min(axis=0)
    across, along = place.max(axis=0) + 1
    key = (_LOOK[soup.material].astype(np.int64) * across + place[:, 0]) * along + place[:, 1]
    order = np.argsort(key, kind="stable")
    corners, key = corners[order], key[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    parts = [
        Part(
            LOOKS[key[a] // (across * along)],
            3 * int(a),
            3 * int(b - a),
            corners["position"][a:b].reshape(-1, 3).min(axis=0),
            corners["position"][a:b].reshape(-1, 3).max(axis=0),
        )
        for a, b in zip(first, [*first[1:], len(key)], strict=True)
    ]
    vertices, indices = _without_twins(corners.reshape(-1))
    return vertices, indices, parts


def divided(soup: Soup, longest: float) -> Soup:
    """The same surface with no edge longer than ``longest``, m. Edges are halved on both sides alike: no cracks."""
    corners, material, colour = soup
    done: list[Soup] = []
    while len(corners):
        edge = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)  # from corner i to i + 1
        split = edge > longest
        count = split.sum(axis=1)
        done.append(Soup(corners[count == 0], material[count == 0], colour[count == 0]))
        made: list[Soup] = []
        for n in (1, 2, 3):
            which = np.flatnonzero(count == n)
            # Turned so that the edges to halve come first.
            turn = {1: split.argmax(axis=1), 2: (~split).argmax(axis=1) + 1, 3: 0 * count}[n][which]
            a, b, c = np.moveaxis(corners[which[:, None], (turn[:, None] + np.arange(3)) % 3], 1, 0)
            ab, bc, ca = 0.5 * (a + b), 0.5 * (b + c), 0.5 * (c + a)
            pieces = {
                1: [(a, ab, c), (ab, b, c)],
                2: [(ab, b, bc), (a, ab, bc), (a, bc, c)],
                3: [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)],
            }[n]
            made += [Soup(np.stack(piece, axis=1), material[which], colour[which]) for piece in pieces]
        corners, material, colour = (np.concatenate(parts) for parts in zip(*made, strict=True))
    return Soup(*(np.concatenate(parts) for parts in zip(*done, strict=True))) if done else soup


def corner_normals(corners: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(T, 3, 3) float32 unit normals: the mean of the faces that meet at a corner, weighted by area, without those
    beyond a crease."""
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(area, axis=1, keepdims=True)
    unit = area / np.maximum(size, 1e-12)
    at = np.rint(corners.reshape(-1, 3) * 2048.0).astype(np.int64)
    key = (at[:, 0] * 73856093) ^ (at[:, 1] * 19349663) ^ (at[:, 2] * 83492791)  # Teschner et al. 2003
    order = np.argsort(key, kind="stable")
    face = order // 3
    first = np.flatnonzero(np.diff(key[order], prepend=key[order[0]] - 1))
    count = np.diff([*first, len(key)])
    start, many = np.repeat(first, count), np.repeat(count, count)
    place = np.arange(len(key)) - start
    total = np.zeros((len(key), 3), np.float32)
    for step in range(min(int(count.max()), 64)):
        alive = np.flatnonzero(many > step)
        other = face[start[alive] + (place[alive] + step) % many[alive]]
        smooth = np.einsum("ij,ij->i", unit[face[alive]], unit[other]) > _CREASE
        total[alive[smooth]] += area[other[smooth]]
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    out = np.empty_like(total)
    out[order] = total
    return out.reshape(-1, 3, 3)


def _without_twins(corners: Records) -> tuple[Records, npt.NDArray[np.uint32]]:
    """Vertices in order of first use, and the indices that give the corners back."""
    words = corners.view(np.uint32).reshape(len(corners), -1).astype(np.uint64)
    key = np.zeros(len(corners), np.uint64)
    for column in words.T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return corners[first[order]], rank[which].astype(np.uint32)
