"""The asphalt of a road, its kerbs and pavements, and the lines on it."""

from __future__ import annotations

import numpy as np

from nodes.simulator.scenario.road import KERB_HEIGHT, Road
from nodes.simulator.scenario.surface import (
    ASPHALT,
    GRASS,
    PAINT_HEIGHT,
    PAVING,
    WHITE,
    dashes,
    extrude,
    flat,
    flat_mesh,
    line,
)  # fmt: skip
from nodes.simulator.world.mesh import Mesh

KERBSTONE = (172, 170, 164)
_BAR, _BARS = 0.5, 3.0  # a crosswalk's bars: width and pause, length along the road, m


def road_surface(road: Road) -> Mesh:
    """The road from one end to the other."""
    of, line_of = road.settings, road.middle
    end = line_of.length
    parts = [flat(line_of, 0.0, end, -road.kerb(-1), road.kerb(1), "asphalt", ASPHALT)]
    for side in (-1, 1):
        parts += _pavement(road, side, 0.0, end)
        parts += _lane_lines(road, side, 0.0, end)
    parts += _middle(road, 0.0, end)
    parts += [crosswalk(road, road.start + at) for at in of.crosswalks]
    return Mesh.joined(parts)


def _pavement(road: Road, side: int, start: float, end: float) -> list[Mesh]:
    if not road.settings.pavement:
        return []
    kerb, out = side * road.kerb(side), side * road.outside(side)
    stone = kerb + side * 0.15
    top, foot = KERB_HEIGHT, -0.05
    edge = [(kerb, 0.0), (kerb, top), (stone, top)] if side > 0 else [(stone, top), (kerb, top), (kerb, 0.0)]
    walk = [(stone, top), (out, top), (out, foot)] if side > 0 else [(out, foot), (out, top), (stone, top)]
    return [
        extrude(road.middle, start, end, edge, "concrete", KERBSTONE),
        extrude(road.middle, start, end, walk, "pavement", PAVING),
    ]


def _lane_lines(road: Road, side: int, start: float, end: float) -> list[Mesh]:
    """Between the lanes of one side, at its edge and along its cycle lane."""
    of, middle = road.settings, road.middle
    count = of.oncoming if side > 0 else of.lanes
    fast = of.speed_limit > 20.0
    dash, pause = (6.0, 12.0) if fast else (3.0, 6.0)
    inner = 0.5 * of.median
    parts = [dashes(middle, start, end, side * (inner + k * of.lane_width), dash, pause, 0.15) for k in range(1, count)]
    if of.cycle_lane:
        parts.append(dashes(middle, start, end, side * road.lanes_edge(side), 1.0, 1.0, 0.25))
    elif of.parking:
        parts.append(line(middle, start, end, side * (road.lanes_edge(side) + of.shoulder), 0.12))
    elif of.shoulder >= 0.3:
        parts.append(line(middle, start, end, side * (road.lanes_edge(side) + 0.08), 0.15))
    return parts


def _middle(road: Road, start: float, end: float) -> list[Mesh]:
    of, middle = road.settings, road.middle
    if not of.oncoming:
        return [line(middle, start, end, 0.5 * of.median, 0.15)]
    if of.median < 0.6:
        return [dashes(middle, start, end, 0.0, 3.0, 6.0)] if of.lanes == 1 else [
            line(middle, start, end, d) for d in (-0.12, 0.12)
        ]  # fmt: skip
    half = 0.5 * of.median
    parts = [line(middle, start, end, d, 0.15) for d in (-half + 0.1, half - 0.1)]
    if of.median > 1.5:
        green = half - 0.6
        parts.append(flat(middle, start, end, -green, green, "grass", GRASS, 0.03))
    return parts


def crosswalk(road: Road, s: float) -> Mesh:
    """Bars along the road, from kerb to kerb."""
    left, right = road.lanes_edge(1), -road.lanes_edge(-1)
    bars = np.arange(right + 0.3, left - 0.3 - _BAR, 2 * _BAR)
    along = np.array([s - 0.5 * _BARS, s + 0.5 * _BARS])
    vertices = []
    for d in bars:
        near, far = road.across(along, float(d)), road.across(along, float(d) + _BAR)
        vertices += [
            [*near[0], PAINT_HEIGHT],
            [*near[1], PAINT_HEIGHT],
            [*far[1], PAINT_HEIGHT],
            [*far[0], PAINT_HEIGHT],
        ]
    first = 4 * np.arange(len(bars))[:, None]
    return flat_mesh(vertices, (first[:, None] + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3), "marking", WHITE)
