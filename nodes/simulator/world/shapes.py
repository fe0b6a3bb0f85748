"""Shapes of actors: a name, the class it is labelled as, its size, and its meshes."""

from __future__ import annotations

import functools
from typing import NamedTuple

from nodes.simulator.world.mesh import Mesh, box


class Shape(NamedTuple):
    """kind: of `CLASSES`. size: length, width, height, m; the mesh fills that box and lies within it, x forward, origin
    in the middle of its underside. phases: meshes of a gait, one for each equal part of a stride (one mesh: it does not
    walk). stride: distance in which the phases repeat, m; 0 = never."""

    kind: str
    size: tuple[float, float, float]
    phases: tuple[Mesh, ...]
    stride: float = 0.0


_SIZES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "sedan": ("car", (4.7, 1.83, 1.45)),
    "hatchback": ("car", (4.1, 1.78, 1.50)),
    "suv": ("car", (4.7, 1.92, 1.72)),
    "van": ("car", (5.2, 2.0, 2.1)),
    "pickup": ("truck", (5.5, 2.0, 1.85)),
    "box_truck": ("truck", (8.2, 2.5, 3.4)),
    "lorry": ("truck", (12.0, 2.55, 3.9)),
    "bus": ("bus", (12.0, 2.55, 3.2)),
    "motorcycle": ("motorcycle", (2.2, 0.85, 1.75)),
    "bicycle": ("bicycle", (1.8, 0.62, 1.75)),
    "adult": ("pedestrian", (0.55, 0.60, 1.75)),
    "child": ("pedestrian", (0.40, 0.42, 1.15)),
    "cone": ("traffic_cone", (0.36, 0.36, 0.70)),
    "barrier": ("barrier", (0.6, 2.0, 1.0)),
}

SHAPE_NAMES = tuple(_SIZES)


@functools.cache
def shape(name: str) -> Shape:
    """The shape of that name.

    Raises:
        KeyError: no such shape; see `SHAPE_NAMES`.
    """
    kind, size = _SIZES[name]
    return Shape(kind, size, (box(size, "paint", (128, 128, 128)),))
