"""Changing lanes: MOBIL for those who choose, and where a mover is in another lane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nodes.simulator.scenario.idm import Driver, follow, gains
from nodes.simulator.scenario.mover import Mover
from nodes.simulator.scenario.road import Lane, Road

_SECONDS = 4.0
_ROOM = 3.0  # m free at both ends, whatever the model says


def place_in(mover: Mover, lane: Lane) -> float:
    """Arc length on another lane's path beside which a mover is, exactly, or it would jump there."""
    at = mover.pose(mover.s)
    s = float(lane.path.project([float(at.x), float(at.y)])[0][0])
    for _ in range(3):
        here = lane.path.at(s)
        dx, dy = float(at.x - here.x), float(at.y - here.y)
        c, n = float(np.cos(here.heading)), float(np.sin(here.heading))
        s += (c * dx + n * dy) / (1.0 - float(here.curvature) * (c * dy - n * dx))
    return s


def changed_lane(road: Road, movers: Sequence[Mover], me: int) -> bool:
    """Let ``me`` begin to change lanes if MOBIL says that it pays and is safe."""
    mover = movers[me]
    lane = mover.lane
    if lane is None or mover.s < mover.change_done or mover.speed < 3.0:
        return False
    best, target = mover.driver.threshold, None
    for number in (lane.number - 1, lane.number + 1):
        try:
            other = road.lane(number, lane.oncoming)
        except KeyError:
            continue
        gain = _incentive(road, movers, mover, other)
        gain += mover.driver.bias if number < lane.number else -mover.driver.bias
        if gain > best:
            best, target = gain, other
    if target is not None:
        mover.take(target, place_in(mover, target), _SECONDS)
    return target is not None


def _incentive(road: Road, movers: Sequence[Mover], mover: Mover, lane: Lane) -> float:
    """m/s2; minus infinity where the change is not safe."""
    here = mover.s
    there = place_in(mover, lane)
    assert mover.lane is not None
    leader, follower = _neighbours(movers, mover, mover.lane, here)
    new_leader, new_follower = _neighbours(movers, mover, lane, there)
    shift = there - here
    for other in (new_leader, new_follower):
        if other is not None and _gap(mover, shift, other) < _ROOM and _gap(other, -shift, mover) < _ROOM:
            return -float("inf")
    own = _pull(mover, leader, 0.0), _pull(mover, new_leader, shift)
    new = (0.0, 0.0)
    if new_follower is not None:
        new = _pull(new_follower, new_leader, 0.0), _pull(new_follower, mover, -shift)
        if new[1] < -mover.driver.safe:
            return -float("inf")
    if own[1] < -mover.driver.safe:
        return -float("inf")
    old = (_pull(follower, mover, 0.0), _pull(follower, leader, 0.0)) if follower is not None else (0.0, 0.0)
    return gains(mover.driver, own, new, old)


def _neighbours(movers: Sequence[Mover], me: Mover, lane: Lane, s: float) -> tuple[Mover | None, Mover | None]:
    """The next one ahead and behind in a lane."""
    others = [other for other in movers if other is not me and other.lane is not None and other.lane.path is lane.path]
    ahead = min((other for other in others if other.s >= s), key=lambda other: other.s, default=None)
    behind = max((other for other in others if other.s < s), key=lambda other: other.s, default=None)
    return ahead, behind


def _gap(mover: Mover, shift: float, leader: Mover) -> float:
    """From one front to another's tail; shift: of the mover's own s into the leader's lane."""
    return leader.s - leader.tail - (mover.front + shift)


def _pull(mover: Mover, leader: Mover | None, shift: float) -> float:
    driver: Driver = mover.driver
    if leader is None:
        return follow(driver, mover.speed, mover.speed_here(), 1e3, mover.speed)
    return follow(driver, mover.speed, mover.speed_here(), max(_gap(mover, shift, leader), 0.1), leader.speed)
