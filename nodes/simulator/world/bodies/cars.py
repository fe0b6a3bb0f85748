"""Passenger cars: one loft from bumper to bumper with arches cut for the wheels, lamps and plates set on it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nodes.simulator.world.bodies.primitives import (
    DARK,
    GLASS,
    HEADLAMP,
    PAINT,
    PLATE,
    TAIL_LAMP,
    Look,
    fitted,
    loft,
    slab,
    wheel,
)
from nodes.simulator.world.mesh import Mesh


class Car(NamedTuple):
    """Metres from the rear bumper, and heights. Along the top from behind: deck, rear window, roof, windscreen, bonnet.

    belt: lower edge of the windows behind and in front. roof: height. tail, nose: heights of deck and bonnet's end.
    pillars: where a window ends between rear_window[1] and screen[0]. boxy: 0 rounded .. 1 upright sides.
    """

    size: tuple[float, float, float]
    axles: tuple[float, float]
    radius: float
    rear_window: tuple[float, float]
    screen: tuple[float, float]
    belt: tuple[float, float]
    deck: float
    nose: float
    pillars: tuple[float, ...]
    boxy: float = 0.3
    blind_behind: float = 0.0
    bed: tuple[float, float] | None = None


CARS: dict[str, Car] = {
    "sedan": Car((4.7, 1.83, 1.45), (0.98, 3.78), 0.33, (0.62, 1.35), (2.72, 3.42), (0.97, 0.92), 1.02, 0.70, (2.05,)),
    "hatchback": Car(
        (4.1, 1.78, 1.50), (0.72, 3.28), 0.32, (0.10, 0.50), (2.35, 3.10), (1.0, 0.94), 1.0, 0.72, (1.55,)
    ),
    "suv": Car(
        (4.7, 1.92, 1.72), (0.93, 3.75), 0.38, (0.10, 0.48), (2.72, 3.42), (1.15, 1.08), 1.14, 0.88, (1.95,), 0.5
    ),
    "van": Car(
        (5.2, 2.0, 2.1), (0.98, 4.22), 0.35, (0.04, 0.16), (3.55, 4.50), (1.20, 1.12), 1.2, 0.92, (3.0,), 0.9, 2.2
    ),
    "pickup": Car(
        (5.5, 2.0, 1.85), (1.20, 4.45), 0.40, (2.02, 2.14), (3.28, 3.92), (1.22, 1.15), 1.12, 0.98, (2.70,), 0.6,
        bed=(0.10, 1.95),
    ),
}  # fmt: skip


def car(of: Car) -> Mesh:
    length, width, _ = of.size
    x = _stations(of)
    half = np.array([_section(of, float(at)) for at in x])
    looks = [[_look(of, float(a), float(b), j) for j in range(7)] for a, b in pairwise(x)]
    parts = [loft(list(x), half, looks, (PAINT, PAINT))]
    w = 0.5 * width
    for axle in of.axles:
        parts += [wheel((axle, side * (w - 0.13), of.radius), of.radius, 0.22) for side in (-1.0, 1.0)]
    low = 0.20 + 0.55 * of.radius
    tail, nose = of.deck, of.nose
    rear_y, front_y = 0.83 * w, 0.80 * w
    for side in (-1.0, 1.0):
        y0, y1 = sorted((side * rear_y * 0.60, side * (rear_y + 0.10 * w)))
        if of.boxy > 0.45:
            y0, y1 = sorted((side * rear_y * 0.93, side * (rear_y + 0.12 * w)))
            parts.append(slab((-0.015, y0, tail - 0.42), (0.10, y1, tail - 0.02), TAIL_LAMP, 0.01))
        else:
            parts.append(slab((-0.015, y0, tail - 0.24), (0.14, y1, tail - 0.07), TAIL_LAMP, 0.015))
        y0, y1 = sorted((side * front_y * 0.58, side * (front_y + 0.08 * w)))
        parts.append(slab((length - 0.22, y0, nose - 0.15), (length - 0.01, y1, nose - 0.02), HEADLAMP, 0.02))
        mirror = of.screen[1] - 0.22
        y0, y1 = sorted((side * (0.90 * w), side * (w + 0.10)))
        z = of.belt[1] + 0.03
        parts.append(slab((mirror, y0, z), (mirror + 0.12, y1, z + 0.15), PAINT, 0.02))
        y0, y1 = sorted((side * 0.955 * w, side * (w + 0.004)))
        handle = of.pillars[0] + 0.12
        parts.append(slab((handle, y0, of.belt[0] - 0.16), (handle + 0.18, y1, of.belt[0] - 0.12), DARK))
    parts.append(slab((length - 0.10, -0.42 * w, nose - 0.19), (length + 0.005, 0.42 * w, nose - 0.06), DARK, 0.01))
    parts.append(slab((length - 0.12, -0.66 * w, low), (length + 0.008, 0.66 * w, low + 0.15), DARK, 0.02))
    parts.append(slab((-0.012, -0.70 * w, low - 0.03), (0.12, 0.70 * w, low + 0.10), DARK, 0.02))
    parts.append(slab((-0.022, -0.26, tail - 0.36), (0.05, 0.26, tail - 0.25), PLATE))
    parts.append(slab((length - 0.05, -0.26, low + 0.16), (length + 0.015, 0.26, low + 0.27), PLATE))
    if of.bed:
        a, b = of.bed
        parts.append(slab((a, -0.80 * w, of.deck - 0.02), (b, 0.80 * w, of.deck + 0.004), DARK))
    return fitted(parts, of.size)


def _stations(of: Car) -> np.ndarray:
    length = of.size[0]
    arch = of.radius * 1.16
    at = [0.0, 0.06, 0.2, *of.rear_window, *of.screen, length - 0.45, length - 0.16, length - 0.05, length]
    for axle in of.axles:
        at += [axle + arch * share for share in (-1.0, -0.985, -0.87, -0.5, 0.0, 0.5, 0.87, 0.985, 1.0)]
    for pillar in (*of.pillars, of.blind_behind):
        if pillar:
            at += [pillar - 0.04, pillar + 0.04]
    at += [of.rear_window[1] + 0.14, of.screen[0] - 0.10]
    return np.unique(np.round(at, 3))


def _section(of: Car, x: float) -> list[tuple[float, float]]:
    length, width, height = of.size
    w = 0.5 * width
    plan = np.interp(x, [0, 0.06, 0.2, 0.7, length - 0.9, length - 0.45, length - 0.16, length - 0.05, length],
                     [0.80, 0.88, 0.945, 1.0, 1.0, 0.97, 0.89, 0.82, 0.74])  # fmt: skip
    side = w * float(plan)
    below = float(
        np.interp(x, [0, 0.2, 0.6, length - 0.7, length - 0.16, length], [0.36, 0.26, 0.20, 0.20, 0.24, 0.34])
    )
    (r0, r1), (s0, s1) = of.rear_window, of.screen
    bonnet = of.belt[1] + 0.02
    top = float(
        np.interp(
            x,
            [0, 0.05, r0, r1, 0.5 * (r1 + s0), s0, s1, length - 0.45, length - 0.16, length],
            [of.deck - 0.14, of.deck - 0.02, of.deck + 0.01, height - 0.03, height, height - 0.045, bonnet,
             0.5 * (bonnet + of.nose) + 0.06, of.nose + 0.02, of.nose - 0.14],
        )
    )  # fmt: skip
    belt = min(float(np.interp(x, [r1, s0], of.belt)), top - 0.03)
    cabin = float(np.clip((top - belt) / (height - 0.95), 0.0, 1.0))  # 0 on the bonnet .. 1 under the roof
    lean = (0.26 - 0.17 * of.boxy) * cabin
    upper = side * (0.965 - lean)
    under = below
    for axle in of.axles:
        reach = of.radius * 1.16
        inside = reach**2 - (x - axle) ** 2
        if inside > -1e-6:
            under = max(under, of.radius + float(np.sqrt(max(inside, 0.0))))
    under = min(under, belt - 0.12)
    middle = max(under + 0.04, 0.58 * belt + 0.42 * below)
    return [
        (0.0, below),
        (side * 0.60, below),
        (side * 0.965, under),
        (side, middle),
        (side * 0.965, belt),
        (upper, top - 0.02 - 0.05 * cabin),
        (upper * 0.86, top - 0.008),
        (0.0, top + 0.012 * (1.0 - cabin)),
    ]


def _look(of: Car, a: float, b: float, j: int) -> Look:
    """Of the strip between sections a and b: 0, 1 underside, 2, 3 doors, 4 side windows, 5, 6 top."""
    (r0, r1), (s0, s1) = of.rear_window, of.screen
    middle = 0.5 * (a + b)
    if j <= 1:
        return DARK
    if j == 4 and r0 + 0.45 * (r1 - r0) < middle < s1 - 0.25 * (s1 - s0):
        on_pillar = any(abs(middle - p) < 0.05 for p in (*of.pillars, of.blind_behind) if p)
        behind = r1 + 0.14 if of.boxy < 0.8 else r1 + 0.3
        if middle < max(of.blind_behind, r0 + 0.2):
            return PAINT
        if on_pillar or (r1 < middle < behind and of.boxy < 0.8):
            return PAINT
        return GLASS
    if j >= 6 and (r0 < middle < r1 or s0 < middle < s1):
        return GLASS
    if j == 5 and (r0 < middle < r1 or s0 < middle < s1):
        return PAINT
    return PAINT
