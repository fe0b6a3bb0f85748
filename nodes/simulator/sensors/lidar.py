"""One LiDAR sweep: pulses in, echoes out.

beams fire -> rays meet surfaces, through glass too, or spray -> power of each echo -> detected or not -> range,
intensity, noise

A pulse's echo, as a share of that of a square surface of 10 % reflectivity at the unit's clear range:

    s = (reflectance / 0.1) (clear range / r)^2 transmission,    detected with probability Phi(T (s - 1))

with T the threshold over the receiver's noise. No weather here but the spray behind wheels, which hangs where the
vehicles are (`spray.py`).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from calibration.rig import LidarSensor
from calibration.se3 import SE3, FloatArray
from nodes.simulator.sensors.beams import Unit, unit_of
from nodes.simulator.sensors.raycast import NOTHING, Caster, Hits, Span
from nodes.simulator.sensors.reflect import SEE_THROUGH, Float32, reading, reflectance
from nodes.simulator.sensors.spray import Plumes, gusts, mist, plumes
from nodes.simulator.sensors.spray import echo as echo_of_mist
from pipeline.core.messages import POINT, PointCloud
from pipeline.core.settings import Settings

BETWEEN = -3
"""Whose a point is that mixes the echoes of two surfaces."""
SPRAY = -4
"""Whose a point is that came back from spray."""

_PANES = 2  # that a pulse may pass: in by one window, out by another
_HOPELESS, _SURE = 0.05, 2.0  # strengths; beyond them the chance is 0 or 1 to a hundred millionth
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
        The cloud, in order of firing, and for each point the index of its actor, `STATIC`, `BETWEEN` or `SPRAY`.
    """
    unit, pulses = unit_of(sensor), _pulses(sensor)
    luck = _Luck.of(rng, len(pulses.t))
    origin, direction = _fired(caster, sensor, t_end, ego_SE3_lidar)
    t = t_end + pulses.t
    echo = _echoes(caster, origin, direction, t, caster.span(origin, t), unit, settings)
    cloud = plumes(caster.world, t_end)
    if cloud:
        _sprayed(echo, cloud, origin, direction, pulses.t, unit, luck.mix, gusts(rng, len(t)))
    keep, measured, actor = _heard(echo, unit, pulses, settings, luck)
    points = np.zeros(len(keep), POINT)
    xyz = pulses.direction.reshape(-1, 3)[keep] * measured[:, None]
    points["x"], points["y"], points["z"] = xyz.T
    bright = echo.bright[keep] * (1.0 + settings.intensity_sigma * luck.intensity[keep])
    points["intensity"] = np.rint(255.0 * np.minimum(np.maximum(bright, 0.0), 1.0)) / np.float32(255.0)
    points["t_ns"] = pulses.t_ns[keep]
    points["ring"] = keep % unit.beams
    return PointCloud(points=points), actor


def returns_on(
    caster: Caster,
    sensor: LidarSensor,
    t_end: float,
    rng: np.random.Generator,
    which: npt.NDArray[np.int64],
    ego_SE3_lidar: SE3 | None = None,
    settings: LidarSettings = LidarSettings(),  # noqa: B008  frozen
) -> npt.NDArray[np.int64]:
    """(K,) returns that `lidar_sweep` with the same arguments has on each of actors ``which`` (K,).

    Only those pulses are cast that pass near one of them, and their neighbours: each pulse has a luck of its own.
    """
    unit, pulses = unit_of(sensor), _pulses(sensor)
    luck = _Luck.of(rng, len(pulses.t))
    origin, direction = _fired(caster, sensor, t_end, ego_SE3_lidar)
    t, aimed = t_end + pulses.t, np.zeros(len(direction), bool)
    aimed[caster.towards(origin, direction, t, which, unit.max_range)] = True
    aimed[unit.beams :] |= aimed[: -unit.beams]
    some = np.flatnonzero(aimed)
    found = _echoes(caster, origin[some], direction[some], t[some], caster.span(origin, t), unit, settings)
    cloud = plumes(caster.world, t_end)
    if cloud:
        gust = gusts(rng, len(t))[some]
        _sprayed(found, cloud, origin[some], direction[some], pulses.t[some], unit, luck.mix[some], gust)
    echo = _Echoes.none(len(direction))
    echo.replace(some, found)
    _, _, actor = _heard(echo, unit, pulses, settings, luck)
    return np.bincount(actor[actor >= 0], minlength=len(caster.world.actors))[which]


