"""Everything of a scenario that stands still: one mesh, and the lamps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from calibration.se3 import SE3
from nodes.simulator.scenario.building import house
from nodes.simulator.scenario.furniture import (
    LAMP_HEIGHT,
    TUNNEL_HEIGHT,
    guard_rail,
    pole,
    sign,
    street_lamp,
    traffic_light,
    tunnel,
)  # fmt: skip
from nodes.simulator.scenario.junction import Crossing
from nodes.simulator.scenario.path import FloatArray
from nodes.simulator.scenario.plants import tree
from nodes.simulator.scenario.road import KERB_HEIGHT, Road
from nodes.simulator.scenario.road_surface import road_surface
from nodes.simulator.scenario.settings import Scenario
from nodes.simulator.scenario.surface import GRASS, PAVING, extrude, ground
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.world import Lamp

_HEDGE = (58, 84, 40)
_BEFORE, _BUILT = 100.0, 260.0  # m behind the ego's start and beyond its end that are furnished


class Scenery(NamedTuple):
    mesh: Mesh
    lamps: tuple[Lamp, ...]


def scenery(scenario: Scenario, road: Road, travelled: float, rng: np.random.Generator) -> Scenery:
    """The static part of a world whose ego drives ``travelled`` m."""
    return _Builder(scenario, road, travelled, rng).build()


class _Builder:
    """Goes along both sides of the road and sets down what is wanted where there is room."""

    def __init__(self, scenario: Scenario, road: Road, travelled: float, rng: np.random.Generator) -> None:
        self.of, self.road, self.rng = scenario.surroundings, road, rng
        self.start = max(road.start - _BEFORE, 0.0)
        self.end = min(road.start + travelled + _BUILT, road.middle.length)
        self.parts: list[Mesh] = []
        self.lamps: list[Lamp] = []
        self.crossing = Crossing(scenario.name, road) if road.settings.junction else None
        self.closed = [(road.start + a, road.start + b) for a, b in _closed(road, self.crossing)]
        self.street = [self.crossing.arm(side) for side in (-1, 1)] if self.crossing else []

    def build(self) -> Scenery:
        paved = self.of.paved
        below = ground([self.road.middle, *self.street], "pavement" if paved else "grass", PAVING if paved else GRASS)
        self.parts += [below, road_surface(self.road, self.crossing)]
        self.taken: list[FloatArray] = []  # centre and radius of what stands
        for side in (-1, 1):
            self._houses(side)
            self._hedges(side)
            self._scattered(side)
            self._rows(side)
        self._rails_and_tunnel()
        self._lights()
        return Scenery(Mesh.joined(self.parts), tuple(self.lamps))

    def _free(self, s: float, half: float = 0.0) -> bool:
        return all(s + half < a or s - half > b for a, b in self.closed)

    def _clear_of_roads(self, xy: FloatArray, away: float) -> bool:
        """Whether points (K, 2) keep ``away`` from the edges of all roads."""
        _, d = self.road.middle.project(xy)
        sides = np.where(d > 0.0, self.road.outside(1), self.road.outside(-1))
        ok = bool((np.abs(d) > sides + away).all())
        half = self.crossing.half if self.crossing else 0.0
        for arm in self.street:
            along, across = arm.project(xy)
            on = (along > -5.0) & (along < arm.length + 5.0)
            ok &= bool((np.abs(across[on]) > half + away).all())
        return ok

    def _put(self, mesh: Mesh, s: float, d: float, turn: float = 0.0, z: float = 0.0) -> None:
        place = self.road.middle.at(s)
        at = place.xy + d * place.left
        self.parts.append(mesh.moved(SE3.from_yaw(float(place.heading) + turn, [at[0], at[1], z])))

    def _houses(self, side: int) -> None:
        if not self.of.buildings:
            return
        front = side * (self.road.outside(side) + self.of.setback)
        s = self.start + float(self.rng.uniform(0.0, 5.0))
        while s < self.end:
            width, depth = float(self.rng.uniform(9.0, 17.0)), float(self.rng.uniform(8.0, 12.0))
            floors = int(self.rng.integers(self.of.floors[0], self.of.floors[1] + 1))
            place = self.road.middle.at(s + 0.5 * width)
            c, n = np.cos(place.heading), np.sin(place.heading)
            corners = np.array([[-0.5, 0], [0.5, 0], [0.5, 1], [-0.5, 1]]) * [width, side * depth] + [0.0, front]
            xy = place.xy + corners @ np.array([[c, n], [-n, c]])
            if self.rng.random() < self.of.buildings and self._free(s + 0.5 * width, 0.5 * width + 1.0):
                xy_ok = self._clear_of_roads(xy, 0.3) and not self._hits(xy.mean(axis=0), 0.5 * width)
                if xy_ok:
                    self.taken.append(np.array([*xy.mean(axis=0), 0.6 * width]))
                    turned = 0.0 if side > 0 else np.pi
                    self._put(house(width, depth, floors, self.rng), s + 0.5 * width, front, turned)
                    shift = place.xy * 0.0 - 0.5 * width * np.array(
                        [np.cos(place.heading + turned), np.sin(place.heading + turned)]
                    )
                    last = self.parts[-1]
                    self.parts[-1] = last._replace(vertices=last.vertices + np.array([*shift, 0.0], dtype=np.float32))
            s += width + float(self.rng.uniform(0.3, 5.0))

    def _hits(self, xy: FloatArray, radius: float) -> bool:
        return any(np.hypot(*(xy - one[:2])) < 0.8 * (radius + one[2]) for one in self.taken)

    def _hedges(self, side: int) -> None:
        if not self.of.hedges:
            return
        out = side * (self.road.outside(side) + 0.8)
        near, far = sorted((out, out + side * 0.7))
        section = [(near, 0.0), (near, 1.1), (far, 1.1), (far, 0.0)]
        s = self.start
        while s < self.end:
            length = float(self.rng.uniform(8.0, 20.0))
            if self.rng.random() < self.of.hedges and self._free(s + 0.5 * length, 0.5 * length):
                self.parts.append(extrude(self.road.middle, s, s + length, section, "foliage", _HEDGE, 5.0))
            s += length + float(self.rng.uniform(1.0, 4.0))

    def _scattered(self, side: int) -> None:
        count = int(self.of.trees * (self.end - self.start) / 100.0)
        shapes = [tree(self.rng) for _ in range(6)]
        for _ in range(count):
            s = float(self.rng.uniform(self.start, self.end))
            d = side * (self.road.outside(side) + 2.0 + float(self.rng.exponential(9.0)))
            place = self.road.middle.at(s)
            xy = place.xy + d * place.left
            if self._free(s, 2.0) and self._clear_of_roads(xy[None], 1.5) and not self._hits(xy, 2.0):
                self._put(shapes[self.rng.integers(6)], s, d, float(self.rng.uniform(0.0, 6.0)))

    def _rows(self, side: int) -> None:
        """Lamps, poles and signs in a row at the edge."""
        out = self.road.kerb(side) + (0.5 if self.road.settings.pavement else 1.0)
        z = KERB_HEIGHT if self.road.settings.pavement else 0.0
        of = self.of
        for s in np.arange(self.start + (0.0 if side < 0 else 0.5 * of.lamps), self.end, of.lamps) if of.lamps else []:
            if self._free(float(s), 1.0):
                # the arm reaches over the road
                self._put(street_lamp(), float(s), side * out, 0.0 if side < 0 else np.pi, z)
                at = self.road.across(float(s), side * (out - 1.5))
                self.lamps.append(Lamp((float(at[0]), float(at[1]), z + LAMP_HEIGHT - 0.1)))
        for s in np.arange(self.start + 11.0, self.end, of.poles) if of.poles and side > 0 else []:
            if self._free(float(s), 1.0):
                self._put(pole(), float(s), side * (out + 2.5))
        for s in np.arange(self.start + 25.0 + 10.0 * side, self.end, of.signs) if of.signs else []:
            if self._free(float(s), 1.0):
                self._put(sign(self.rng), float(s), side * (out + 0.2), 0.0 if side < 0 else np.pi, z)

    def _rails_and_tunnel(self) -> None:
        road, of = self.road, self.road.settings
        if of.guard_rails:
            for side in (-1, 1):
                self.parts.append(guard_rail(road.middle, self.start, self.end, side * (road.outside(side) + 0.5)))
                if of.median > 1.5:
                    self.parts.append(guard_rail(road.middle, self.start, self.end, side * (0.5 * of.median - 0.9)))
        if of.tunnel is not None:
            start, end = road.start + of.tunnel.start, road.start + of.tunnel.end
            self.parts.append(tunnel(road, start, end, of.tunnel.lamps))
            for s in np.arange(start + 4.0, end, of.tunnel.lamps):
                for d in (-0.5 * road.kerb(-1), 0.5 * road.kerb(1)):
                    at = road.across(float(s), d)
                    self.lamps.append(Lamp((float(at[0]), float(at[1]), TUNNEL_HEIGHT - 0.15), (255, 236, 205), 900.0))

    def _lights(self) -> None:
        for at, heading in self.crossing.light_posts() if self.crossing else []:
            self.parts.append(traffic_light().moved(SE3.from_yaw(heading, [at[0], at[1], KERB_HEIGHT])))


def _closed(road: Road, crossing: Crossing | None) -> list[tuple[float, float]]:
    """Stretches, ahead of the ego, where nothing is set down beside the road."""
    of = road.settings
    out = [(at - 3.0, at + 3.0) for at in of.crosswalks]
    if of.junction is not None and crossing is not None:
        half = crossing.line
        out.append((of.junction.ahead - half, of.junction.ahead + half))
    if of.tunnel is not None:
        out.append((of.tunnel.start - 8.0, of.tunnel.end + 8.0))
    return out
