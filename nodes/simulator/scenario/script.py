"""What the scenario tells somebody to do, once its moment has come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nodes.simulator.scenario.lane_change import place_in
from nodes.simulator.scenario.mover import Mover
from nodes.simulator.scenario.road import Road
from nodes.simulator.scenario.settings import Act, When


def act(road: Road, movers: Sequence[Mover], me: int, t: float) -> None:
    """Start, and begin what is due."""
    mover = movers[me]
    if not mover.started:
        mover.started = has_come(mover.starts, movers[0], mover, t)
    due = [one for one in mover.acts if has_come(one.when, movers[0], mover, t)]
    for one in due:
        mover.acts.remove(one)
        _begin(road, mover, one, t)


def has_come(when: When, ego: Mover, mover: Mover, t: float) -> bool:
    """Whether all that ``when`` asks for holds at ``t``."""
    if t + 1e-9 < when.time:
        return False
    if when.gap is None and when.arrival is None and when.ttc is None:
        return True
    at = mover.middle(mover.s)
    s, _ = ego.path.project([float(at.x), float(at.y)])
    ahead = float(s[0]) - ego.front
    turned = float(at.yaw - ego.path.at(s[0]).heading)
    gap = ahead - abs(np.cos(turned)) * mover.half[0] - abs(np.sin(turned)) * mover.half[1]
    closing = ego.speed - mover.speed * np.cos(turned)
    return bool(
        (when.gap is None or gap < when.gap)
        and (when.arrival is None or ahead < when.arrival * ego.speed)
        and (when.ttc is None or (closing > 0.1 and gap / closing < when.ttc))
    )


def _begin(road: Road, mover: Mover, one: Act, t: float) -> None:
    if one.lane is not None and mover.lane is not None:
        lane = road.lane(one.lane, mover.lane.oncoming)
        if lane.path is not mover.lane.path:
            mover.take(lane, place_in(mover, lane), one.over)
    elif one.shift is not None:
        mover.move_across(one.shift, max(mover.speed * one.over, 1.0))
        mover.change_done = mover.s + mover.turn_length
    elif one.speed is not None:
        mover.wanted = one.speed
    elif one.brake is not None:
        mover.braking, mover.brake_to = one.brake, one.to
        mover.released = t + max(0.0, mover.speed - one.to) / one.brake + one.hold
