"""Scattering centres: the few points at which a radar sees a thing.

Vehicles after M. Buehren and B. Yang (IV 2006) and K. Schuler et al. (2008): flat faces that flash when seen squarely,
rounded corners, wheel houses; and a scatter of weak points on the whole surface, which a fine radar resolves.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray
from nodes.simulator.world.material import MATERIALS
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.shapes import shape

_VEHICLES = ("car", "truck", "bus", "trailer", "construction_vehicle")
_FLOOR_DB = -22.0  # what is left of a lobe seen from its side
_SURFACE_POINTS = 40


class Centres(NamedTuple):
    """P scattering centres in one frame.

    position: (P, 3) m. normal: (P, 3) unit, where the lobe points; 0 = alike in all directions. lobe: (P,) rad, its
    half width. rcs: (P,) dBsm at its peak. wheel: (P,) part of something that turns or swings as the body moves.
    """

    position: FloatArray
    normal: FloatArray
    lobe: FloatArray
    rcs: FloatArray
    wheel: npt.NDArray[np.bool_]

    def towards(self, direction: FloatArray) -> FloatArray:
        """(P,) dBsm seen from (P, 3) unit vectors that point from the centre to the radar."""
        cosine = np.einsum("pj,pj->p", self.normal, direction)
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        loss = np.maximum(-12.0 * (angle / (2.0 * self.lobe)) ** 2, _FLOOR_DB)
        loss = np.where(cosine < 0.0, 2.0 * _FLOOR_DB, loss)  # from behind: the body is between
        return np.asarray(self.rcs + np.where((self.normal == 0).all(axis=1), 0.0, loss))

    def pick(self, which: npt.NDArray[np.int64]) -> Centres:
        return Centres._make(column[which] for column in self)

    @staticmethod
    def joined(parts: list[Centres]) -> Centres:
        if not parts:
            return _centres([])
        return Centres._make(np.concatenate(column) for column in zip(*parts, strict=True))


def _centres(rows: list[tuple[tuple[float, float, float], tuple[float, float, float], float, float, bool]]) -> Centres:
    """From rows of position, normal, lobe (rad), RCS (dBsm), wheel."""
    position, normal, lobe, rcs, wheel = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    direction = np.array(normal, dtype=np.float64).reshape(-1, 3)
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    return Centres(
        np.array(position, dtype=np.float64).reshape(-1, 3),
        direction / np.where(length > 0, length, 1.0),
        np.array(lobe, dtype=np.float64),
        np.array(rcs, dtype=np.float64),
        np.array(wheel, dtype=bool),
    )


@functools.cache
def of_shape(name: str) -> Centres:
    """Of an actor's shape, frame of its body (x forward, origin under its middle)."""
    of = shape(name)
    length, width, height = of.size
    x, y = 0.5 * length, 0.5 * width
    rows = []
    if of.kind in _VEHICLES:
        axles = (-0.36, -0.14) if of.kind == "trailer" else (-0.32, 0.32)
        bulk = 10.0 * np.log10(max(width * height / 2.7, 0.5))  # against a car's end
        for end, axle in zip((-1.0, 1.0), axles, strict=True):
            rows.append(((end * x, 0.0, 0.3 * height), (end, 0.0, 0.0), 0.25, 10.0 + bulk, False))
            for side in (-1.0, 1.0):
                corner = (end * (x - 0.15), side * (y - 0.1), 0.3 * height)
                rows.append((corner, (end, side, 0.0), 0.6, 2.0 + bulk, False))
                wheel = (axle * length, side * (y - 0.1), 0.3)
                rows.append((wheel, (0.0, side, 0.0), 0.7, 0.0, True))
        for side in (-1.0, 1.0):
            flat = 15.0 + 10.0 * np.log10(length * height / 6.8)
            rows.append(((0.0, side * y, 0.35 * height), (0.0, side, 0.0), 0.1, flat, False))
        rows.append(((0.0, 0.0, 0.25), (0.0, 0.0, 0.0), 1.0, -6.0, False))
        if of.kind == "construction_vehicle":  # steel plates that meet at right angles, seen from everywhere
            rows += [((at * length, 0.0, 0.4 * height), (0.0, 0.0, 0.0), 1.0, 5.0, False) for at in (-0.2, 0.42)]
    elif of.kind == "pedestrian":
        rows.append(((0.0, 0.0, 0.65 * height), (0.0, 0.0, 0.0), 1.0, -8.0, False))
        rows += [((0.0, s * 0.1, 0.2 * height), (0.0, 0.0, 0.0), 1.0, -14.0, True) for s in (-1.0, 1.0)]
    elif of.kind in ("bicycle", "motorcycle"):
        metal = 2.0 if of.kind == "motorcycle" else -5.0
        rows.append(((0.0, 0.0, 0.4 * height), (0.0, 0.0, 0.0), 1.0, metal, False))
        rows.append(((-0.1, 0.0, 0.75 * height), (0.0, 0.0, 0.0), 1.0, -8.0, False))
        rows += [((s * 0.35 * length, 0.0, 0.35), (0.0, 0.0, 0.0), 1.0, metal - 8.0, True) for s in (-1.0, 1.0)]
    else:
        rows.append(
            ((0.0, 0.0, 0.5 * height), (0.0, 0.0, 0.0), 1.0, -18.0 if of.kind == "traffic_cone" else -4.0, False)
        )
    weak = -10.0 if of.kind in _VEHICLES else -22.0
    return Centres.joined([_centres(rows), _on_surface(of.phases[0], weak)])


