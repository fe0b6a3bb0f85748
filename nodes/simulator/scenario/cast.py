"""Who is on the road at the start: the ego, those that the script names, parked cars, and traffic that is drawn."""

from __future__ import annotations

import numpy as np

from fusion.contact import first_contact
from nodes.simulator.scenario.idm import Driver
from nodes.simulator.scenario.junction import ARM_LENGTH, Crossing, Way
from nodes.simulator.scenario.mover import Mover
from nodes.simulator.scenario.path import Path, Piece
from nodes.simulator.scenario.road import Lane, Road
from nodes.simulator.scenario.settings import Act, ParkedRow, PersonSettings, Scenario, VehicleSettings
from nodes.simulator.scenario.trailer import BEHIND, TRACTOR, hitched
from nodes.simulator.world.shapes import shape
from pipeline.core.errors import BadInput

EGO_SIZE, EGO_TAIL = (4.6, 1.9, 1.6), 0.9
_TAIL = 0.21  # share of a vehicle's length behind its rear axle
_EGO_DRIVER = Driver(acceleration=1.8, comfort=2.5, headway=1.4)
_HEAVY = Driver(acceleration=0.9, comfort=1.8, headway=1.6, bias=0.5)
_RIDER = Driver(acceleration=1.2, comfort=2.0, headway=1.2, distance=1.5)
_WALKER = Driver(acceleration=1.5, comfort=2.0, headway=0.3, distance=0.5)


def cast(scenario: Scenario, road: Road, rng: np.random.Generator) -> list[Mover]:
    """Everybody at t = 0, the ego first.

    Raises:
        BadInput: somebody has no place.
    """
    crossing = Crossing(scenario.name, road) if scenario.road.junction is not None else None
    movers = [_ego(scenario, road)]
    for i, vehicle in enumerate(scenario.vehicles):
        movers.append(_vehicle(scenario, road, crossing, i, vehicle))
    for i, person in enumerate(scenario.people):
        movers.append(_person(road, f"people[{i}]", person))
    for i, thing in enumerate(scenario.things):
        at = road.start + thing.ahead
        movers.append(_standing(road, f"things[{i}]", thing.shape, at, thing.offset, thing.yaw))
    movers += _trailers(movers)
    _check_apart(scenario, movers)
    for i, row in enumerate(scenario.parked):
        movers += _parked(scenario, road, f"parked[{i}]", row, rng)
    drawn = _traffic(scenario, road, movers, rng)
    movers += [*drawn, *_trailers(drawn)]
    movers += _walkers(scenario, road, rng)
    if crossing is not None:
        turns = [scenario.ego.turn, *(vehicle.turn for vehicle in scenario.vehicles)]
        for mover, turn in zip(movers, turns + ["straight"] * len(movers), strict=False):
            if mover.lane is not None and not mover.fixed and mover.hitch is None:
                _send(mover, crossing.along(mover.lane, turn))
        for mover in movers:
            if mover.hitch is not None:
                mover.keep_up()
    return movers


def _trailers(movers: list[Mover]) -> list[Mover]:
    return [hitched(mover) for mover in movers if mover.shape == TRACTOR]


def _send(mover: Mover, way: Way) -> None:
    """Through the junction, which lies ahead of it on its lane; who is past the line keeps to the lane."""
    mover.stops, mover.turns = way.stops, way.turns
    if way.turns:
        mover.follow(way.path)


def _check_apart(scenario: Scenario, movers: list[Mover]) -> None:
    for k, mover in enumerate(movers):
        for other in movers[:k]:
            if mover.draws(other):
                continue
            pair = [one.middle(one.s) for one in (other, mover)]
            centre = [[float(at.x), float(at.y)] for at in pair]
            if first_contact(centre, [float(at.yaw) for at in pair], [other.half, mover.half]) == 0.0:
                found = f"{mover.label} overlaps {other.label}"
                raise BadInput(scenario.name, f"$.{mover.label}.ahead", "a place that is free", found)


def _lane(scenario: Scenario, road: Road, field: str, number: int, oncoming: bool = False) -> Lane:
    try:
        return road.lane(number, oncoming)
    except KeyError as error:
        way = "an oncoming lane" if oncoming else "a lane"
        raise BadInput(scenario.name, field, f"{way} of the road", error.args[0]) from error


def _check_acts(scenario: Scenario, road: Road, field: str, acts: tuple[Act, ...], oncoming: bool = False) -> None:
    for j, one in enumerate(acts):
        if one.lane is not None:
            _lane(scenario, road, f"{field}.does[{j}].lane", one.lane, oncoming)


