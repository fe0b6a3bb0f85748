"""`place`: a scenario becomes a world."""

from __future__ import annotations

import itertools

import numpy as np

from fusion.contact import first_contact
from nodes.simulator.scenario.cast import cast
from nodes.simulator.scenario.motions import manoeuvres, motion
from nodes.simulator.scenario.mover import Mover
from nodes.simulator.scenario.path import FloatArray
from nodes.simulator.scenario.road import KERB_HEIGHT, Road, lay_out
from nodes.simulator.scenario.scenery import scenery
from nodes.simulator.scenario.settings import Scenario
from nodes.simulator.scenario.traffic import Log, run
from nodes.simulator.scenario.trailer import trace
from nodes.simulator.world.world import Actor, World
from pipeline.core.errors import BadInput

VIEW = 320.0
"""Road beyond where the ego ends, m."""

_TRIES = 4
_PAINTS = (
    (225, 226, 228), (240, 240, 238), (30, 31, 34), (60, 62, 66), (120, 124, 128), (165, 168, 172),
    (150, 24, 28), (26, 58, 110), (70, 100, 140), (40, 70, 52), (196, 170, 120), (205, 120, 30),
)  # fmt: skip
_SIGNAL = {"traffic_cone": (230, 90, 20), "barrier": (230, 90, 20), "construction_vehicle": (238, 172, 24)}
_CLOTHES = ((40, 48, 70), (90, 40, 40), (60, 60, 62), (150, 140, 120), (46, 82, 60), (180, 60, 50), (200, 190, 60))


def place(scenario: Scenario, seed: int | None = None) -> World:
    """The world of a scenario; the same scenario and seed give the same world, to the bit.

    seed: instead of the scenario's own. Where the traffic that it draws ends in a collision, it is drawn anew.

    Raises:
        BadInput: the scenario cannot be placed, and why.
    """
    seed = scenario.seed if seed is None else seed
    ego = scenario.ego
    wants = max(ego.wants or scenario.road.speed_limit, ego.speed)
    road = lay_out(scenario.road, ego.at, wants * scenario.duration + VIEW)
    problem = ""
    for attempt in range(_TRIES):
        rng = np.random.default_rng([seed, attempt])
        movers = cast(scenario, road, rng)
        log = run(road, movers, scenario.duration, rng)
        trace(log, movers)
        problem = collision(log, movers)
        if not problem:
            return _world(scenario, seed, road, movers, log)
    raise BadInput(scenario.name, "$", "a scenario in which nobody collides", problem)


def collision(log: Log, movers: list[Mover]) -> str:
    """Who runs into whom and when, in words; empty where nobody does."""
    ahead = np.array([mover.to_middle for mover in movers])
    centre = np.stack([log.x + ahead * np.cos(log.yaw), log.y + ahead * np.sin(log.yaw)], axis=-1)
    half = np.array([mover.half for mover in movers])
    radius = np.linalg.norm(half, axis=-1)
    for a, b in itertools.combinations(range(len(movers)), 2):
        if (movers[a].fixed and movers[b].fixed) or movers[a].draws(movers[b]):
            continue
        near = np.flatnonzero(np.linalg.norm(centre[:, a] - centre[:, b], axis=-1) < radius[a] + radius[b])
        if len(near):
            both = np.broadcast_to(half[[a, b]], (len(near), 2, 2))
            touch = first_contact(centre[near][:, [a, b]], log.yaw[near][:, [a, b]], both) == 0.0
            if touch.any():
                return f"{movers[a].label} and {movers[b].label} collide at {log.times[near[touch][0]]:.1f} s"
    return ""


def _world(scenario: Scenario, seed: int, road: Road, movers: list[Mover], log: Log) -> World:
    rng = np.random.default_rng([seed, 1000])
    me = movers[0]
    actors = []
    for number, mover in enumerate(movers[1:], start=1):
        height = _height(road, log, number) if mover.on_foot else None
        choices = _CLOTHES if mover.on_foot or mover.kind == "bicycle" else _PAINTS
        paint = _SIGNAL.get(mover.kind) or choices[rng.integers(len(choices))]
        done = manoeuvres(log, movers, number, _cuts_in(log, movers, number))
        moves = motion(log, number, mover, mover.to_middle, height)
        towed_by = next((i for i, other in enumerate(movers) if mover.hitch and other is mover.hitch.tractor), 0)
        actors.append(Actor(number, mover.kind, mover.size, mover.shape, paint, moves, done, towed_by))
    travelled = float(np.hypot(np.diff(log.x[:, 0]), np.diff(log.y[:, 0])).sum())
    seen = scenery(scenario, road, travelled, np.random.default_rng([seed, 2000]))
    inside = np.zeros(len(log.times), dtype=bool)
    if scenario.road.tunnel is not None:
        s, _ = road.middle.project(np.stack([log.x[:, 0], log.y[:, 0]], axis=1))
        start, end = scenario.road.tunnel.start + road.start, scenario.road.tunnel.end + road.start
        inside = (s > start) & (s < end)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    times = np.append(log.times, log.times[-1])
    return World(
        name=scenario.name,
        seed=seed,
        duration=scenario.duration,
        ego=motion(log, 0, me, 0.0),
        actors=tuple(actors),
        static=seen.mesh,
        weather=scenario.weather,
        light=scenario.light,
        lamps=seen.lamps,
        roofed=tuple((float(times[a]), float(times[b])) for a, b in edges.reshape(-1, 2)),
        ego_size=me.size,
        ego_tail=me.tail,
    )


def _height(road: Road, log: Log, me: int) -> FloatArray:
    """(T,) m: a kerb's height on the pavement, with a step 0.3 m long."""
    if not road.settings.pavement:
        return np.zeros(len(log.times))
    _, d = road.middle.project(np.stack([log.x[:, me], log.y[:, me]], axis=1))
    kerb = np.where(d > 0.0, road.kerb(1), road.kerb(-1))
    u = np.clip((np.abs(d) - kerb) / 0.3 + 0.5, 0.0, 1.0)
    return np.asarray(KERB_HEIGHT * u * u * (3.0 - 2.0 * u))


def _cuts_in(log: Log, movers: list[Mover], me: int) -> bool:
    """Whether it ended a change of lanes less than 1.5 s before the ego, in its lane."""
    mover, ego = movers[me], movers[0]
    if mover.lane is None or mover.lane is not ego.lane:
        return False
    changing = [row[me].startswith("change") for row in log.doing]
    if not any(changing):
        return False
    done = int(np.flatnonzero(changing)[-1])
    dx, dy = log.x[done, me] - log.x[done, 0], log.y[done, me] - log.y[done, 0]
    gap = np.cos(log.yaw[done, 0]) * dx + np.sin(log.yaw[done, 0]) * dy - ego.size[0]
    return bool(0.0 < gap < max(1.5 * log.speed[done, 0], 8.0))