def _on_surface(mesh: Mesh, rcs: float) -> Centres:
    """Weak points all over a mesh, the same every time."""
    rng = np.random.default_rng(len(mesh.triangles))
    points, normal, _ = sampled(mesh, _SURFACE_POINTS, rng)
    level = rcs + 4.0 * rng.standard_normal(len(points))
    return Centres(points, normal, np.full(len(points), 0.9), level, np.zeros(len(points), bool))


def sampled(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, npt.NDArray[np.uint8]]:
    """Points spread evenly over a mesh: position (count, 3), outward normal (count, 3), material (count,)."""
    corner = mesh.vertices.astype(np.float64)[mesh.triangles.astype(np.int64)]  # (T, 3, 3)
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    twice = np.linalg.norm(cross, axis=1)
    if not count or not twice.sum() > 0:
        return np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.uint8)
    edges = np.cumsum(twice) / twice.sum()
    which = np.minimum(np.searchsorted(edges, (np.arange(count) + rng.random(count)) / count), len(edges) - 1)
    u, v = rng.random((2, count))
    outside = u + v > 1.0
    u, v = np.where(outside, 1.0 - u, u), np.where(outside, 1.0 - v, v)
    at = corner[which]
    points = at[:, 0] + u[:, None] * (at[:, 1] - at[:, 0]) + v[:, None] * (at[:, 2] - at[:, 0])
    return points, cross[which] / twice[which, None], mesh.material[which]


_CLUTTER_DB = {"metal": 0.0, "concrete": -7.0, "brick": -7.0, "facade": -6.0, "foliage": -14.0, "bark": -9.0}
_CLUTTER_DB |= {"sign": 4.0, "pavement": -16.0, "window": -10.0, "plastic": -14.0, "street_lamp": -4.0}
_LEVEL_DB = np.array([_CLUTTER_DB.get(material.name, -18.0) for material in MATERIALS])
_HIGHEST = 7.0  # m: above, the antenna's beam sees little
_PER_M2 = 0.7
_MOST = 60_000


def of_static(mesh: Mesh, seed: int) -> Centres:
    """Clutter of what never moves, odom frame: fixed points on whatever stands up from the ground.

    Walls and rails answer in a lobe, foliage and bark alike in all directions. Levels scatter by 5 dB from point to
    point but stay what they are for the whole drive.
    """
    rng = np.random.default_rng([seed, 0x7EF1EC7])
    corner = mesh.vertices.astype(np.float64)[mesh.triangles.astype(np.int64)]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    twice = np.linalg.norm(cross, axis=1)
    upright = (np.abs(cross[:, 2]) < 0.7 * twice) & (corner[:, :, 2].min(axis=1) < _HIGHEST)
    upright &= corner[:, :, 2].max(axis=1) > 0.05
    standing = mesh._replace(
        triangles=mesh.triangles[upright], material=mesh.material[upright], colour=mesh.colour[upright]
    )
    count = min(int(_PER_M2 * 0.5 * twice[upright].sum()), 4 * _MOST)
    position, normal, material = sampled(standing, count, rng)
    low = np.flatnonzero((position[:, 2] > 0.03) & (position[:, 2] < _HIGHEST))
    if len(low) > _MOST:
        low = np.sort(rng.choice(low, _MOST, replace=False))
    names = np.array([material.name for material in MATERIALS])
    around = np.isin(names[material[low]], ("foliage", "bark"))
    return Centres(
        position[low],
        np.where(around[:, None], 0.0, normal[low]),
        np.full(len(low), 0.5),
        _LEVEL_DB[material[low]] + 5.0 * rng.standard_normal(len(low)),
        np.zeros(len(low), bool),
    )
