"""Air and light: what weather and time of day are, in the units in which they are measured."""

from __future__ import annotations

import math

from pipeline.core.settings import Settings


class Weather(Settings, frozen=True):
    """What is in the air and on the road.

    visibility_m: meteorological optical range, the distance at which 5 % of contrast is left (inf = clear).
    rain_mm_h, snow_mm_h: water equivalent. wetness: 0 dry road .. 1 standing water, from which wheels throw spray.
    """

    visibility_m: float = math.inf
    rain_mm_h: float = 0.0
    snow_mm_h: float = 0.0
    wetness: float = 0.0

    def __post_init__(self) -> None:
        if not self.visibility_m >= 5.0:
            raise ValueError(f"visibility_m: expected at least 5, got {self.visibility_m}")
        if not 0.0 <= self.rain_mm_h <= 200.0 or not 0.0 <= self.snow_mm_h <= 50.0:
            raise ValueError(f"rain_mm_h, snow_mm_h: expected 0..200, 0..50, got {self.rain_mm_h}, {self.snow_mm_h}")
        if not 0.0 <= self.wetness <= 1.0:
            raise ValueError(f"wetness: expected 0..1, got {self.wetness}")

    @property
    def extinction_per_m(self) -> float:
        """Of visible light in fog; Koschmieder 1924: 3.0 / visibility for 5 % contrast."""
        return 3.0 / self.visibility_m


class Light(Settings, frozen=True):
    """The sun, rad: elevation above the horizon (below -6 degrees it is night), azimuth from odom x towards y; and how
    much of the sky clouds cover, 0..1. street_lamps: whether they burn."""

    sun_elevation: float = 0.7
    sun_azimuth: float = 0.8
    clouds: float = 0.3
    street_lamps: bool = False

    def __post_init__(self) -> None:
        if not abs(self.sun_elevation) <= 0.5 * math.pi:
            raise ValueError(f"sun_elevation: expected -1.57..1.57 rad, got {self.sun_elevation}; degrees?")
        if not 0.0 <= self.clouds <= 1.0:
            raise ValueError(f"clouds: expected 0..1, got {self.clouds}")

    @property
    def is_night(self) -> bool:
        return self.sun_elevation < math.radians(-6.0)
