"""Time goes by: everybody looks, decides and moves, in equal steps, until the scenario is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nodes.simulator.scenario.idm import follow
from nodes.simulator.scenario.lane_change import changed_lane
from nodes.simulator.scenario.mover import Mover, poses
from nodes.simulator.scenario.path import FloatArray
from nodes.simulator.scenario.right_of_way import Conflicts
from nodes.simulator.scenario.road import Road
from nodes.simulator.scenario.script import act
from nodes.simulator.scenario.sight import Crowd, obstacle

STEP_S = 0.05
_LOOKS = 2  # steps from one look around to the next
_JERK, _PANIC_JERK = 8.0, 28.0  # m/s3
_FOOT_JERK = 12.0


@dataclass
class Log:
    """What happened; T steps, N movers in order. x, y, yaw: (T, N) of the point that follows the path, yaw unwrapped.
    speed, acceleration: (T, N) along the path. doing: (T, N) names of manoeuvres, "" = keep. hazard: (T, N) bool."""

    times: FloatArray
    x: FloatArray
    y: FloatArray
    yaw: FloatArray
    speed: FloatArray
    acceleration: FloatArray
    doing: list[list[str]] = field(default_factory=list)
    hazard: list[int] = field(default_factory=list)  # mover that the ego brakes for, -1 none


def run(road: Road, movers: Sequence[Mover], duration: float, rng: np.random.Generator) -> Log:
    """Move everybody for ``duration`` s. ``movers[0]`` is the ego."""
    steps = int(np.ceil(duration / STEP_S - 1e-9)) + 1
    x, y, yaw, speed, pull = np.zeros((5, steps, len(movers)))
    log = Log(np.arange(steps, dtype=np.float64) * STEP_S, x, y, yaw, speed, pull)
    decides = rng.integers(0, 20, len(movers))
    wants = np.zeros(len(movers))
    conflicts = Conflicts()
    brakes_for = -1
    for me, mover in enumerate(movers):
        log.x[:, me], log.y[:, me], log.yaw[:, me] = mover.pose(mover.s)
    moving = [me for me, mover in enumerate(movers) if not mover.fixed and mover.hitch is None]
    drawn = [me for me, mover in enumerate(movers) if mover.hitch is not None]
    crowd = Crowd.of(movers)
    for step, t in enumerate(log.times):
        if step % _LOOKS == 0:
            for me in moving:
                act(road, movers, me, float(t))
            crowd.update([*moving, *drawn])
            for me in moving:
                mover = movers[me]
                if mover.changes_lanes and (step // _LOOKS + decides[me]) % 10 == 0:
                    changed_lane(road, movers, me)
                hold = conflicts.nearest_closed(movers, me, float(t))
                mover.hold = hold
                found = obstacle(crowd, me, mover.speed_here())
                wants[me] = min(found.acceleration, _before(mover, hold))
                if me == 0:
                    brakes_for = found.mover if found.acceleration < -1.5 else -1
        log.hazard.append(brakes_for)
        log.doing.append([_doing(mover) for mover in movers])
        if moving:
            here = poses([movers[me] for me in moving], np.array([[movers[me].s] for me in moving]))
            log.x[step, moving], log.y[step, moving], log.yaw[step, moving] = (column[:, 0] for column in here)
        for me in moving:
            mover = movers[me]
            log.speed[step, me], log.acceleration[step, me] = mover.speed, mover.acceleration
            _advance(mover, float(wants[me]), float(t))
        for me in drawn:
            movers[me].keep_up()
    return log


def _before(mover: Mover, hold: float) -> float:
    """Acceleration that a closed line allows: it is a leader that stands."""
    if not np.isfinite(hold):
        return np.inf
    gap = hold - mover.front + mover.driver.distance - 0.5  # stop half a metre before it
    return follow(mover.driver, mover.speed, mover.speed_here(), gap, 0.0)


def _advance(mover: Mover, wanted: float, t: float) -> None:
    """One step with an acceleration that changes no faster than a foot can press or a tyre can take up."""
    if not mover.started:
        wanted = 0.0 if mover.on_foot else min(wanted, 0.0)
    if mover.braking:
        wanted = min(wanted, -mover.braking if mover.speed > mover.brake_to + 0.2 else 0.0)
        if mover.speed <= mover.brake_to + 0.2 and t >= mover.released:
            mover.braking = 0.0
    press = _FOOT_JERK if mover.on_foot else _PANIC_JERK if wanted < -4.0 else _JERK
    release = _FOOT_JERK if mover.on_foot else _PANIC_JERK if mover.acceleration < 0.0 else _JERK
    before = mover.acceleration
    # no harder than lets it come to rest without a jolt
    left = max(0.0, mover.speed + before * STEP_S)
    wanted = max(wanted, -np.sqrt((_FOOT_JERK if mover.on_foot else _PANIC_JERK) * left))
    after = float(np.clip(wanted, before - press * STEP_S, before + release * STEP_S))
    speed = mover.speed + 0.5 * (before + after) * STEP_S
    if speed <= 0.0:
        mover.s += 0.25 * mover.speed * STEP_S
        mover.speed, mover.acceleration = 0.0, max(0.0, after)
        return
    mover.s += (mover.speed * STEP_S + (before / 3.0 + after / 6.0) * STEP_S**2) * mover.progress()
    mover.speed, mover.acceleration = speed, after


def _doing(mover: Mover) -> str:
    """The manoeuvre that its path, more than its pedals, tells."""
    if mover.fixed:
        return "park"
    if mover.s < mover.change_done:
        return "change_left" if mover.turn_to > mover.turn_from else "change_right"
    front = mover.s + mover.to_middle
    if mover.on_foot and mover.speed < 0.15:
        return ""
    return next((name for start, end, name in mover.turns if start <= front < end), "")
