"""The asphalt of a road, its kerbs and pavements, and the lines on it."""

from __future__ import annotations

import numpy as np

from nodes.simulator.scenario.junction import Crossing
from nodes.simulator.scenario.path import Path
from nodes.simulator.scenario.road import KERB_HEIGHT, Road
from nodes.simulator.scenario.surface import (
    ASPHALT,
    GRASS,
    PAINT_HEIGHT,
    PAVING,
    WHITE,
    Rgb,
    dashes,
    extrude,
    flat,
    flat_mesh,
    grid,
    line,
)  # fmt: skip
from nodes.simulator.world.mesh import Mesh

KERBSTONE = (172, 170, 164)
_BAR, _BARS = 0.5, 3.0  # a crosswalk's bars: width and pause, length along the road, m


def road_surface(road: Road, crossing: Crossing | None = None) -> Mesh:
    """The road from one end to the other, and the arms of its junction."""
    of, middle, end = road.settings, road.middle, road.middle.length
    parts = [flat(middle, 0.0, end, -road.kerb(-1), road.kerb(1), "asphalt", ASPHALT)]
    stretches, painted = [(0.0, end)], [(0.0, end)]
    if crossing is not None:
        gap, stop = crossing.half, crossing.line
        stretches = [(0.0, crossing.s - gap), (crossing.s + gap, end)]
        painted = [(0.0, crossing.s - stop), (crossing.s + stop, end)]
        parts += _junction(road, crossing)
    for side in (-1, 1):
        for start, stop in stretches:
            parts += _pavement(road, side, start, stop)
        for start, stop in painted:
            parts += _lane_lines(road, side, start, stop)
    for start, stop in painted:
        parts += _middle(road, start, stop)
    parts += [crosswalk(road, road.start + at) for at in of.crosswalks]
    return Mesh.joined(parts)


def _junction(road: Road, crossing: Crossing) -> list[Mesh]:
    """Arms, corners, stop lines and crosswalks on all four sides."""
    parts, corner, kerb = [], crossing.corner, crossing.kerb
    for side in (-1, 1):
        arm, line_at = crossing.arm(side), crossing.arm_line()
        parts.append(flat(arm, 0.0, arm.length, -kerb, kerb, "asphalt", ASPHALT))
        # the lane that leads to the junction lies on the left of an arm, whose path leads away from it
        parts.append(flat(arm, line_at, line_at + 0.4, 0.1, kerb - 0.3, "marking", WHITE, PAINT_HEIGHT))
        parts.append(dashes(arm, line_at + 0.4, arm.length, 0.0, 3.0, 6.0))
        out = -side * road.lanes_edge(side)
        near, far = sorted((side * 0.1, -out))
        at = crossing.s + side * crossing.line
        parts.append(
            flat(
                road.middle,
                min(at, at + side * 0.4),
                max(at, at + side * 0.4),
                near,
                far,
                "marking",
                WHITE,
                PAINT_HEIGHT,
            )
        )
        parts.append(crosswalk(road, crossing.s + side * (crossing.half + 2.2)))
        for edge in (-1, 1):
            section = _pavement_section(edge * kerb, edge * (kerb + corner), edge)
            for profile, material, rgb in section:
                parts.append(extrude(arm, corner, arm.length, profile, material, rgb))
            parts += _corner(arm, edge, kerb, corner, paved=road.settings.pavement > 0.0)
    return parts


def _corner(arm: Path, edge: int, kerb: float, radius: float, paved: bool) -> list[Mesh]:
    """The quarter of a disc between the kerb of the road and that of an arm, and the asphalt around it."""
    place = arm.at(np.array([0.0, radius]))
    inner, outer = edge * kerb, edge * (kerb + radius)
    parts = [flat(arm, 0.0, radius, min(inner, outer), max(inner, outer), "asphalt", ASPHALT)]
    if not paved:
        return parts
    angle = np.linspace(0.0, 0.5 * np.pi, 7)
    forward = np.array([np.cos(place.heading[0]), np.sin(place.heading[0])])
    middle = place.xy[1] + outer * place.left[1]
    rim = middle - radius * (np.sin(angle)[:, None] * forward + edge * np.cos(angle)[:, None] * place.left[0])
    top = np.r_[np.c_[middle[None], [[KERB_HEIGHT]]], np.c_[rim, np.full(7, KERB_HEIGHT)]]
    fan = np.array([[0, k, k + 1] for k in range(1, 7)])
    parts.append(flat_mesh(top, fan if edge > 0 else fan[:, ::-1], "pavement", PAVING))
    wall = np.stack([np.c_[rim, np.zeros(7)], np.c_[rim, np.full(7, KERB_HEIGHT)]], axis=1)
    parts.append(grid(wall if edge > 0 else wall[::-1], "concrete", KERBSTONE))
    return parts


def _pavement(road: Road, side: int, start: float, end: float) -> list[Mesh]:
    if not road.settings.pavement:
        return []
    section = _pavement_section(side * road.kerb(side), side * road.outside(side), side)
    return [extrude(road.middle, start, end, profile, material, rgb) for profile, material, rgb in section]


def _pavement_section(kerb: float, out: float, side: int) -> list[tuple[list[tuple[float, float]], str, Rgb]]:
    """Cross-sections of a kerbstone and the pavement behind it, between two offsets."""
    stone, top, foot = kerb + side * 0.15, KERB_HEIGHT, -0.05
    edge, walk = [(kerb, 0.0), (kerb, top), (stone, top)], [(stone, top), (out, top), (out, foot)]
    return [(edge[::side], "concrete", KERBSTONE), (walk[::side], "pavement", PAVING)]


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
