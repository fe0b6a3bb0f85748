"""A scenario drawn at random in which something happens to the vehicle: what heads of intent and hazard learn from.

`draw` gives road, traffic and weather as they usually are, where little happens. Here people step out, drivers ahead
brake, cut in or turn across, at moments and distances of their own.
"""

from __future__ import annotations

import msgspec
import numpy as np

from nodes.simulator.scenario.draw import draw
from nodes.simulator.scenario.place import place
from nodes.simulator.scenario.settings import (
    Act,
    PersonSettings,
    Scenario,
    VehicleSettings,
    VehicleShape,
    When,
)
from nodes.simulator.world.world import World
from pipeline.core.errors import BadInput

_SHAPES: tuple[VehicleShape, ...] = ("sedan", "hatchback", "suv", "van", "pickup", "box_truck")
_DRAWS = 1_000  # seeds of one eventful scenario: some cannot be placed


def eventful_world(seed: int) -> World:
    """The first scenario of a seed that can be placed.

    Raises:
        BadInput: none of them can.
    """
    tried = (_placed(seed * _DRAWS + attempt) for attempt in range(_DRAWS))
    world = next((world for world in tried if world is not None), None)
    if world is None:
        raise BadInput(f"eventful:{seed}", "seed", f"one of {_DRAWS} draws in which nobody collides", "none")
    return world


def _placed(seed: int) -> World | None:
    try:
        return place(eventful(seed))
    except BadInput:
        return None


def eventful(seed: int) -> Scenario:
    """The same seed gives the same scenario. Not each can be placed: at some everyone's skill ends in a collision."""
    rng = np.random.default_rng([seed, 79])
    usual = draw(seed)
    vehicles, people = usual.vehicles, usual.people
    if usual.road.junction is not None:
        vehicles = (*vehicles, *_at_junction(usual, rng))
    elif usual.road.pavement > 0.0 and usual.road.lanes == 1:
        people = (*people, *_crossing(rng))
        if rng.random() < 0.5:
            vehicles = _ahead(usual, rng)
    else:
        vehicles = _ahead(usual, rng)
    bare = msgspec.structs.replace(usual.surroundings, trees=0.0, lamps=0.0, signs=0.0, hedges=0.0, poles=0.0)
    return msgspec.structs.replace(usual, name=f"eventful:{seed}", vehicles=vehicles, people=people, surroundings=bare)


def _ahead(usual: Scenario, rng: np.random.Generator) -> tuple[VehicleSettings, ...]:
    """Somebody ahead brakes; where there is a lane beside, somebody else comes over, near or far."""
    ego, lanes = usual.ego, usual.road.lanes
    out = []
    if lanes > 1:
        beside = ego.lane + 1 if ego.lane < lanes else ego.lane - 1
        near = rng.random() < 0.7
        moment = float(rng.uniform(1.5, 9.0))
        change = Act(lane=ego.lane, over=float(rng.uniform(2.2, 4.5)), when=When(time=moment))
        does = [change]
        if rng.random() < 0.4:
            does.append(_braking(ego.speed, moment + float(rng.uniform(3.5, 6.0)), rng))
        ahead = float(rng.uniform(5.0, 5.0 + 0.9 * ego.speed) if near else rng.uniform(35.0, 70.0))
        faster = ego.speed + float(rng.uniform(-0.5, 3.0))
        out.append(VehicleSettings(shape=_shape(rng), lane=beside, ahead=ahead, speed=faster, does=tuple(does)))
    if lanes == 1 or rng.random() < 0.5:
        gap = 14.0 + float(rng.uniform(1.2, 3.0)) * ego.speed + (45.0 if lanes > 1 else 0.0)
        does = [_braking(ego.speed, float(rng.uniform(2.0, 8.0)), rng)]
        if rng.random() < 0.4:
            does.append(_braking(ego.speed, float(rng.uniform(12.0, 16.0)), rng))
        out.append(VehicleSettings(shape=_shape(rng), lane=ego.lane, ahead=gap, speed=ego.speed, does=tuple(does)))
    return tuple(out)


def _braking(speed: float, moment: float, rng: np.random.Generator) -> Act:
    to = 0.0 if rng.random() < 0.5 else speed * float(rng.uniform(0.1, 0.6))
    return Act(brake=float(rng.uniform(2.5, 8.0)), to=to, hold=float(rng.uniform(0.5, 3.0)), when=When(time=moment))


def _crossing(rng: np.random.Generator) -> tuple[PersonSettings, ...]:
    """People who step onto the road while the vehicle comes, some with little room."""
    places = rng.uniform(25.0, 140.0, int(rng.integers(1, 4)))
    return tuple(
        PersonSettings(
            shape="child" if rng.random() < 0.3 else "adult", ahead=float(place_), does="cross",
            side="right" if rng.random() < 0.5 else "left", speed=float(rng.uniform(0.9, 3.0)),
            inset=float(rng.uniform(-1.2, -0.3)), when=When(arrival=float(rng.uniform(2.6, 7.0))),
        )
        for place_ in places
    )  # fmt: skip


def _at_junction(usual: Scenario, rng: np.random.Generator) -> tuple[VehicleSettings, ...]:
    """Drivers who turn across the vehicle's way, and one ahead who turns off."""
    junction = usual.road.junction
    assert junction is not None
    out = []
    if rng.random() < 0.8:
        out.append(
            VehicleSettings(
                shape=_shape(rng), ahead=junction.ahead + float(rng.uniform(15.0, 55.0)), oncoming=True, turn="left",
                speed=float(rng.uniform(6.0, 10.0)), heedless=bool(rng.random() < 0.6),
            )
        )  # fmt: skip
    if rng.random() < 0.6:
        out.append(
            VehicleSettings(
                shape=_shape(rng), ahead=float(rng.uniform(18.0, 35.0)), speed=usual.ego.speed,
                turn="right" if rng.random() < 0.5 else "left",
            )
        )  # fmt: skip
    return tuple(out)


def _shape(rng: np.random.Generator) -> VehicleShape:
    return _SHAPES[rng.integers(len(_SHAPES))]
