"""How bright it is: sun, sky and lamps by the sun's height and the clouds, and how a camera exposes for it.

Illuminance is in kilolux. Noon sun 100, an overcast noon 15, sunset 0.4, a lit street at night .02.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.environment import Light

FloatArray = npt.NDArray[np.float64]

_TWILIGHT_DEG = (-18.0, -12.0, -6.0, -3.0, 0.0, 3.0, 8.0, 20.0, 45.0, 90.0)
_SKY_KLX = (0.0002, 0.0003, 0.004, 0.06, 0.5, 1.5, 4.0, 9.0, 14.0, 18.0)  # cloudless; the first two are a town's glow
_LAMP_LIT_KLX, _STREET_LIT_KLX = 0.008, 0.02  # what a camera exposes for at night, without and with street lamps
_NOON_KLX = 60.0
_WHITE = 0.8  # of what noon light on white paper becomes, before the film's curve
_ADAPTS = 0.86  # a camera makes up for less than all of a change of light: nights stay darker than days
_LAMPS_BELOW = np.radians(5.0)


class Levels(NamedTuple):
    """Of one moment. Colours are linear red, green, blue in kilolux; direction (3,) towards the sun, odom axes.

    sun: on a surface that faces it, zeros below the horizon. sky, horizon, ground: what comes from above, from the side
    and back from the ground. exposure: factor to the camera's 0..1. gain: over that of a bright day, noise follows it.
    lamps: whether vehicles have their lamps on.
    """

    direction: FloatArray
    sun: FloatArray
    sky: FloatArray
    horizon: FloatArray
    ground: FloatArray
    exposure: float
    gain: float
    lamps: bool


def levels(light: Light, roofed: float = 0.0) -> Levels:
    """roofed: 0 under the sky .. 1 in a tunnel, whose lamps give 0.15 klx."""
    height = light.sun_elevation
    direction = np.array(
        [np.cos(height) * np.cos(light.sun_azimuth), np.cos(height) * np.sin(light.sun_azimuth), np.sin(height)]
    )
    through = 1.0 - _smooth(0.45, 0.95, light.clouds)
    air = np.exp(-np.array([0.10, 0.17, 0.30]) / max(float(np.sin(height)) + 0.04, 0.04))  # red gets through best
    sun = 118.0 * air * through * _smooth(-0.01, 0.03, height)
    sky_klx = float(np.interp(np.degrees(height), _TWILIGHT_DEG, _SKY_KLX)) * (1.0 + 0.4 * light.clouds * through)
    blue, grey = np.array([0.72, 0.95, 1.35]), np.array([0.98, 1.0, 1.03])
    dusk = np.array([1.35, 0.95, 0.75])
    low = 1.0 - _smooth(0.0, 0.30, height)
    night = 1.0 - _smooth(-0.14, -0.07, height)
    sky_tint = _mix(blue, grey, max(light.clouds, night))
    side_tint = _mix(
        _mix(np.array([0.95, 1.0, 1.05]), dusk, low * (1.0 - night) * (1.0 - light.clouds)), dusk, 0.6 * night
    )
    sky, horizon = sky_klx * sky_tint, 0.85 * sky_klx * side_tint
    down = sky + sun * max(float(direction[2]), 0.0)
    ground = 0.18 * down
    if roofed:
        tunnel = 0.15 * np.array([1.05, 1.0, 0.85])
        sky, horizon, ground = (
            _mix(of, tunnel * share, roofed) for of, share in ((sky, 1.0), (horizon, 0.8), (ground, 0.4))
        )
    lamps = height < _LAMPS_BELOW or light.street_lamps or roofed > 0.2
    falls = _mix(down, 0.15 * np.ones(3), roofed) if roofed else down
    met = float(falls.mean()) + (_STREET_LIT_KLX if light.street_lamps else _LAMP_LIT_KLX if lamps else 0.0)
    exposure = _WHITE / (_NOON_KLX * (met / _NOON_KLX) ** _ADAPTS)
    return Levels(direction, sun, sky, horizon, ground, exposure, _NOON_KLX * exposure / _WHITE, lamps)


def film(light: FloatArray) -> FloatArray:
    """What the shaders' `seen` makes of exposed light 0..1 or more: 0..1 of a grey level."""
    curve = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    return np.asarray(np.clip(curve, 0.0, 1.0) ** (1.0 / 2.2))


def _smooth(low: float, high: float, x: float) -> float:
    s = min(max((x - low) / (high - low), 0.0), 1.0)
    return s * s * (3.0 - 2.0 * s)


def _mix(a: FloatArray, b: FloatArray, share: float) -> FloatArray:
    return (1.0 - share) * a + share * b
