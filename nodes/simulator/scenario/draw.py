"""A scenario drawn at random, to train on: road, traffic, hazards, weather and light over sensible ranges."""

from __future__ import annotations

import numpy as np

from nodes.simulator.scenario.road_settings import Junction, RoadSettings, Stretch
from nodes.simulator.scenario.settings import (
    Act,
    EgoSettings,
    ParkedRow,
    PersonSettings,
    Scenario,
    Side,
    Surroundings,
    ThingSettings,
    TrafficSettings,
    VehicleSettings,
    VehicleShape,
    When,
)  # fmt: skip
from nodes.simulator.world.environment import Light, Weather

DURATION = 20.0
_ROADS = ("highway", "street", "junction", "rural", "works")
_WEIGHTS = (0.26, 0.32, 0.18, 0.16, 0.08)


def draw(seed: int) -> Scenario:
    """The random scenario of a seed; the same seed gives the same scenario."""
    rng = np.random.default_rng([seed, 77])
    kind = _ROADS[rng.choice(len(_ROADS), p=_WEIGHTS)]
    kinds = {"highway": _highway, "street": _street, "junction": _junction, "rural": _rural, "works": _works}
    road, ego, vehicles, people, parked, things, traffic, around = kinds[kind](rng)
    return Scenario(
        name=f"random:{seed}", description=f"drawn at random: {kind}", duration=DURATION, seed=seed, road=road, ego=ego,
        vehicles=vehicles, people=people, parked=parked, things=things, traffic=traffic, surroundings=around,
        weather=_weather(rng), light=_light(rng),
    )  # fmt: skip


_Parts = tuple[
    RoadSettings, EgoSettings, tuple[VehicleSettings, ...], tuple[PersonSettings, ...], tuple[ParkedRow, ...],
    tuple[ThingSettings, ...], TrafficSettings, Surroundings,
]  # fmt: skip


def _line(rng: np.random.Generator, tightest: float, widest: float) -> tuple[Stretch, ...]:
    """Straight lines and bends that alternate, turning at most 60 degrees each."""
    line = [Stretch(length=float(rng.uniform(90.0, 200.0)))]
    for _ in range(int(rng.integers(0, 4))):
        radius = float(rng.uniform(tightest, widest)) * (1.0 if rng.random() < 0.5 else -1.0)
        line.append(Stretch(length=float(rng.uniform(0.3, 1.0)) * abs(radius), radius=radius))
        line.append(Stretch(length=float(rng.uniform(60.0, 150.0))))
    return tuple(line)


def _highway(rng: np.random.Generator) -> _Parts:
    lanes, limit = int(rng.integers(2, 4)), float(rng.uniform(22.0, 36.0))
    road = RoadSettings(
        line=_line(rng, 700.0, 1500.0), ease=120.0, lanes=lanes, oncoming=lanes, lane_width=3.7, median=4.0,
        shoulder=2.5, guard_rails=True, speed_limit=limit,
    )  # fmt: skip
    speed = limit * float(rng.uniform(0.75, 0.95))
    ego = EgoSettings(lane=int(rng.integers(1, lanes + 1)), speed=speed)
    moment = float(rng.uniform(3.0, 10.0))
    vehicles: tuple[VehicleSettings, ...] = ()
    if rng.random() < 0.4:
        brake = Act(brake=float(rng.uniform(3.0, 7.5)), to=0.3 * speed, hold=1.5, when=When(time=moment))
        ahead = 12.0 + float(rng.uniform(1.4, 2.4)) * speed
        vehicles = (VehicleSettings(shape="sedan", lane=ego.lane, ahead=ahead, speed=speed, does=(brake,)),)
    elif rng.random() < 0.6:
        beside = ego.lane + 1 if ego.lane < lanes else ego.lane - 1
        change = Act(lane=ego.lane, over=float(rng.uniform(2.8, 4.5)), when=When(time=moment))
        ahead = float(rng.uniform(6.0, 20.0))
        vehicles = (VehicleSettings(shape="suv", lane=beside, ahead=ahead, speed=speed + 1.5, does=(change,)),)
    traffic = TrafficSettings(
        per_km=float(rng.uniform(4.0, 16.0)), oncoming_per_km=float(rng.uniform(2.0, 12.0)),
        mix={
            "sedan": 4, "hatchback": 3, "suv": 3, "van": 1, "lorry": 0.7, "tractor": 1.2, "box_truck": 0.7,
            "motorcycle": 0.5,
        },
    )  # fmt: skip
    return road, ego, vehicles, (), (), (), traffic, Surroundings(trees=float(rng.uniform(0.0, 8.0)), signs=160.0)


