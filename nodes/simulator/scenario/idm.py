"""How drivers keep their distance and choose their lane.

Treiber, Hennecke & Helbing, Congested traffic states in empirical observations and microscopic simulations, 2000 (IDM);
Treiber & Kesting, Traffic Flow Dynamics, 2013, section 11.3.7 (improved IDM); Kesting, Treiber & Helbing, General
lane-changing model MOBIL for car-following models, 2007.
"""

from __future__ import annotations

import math

from pipeline.core.settings import Settings

HARDEST = 9.0
"""What brakes and a dry road can do, m/s2."""


class Driver(Settings, frozen=True, kw_only=True):
    """acceleration, comfort: m/s2 wanted when going faster and slower. headway: s. distance: m at standstill.
    politeness, threshold: of MOBIL, share and m/s2. bias: what keeps a driver in the outer lane, m/s2."""

    acceleration: float = 1.6
    comfort: float = 2.2
    headway: float = 1.3
    distance: float = 2.5
    politeness: float = 0.3
    threshold: float = 0.25
    bias: float = 0.2
    safe: float = 3.0


def free(driver: Driver, speed: float, wanted: float) -> float:
    """Acceleration on an empty road, m/s2; from too high a speed no harder than comfortable (improved IDM, 11.24)."""
    a, b = driver.acceleration, driver.comfort
    if wanted < 0.1:
        return -b if speed > 0.05 else 0.0
    if speed <= wanted:
        return a * (1.0 - (speed / wanted) ** 4)
    return -b * (1.0 - math.pow(wanted / speed, 4.0 * a / b))


def interaction(driver: Driver, speed: float, gap: float, ahead: float) -> float:
    """How far below its free acceleration a leader at ``gap`` m at speed ``ahead`` keeps a driver: a (s*/s)^2, m/s2."""
    reach = speed * driver.headway + speed * (speed - ahead) / (2.0 * math.sqrt(driver.acceleration * driver.comfort))
    wanted = driver.distance + max(0.0, reach)
    return driver.acceleration * (wanted / max(gap, 0.05)) ** 2


def follow(driver: Driver, speed: float, wanted: float, gap: float, ahead: float) -> float:
    """IDM acceleration, m/s2, not below what brakes can do."""
    return max(free(driver, speed, wanted) - interaction(driver, speed, gap, ahead), -HARDEST)


def gains(driver: Driver, own: tuple[float, float], new: tuple[float, float], old: tuple[float, float]) -> float:
    """MOBIL's incentive to change lanes, m/s2: own gain and, politely, that of the followers in both lanes.

    Each pair is an acceleration before and after the change.
    """
    return own[1] - own[0] + driver.politeness * (new[1] - new[0] + old[1] - old[0])
