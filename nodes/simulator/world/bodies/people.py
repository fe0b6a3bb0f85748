"""People on foot, whose legs and arms swing through eight phases of a stride, and the riders of two wheels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from nodes.simulator.world.bodies.primitives import (
    DARK,
    HEADLAMP,
    PAINT,
    TAIL_LAMP,
    TYRE,
    Look,
    Point,
    ellipsoid,
    fitted,
    stretched,
    tube,
    wheel,
)
from nodes.simulator.world.mesh import Mesh

PHASES = 8
_SKIN: Look = ("skin", (205, 160, 130))
_HAIR: Look = ("cloth", (52, 38, 28))
_SHOE: Look = ("tyre", (35, 30, 28))
_JEANS: Look = ("cloth", (48, 58, 82))


def walker(size: tuple[float, float, float], head: float) -> tuple[Mesh, ...]:
    """head: its height as a share of the body's: an adult's .13, a child's .18."""
    return stretched([_person(2 * np.pi * i / PHASES, head) for i in range(PHASES)], size)


def _person(turn: float, head: float) -> Mesh:
    """Of height 1, at ``turn`` of the stride; hip and knee angles after Murray 1964, simplified to sines."""
    neck, hip = 1.0 - 1.08 * head, 0.50 - 0.2 * (head - 0.13)
    dip = -0.012 * abs(np.sin(turn))
    parts = []
    for side, step in ((1.0, turn), (-1.0, turn + np.pi)):
        thigh = 0.42 * np.sin(step)
        knee = 0.12 + 0.75 * max(0.0, np.cos(step)) ** 2 * 0.9
        y = side * 0.052
        at_hip = (0.0, y, hip + dip)
        at_knee = _swung(at_hip, thigh, 0.24)
        at_foot = _swung(at_knee, thigh - knee, 0.215)
        parts += [
            tube(at_hip, at_knee, (0.055, 0.040), _JEANS),
            tube(at_knee, at_foot, (0.040, 0.028), _JEANS),
            tube(
                (at_foot[0] - 0.015, y, at_foot[2] - 0.015),
                (at_foot[0] + 0.075, y, at_foot[2] - 0.020),
                (0.026, 0.022),
                _SHOE,
            ),
        ]
        shoulder = (0.0, side * 0.118, neck - 0.055 + dip)
        elbow = _swung(shoulder, -0.38 * np.sin(step), 0.165)
        hand = _swung(elbow, -0.38 * np.sin(step) + 0.35, 0.15)
        parts += [
            tube(shoulder, elbow, (0.036, 0.028), PAINT),
            tube(elbow, hand, (0.028, 0.022), PAINT),
            ellipsoid(hand, (0.022, 0.018, 0.028), _SKIN, 4, 6),
        ]
    parts += [
        ellipsoid((0.0, 0.0, hip + 0.02 + dip), (0.068, 0.092, 0.075), _JEANS),
        tube((0.0, 0.0, hip + 0.06 + dip), (0.0, 0.0, neck - 0.12 + dip), (0.080, 0.092), PAINT, 10),
        ellipsoid((0.0, 0.0, neck - 0.085 + dip), (0.072, 0.125, 0.075), PAINT),
        tube((0.0, 0.0, neck - 0.03 + dip), (0.0, 0.0, neck + 0.03 + dip), (0.032, 0.030), _SKIN),
        ellipsoid((0.008, 0.0, neck + 0.53 * head + dip), (0.42 * head, 0.36 * head, 0.53 * head), _SKIN),
        ellipsoid((-0.008, 0.0, neck + 0.62 * head + dip), (0.43 * head, 0.39 * head, 0.47 * head), _HAIR),
    ]
    return Mesh.joined(parts)


def _swung(start: Point, angle: float, length: float) -> Point:
    """The lower end of a limb that hangs from ``start`` and is swung forward by ``angle``."""
    return (start[0] + length * float(np.sin(angle)), start[1], start[2] - length * float(np.cos(angle)))


def bicycle(size: tuple[float, float, float]) -> Mesh:
    frame: Look = ("metal", (40, 60, 110))
    r = 0.34
    rear, front, crank, seat, bar = (-0.52, 0, r), (0.54, 0, r), (-0.08, 0, 0.30), (-0.24, 0, 0.88), (0.38, 0, 1.0)
    tubes = [
        (rear, crank),
        (rear, seat),
        (crank, seat),
        (crank, (0.40, 0, 0.80)),
        (seat, (0.38, 0, 0.84)),
        (front, bar),
    ]
    parts = [tube(a, b, (0.022, 0.022), frame, 6) for a, b in tubes]
    for at in (rear, front):
        parts += _hoop(at, r, 0.022)
    parts += [
        tube((0.38, -0.28, 1.0), (0.38, 0.28, 1.0), (0.016, 0.016), DARK, 6),
        tube((-0.34, 0, 0.93), (-0.12, 0, 0.93), (0.06, 0.03), DARK, 6),
        ellipsoid((0.46, 0, 0.88), (0.03, 0.03, 0.03), HEADLAMP, 4, 6),
        ellipsoid((-0.40, 0, 0.80), (0.02, 0.03, 0.03), TAIL_LAMP, 4, 6),
    ]
    feet = {1.0: (-0.04, 0.12, 0.16), -1.0: (-0.10, -0.12, 0.46)}
    knees = {1.0: (0.16, 0.11, 0.56), -1.0: (0.20, -0.11, 0.78)}
    parts += _rider((-0.22, 0, 0.98), (0.08, 0, 1.42), (0.36, 0.26, 1.03), knees, feet, ("plastic", (200, 200, 205)))
    return fitted(parts, size)


