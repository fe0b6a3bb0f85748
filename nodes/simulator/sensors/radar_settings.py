"""Numbers of radars: what they resolve, how far they see, how much noise they have."""

from __future__ import annotations

import math

from calibration.rig import RadarSensor
from pipeline.core.settings import Settings


class RadarType(Settings, frozen=True):
    """One kind of radar. Angles in rad.

    clear_range_m: at which a target of 10 dBsm on boresight has just the threshold's SNR.
    beam: full width at half power, one way, of the far-looking beam; wide_beam of the one that looks aside, which is
    weaker by wide_loss_db both ways. field_of_view: half, beyond which nothing is given out. elevation_beam: as `beam`.
    range_m, azimuth, doppler_mps: resolution cells; azimuth on boresight. elevation: cell, 0 = not measured.
    threshold_db: SNR of a detection. false_alarms: mean number in a cycle. max_returns: what the interface can carry.
    satellites: how many neighbouring cells a strong target lights up as well, of a radar that reports them all.
    near_m: below this range the receiver is turned down so as not to saturate.
    """

    clear_range_m: float
    beam: float
    wide_beam: float
    wide_loss_db: float
    field_of_view: float
    elevation_beam: float
    range_m: float
    azimuth: float
    doppler_mps: float
    elevation: float = 0.0
    threshold_db: float = 12.0
    false_alarms: float = 1.0
    max_returns: int = 250
    satellites: int = 0
    near_m: float = 3.0


LONG_RANGE = RadarType(
    clear_range_m=190.0,
    beam=math.radians(18.0),
    wide_beam=math.radians(90.0),
    wide_loss_db=16.0,
    field_of_view=math.radians(60.0),
    elevation_beam=math.radians(14.0),
    range_m=0.5,
    azimuth=math.radians(2.4),
    doppler_mps=0.12,
)
"""77 GHz front radar of the kind with two beams: 190 m ahead, 70 m within 45 degrees."""

CORNER = RadarType(
    clear_range_m=90.0,
    beam=math.radians(110.0),
    wide_beam=math.radians(140.0),
    wide_loss_db=6.0,
    field_of_view=math.radians(70.0),
    elevation_beam=math.radians(16.0),
    range_m=0.25,
    azimuth=math.radians(5.0),
    doppler_mps=0.1,
)
"""77 GHz corner radar: wide, near, coarse in angle."""

IMAGING = RadarType(
    clear_range_m=280.0,
    beam=math.radians(60.0),
    wide_beam=math.radians(100.0),
    wide_loss_db=6.0,
    field_of_view=math.radians(60.0),
    elevation_beam=math.radians(20.0),
    range_m=0.15,
    azimuth=math.radians(0.9),
    doppler_mps=0.08,
    elevation=math.radians(1.5),
    threshold_db=11.0,
    false_alarms=60.0,
    max_returns=4000,
    satellites=14,
    near_m=9.0,
)
"""4D radar that gives out every cell above its threshold, thousands in a cycle."""

_TYPES = {"long_range": LONG_RANGE, "corner": CORNER, "imaging": IMAGING}


def type_of(sensor: RadarSensor) -> RadarType:
    """By the rig's `model`; without one, by its range: beyond 100 m it is a long-range radar."""
    return _TYPES[sensor.model or ("long_range" if sensor.max_range_m > 100.0 else "corner")]
