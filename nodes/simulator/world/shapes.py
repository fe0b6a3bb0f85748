"""Shapes of actors: a name, the class it is labelled as, its size, and its meshes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from nodes.simulator.world.bodies.cars import CARS, car
from nodes.simulator.world.bodies.people import bicycle, motorcycle, walker
from nodes.simulator.world.bodies.things import barrier, cone
from nodes.simulator.world.bodies.trucks import box_truck, bus, lorry, semi_trailer, tractor
from nodes.simulator.world.bodies.works import excavator, wheel_loader
from nodes.simulator.world.mesh import Mesh


class Shape(NamedTuple):
    """kind: of `CLASSES`. size: length, width, height, m; the mesh fills that box and lies within it (of a
    gait, all phases together), x forward, origin in the middle of its underside. phases: meshes of a gait, one for each
    equal part of a stride (one mesh: it does not walk). stride: distance in which the phases repeat, m; 0 = never."""

    kind: str
    size: tuple[float, float, float]
    phases: tuple[Mesh, ...]
    stride: float = 0.0


# Means of nuScenes' annotations, for comparison: trailer 12.3 x 2.9 x 3.9, construction vehicle 6.4 x 2.8 x 3.2, truck
# 6.9 x 2.5 x 2.8, bus 11.1 x 2.9 x 3.5, barrier 0.5 x 2.5 x 1.0, cone 0.4 x 0.4 x 1.1; Caesar et al., CVPR 2020.
_SIZES: dict[str, tuple[str, tuple[float, float, float]]] = {
    **{name: ("truck" if name == "pickup" else "car", of.size) for name, of in CARS.items()},
    "box_truck": ("truck", (8.2, 2.5, 3.4)),
    "lorry": ("truck", (12.0, 2.55, 3.9)),
    "tractor": ("truck", (6.0, 2.5, 3.7)),
    "semi_trailer": ("trailer", (12.3, 2.6, 3.9)),
    "bus": ("bus", (12.0, 2.55, 3.2)),
    "excavator": ("construction_vehicle", (7.4, 2.75, 3.25)),
    "wheel_loader": ("construction_vehicle", (7.1, 2.6, 3.3)),
    "motorcycle": ("motorcycle", (2.2, 0.85, 1.75)),
    "bicycle": ("bicycle", (1.8, 0.62, 1.75)),
    "adult": ("pedestrian", (0.80, 0.60, 1.75)),
    "child": ("pedestrian", (0.52, 0.42, 1.15)),
    "cone": ("traffic_cone", (0.40, 0.40, 0.90)),
    "barrier": ("barrier", (0.5, 2.5, 1.0)),
}

SHAPE_NAMES = tuple(_SIZES)

_BODIES: dict[str, Callable[[tuple[float, float, float]], Mesh]] = {
    "box_truck": box_truck,
    "lorry": lorry,
    "tractor": tractor,
    "semi_trailer": semi_trailer,
    "bus": bus,
    "excavator": excavator,
    "wheel_loader": wheel_loader,
    "motorcycle": motorcycle,
    "bicycle": bicycle,
    "cone": cone,
    "barrier": barrier,
}
_STRIDES = {"adult": (1.45, 0.13), "child": (0.95, 0.18)}  # m; the head's share of the height


@functools.cache
def shape(name: str) -> Shape:
    """The shape of that name.

    Raises:
        KeyError: no such shape; see `SHAPE_NAMES`.
    """
    kind, size = _SIZES[name]
    if name in _STRIDES:
        stride, head = _STRIDES[name]
        return Shape(kind, size, walker(size, head), stride)
    return Shape(kind, size, (car(CARS[name]) if name in CARS else _BODIES[name](size),))
