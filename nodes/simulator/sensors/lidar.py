"""One LiDAR sweep: pulses in, echoes out.

beams fire -> rays meet surfaces, through glass too -> power of each echo -> detected or not -> range, intensity, noise

A pulse's echo, as a share of that of a square surface of 10 % reflectivity at the unit's clear range:

    s = (reflectance / 0.1) (clear range / r)^2 transmission,    detected with probability Phi(T (s - 1))

with T the threshold over the receiver's noise. No weather here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from calibration.rig import LidarSensor
from calibration.se3 import SE3, FloatArray
from nodes.simulator.sensors.beams import Unit, unit_of
from nodes.simulator.sensors.raycast import NOTHING, Caster, Hits
from nodes.simulator.sensors.reflect import SEE_THROUGH, reading, reflectance
from pipeline.core.messages import POINT, PointCloud
from pipeline.core.settings import Settings

BETWEEN = -3
"""Whose a point is that mixes the echoes of two surfaces."""

_PANES = 2  # that a pulse may pass: in by one window, out by another
_STEP = 1e-3  # m: beyond a pane the ray starts anew


class LidarSettings(Settings, frozen=True):
    """threshold: of detection, in standard deviations of the receiver's noise. dropout: share of echoes lost otherwise.

    pane: share of a pulse's energy that comes back through a pane of glass, both ways. weak_range_sigma: of an echo at
    the threshold, m. merge_m: echoes of one pulse nearer to each other than its length become one. intensity_sigma:
    relative.
    """

    threshold: float = 6.0
    dropout: float = 0.004
    pane: float = 0.7
    weak_range_sigma: float = 0.02
    merge_m: float = 1.2
    intensity_sigma: float = 0.08


def lidar_sweep(
    caster: Caster,
    sensor: LidarSensor,
    t_end: float,
    rng: np.random.Generator,
    ego_SE3_lidar: SE3 | None = None,
    settings: LidarSettings = LidarSettings(),  # noqa: B008  frozen
) -> tuple[PointCloud, npt.NDArray[np.int32]]:
    """One sweep, clockwise seen from above from behind the LiDAR, every point in the frame of its own instant.

    Args:
        t_end: s, end of the sweep. ego_SE3_lidar: where the LiDAR really sits; the rig's belief where None.

    Returns:
        The cloud, in order of firing, and for each point the index of its actor, `STATIC` or `BETWEEN`.
    """
    unit = unit_of(sensor)
    pulses = _fire(unit, sensor.sweep_ns * 1e-9, t_end)
    odom_SE3_lidar = caster.world.ego.pose(pulses.column_t) @ (ego_SE3_lidar or sensor.ego_SE3_sensor)
    n = pulses.columns * unit.beams
    direction = np.matmul(pulses.direction, np.swapaxes(odom_SE3_lidar.rotation, -1, -2)).reshape(n, 3)
    origin = np.repeat(odom_SE3_lidar.translation, unit.beams, axis=0)
    echo = _echoes(caster, origin, direction, pulses.t, unit, settings)
    distance, actor = _mixed(echo, unit, pulses, settings, rng)

    chance = ndtr(settings.threshold * (echo.strength - 1.0)) * (1.0 - settings.dropout)
    heard = rng.random(n) < chance
    sigma = np.hypot(unit.range_sigma, settings.weak_range_sigma / np.maximum(echo.strength, 0.5))
    measured = distance + sigma * rng.standard_normal(n)
    heard &= (measured > unit.min_range) & (measured < unit.max_range)
    keep = np.flatnonzero(heard)
    points = np.zeros(len(keep), POINT)
    xyz = pulses.direction.reshape(n, 3)[keep] * measured[keep, None]
    points["x"], points["y"], points["z"] = xyz.T
    bright = echo.bright[keep] * (1.0 + settings.intensity_sigma * rng.standard_normal(len(keep)))
    points["intensity"] = np.round(255.0 * np.clip(bright, 0.0, 1.0)) / 255.0
    points["t_ns"] = np.rint((pulses.t[keep] - t_end) * 1e9)
    points["ring"] = keep % unit.beams
    return PointCloud(points=points), actor[keep]


class _Pulses(NamedTuple):
    """All pulses of a sweep, M columns of B beams. t: (M * B,) s; column_t: (M,) s, in its middle.

    direction: (M, B, 3) in the LiDAR's frame.
    """

    t: FloatArray
    column_t: FloatArray
    direction: FloatArray

    @property
    def columns(self) -> int:
        return len(self.column_t)


def _fire(unit: Unit, sweep_s: float, t_end: float) -> _Pulses:
    columns = max(round(sweep_s / unit.column_s), 1)
    start = t_end - sweep_s + np.arange(columns) * (sweep_s / columns)
    turned = np.pi - 2 * np.pi * (np.arange(columns)[:, None] / columns + unit.fires / sweep_s)  # clockwise
    azimuth = turned + unit.azimuth
    level = np.cos(unit.elevation)
    up = np.broadcast_to(np.sin(unit.elevation), azimuth.shape)
    direction = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), up], axis=-1)
    t = start[:, None] + unit.fires
    return _Pulses(t.reshape(-1), t.mean(axis=1), direction)


class _Echoes(NamedTuple):
    """The strongest echo of each pulse. strength: over the threshold. bright: intensity before noise, 0..1."""

    distance: FloatArray
    actor: npt.NDArray[np.int32]
    strength: FloatArray
    bright: FloatArray

    def replace(self, which: npt.NDArray[np.int64], by: _Echoes) -> None:
        """Put other echoes in place of those of some pulses."""
        self.distance[which], self.actor[which] = by.distance, by.actor
        self.strength[which], self.bright[which] = by.strength, by.bright


def _echoes(
    caster: Caster, origin: FloatArray, direction: FloatArray, t: FloatArray, unit: Unit, settings: LidarSettings
) -> _Echoes:
    """Cast, and cast on behind glass, which sends little back and lets most through."""
    hits = caster.cast(origin, direction, t)
    best = _echo(hits, direction, hits.distance, 1.0, unit)
    which = np.flatnonzero(SEE_THROUGH[hits.material] & (hits.actor != NOTHING))
    travelled, through = hits.distance[which], 1.0
    for _ in range(_PANES):
        if not len(which):
            break
        through *= settings.pane
        travelled = travelled + _STEP
        start = origin[which] + direction[which] * travelled[:, None]
        behind = caster.cast(start, direction[which], t[which])
        travelled = travelled + behind.distance
        echo = _echo(behind, direction[which], travelled, through, unit)
        stronger = echo.strength > best.strength[which]
        best.replace(which[stronger], _Echoes._make(column[stronger] for column in echo))
        on = SEE_THROUGH[behind.material] & (behind.actor != NOTHING)
        which, travelled = which[on], travelled[on]
    return best


def _echo(hits: Hits, direction: FloatArray, distance: FloatArray, through: float, unit: Unit) -> _Echoes:
    cosine = np.abs(np.einsum("ij,ij->i", hits.normal, direction.astype(np.float32)))
    back = reflectance(hits.material, hits.colour, cosine)
    strength = (through * (unit.clear_range**2 / 0.1)) * back / np.maximum(distance, 0.1) ** 2
    strength[hits.actor == NOTHING] = 0.0
    return _Echoes(distance, hits.actor, strength.astype(np.float64), reading(back * through).astype(np.float64))


def _mixed(
    echo: _Echoes, unit: Unit, pulses: _Pulses, settings: LidarSettings, rng: np.random.Generator
) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """Where the beam, as wide as it is, straddles the edge of a surface with another close behind, one range for both.

    A beam touches the edge to its neighbour with the share of the step between them that it is wide. Only towards the
    next column: beams lie further apart than columns.
    """
    distance, actor = echo.distance.copy(), echo.actor.copy()
    with np.errstate(invalid="ignore"):  # between two that met nothing
        jump = distance[unit.beams :] - distance[: -unit.beams]
        edges = np.flatnonzero((np.abs(jump) > 0.15) & (np.abs(jump) < settings.merge_m))
    step = 2 * np.pi / pulses.columns
    at = edges[rng.random(len(edges)) < min(0.5 * unit.divergence / step, 0.5)]
    distance[at] += rng.random(len(at)) * jump[at]
    actor[at] = BETWEEN
    return distance, actor
