"""A scenario as it is written: roads, who is on them and what they do, weather and light.

Lanes count from the outside, 1 is the slow one. ``ahead`` is a distance along the road from the ego's start. Sides are
as the ego sees them. Metres, seconds, m/s; traffic keeps to the right.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from nodes.simulator.scenario.road_settings import RoadSettings
from nodes.simulator.world.environment import Light, Weather
from pipeline.core.settings import Settings

Side: TypeAlias = Literal["right", "left"]
Turn: TypeAlias = Literal["straight", "left", "right"]
Speed: TypeAlias = Annotated[float, Meta(ge=0.0, le=60.0)]
Lane: TypeAlias = Annotated[int, Meta(ge=1, le=6)]
VehicleShape: TypeAlias = Literal[
    "sedan", "hatchback", "suv", "van", "pickup", "box_truck", "lorry", "tractor", "bus", "motorcycle", "bicycle",
    "wheel_loader",
]  # fmt: skip


class When(Settings, frozen=True, kw_only=True):
    """The first moment at which all that is given holds. time: since the start, s. gap: the ego is nearer than this
    along the road, m. arrival: the ego would be level with it in less than this, s; ttc: and touch it, s."""

    time: float = 0.0
    gap: float | None = None
    arrival: float | None = None
    ttc: float | None = None


class Act(Settings, frozen=True, kw_only=True):
    """One thing that a driver does; exactly one of the first four is given.

    lane: change into this lane; over: in this many seconds. shift: drive this far left of the lane's middle, m.
    speed: the speed wanted from now on, m/s. brake: slow down at this rate, m/s2, to the speed `to`, hold it for `hold`
    seconds, then drive on. when: the moment.
    """

    lane: Lane | None = None
    shift: Annotated[float, Meta(ge=-4.0, le=4.0)] | None = None
    speed: Speed | None = None
    brake: Annotated[float, Meta(gt=0.0, le=9.0)] | None = None
    over: Annotated[float, Meta(ge=1.5, le=10.0)] = 3.5
    to: Speed = 0.0
    hold: Annotated[float, Meta(ge=0.0)] = 2.0
    when: When = When()

    def __post_init__(self) -> None:
        given = [name for name in ("lane", "shift", "speed", "brake") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of lane, shift, speed, brake, got {' and '.join(given) or 'none'}")


class EgoSettings(Settings, frozen=True, kw_only=True):
    """at: its rear axle along the road, m. speed: at the start. wants: the speed it likes, m/s; 0 = the speed limit.
    turn: which way at the junction."""

    lane: Lane = 1
    at: Annotated[float, Meta(ge=0.0)] = 60.0
    speed: Speed = 12.0
    wants: Speed = 0.0
    turn: Turn = "straight"
    does: tuple[Act, ...] = ()


class VehicleSettings(Settings, frozen=True, kw_only=True):
    """A vehicle or rider with a name of its own in the script. A `tractor` draws a semi-trailer.

    ahead: of the ego, m, of its middle. oncoming: it drives against the ego's direction. arm: it comes out of this arm
    of the junction, `ahead` is then the distance to its stop line. offset: left of the lane's middle, m. wants: 0 = as
    at the start, or the speed limit for one that stands at the start. heedless: takes the right of way of others.
    """

    shape: VehicleShape = "sedan"
    ahead: float
    lane: Lane = 1
    oncoming: bool = False
    arm: Side | None = None
    turn: Turn = "straight"
    offset: Annotated[float, Meta(ge=-6.0, le=6.0)] = 0.0
    speed: Speed = 10.0
    wants: Speed = 0.0
    heedless: bool = False
    does: tuple[Act, ...] = ()


class PersonSettings(Settings, frozen=True, kw_only=True):
    """Someone on foot. does: `cross` the road from `side`, `walk` or `stand` on its pavement; back: walks against the
    ego's direction. inset: how far from the kerb towards the middle of the road it starts, m. speed: m/s. when: starts.
    """

    shape: Literal["adult", "child"] = "adult"
    ahead: float
    side: Side = "right"
    does: Literal["cross", "walk", "stand"] = "walk"
    back: bool = False
    inset: Annotated[float, Meta(ge=-6.0, le=6.0)] = -1.0
    speed: Annotated[float, Meta(gt=0.0, le=6.0)] = 1.4
    when: When = When()


class ParkedRow(Settings, frozen=True, kw_only=True):
    """Parked vehicles at the kerb from one distance ahead of the ego to another, m. taken: share of the places.
    leave: places, as distances ahead, that stay free."""

    side: Side = "right"
    start: float = -40.0
    end: float = 200.0
    taken: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.8
    leave: tuple[float, ...] = ()
    shapes: tuple[VehicleShape, ...] = ("sedan", "hatchback", "hatchback", "suv", "van", "pickup")


class ThingSettings(Settings, frozen=True, kw_only=True):
    """A cone, a barrier (across the road) or an excavator at work. offset: left of the middle of the road, m. yaw: how
    far turned to the left, rad."""

    shape: Literal["cone", "barrier", "excavator"] = "cone"
    ahead: float
    offset: float
    yaw: float = 0.0


def _usual_mix() -> dict[VehicleShape, float]:
    return {"sedan": 4, "hatchback": 4, "suv": 3, "van": 1.5, "pickup": 0.5, "box_truck": 0.7, "motorcycle": 0.4}


class TrafficSettings(Settings, frozen=True, kw_only=True):
    """Drivers that the script does not name. per_km: vehicles a km and lane. walkers: people on 100 m of pavement.
    mix: shapes to draw from, by weight."""

    per_km: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0
    oncoming_per_km: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0
    walkers: Annotated[float, Meta(ge=0.0, le=20.0)] = 0.0
    changes_lanes: bool = True
    mix: dict[VehicleShape, Annotated[float, Meta(ge=0.0)]] = msgspec.field(default_factory=_usual_mix)

    def __post_init__(self) -> None:
        if not sum(self.mix.values()) > 0.0:
            raise ValueError("mix: expected a shape with a weight above 0")


class Surroundings(Settings, frozen=True, kw_only=True):
    """What stands beside the road. buildings, hedges: share of the frontage. setback: from the road's edge, m. floors:
    fewest and most. trees: on 100 m of each side. lamps, signs, poles: spacing, m; 0 = none. paved: the ground is."""

    buildings: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    setback: Annotated[float, Meta(ge=0.0)] = 2.0
    floors: tuple[int, int] = (2, 3)
    hedges: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    trees: Annotated[float, Meta(ge=0.0, le=30.0)] = 3.0
    lamps: Annotated[float, Meta(ge=0.0)] = 0.0
    signs: Annotated[float, Meta(ge=0.0)] = 0.0
    poles: Annotated[float, Meta(ge=0.0)] = 0.0
    paved: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.floors[0] <= self.floors[1] <= 12:
            raise ValueError(f"floors: expected fewest and most within 1..12, got {self.floors}")


class Scenario(Settings, frozen=True, kw_only=True):
    """See docs/scenarios.md."""

    name: str
    description: str = ""
    duration: Annotated[float, Meta(ge=1.0, le=300.0)] = 20.0
    seed: Annotated[int, Meta(ge=0)] = 0
    road: RoadSettings = RoadSettings()
    ego: EgoSettings = EgoSettings()
    vehicles: tuple[VehicleSettings, ...] = ()
    people: tuple[PersonSettings, ...] = ()
    parked: tuple[ParkedRow, ...] = ()
    things: tuple[ThingSettings, ...] = ()
    traffic: TrafficSettings = TrafficSettings()
    surroundings: Surroundings = Surroundings()
    weather: Weather = Weather()
    light: Light = Light()