def _town(rng: np.random.Generator) -> Surroundings:
    fewest = int(rng.integers(1, 4))
    return Surroundings(
        buildings=float(rng.uniform(0.4, 1.0)), setback=float(rng.uniform(0.5, 6.0)), floors=(fewest, fewest + 2),
        trees=float(rng.uniform(0.0, 6.0)), lamps=35.0, signs=80.0, paved=bool(rng.random() < 0.6),
        hedges=float(rng.uniform(0.0, 0.6)),
    )  # fmt: skip


def _side(rng: np.random.Generator) -> Side:
    return "right" if rng.random() < 0.6 else "left"


def _street(rng: np.random.Generator) -> _Parts:
    limit, parking = float(rng.uniform(8.0, 15.0)), 2.1 if rng.random() < 0.7 else 0.0
    places = tuple(float(rng.uniform(35.0, 60.0)) + 50.0 * k for k in range(int(rng.integers(0, 3))))
    road = RoadSettings(
        line=_line(rng, 120.0, 400.0), ease=25.0, lane_width=float(rng.uniform(3.0, 3.6)),
        shoulder=1.2 if rng.random() < 0.4 else 0.3, parking=parking, pavement=float(rng.uniform(2.2, 4.0)),
        speed_limit=limit,
    )  # fmt: skip
    people = tuple(
        PersonSettings(
            shape="child" if rng.random() < 0.3 else "adult", ahead=place, side=_side(rng), does="cross",
            speed=float(rng.uniform(1.1, 2.0)), when=When(arrival=float(rng.uniform(3.4, 5.0))),
        )
        for place in places
    )  # fmt: skip
    rows = tuple(
        ParkedRow(side=side, end=220.0, taken=float(rng.uniform(0.3, 1.0)), leave=places)
        for side in ("right", "left") if parking
    )  # fmt: skip
    vehicles: tuple[VehicleSettings, ...] = ()
    if rng.random() < 0.4:
        vehicles = (VehicleSettings(shape="bicycle", ahead=float(rng.uniform(20.0, 70.0)), offset=-1.0, speed=5.0),)
    traffic = TrafficSettings(
        per_km=float(rng.uniform(0.0, 14.0)), oncoming_per_km=float(rng.uniform(4.0, 20.0)),
        walkers=float(rng.uniform(0.0, 8.0)),
    )  # fmt: skip
    return road, EgoSettings(speed=0.8 * limit), vehicles, people, rows, (), traffic, _town(rng)


def _junction(rng: np.random.Generator) -> _Parts:
    lanes = int(rng.integers(1, 3))
    ahead, limit, lit = float(rng.uniform(70.0, 110.0)), float(rng.uniform(10.0, 15.0)), bool(rng.random() < 0.6)
    start = float(rng.uniform(0.0, 14.0))
    crossing = Junction(ahead=ahead, control="lights" if lit else "priority", green=(start, start + 18.0), cycle=44.0)
    road = RoadSettings(
        line=(Stretch(length=ahead + 160.0),), lanes=lanes, oncoming=lanes, pavement=3.0, speed_limit=limit,
        junction=crossing,
    )  # fmt: skip
    shapes: tuple[VehicleShape, ...] = ("sedan", "hatchback", "suv", "van", "pickup")
    vehicles = [
        VehicleSettings(
            shape=shapes[rng.integers(5)], arm=arm, ahead=4.0 + 14.0 * k + float(rng.uniform(0.0, 3.0)), speed=2.0,
            wants=float(rng.uniform(8.0, 11.0)), turn="straight" if rng.random() < 0.5 else "right",
        )
        for arm in ("right", "left") for k in range(int(rng.integers(0, 3)))
    ]  # fmt: skip
    if lanes == 1 and rng.random() < 0.7:
        vehicles.append(
            VehicleSettings(
                shape="sedan", ahead=ahead + float(rng.uniform(25.0, 60.0)), oncoming=True, speed=8.0, turn="left"
            )
        )
    traffic = TrafficSettings(per_km=float(rng.uniform(0.0, 14.0)), walkers=float(rng.uniform(0.0, 6.0)))
    return road, EgoSettings(speed=0.8 * limit), tuple(vehicles), (), (), (), traffic, _town(rng)