def motorcycle(size: tuple[float, float, float]) -> Mesh:
    metal: Look = ("metal", (90, 92, 96))
    r = 0.32
    parts = [
        wheel((-0.72, 0, r), r, 0.18, 18),
        wheel((0.74, 0, r), r, 0.13, 18),
        ellipsoid((0.12, 0, 0.82), (0.34, 0.16, 0.17), PAINT),
        ellipsoid((0.52, 0, 0.92), (0.20, 0.20, 0.24), PAINT),
        ellipsoid((-0.55, 0, 0.82), (0.40, 0.13, 0.10), PAINT),
        ellipsoid((-0.20, 0, 0.86), (0.34, 0.15, 0.07), DARK),
        ellipsoid((0.02, 0, 0.46), (0.30, 0.19, 0.22), metal),
        tube((0.74, -0.11, r), (0.48, -0.11, 0.98), (0.035, 0.03), metal, 6),
        tube((0.74, 0.11, r), (0.48, 0.11, 0.98), (0.035, 0.03), metal, 6),
        tube((-0.72, 0.11, r), (-0.05, 0.12, 0.44), (0.04, 0.05), metal, 6),
        tube((-0.85, -0.19, 0.40), (-0.10, -0.17, 0.30), (0.06, 0.05), metal, 8),
        tube((0.42, -0.38, 1.06), (0.42, 0.38, 1.06), (0.02, 0.02), DARK, 6),
        ellipsoid((0.70, 0, 0.93), (0.06, 0.11, 0.09), HEADLAMP, 5, 8),
        ellipsoid((-0.93, 0, 0.84), (0.04, 0.09, 0.045), TAIL_LAMP, 5, 8),
    ]
    feet = {1.0: (-0.10, 0.22, 0.36), -1.0: (-0.10, -0.22, 0.36)}
    knees = {1.0: (0.22, 0.24, 0.74), -1.0: (0.22, -0.24, 0.74)}
    parts += _rider((-0.25, 0, 0.95), (0.0, 0, 1.42), (0.40, 0.34, 1.07), knees, feet, ("plastic", (30, 30, 34)))
    return fitted(parts, size)


def _rider(
    hip: Point, neck: Point, hand: Point, knees: dict[float, Point], feet: dict[float, Point], helmet: Look
) -> list[Mesh]:
    chest = tuple(n + 0.22 * (h - n) for n, h in zip(neck, hip, strict=True))
    parts = [
        tube(hip, (chest[0], chest[1], chest[2]), (0.14, 0.16), PAINT, 10),
        ellipsoid((chest[0], 0.0, chest[2]), (0.13, 0.22, 0.13), PAINT),
        ellipsoid(hip, (0.14, 0.17, 0.12), _JEANS),
        ellipsoid((neck[0] + 0.06, 0.0, neck[2] + 0.13), (0.10, 0.085, 0.12), _SKIN),
        ellipsoid((neck[0] + 0.05, 0.0, neck[2] + 0.17), (0.135, 0.115, 0.115), helmet),
    ]
    for side in (1.0, -1.0):
        shoulder = (chest[0], side * 0.20, chest[2] + 0.03)
        grip = (hand[0], side * hand[1], hand[2])
        elbow = (0.5 * (shoulder[0] + grip[0]) - 0.02, side * 0.29, 0.5 * (shoulder[2] + grip[2]) - 0.06)
        parts += [
            tube(shoulder, elbow, (0.062, 0.05), PAINT),
            tube(elbow, grip, (0.05, 0.038), PAINT),
            tube((hip[0], side * 0.09, hip[2]), knees[side], (0.09, 0.065), _JEANS),
            tube(knees[side], feet[side], (0.065, 0.045), _JEANS),
            tube(feet[side], (feet[side][0] + 0.14, feet[side][1], feet[side][2] - 0.03), (0.045, 0.035), _SHOE, 6),
        ]
    return parts


def _hoop(centre: Point, radius: float, thick: float) -> list[Mesh]:
    turn = 2 * np.pi * np.arange(17) / 16
    rim = [
        (centre[0] + radius * 0.94 * float(np.cos(a)), centre[1], centre[2] + radius * 0.94 * float(np.sin(a)))
        for a in turn
    ]
    spokes = [tube(rim[i], rim[i + 8], (0.004, 0.004), ("metal", (120, 120, 120)), 3) for i in range(0, 8, 2)]
    return [*(tube(a, b, (thick, thick), TYRE, 5) for a, b in pairwise(rim)), *spokes]
