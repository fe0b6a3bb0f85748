"""The road of a scenario, as it is written."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from pipeline.core.settings import Settings

Width: TypeAlias = Annotated[float, Meta(ge=0.0, le=30.0)]


class Stretch(Settings, frozen=True, kw_only=True):
    """Part of the middle line, m. radius: positive to the left, 0 = straight. A clothoid leads from one to the next."""

    length: Annotated[float, Meta(gt=0.0, le=20_000.0)]
    radius: float = 0.0

    def __post_init__(self) -> None:
        if self.radius and not abs(self.radius) >= 25.0:
            raise ValueError(f"radius: expected at least 25 m or 0 for straight, got {self.radius}")


class Junction(Settings, frozen=True, kw_only=True):
    """A street that crosses at right angles. ahead: its middle, of the ego's start. lanes: of it, each way.
    control: `lights`, whose green for the ego's street is `green` (start, end), s, again every `cycle` seconds; or
    `priority`: the ego's street has it. speed_limit: of the street that crosses."""

    ahead: Annotated[float, Meta(gt=0.0)]
    control: Literal["lights", "priority"] = "priority"
    green: tuple[float, float] = (0.0, 15.0)
    cycle: Annotated[float, Meta(ge=20.0)] = 40.0
    lane_width: Annotated[float, Meta(ge=2.5, le=4.0)] = 3.25
    speed_limit: Annotated[float, Meta(gt=0.0, le=30.0)] = 11.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.green[0] < self.green[1] <= self.green[0] + self.cycle - 12.0:
            raise ValueError(
                f"green: expected start < end that leave 12 s of {self.cycle} s to others, got {self.green}"
            )


class Tunnel(Settings, frozen=True, kw_only=True):
    """Between these distances ahead of the ego's start, m. lamps: spacing, m."""

    start: float
    end: float
    lamps: Annotated[float, Meta(gt=2.0)] = 14.0

    def __post_init__(self) -> None:
        if not self.end > self.start:
            raise ValueError(f"end: expected more than start {self.start}, got {self.end}")


class RoadSettings(Settings, frozen=True, kw_only=True):
    """A road with lanes both ways; both sides have the same cross-section, from the middle: half the median, lanes,
    cycle lane, shoulder, parking lane, kerb and pavement.

    line: the middle line; after its last stretch the road goes on straight as far as the drive needs. ease: length of
    the clothoid between a straight line and a bend, m. oncoming: lanes of the other direction. crosswalks: distances
    ahead of the ego's start, m. guard_rails: at both edges, and in a median.
    """

    line: tuple[Stretch, ...] = (Stretch(length=100.0),)
    ease: Annotated[float, Meta(ge=5.0, le=300.0)] = 40.0
    lanes: Annotated[int, Meta(ge=1, le=5)] = 1
    oncoming: Annotated[int, Meta(ge=0, le=5)] = 1
    lane_width: Annotated[float, Meta(ge=2.5, le=4.5)] = 3.25
    median: Width = 0.0
    cycle_lane: Width = 0.0
    shoulder: Width = 0.3
    parking: Width = 0.0
    pavement: Width = 0.0
    guard_rails: bool = False
    speed_limit: Annotated[float, Meta(gt=0.0, le=60.0)] = 13.9
    crosswalks: tuple[float, ...] = ()
    junction: Junction | None = None
    tunnel: Tunnel | None = None

    def __post_init__(self) -> None:
        if self.junction is not None and self.tunnel is not None:
            raise ValueError("junction, tunnel: expected at most one of them")
        if self.junction is not None and not self.oncoming:
            raise ValueError("junction: expected a road with oncoming lanes")