def _fired(caster: Caster, sensor: LidarSensor, t_end: float, ego_SE3_lidar: SE3 | None) -> tuple[FloatArray, Float32]:
    """Origins and directions of all pulses of a sweep, each (N, 3), odom."""
    unit, pulses = unit_of(sensor), _pulses(sensor)
    odom_SE3_lidar = caster.world.ego.pose(t_end + pulses.column_t) @ (ego_SE3_lidar or sensor.ego_SE3_sensor)
    turn = np.swapaxes(odom_SE3_lidar.rotation, -1, -2).astype(np.float32)
    direction = np.matmul(pulses.direction, turn).reshape(-1, 3)
    return np.repeat(odom_SE3_lidar.translation, unit.beams, axis=0), direction


class _Luck(NamedTuple):
    """Of each of N pulses, whatever becomes of the others: (N,) float32, even in 0..1 and normal."""

    straddles: Float32
    mix: Float32
    heard: Float32
    range: Float32
    intensity: Float32

    @staticmethod
    def of(rng: np.random.Generator, n: int) -> _Luck:
        return _Luck(*rng.random((3, n), np.float32), *rng.standard_normal((2, n), np.float32))


def _heard(
    echo: _Echoes, unit: Unit, pulses: _Pulses, settings: LidarSettings, luck: _Luck
) -> tuple[npt.NDArray[np.int64], Float32, npt.NDArray[np.int32]]:
    """Pulses that were answered (M,), ascending; the range measured (M,) m, and of which actor each is."""
    distance, actor = _mixed(echo, unit, pulses, settings, luck)
    lit = np.flatnonzero(echo.strength > _HOPELESS)
    strength = echo.strength[lit]
    chance = np.ones(len(lit), np.float32)
    weak = np.flatnonzero(strength < _SURE)
    chance[weak] = ndtr(settings.threshold * (strength[weak] - 1.0))
    sigma = np.sqrt(unit.range_sigma**2 + (settings.weak_range_sigma / np.maximum(strength, 0.5)) ** 2)
    measured = distance[lit] + sigma.astype(np.float32) * luck.range[lit]
    heard = (luck.heard[lit] < chance * np.float32(1.0 - settings.dropout)) & (measured > unit.min_range)
    heard &= measured < unit.max_range
    keep = lit[heard]
    return keep, measured[heard], actor[keep]


class _Pulses(NamedTuple):
    """All pulses of a sweep, M columns of B beams. t: (M * B,) s, from the sweep's end, negative, and the same in ns;
    column_t: (M,) in the middle of each column. direction: (M, B, 3) float32 in the LiDAR's frame.
    """

    t: FloatArray
    t_ns: npt.NDArray[np.int64]
    column_t: FloatArray
    direction: Float32

    @property
    def columns(self) -> int:
        return len(self.column_t)


@functools.lru_cache(maxsize=8)
def _pulses(sensor: LidarSensor) -> _Pulses:
    """Those of every sweep of a LiDAR."""
    unit, sweep_s = unit_of(sensor), sensor.sweep_ns * 1e-9
    columns = max(round(sweep_s / unit.column_s), 1)
    start = np.arange(columns) * (sweep_s / columns) - sweep_s
    turned = np.pi - 2 * np.pi * (np.arange(columns)[:, None] / columns + unit.fires / sweep_s)  # clockwise
    azimuth = turned + unit.azimuth
    level = np.cos(unit.elevation)
    up = np.broadcast_to(np.sin(unit.elevation), azimuth.shape)
    direction = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), up], axis=-1)
    t = start[:, None] + unit.fires
    t_ns = np.rint(t.reshape(-1) * 1e9).astype(np.int64)
    return _Pulses(t.reshape(-1), t_ns, t.mean(axis=1), direction.astype(np.float32))