def _rural(rng: np.random.Generator) -> _Parts:
    limit = float(rng.uniform(16.0, 25.0))
    road = RoadSettings(
        line=_line(rng, 130.0, 500.0), ease=50.0, lane_width=3.4, shoulder=float(rng.uniform(0.5, 1.5)),
        guard_rails=bool(rng.random() < 0.4), speed_limit=limit,
    )  # fmt: skip
    vehicles: tuple[VehicleSettings, ...] = ()
    if rng.random() < 0.5:
        slow = 6.0 + float(rng.uniform(0.0, 8.0))
        shape: VehicleShape = "tractor" if rng.random() < 0.4 else "box_truck"
        vehicles = (VehicleSettings(shape=shape, ahead=float(rng.uniform(50.0, 120.0)), speed=slow),)
    people: tuple[PersonSettings, ...] = ()
    if rng.random() < 0.4:
        people = (PersonSettings(ahead=float(rng.uniform(60.0, 160.0)), inset=0.2, back=True),)
    traffic = TrafficSettings(per_km=float(rng.uniform(0.0, 6.0)), oncoming_per_km=float(rng.uniform(2.0, 10.0)))
    around = Surroundings(trees=float(rng.uniform(2.0, 14.0)), poles=45.0 if rng.random() < 0.5 else 0.0, signs=120.0)
    return road, EgoSettings(speed=0.75 * limit), vehicles, people, (), (), traffic, around


def _works(rng: np.random.Generator) -> _Parts:
    """The right lane is closed: cones lead out of it, barriers stand at both ends, machines and people work there."""
    limit = float(rng.uniform(9.0, 15.0))
    road = RoadSettings(
        line=_line(rng, 300.0, 900.0), lanes=2, oncoming=int(rng.integers(1, 3)), lane_width=3.5, shoulder=0.8,
        pavement=2.5, speed_limit=limit,
    )  # fmt: skip
    start = float(rng.uniform(50.0, 110.0))
    end = start + float(rng.uniform(60.0, 90.0))
    taper = [(start + 5.0 * k, -6.6 + 0.7 * k) for k in range(5)]
    cones = taper + [(float(at), -3.75) for at in np.arange(start + 32.0, end, float(rng.uniform(8.0, 12.0)))]
    digs = float(rng.uniform(start + 42.0, end - 15.0))
    things = [ThingSettings(ahead=at, offset=d) for at, d in cones if abs(at - digs) > 5.0]
    things += [ThingSettings(shape="barrier", ahead=at, offset=-5.5) for at in (start + 27.0, end + 4.0)]
    yaw = float(rng.choice([0.0, np.pi]) + rng.uniform(-0.06, 0.06))
    things.append(ThingSettings(shape="excavator", ahead=digs, offset=-5.5, yaw=yaw))
    vehicles = [VehicleSettings(shape="tractor", lane=2, ahead=float(rng.uniform(50.0, 70.0)), speed=0.7 * limit)]
    if rng.random() < 0.6:
        vehicles.append(VehicleSettings(shape="wheel_loader", ahead=digs + 12.0, offset=-0.5, speed=0.0, wants=0.8))
    people = [
        PersonSettings(ahead=digs - float(rng.uniform(6.0, 12.0)), does="stand", inset=float(rng.uniform(0.5, 2.0)))
        for _ in range(int(rng.integers(0, 2)))
    ]  # fmt: skip
    ego = EgoSettings(lane=2, speed=0.8 * limit)
    traffic = TrafficSettings(oncoming_per_km=float(rng.uniform(4.0, 16.0)), walkers=2.0, changes_lanes=False)
    return road, ego, tuple(vehicles), tuple(people), (), tuple(things), traffic, _town(rng)


def _weather(rng: np.random.Generator) -> Weather:
    kind = rng.random()
    if kind < 0.6:
        return Weather()
    if kind < 0.78:
        rain = float(rng.uniform(1.0, 30.0))
        return Weather(rain_mm_h=rain, wetness=min(1.0, 0.3 + rain / 30.0), visibility_m=4000.0 / (1.0 + 0.3 * rain))
    if kind < 0.9:
        return Weather(visibility_m=float(np.exp(rng.uniform(np.log(50.0), np.log(600.0)))), wetness=0.2)
    snow = float(rng.uniform(0.5, 4.0))
    return Weather(snow_mm_h=snow, wetness=0.4, visibility_m=1500.0 / (1.0 + snow))


def _light(rng: np.random.Generator) -> Light:
    night = bool(rng.random() < 0.25)
    elevation = float(rng.uniform(-0.5, -0.15)) if night else float(rng.uniform(0.08, 1.1))
    return Light(
        sun_elevation=elevation, sun_azimuth=float(rng.uniform(-np.pi, np.pi)), clouds=float(rng.uniform(0.0, 1.0)),
        street_lamps=night,
    )  # fmt: skip
