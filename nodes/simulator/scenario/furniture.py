"""What stands beside a road: lamps, signs, poles, traffic lights, guard rails, and the tube of a tunnel."""

from __future__ import annotations

import numpy as np

from nodes.simulator.scenario.path import Path
from nodes.simulator.scenario.plants import post
from nodes.simulator.scenario.road import Road
from nodes.simulator.scenario.surface import Rgb, extrude, flat_mesh
from nodes.simulator.world.mesh import Mesh, box

_STEEL, _GALVANISED, _TUNNEL = (120, 124, 126), (168, 172, 174), (176, 172, 164)
_LIT = (235, 230, 210)
LAMP_HEIGHT, TUNNEL_HEIGHT = 7.5, 5.4
_SIGNS: tuple[tuple[int, Rgb], ...] = (
    (8, (196, 30, 34)),
    (3, (240, 240, 236)),
    (24, (240, 240, 236)),
    (4, (30, 70, 160)),
)


def street_lamp() -> Mesh:
    """Its arm reaches 1.6 m towards +y."""
    return Mesh.joined(
        [
            post(0.08, LAMP_HEIGHT, "metal", _STEEL),
            _raised(box((0.10, 1.6, 0.10), "metal", _STEEL, (0.0, 0.8)), LAMP_HEIGHT),
            _raised(box((0.22, 0.6, 0.12), "street_lamp", _LIT, (0.0, 1.5)), LAMP_HEIGHT - 0.1),
        ]
    )


def _raised(mesh: Mesh, z: float) -> Mesh:
    return mesh._replace(vertices=mesh.vertices + np.array([0.0, 0.0, z], dtype=np.float32))


def pole() -> Mesh:
    """For wires."""
    return post(0.13, 8.0, "bark", (104, 88, 70))


def sign(rng: np.random.Generator) -> Mesh:
    """A retro-reflective plate on a post, facing -x: octagon, triangle, disc or square."""
    sides, rgb = _SIGNS[rng.integers(len(_SIGNS))]
    turn = np.pi / 2 if sides == 3 else np.pi / sides
    angle = turn + np.arange(sides) * 2.0 * np.pi / sides
    parts = [post(0.035, 2.7, "metal", _GALVANISED)]
    # a rim of red around white, as most signs have
    layers = [(0.42, (196, 30, 34)), (0.32, rgb)] if rgb == (240, 240, 236) else [(0.42, rgb)]
    for layer, (radius, colour) in enumerate(layers):
        front = -0.05 - 0.01 * layer
        points = np.c_[np.full(sides, front), -radius * np.cos(angle), 2.4 + radius * np.sin(angle)]
        fan = [[0, k, k + 1] for k in range(1, sides - 1)]
        parts.append(flat_mesh(points, fan, "sign", colour))
        if not layer:
            back = points + np.array([0.02, 0.0, 0.0])
            parts.append(flat_mesh(back, [[a, c, b] for a, b, c in fan], "metal", _GALVANISED))
    return Mesh.joined(parts)


def traffic_light() -> Mesh:
    """A post with three lenses, facing -x."""
    housing = box((0.28, 0.32, 0.95), "plastic", (28, 30, 30))
    parts = [
        post(0.07, 2.6, "metal", _STEEL),
        housing._replace(vertices=housing.vertices + np.array([0, 0, 2.4], dtype=np.float32)),
    ]
    for z, rgb in ((3.17, (150, 40, 36)), (2.87, (150, 120, 40)), (2.57, (40, 140, 80))):
        lens = box((0.02, 0.2, 0.2), "plastic", rgb, (-0.15, 0.0))
        parts.append(lens._replace(vertices=lens.vertices + np.array([0, 0, z - 0.1], dtype=np.float32)))
    return Mesh.joined(parts)


def guard_rail(path: Path, start: float, end: float, d: float) -> Mesh:
    """A steel beam, open below, on posts 8 m apart."""
    beam = [(d - 0.04, 0.44), (d - 0.04, 0.75), (d + 0.04, 0.75), (d + 0.04, 0.44)]
    s = np.arange(start + 2.0, end, 8.0)
    place = path.at(s)
    at = place.xy + d * place.left
    upright = post(0.06, 0.7, "metal", _GALVANISED, 3)
    posts = [upright._replace(vertices=upright.vertices + np.array([x, y, 0.0], dtype=np.float32)) for x, y in at]
    return Mesh.joined([extrude(path, start, end, beam, "metal", _GALVANISED), *posts])


def tunnel(road: Road, start: float, end: float, lamps: float) -> Mesh:
    """Walls, a vaulted ceiling with lamps every so many m, and a portal at each end."""
    left, right, top = road.kerb(1) + 0.8, -road.kerb(-1) - 0.8, TUNNEL_HEIGHT
    shoulder = 0.7 * top
    # inside faces: seen from within, so the section runs from the left over the ceiling to the right
    vault = [(left, 0.0), (left, shoulder), (left - 1.5, top), (right + 1.5, top), (right, shoulder), (right, 0.0)]
    hill = [(right - 12.0, -0.05), (right - 5.0, top + 1.5), (left + 5.0, top + 1.5), (left + 12.0, -0.05)]
    parts = [
        extrude(road.middle, start, end, vault, "concrete", _TUNNEL),
        extrude(road.middle, start, end, hill, "grass", (92, 112, 62)),
    ]
    for side, wall in ((1, left), (-1, right)):  # a walkway along each wall
        kerb, walk = side * road.kerb(side), 0.12
        section = [(kerb, 0.0), (kerb, walk), (wall, walk)][::side]
        parts.append(extrude(road.middle, start, end, section, "concrete", _TUNNEL))
    for d in (-0.5 * road.kerb(-1), 0.5 * road.kerb(1)):
        parts += [
            extrude(road.middle, s, s + 1.4, [(d + 0.15, top - 0.08), (d - 0.15, top - 0.08)], "street_lamp", _LIT)
            for s in np.arange(start + 4.0, end - 1.4, lamps)
        ]
    for s in (start, end):
        place = road.middle.at(s)
        inner = vault[::-1]
        outer = [(right - 12.0, -0.05), (right - 5.0, top + 1.5), (right - 2.0, top + 1.5), (left + 2.0, top + 1.5),
                 (left + 5.0, top + 1.5), (left + 12.0, -0.05)]  # fmt: skip
        ring = np.array([*inner, *outer])
        points = np.c_[place.xy + ring[:, :1] * place.left, ring[:, 1]]
        faces = [[k, k + 6, k + 7] for k in range(5)] + [[k, k + 7, k + 1] for k in range(5)]
        parts.append(flat_mesh(points, faces if s == end else [f[::-1] for f in faces], "concrete", (150, 146, 140)))
    return Mesh.joined(parts)
