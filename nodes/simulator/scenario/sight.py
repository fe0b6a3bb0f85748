"""What is in a mover's way: the nearest of all boxes, now and where they will be, that reach into its corridor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nodes.simulator.scenario.idm import follow
from nodes.simulator.scenario.mover import Mover, poses
from nodes.simulator.scenario.path import FloatArray

AHEAD_S = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
"""Times at which others are expected to be where their paths lead them, s from now."""

_OUTLINE = np.array(
    [[x, y] for x in np.linspace(-1.0, 1.0, 7) for y in (-1.0, 1.0)] + [[-1.0, 0.0], [1.0, 0.0]], dtype=np.float64
)


class Crowd(NamedTuple):
    """All movers at one time. centre: (N, T, 2) at `AHEAD_S`; yaw: (N, T); half: (N, 2), and size: (N,) its diagonal;
    velocity: (N, T, 2) m/s. coupled: (N, N) of a mover and itself or its trailer, which overlap at the hitch."""

    movers: Sequence[Mover]
    centre: FloatArray
    yaw: FloatArray
    half: FloatArray
    size: FloatArray
    velocity: FloatArray
    coupled: npt.NDArray[np.bool_]

    @staticmethod
    def of(movers: Sequence[Mover]) -> Crowd:
        n, t = len(movers), len(AHEAD_S)
        half = np.array([mover.half for mover in movers])
        coupled = np.array([[one is other or one.draws(other) for other in movers] for one in movers], dtype=bool)
        size = np.linalg.norm(half, axis=-1)
        crowd = Crowd(movers, np.zeros((n, t, 2)), np.zeros((n, t)), half, size, np.zeros((n, t, 2)), coupled)
        crowd.update(list(range(n)))
        return crowd

    def update(self, moving: Sequence[int]) -> None:
        """Look again where these are and will be; nobody is thought to pass a line that is closed to it."""
        if not moving:
            return
        who = [self.movers[k] for k in moving]
        s, speed, middle, limit = np.array(
            [(m.s, m.speed, m.to_middle, max(m.s, m.hold - m.size[0] + m.tail)) for m in who]
        ).T[..., None]
        x, y, yaw = poses(who, np.minimum(s + speed * AHEAD_S, limit))
        ahead = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
        self.centre[moving] = np.stack([x, y], axis=-1) + middle[..., None] * ahead
        self.yaw[moving] = yaw
        self.velocity[moving] = speed[..., None] * ahead


class Obstacle(NamedTuple):
    """mover: index in the crowd, -1 = none. acceleration: what it allows, m/s2."""

    mover: int
    acceleration: float


def obstacle(crowd: Crowd, me: int, wanted: float) -> Obstacle:
    """What mover ``me`` must keep its distance from, of all that reach into the strip that it will drive over.

    Others that are behind it look after themselves; what it will have passed before they arrive is not in its way.
    """
    self = crowd.movers[me]
    margin = 0.15 if self.on_foot else 0.3
    reach = 6.0 if self.on_foot else min(30.0 + 6.0 * self.speed, 160.0)
    s, lane = self.path.strip(self.s - 1.0, self.front + reach)
    drift, _ = self.drift(s)
    line = np.stack([lane.x, lane.y])
    length2 = np.einsum("ij,ij->j", line, line)
    t = np.searchsorted(AHEAD_S, 0.0 if self.on_foot or self.heedless else self.sees, side="right")
    away = crowd.centre[:, :t] - crowd.centre[me, 0]
    close = np.hypot(away[..., 0], away[..., 1]) < reach + self.size[0] + crowd.size[:, None]
    close &= ~crowd.coupled[me][:, None]
    still = np.hypot(crowd.velocity[:, 0, 0], crowd.velocity[:, 0, 1]) < 0.05
    close[still, 1:] = False
    who, when = np.nonzero(close)
    centre, size = crowd.centre[who, when], crowd.size[who]

    def project(points: FloatArray) -> tuple[FloatArray, FloatArray]:
        near = (length2 - 2.0 * (points @ line)).argmin(axis=1)  # the square of the distance, but for a constant
        c, n = np.cos(lane.heading[near]), np.sin(lane.heading[near])
        dx, dy = points[:, 0] - lane.x[near], points[:, 1] - lane.y[near]
        # where the nearest sample is an end of the strip, what lies beyond it is not on the strip
        return s[near] + c * dx + n * dy, c * dy - n * dx - drift[near]

    if not len(who):
        return Obstacle(-1, follow(self.driver, self.speed, wanted, 1e3, self.speed))
    at, off = project(centre)
    own = self.half[1] + margin
    behind = np.zeros(len(crowd.movers), dtype=bool)
    now = when == 0
    behind[who[now]] = (at[now] < self.s + self.to_middle) & (np.abs(off[now]) < own + crowd.half[who[now], 1])
    keep = (np.abs(off) < own + size) & (at > self.s - size) & ~behind[who]
    who, when, centre = who[keep], when[keep], centre[keep]
    if not len(who):
        return Obstacle(-1, follow(self.driver, self.speed, wanted, 1e3, self.speed))

    yaw = crowd.yaw[who, when]
    c, n = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    local = _OUTLINE * crowd.half[who][:, None]
    outline = np.stack([c * local[..., 0] - n * local[..., 1], n * local[..., 0] + c * local[..., 1]], axis=-1)
    at, off = project((outline + centre[:, None]).reshape(-1, 2))
    at, off = at.reshape(len(who), -1), off.reshape(len(who), -1)
    inside = (np.abs(off) < own) & (at > self.s + self.to_middle)
    # a box wider than the corridor has points on both sides of it and none within
    inside |= (off.min(axis=1) < 0.0)[:, None] & (off.max(axis=1) > 0.0)[:, None] & (at > self.s + self.to_middle)
    first = np.where(inside, at, np.inf).min(axis=1)
    passed = (first - self.s + self.tail) / max(self.speed, 0.1) < AHEAD_S[when] - 0.2
    best = Obstacle(-1, follow(self.driver, self.speed, wanted, 1e3, self.speed))
    real = np.flatnonzero(np.isfinite(first) & ~passed)
    direction = self.path.at(first[real]).heading
    along = np.stack([np.cos(direction), np.sin(direction)], axis=-1)
    towards_all = np.einsum("ij,ij->i", crowd.velocity[who[real], when[real]], along)
    for k, towards in zip(real.tolist(), towards_all.tolist(), strict=True):
        gap = float(first[k]) - self.front
        allowed = follow(self.driver, self.speed, wanted, gap, towards)
        if allowed < best.acceleration:
            best = Obstacle(int(who[k]), allowed)
    return best