class _Echoes(NamedTuple):
    """The strongest echo of each pulse. strength: over the threshold, 0 where none. bright: intensity before noise,
    0..1."""

    distance: Float32
    actor: npt.NDArray[np.int32]
    strength: Float32
    bright: Float32

    @staticmethod
    def none(n: int) -> _Echoes:
        zeros = np.zeros(n, np.float32)
        return _Echoes(np.full(n, np.inf, np.float32), np.full(n, NOTHING, np.int32), zeros, zeros.copy())

    def replace(self, which: npt.NDArray[np.int64], by: _Echoes) -> None:
        """Put other echoes in place of those of some pulses."""
        for column, new in zip(self, by, strict=True):
            column[which] = new


def _echoes(
    caster: Caster,
    origin: FloatArray,
    direction: Float32,
    t: FloatArray,
    span: Span,
    unit: Unit,
    settings: LidarSettings,
) -> _Echoes:
    """Cast, and cast on behind glass, which sends little back and lets most through."""
    hits = caster.cast(origin, direction, t, span=span)
    best = _echo(hits, 1.0, unit)
    which = np.flatnonzero(SEE_THROUGH[hits.material] & (hits.actor != NOTHING))
    beyond, through = hits.distance[which], 1.0
    for _ in range(_PANES):
        if not len(which):
            break
        through *= settings.pane
        behind = caster.cast(origin[which], direction[which], t[which], beyond + np.float32(_STEP), span)
        echo = _echo(behind, through, unit)
        stronger = echo.strength > best.strength[which]
        best.replace(which[stronger], _Echoes._make(column[stronger] for column in echo))
        on = SEE_THROUGH[behind.material] & (behind.actor != NOTHING)
        which, beyond = which[on], behind.distance[on]
    return best


def _sprayed(
    echo: _Echoes,
    cloud: Plumes,
    origin: FloatArray,
    direction: Float32,
    late: FloatArray,
    unit: Unit,
    phase: Float32,
    gust: Float32,
) -> None:
    """Take from the echoes what plumes swallow, and put a plume's own echo where that is stronger. late: (N,) s after
    the instant of the plumes. The rest as of `spray.mist` and `spray.echo`."""
    reach = np.minimum(echo.distance, np.float32(unit.max_range))
    for k in range(len(cloud.tail)):
        part = mist(cloud, k, origin, direction, reach, late, phase)
        where, back, depth = echo_of_mist(part, gust[part.which])
        strength = np.float32(unit.clear_range**2 / 0.1) * back / np.maximum(where, 0.1) ** 2
        echo.strength[part.which] *= np.exp(-2.0 * depth)
        echo.bright[part.which] *= np.exp(-2.0 * depth)
        stronger = strength > echo.strength[part.which]
        which, where, back, strength = part.which[stronger], where[stronger], back[stronger], strength[stronger]
        owner = np.full(len(which), SPRAY, np.int32)
        echo.replace(which, _Echoes(where, owner, strength, reading(back)))


def _echo(hits: Hits, through: float, unit: Unit) -> _Echoes:
    back = np.float32(through) * reflectance(hits.material, hits.colour, hits.cosine)
    strength = np.float32(unit.clear_range**2 / 0.1) * back / np.maximum(hits.distance, 0.1) ** 2
    return _Echoes(hits.distance.copy(), hits.actor, strength, reading(back))


def _mixed(
    echo: _Echoes, unit: Unit, pulses: _Pulses, settings: LidarSettings, luck: _Luck
) -> tuple[Float32, npt.NDArray[np.int32]]:
    """Where the beam, as wide as it is, straddles the edge of a surface with another close behind, one range for both.

    A beam touches the edge to its neighbour with the share of the step between them that it is wide. Only towards the
    next column: beams lie further apart than columns.
    """
    distance, actor = echo.distance.copy(), echo.actor.copy()
    with np.errstate(invalid="ignore"):  # between two that met nothing
        jump = distance[unit.beams :] - distance[: -unit.beams]
        edges = np.flatnonzero((np.abs(jump) > 0.15) & (np.abs(jump) < settings.merge_m))
    step = 2 * np.pi / pulses.columns
    at = edges[luck.straddles[edges] < min(0.5 * unit.divergence / step, 0.5)]
    distance[at] += luck.mix[at] * jump[at]
    actor[at] = BETWEEN
    return distance, actor
