"""What the traffic did, as smooth motions of bodies on springs, with the names of what they did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter

from nodes.simulator.scenario.mover import Mover
from nodes.simulator.scenario.path import FloatArray
from nodes.simulator.scenario.traffic import STEP_S, Log
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.world import Manoeuvre

PITCH, ROLL = 0.0032, 0.0070
"""rad for each m/s2: a car dives by 1.6 degrees at 9 m/s2 and leans by 2 degrees at 5 m/s2."""

_HERTZ, _DAMPING = 1.4, 0.45  # of a body on its springs
_HARD, _BRISK, _STILL = -1.8, 1.2, 0.15  # m/s2, m/s2, m/s
_SHORT_S = 0.25


def motion(log: Log, me: int, mover: Mover, to_middle: float, height: FloatArray | None = None) -> Motion:
    """Of a point ``to_middle`` m ahead of the one that follows the path. height: (T,) m of the ground, None = 0."""
    yaw = np.unwrap(log.yaw[:, me])
    x, y = log.x[:, me] + to_middle * np.cos(yaw), log.y[:, me] + to_middle * np.sin(yaw)
    z = np.zeros_like(x) if height is None else height
    if mover.fixed:
        return Motion.standing([x[0], y[0], z[0]], float(yaw[0]), float(log.times[-1]))
    pitch, roll = np.zeros_like(x), np.zeros_like(x)
    across = log.speed[:, me] * np.gradient(yaw, log.times)
    if mover.kind in ("motorcycle", "bicycle"):
        roll = -_sprung(np.arctan(across / 9.81))
    elif not mover.on_foot:
        pitch, roll = -PITCH * _sprung(log.acceleration[:, me]), ROLL * _sprung(across)
    return Motion(log.times, np.stack([x, y, z], axis=1), yaw, pitch, roll)


def _sprung(pushed: FloatArray) -> FloatArray:
    """How a damped spring gives way to a push, in units of where it would come to rest; at rest at the start."""
    w = 2.0 * np.pi * _HERTZ
    k = 2.0 / STEP_S  # bilinear transform of w^2 / (p^2 + 2 d w p + w^2)
    a0, a1, a2 = k * k + 2 * _DAMPING * w * k + w * w, 2 * (w * w - k * k), k * k - 2 * _DAMPING * w * k + w * w
    b, a = np.array([w * w, 2 * w * w, w * w]) / a0, np.array([1.0, a1 / a0, a2 / a0])
    first = np.full(2, pushed[0])
    start = np.array([first[0] * (1 - b[0]), first[0] * (b[2] - a[2])])
    return np.asarray(lfilter(b, a, pushed, zi=start)[0])


def manoeuvres(log: Log, movers: Sequence[Mover], me: int, cut_in: bool) -> tuple[Manoeuvre, ...]:
    """What one mover did when; of several things at once the most telling.

    cut_in: its lane changes end closely before the ego.
    """
    mover, times = movers[me], log.times
    speed, pull = log.speed[:, me], log.acceleration[:, me]
    names = np.array([row[me] for row in log.doing], dtype="<U12")
    free = names == ""
    if not mover.fixed and not mover.on_foot:
        names[free & (pull > _BRISK)] = "accelerate"
        names[free & (speed < _STILL)] = "stop"
        names[free & (pull < _HARD)] = "brake"
        if cut_in:
            names[(names == "change_left") | (names == "change_right")] = "cut_in"
    hazard = np.array(log.hazard) == me
    edges = np.flatnonzero((names[1:] != names[:-1]) | (hazard[1:] != hazard[:-1])) + 1
    found = []
    for start, end in zip([0, *edges], [*edges, len(times)], strict=True):
        begin, until = float(times[start]), float(times[end - 1]) + STEP_S
        if (names[start] or hazard[start]) and (until - begin >= _SHORT_S or hazard[start]):
            found.append(Manoeuvre(str(names[start]) or "keep", begin, until, bool(hazard[start])))
    return tuple(found)
