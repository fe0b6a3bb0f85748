"""What is in a mover's way: the nearest of all boxes, now and where they will be, that reach into its corridor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from nodes.simulator.scenario.idm import follow
from nodes.simulator.scenario.mover import Mover
from nodes.simulator.scenario.path import FloatArray

AHEAD_S = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
"""Times at which others are expected to be where their paths lead them, s from now."""

_OUTLINE = np.array(
    [[x, y] for x in np.linspace(-1.0, 1.0, 7) for y in (-1.0, 1.0)] + [[-1.0, 0.0], [1.0, 0.0]], dtype=np.float64
)


class Crowd(NamedTuple):
    """All movers at one time. centre: (N, T, 2) at `AHEAD_S`; yaw: (N, T); half: (N, 2); velocity: (N, T, 2) m/s."""

    movers: Sequence[Mover]
    centre: FloatArray
    yaw: FloatArray
    half: FloatArray
    velocity: FloatArray

    @staticmethod
    def of(movers: Sequence[Mover]) -> Crowd:
        n, t = len(movers), len(AHEAD_S)
        half = np.array([mover.half for mover in movers])
        crowd = Crowd(movers, np.zeros((n, t, 2)), np.zeros((n, t)), half, np.zeros((n, t, 2)))
        crowd.update(range(n))
        return crowd

    def update(self, moving: Iterable[int]) -> None:
        """Look again where these are and will be; nobody is thought to pass a line that is closed to it."""
        for k in moving:
            mover = self.movers[k]
            limit = max(mover.s, mover.hold - mover.size[0] + mover.tail)
            x, y, yaw = mover.middle(np.minimum(mover.s + mover.speed * AHEAD_S, limit))
            self.centre[k, :, 0], self.centre[k, :, 1], self.yaw[k] = x, y, yaw
            self.velocity[k, :, 0], self.velocity[k, :, 1] = mover.speed * np.cos(yaw), mover.speed * np.sin(yaw)


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
    s = np.arange(self.s - 1.0, self.front + reach, 1.0)
    lane, (drift, _) = self.path.at(s), self.drift(s)
    t = np.searchsorted(AHEAD_S, 0.0 if self.on_foot or self.heedless else self.sees, side="right")
    candidates = np.ones((len(crowd.movers), t), dtype=bool)
    candidates[[me, *(k for k, other in enumerate(crowd.movers) if self.draws(other))]] = False
    still = np.linalg.norm(crowd.velocity[:, 0], axis=-1) < 0.05
    candidates[still, 1:] = False
    who, when = np.nonzero(candidates)
    centre = crowd.centre[who, when]
    size = np.linalg.norm(crowd.half[who], axis=-1)
    close = np.linalg.norm(centre - crowd.centre[me, 0], axis=-1) < reach + self.size[0] + size
    who, when, centre, size = who[close], when[close], centre[close], size[close]

    def project(points: FloatArray) -> tuple[FloatArray, FloatArray]:
        away = (points[:, 0, None] - lane.x) ** 2 + (points[:, 1, None] - lane.y) ** 2
        near = away.argmin(axis=1)
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
    for k in np.flatnonzero(np.isfinite(first) & ~passed):
        direction = self.path.at(first[k]).heading
        towards = float(crowd.velocity[who[k], when[k]] @ [np.cos(direction), np.sin(direction)])
        gap = float(first[k]) - self.front
        allowed = follow(self.driver, self.speed, wanted, gap, towards)
        if allowed < best.acceleration:
            best = Obstacle(int(who[k]), allowed)
    return best