def _ego(scenario: Scenario, road: Road) -> Mover:
    of = scenario.ego
    lane = _lane(scenario, road, "$.ego.lane", of.lane)
    _check_acts(scenario, road, "$.ego", of.does)
    s = float(road.along(lane, road.start))
    return Mover(
        "ego", "sedan", "car", EGO_SIZE, EGO_TAIL, lane.path, s, of.speed,
        of.wants or scenario.road.speed_limit, _EGO_DRIVER, lane, acts=list(of.does),
    )  # fmt: skip


def _vehicle(scenario: Scenario, road: Road, crossing: Crossing | None, index: int, of: VehicleSettings) -> Mover:
    field = f"$.vehicles[{index}]"
    for name, given in (("arm", of.arm is not None), ("turn", of.turn != "straight")):
        if given and crossing is None:
            raise BadInput(scenario.name, f"{field}.{name}", "a road with a junction", "none")
    if of.arm is not None and crossing is not None:
        return _from_arm(crossing, index, of)
    lane = _lane(scenario, road, f"{field}.lane", of.lane, of.oncoming)
    _check_acts(scenario, road, field, of.does, of.oncoming)
    size = shape(of.shape).size
    s = float(road.along(lane, road.start + of.ahead)) - (0.5 - _TAIL) * size[0]
    if not 0.0 <= s <= lane.path.length:
        raise BadInput(scenario.name, f"{field}.ahead", f"within the road, {_extent(road)}", of.ahead)
    wanted = of.wants or of.speed or scenario.road.speed_limit
    mover = _driven(f"vehicles[{index}]", of.shape, lane, s, of.speed, wanted, of.offset, list(of.does))
    mover.heedless = of.heedless
    return mover


def _from_arm(crossing: Crossing, index: int, of: VehicleSettings) -> Mover:
    """Its front is `ahead` m before the stop line of its arm."""
    way = crossing.out_of(1 if of.arm == "left" else -1, of.turn)
    wanted = of.wants or of.speed or crossing.of.speed_limit
    size = shape(of.shape).size
    s = ARM_LENGTH - crossing.arm_line() - of.ahead - (1.0 - _TAIL) * size[0]
    mover = _driven(f"vehicles[{index}]", of.shape, way.path, s, of.speed, wanted, of.offset, list(of.does))
    mover.stops, mover.turns, mover.heedless = way.stops, way.turns, of.heedless
    return mover


def _driven(
    label: str, name: str, on: Lane | Path, s: float, speed: float, wanted: float, offset: float = 0.0,
    acts: list[Act] | None = None,
) -> Mover:  # fmt: skip
    of = shape(name)
    heavy = name == TRACTOR or of.size[0] > 7.0
    lane, path = (on, on.path) if isinstance(on, Lane) else (None, on)
    driver = _RIDER if of.kind == "bicycle" else _HEAVY if heavy else Driver()
    return Mover(
        label, name, of.kind, of.size, _TAIL * of.size[0], path, s, speed, wanted, driver, lane, offset,
        acts=acts or [],
    )  # fmt: skip


def _person(road: Road, label: str, of: PersonSettings) -> Mover:
    side = -1 if of.side == "right" else 1
    size = shape(of.shape).size
    if of.does == "cross":
        begin = road.kerb(side) - of.inset
        there = road.across(road.start + of.ahead, side * begin)
        heading = float(road.middle.at(road.start + of.ahead).heading) - side * 0.5 * np.pi
        path = Path.of([Piece(begin + road.kerb(-side) + 1.0)], float(there[0]), float(there[1]), heading)
        turns = ((0.0, path.length, "cross"),)
        mover = Mover(label, of.shape, "pedestrian", size, 0.5 * size[0], path, 0.0, 0.0, of.speed, _WALKER)
        mover.turns, mover.heedless = turns, True
    else:
        path = road.middle.beside(side * (road.kerb(side) - of.inset))
        s, _ = path.project(road.across(road.start + of.ahead, side * (road.kerb(side) - of.inset)))
        at = float(s[0])
        if of.back:
            path, at = path.reversed(), path.length - at
        speed = of.speed if of.does == "walk" else 0.0
        mover = Mover(label, of.shape, "pedestrian", size, 0.5 * size[0], path, at, speed, speed, _WALKER)
        mover.fixed = of.does == "stand"
    mover.on_foot, mover.starts = True, of.when
    mover.started = of.does != "cross" and mover.started
    return mover


def _standing(road: Road, label: str, name: str, s: float, d: float, yaw: float = 0.0) -> Mover:
    """Something that never moves, with its middle at ``s``, ``d`` of the road, turned by ``yaw`` to the left."""
    of = shape(name)
    x, y = road.across(s, d)
    path = Path.of([Piece(1.0)], float(x), float(y), float(road.middle.at(s).heading) + yaw)
    mover = Mover(label, name, of.kind, of.size, 0.5 * of.size[0], path, 0.0, 0.0, 0.0)
    mover.fixed = True
    return mover


