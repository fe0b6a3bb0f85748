"""Ghosts: targets that a radar sees where they are not, by way of a second reflection.

wall    radar -> wall -> target -> wall -> radar: the target's mirror image behind a guard rail or a house front, with
        the range rate of the image
ego     radar -> target -> own bumper -> target -> radar: twice the range, twice the rate, same direction
"""

from __future__ import annotations

import numpy as np

from calibration.se3 import SE3, FloatArray
from nodes.simulator.sensors.raycast import STATIC, Caster
from nodes.simulator.sensors.targets import Targets
from nodes.simulator.world.material import MATERIAL_ID

_WALLS = tuple(MATERIAL_ID[name] for name in ("metal", "concrete", "facade", "brick", "window"))
_LOOKS = 48  # rays that look for walls around the radar
_MOST_WALLS = 3
_BOUNCE_DB = -7.0  # of each reflection at a wall
_EGO_DB = -22.0
_MARGIN_DB = 14.0  # only targets this far above the threshold have ghosts that show


def ghosts(caster: Caster, radar: SE3, instants: FloatArray, targets: Targets, threshold_db: float) -> Targets:
    """Ghosts of actors that are seen well. radar: odom_SE3_radar at three instants, the middle one is meant."""
    strong = (targets.owner >= 0) & (targets.power_db > threshold_db + _MARGIN_DB)
    bodies = targets.pick(np.flatnonzero(strong))
    if not len(bodies.distance):
        return bodies
    walls = _walls(caster, radar[1], float(instants[1]))
    return Targets.joined([_of_ego(bodies), *([_of_walls(caster, radar, instants, bodies, walls)] if walls else [])])


def _of_ego(bodies: Targets) -> Targets:
    spread_db = 40.0 * np.log10(2.0)  # the way is twice as long
    return bodies._replace(
        distance=2.0 * bodies.distance, rate=2.0 * bodies.rate, power_db=bodies.power_db + _EGO_DB - spread_db
    )


def _walls(caster: Caster, odom_SE3_radar: SE3, t: float) -> list[tuple[FloatArray, FloatArray]]:
    """Upright flat surfaces around the radar: a point (3,) and the unit normal (3,) of each, nearest first."""
    azimuth = (np.arange(_LOOKS) + 0.5) * (2 * np.pi / _LOOKS)
    looks = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros(_LOOKS)], axis=1)
    hits = caster.cast(odom_SE3_radar.translation, looks, t)
    normal = hits.normal.astype(np.float64)
    good = (hits.actor == STATIC) & np.isin(hits.material, _WALLS) & (np.abs(normal[:, 2]) < 0.1)
    found: list[tuple[FloatArray, FloatArray]] = []
    for at in sorted(np.flatnonzero(good), key=lambda i: float(hits.distance[i])):
        point = odom_SE3_radar.translation + hits.distance[at] * looks[at]
        if all(normal[at] @ n < 0.98 or abs((point - p) @ n) > 0.3 for p, n in found):
            found.append((point, normal[at]))
        if len(found) == _MOST_WALLS:
            break
    return found


def _of_walls(
    caster: Caster, radar: SE3, instants: FloatArray, bodies: Targets, walls: list[tuple[FloatArray, FloatArray]]
) -> Targets:
    """Mirror images behind walls, where a wall is really there at the point of reflection."""
    n = len(bodies.distance)
    bodies = bodies.pick(np.tile(np.arange(n), len(walls)))
    point, normal = (np.repeat([wall[i] for wall in walls], n, axis=0) for i in (0, 1))
    height = _dot(bodies.position - point, normal)
    image = bodies.position - 2.0 * height[:, None] * normal
    offset = image - radar.translation[1]
    distance = np.linalg.norm(offset, axis=1)
    sight = offset / distance[:, None]
    towards = _dot(radar.translation[1] - point, normal)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_wall = distance * towards / (towards + height)
    hits = caster.cast(radar.translation[1], sight, float(instants[1]))
    on_wall = (hits.actor == STATIC) & (np.abs(hits.distance - to_wall) < 0.3) & (height > 0.2)
    keep = np.flatnonzero(on_wall)
    step = instants[2] - instants[0]
    own = (radar.translation[2] - radar.translation[0]) / step
    velocity = caster.world.motions.velocity(instants[1])[bodies.owner[keep]]
    mirrored = velocity - 2.0 * _dot(velocity, normal[keep])[:, None] * normal[keep]
    farther_db = 40.0 * np.log10(bodies.distance[keep] / distance[keep])
    return Targets(
        position=image[keep],
        sight=sight[keep],
        local=sight[keep] @ radar.rotation[1],
        distance=distance[keep],
        rate=_dot(mirrored - own, sight[keep]),
        power_db=bodies.power_db[keep] + 2.0 * _BOUNCE_DB + farther_db,
        owner=bodies.owner[keep],
    )


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """(N,) products of vectors (N, 3)."""
    return np.asarray(np.einsum("nj,nj->n", a, b))