def _parked(scenario: Scenario, road: Road, label: str, row: ParkedRow, rng: np.random.Generator) -> list[Mover]:
    if not scenario.road.parking:
        raise BadInput(scenario.name, f"$.{label}", "a road with a parking lane", "road.parking is 0")
    side = -1 if row.side == "right" else 1
    out: list[Mover] = []
    at = row.start
    while True:
        name = row.shapes[rng.integers(len(row.shapes))]
        length, width, _ = shape(name).size
        at += 0.5 * length + rng.uniform(0.5, 1.4)
        if at + 0.5 * length > row.end:
            return out
        off = rng.uniform(-0.12, 0.12)
        if width > scenario.road.parking + 0.35:
            raise BadInput(scenario.name, f"$.{label}.shapes", f"at most {scenario.road.parking} m wide", name)
        free = any(abs(at - place) < 0.5 * length + 1.6 for place in row.leave)
        if rng.random() < row.taken and not free and not _in_the_way(road, at, length):
            d = side * (road.parking_middle(side) + off)
            out.append(_standing(road, label, name, road.start + at, d, np.pi if side > 0 else 0.0))
        at += 0.5 * length


def _in_the_way(road: Road, ahead: float, length: float) -> bool:
    """Whether a parked vehicle would stand on a crosswalk or in a junction."""
    of = road.settings
    places = [(at, 6.0) for at in of.crosswalks]
    places += [(of.junction.ahead, 26.0)] if of.junction else []
    return any(abs(ahead - at) < clear + 0.5 * length for at, clear in places)


def _traffic(scenario: Scenario, road: Road, named: list[Mover], rng: np.random.Generator) -> list[Mover]:
    of = scenario.traffic
    out: list[Mover] = []
    shapes = sorted(of.mix)
    weight = np.array([of.mix[name] for name in shapes])
    for lane in road.lanes:
        per_km = of.oncoming_per_km if lane.oncoming else of.per_km
        if not per_km:
            continue
        mean, s = 1000.0 / per_km, float(rng.uniform(0.0, 500.0 / per_km)) + 6.0
        inner = lane.number > 1 and lane.number == (road.settings.oncoming if lane.oncoming else road.settings.lanes)
        while s < lane.path.length - 20.0:
            name = shapes[rng.choice(len(shapes), p=weight / weight.sum())]
            heavy = name == TRACTOR or shape(name).size[0] > 7.0
            behind = BEHIND if name == TRACTOR else 0.0
            s += behind
            faster = 1.0 + 0.06 * (lane.number - 1)
            wanted = road.settings.speed_limit * float(np.clip(rng.normal(0.97 * faster, 0.06), 0.75, 1.2))
            wanted = min(wanted, 8.0 if name == "wheel_loader" else 24.0) if heavy else wanted
            near = [other for other in named if other.lane is not None and other.lane.path is lane.path]
            near_speed = scenario.ego.speed if any(abs(other.s - s) < 150.0 for other in near) else wanted
            speed = min(wanted, max(near_speed, 0.6 * wanted))
            room = 14.0 + 1.0 * speed + behind
            clear = all(abs(other.s - s) > room + 0.5 * other.size[0] for other in near)
            if clear and not (heavy and inner):
                mover = _driven("traffic", name, lane, s, speed, wanted)
                mover.changes_lanes = of.changes_lanes
                out.append(mover)
            s += room + float(rng.exponential(max(mean - room, 1.0)))
    return out


def _walkers(scenario: Scenario, road: Road, rng: np.random.Generator) -> list[Mover]:
    if not scenario.traffic.walkers or road.settings.pavement < 2.0:
        return []
    out: list[Mover] = []
    for side in (-1, 1):
        for back in (False, True):
            # everybody keeps to the right of the pavement, so nobody is met head on
            inset = -(0.7 if back == (side < 0) else road.settings.pavement - 0.7)
            s = float(rng.uniform(0.0, 60.0))
            while s < 260.0:
                who = PersonSettings(
                    ahead=s - 30.0, side="right" if side < 0 else "left", back=back, inset=inset,
                    speed=float(rng.uniform(1.1, 1.6)), shape="child" if rng.random() < 0.1 else "adult",
                )  # fmt: skip
                if not _in_the_way(road, s - 30.0, 30.0):
                    out.append(_person(road, "walker", who))
                s += 4.0 + float(rng.exponential(200.0 / scenario.traffic.walkers))
    return out


def _extent(road: Road) -> str:
    return f"{-road.start:.0f} .. {road.middle.length - road.start:.0f} m"
