"""One radar cycle: scattering centres in, detections out.

centres of objects and of what stands around -> where and how fast (`Targets`) -> radar equation and antenna -> hidden
or not (rays) -> ghosts -> one field for each resolution cell -> threshold -> returns with noise

The range rate of a target is the derivative of its range, taken over two milliseconds of both motions: it holds the
radar's own velocity, its lever arm in a turn, and how the object turns. A cell adds the fields of its targets with
random phases, and the receiver's noise, so that close targets merge, fade and interfere as they do.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.rig import RadarSensor
from calibration.se3 import SE3, FloatArray
from nodes.simulator.sensors.ghosts import ghosts
from nodes.simulator.sensors.radar_settings import RadarType, type_of
from nodes.simulator.sensors.raycast import STATIC, Caster
from nodes.simulator.sensors.scatterers import Centres, of_shape, of_static
from nodes.simulator.sensors.targets import FALSE_ALARM, Targets
from pipeline.core.messages import RADAR_POINT, RadarScan

_H = 1e-3  # s
_MERGED_DB = 10.0  # below the threshold: the sum of several in a cell may still pass
_UNDER_DB = -14.0  # what passes under a vehicle and comes back
_HIDDEN_DB = -60.0
_SWING = 0.9  # of the body's speed: how much faster or slower the parts of wheels and legs move


class Reflectors:
    """Everything in a world that a radar can see; made once for a drive.

    bodies: centres of all actors, each in the frame of its body. owner: (P,) whose they are. clutter: of what never
    moves, odom frame.
    """

    def __init__(self, caster: Caster) -> None:
        self.caster = caster
        each = [of_shape(actor.shape) for actor in caster.world.actors]
        self.bodies = Centres.joined(each)
        self.owner = np.repeat(np.arange(len(each), dtype=np.int32), [len(centres.rcs) for centres in each])
        self.clutter = of_static(caster.world.static, caster.world.seed)
        self.clutter_xy = np.ascontiguousarray(self.clutter.position[:, :2].T)
        self.clutter_reach = audible(self.clutter.rcs)


def audible(rcs: FloatArray) -> FloatArray:
    """(P,) how far a centre of ``rcs`` (P,), dBsm, can be heard at best, as a share of a radar's clear range."""
    return np.asarray(10.0 ** ((rcs - 10.0 + _MERGED_DB) / 40.0))


@functools.lru_cache(maxsize=2)
def reflectors_of(caster: Caster) -> Reflectors:
    """Those of a caster's world, remembered while it is in use."""
    return Reflectors(caster)


def radar_scan(
    caster: Caster, sensor: RadarSensor, t: float, rng: np.random.Generator, ego_SE3_radar: SE3 | None = None
) -> RadarScan:
    """One cycle, nearest return first.

    Args:
        t: s, middle of the cycle. ego_SE3_radar: where the radar really sits; the rig's belief where None.
    """
    return radar_scan_owned(reflectors_of(caster), sensor, t, rng, ego_SE3_radar)[0]


def radar_scan_owned(
    reflectors: Reflectors,
    sensor: RadarSensor,
    t: float,
    rng: np.random.Generator,
    ego_SE3_radar: SE3 | None = None,
) -> tuple[RadarScan, npt.NDArray[np.int32]]:
    """As `radar_scan`, and for each return the actor that gave most of it, `STATIC` or `FALSE_ALARM`."""
    kind = type_of(sensor)
    instants = np.array([t - _H, t, t + _H])
    radar = reflectors.caster.world.ego.pose(instants) @ (ego_SE3_radar or sensor.ego_SE3_sensor)
    seen = Targets.joined([_objects(reflectors, radar, instants, sensor, rng), _clutter(reflectors, radar, sensor)])
    seen = seen._replace(power_db=seen.power_db + _hidden(reflectors.caster, radar[1], seen, t))
    seen = Targets.joined([seen, ghosts(reflectors.caster, radar, instants, seen, kind.threshold_db)])
    seen = seen.pick(np.flatnonzero(_possible(seen, kind, sensor) & (seen.power_db > kind.threshold_db - _MERGED_DB)))
    if kind.satellites:
        seen = _with_satellites(seen, kind, rng)
    returns, owner = _detect(seen, kind, sensor, rng)
    return RadarScan(points=returns, ambiguity_mps=sensor.ambiguity_mps), owner


def _objects(
    reflectors: Reflectors, radar: SE3, instants: FloatArray, sensor: RadarSensor, rng: np.random.Generator
) -> Targets:
    """Those of actors that may be heard, received. radar: odom_SE3_radar at three instants."""
    world, kind = reflectors.caster.world, type_of(sensor)
    poses = world.motions.pose(instants)
    away = (poses.translation[:, 1] - radar.translation[1]) @ radar.rotation[1]
    distance, reach = np.hypot(away[:, 0], away[:, 1]), world.sizes[:, 0]
    beside = np.abs(np.arctan2(away[:, 1], away[:, 0])) - kind.field_of_view
    outside = (distance > reach) & (distance * np.sin(np.minimum(beside, 1.5)) > reach)
    near = (distance < sensor.max_range_m + reach) & ~outside
    which = np.flatnonzero(near[reflectors.owner])
    owner, centres = reflectors.owner[which], reflectors.bodies.pick(which)
    turn = poses.rotation[owner, 1]
    position = _placed(turn, centres.position) + poses.translation[owner, 1]
    turned = centres._replace(normal=_placed(turn, centres.normal))
    seen, heard = _heard(position, turned, owner, radar[1], sensor)

    owner, local, wheel = owner[heard], centres.position[heard], centres.wheel[heard]
    before, after = (_placed(poses.rotation[owner, i], local) + poses.translation[owner, i] for i in (0, 2))
    speed = np.linalg.norm(world.motions.velocity(instants[1]), axis=1)[owner]
    swing = np.where(wheel, _SWING * speed * rng.uniform(-1.0, 1.0, len(wheel)), 0.0)
    heading = np.abs(np.einsum("pj,pj->p", poses.rotation[owner, 1, :, 0], seen.sight))
    return seen._replace(rate=_rate(before, after, radar) + swing * heading)


def _clutter(reflectors: Reflectors, radar: SE3, sensor: RadarSensor) -> Targets:
    """What stands around and may be heard, received."""
    kind, ahead = type_of(sensor), radar.rotation[1, :2, 0]
    x, y = reflectors.clutter_xy - radar.translation[1, :2, None]
    distance = np.sqrt(x * x + y * y)
    near = distance < np.minimum(kind.clear_range_m * reflectors.clutter_reach, sensor.max_range_m)
    near &= x * ahead[0] + y * ahead[1] > (np.cos(kind.field_of_view) - 0.1) * distance
    which = np.flatnonzero(near)
    centres = reflectors.clutter.pick(which)
    seen, heard = _heard(centres.position, centres, np.full(len(which), STATIC, np.int32), radar[1], sensor)
    return seen._replace(rate=_rate(centres.position[heard], centres.position[heard], radar))


def _heard(
    position: FloatArray, centres: Centres, owner: npt.NDArray[np.int32], radar: SE3, sensor: RadarSensor
) -> tuple[Targets, npt.NDArray[np.int64]]:
    """Of centres at ``position`` (P, 3), with normals in odom axes, those whose sum with others may pass the threshold,
    with their SNR but without their rates; and which they are."""
    offset = position - radar.translation
    distance = np.linalg.norm(offset, axis=1)
    sight = offset / np.maximum(distance, 0.1)[:, None]
    seen = Targets(
        position=position,
        sight=sight,
        local=sight @ radar.rotation,
        distance=distance,
        rate=np.zeros(len(distance)),
        power_db=centres.towards(-sight),
        owner=owner,
    )
    kind = type_of(sensor)
    seen = seen._replace(power_db=_received(seen, kind))
    heard = np.flatnonzero(_possible(seen, kind, sensor) & (seen.power_db > kind.threshold_db - _MERGED_DB))
    return seen.pick(heard), heard


def _placed(turn: FloatArray, vectors: FloatArray) -> FloatArray:
    """(P, 3) vectors turned, each by its own rotation (P, 3, 3)."""
    return np.asarray(np.einsum("pij,pj->pi", turn, vectors))


def _rate(before: FloatArray, after: FloatArray, radar: SE3) -> FloatArray:
    """(P,) m/s at which the distance of points changes that are at ``before`` and ``after`` (P, 3) the instant."""
    first, last = (np.linalg.norm(x - radar.translation[i], axis=1) for x, i in ((before, 0), (after, 2)))
    return np.asarray((last - first) / (2 * _H))


def _possible(targets: Targets, kind: RadarType, sensor: RadarSensor) -> npt.NDArray[np.bool_]:
    within = (targets.distance > 0.5) & (targets.distance < sensor.max_range_m)
    return np.asarray(within & (np.abs(targets.azimuth) < kind.field_of_view))


def _received(targets: Targets, kind: RadarType) -> FloatArray:
    """SNR, dB, from RCS: fourth power of range, antenna pattern both ways.

    Below `near_m` the receiver's gain falls with the fourth power too.
    """
    distance = np.maximum(targets.distance, kind.near_m**2 / np.maximum(targets.distance, 0.5))
    gain = antenna_db(targets.azimuth, targets.elevation, kind)
    return np.asarray(
        kind.threshold_db + targets.power_db - 10.0 + 40.0 * np.log10(kind.clear_range_m / distance) + gain
    )


def antenna_db(azimuth: FloatArray, elevation: FloatArray, kind: RadarType) -> FloatArray:
    """(N,) dB both ways against boresight: the stronger of two Gaussian beams."""
    far = -24.0 * (azimuth / kind.beam) ** 2
    wide = -24.0 * (azimuth / kind.wide_beam) ** 2 - kind.wide_loss_db
    up = np.maximum(-24.0 * (elevation / kind.elevation_beam) ** 2, -40.0)
    return np.asarray(np.maximum(far, wide) + up)


def _hidden(caster: Caster, odom_SE3_radar: SE3, targets: Targets, t: float) -> FloatArray:
    """(N,) dB lost where something else is in the way: a vehicle lets a little pass underneath, a wall nothing."""
    if not len(targets.distance):
        return np.zeros(0)
    hits = caster.cast(odom_SE3_radar.translation, targets.sight, t)
    blocked = (hits.actor != targets.owner) & (hits.distance < targets.distance - 0.15)
    inside = (hits.actor == STATIC) & (targets.owner == STATIC) & (hits.distance < targets.distance - 0.3)
    over = [actor.kind in ("car", "truck", "bus", "trailer") for actor in caster.world.actors]
    passes = np.array([*over, False, False])[hits.actor]  # of static and nothing: the last two
    return np.where(blocked | inside, np.where(passes, _UNDER_DB, _HIDDEN_DB), 0.0)


def _with_satellites(targets: Targets, kind: RadarType, rng: np.random.Generator) -> Targets:
    """Neighbouring cells that a strong target lights up too, the weaker the farther."""
    strong = np.flatnonzero(targets.power_db > kind.threshold_db + 6.0)
    again = targets.pick(np.repeat(strong, kind.satellites))
    n = len(again.distance)
    shift = rng.normal(0.0, 1.8, (n, 3))
    loss = 4.0 + 1.2 * (shift**2).sum(axis=1)
    local = again.local + np.stack([np.zeros(n), shift[:, 0] * kind.azimuth, shift[:, 1] * kind.elevation], axis=1)
    return Targets.joined(
        [
            targets,
            again._replace(
                local=local / np.linalg.norm(local, axis=1, keepdims=True),
                distance=again.distance + 1.5 * shift[:, 2] * kind.range_m,
                power_db=again.power_db - loss,
            ),
        ]
    )


class _Cells(NamedTuple):
    """K lit cells: SNR (not in dB), power-weighted means of their targets, owner of the strongest."""

    snr: FloatArray
    distance: FloatArray
    rate: FloatArray
    across: FloatArray
    up: FloatArray
    owner: npt.NDArray[np.int32]

    @staticmethod
    def joined(*parts: _Cells) -> _Cells:
        return _Cells._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _detect(
    targets: Targets, kind: RadarType, sensor: RadarSensor, rng: np.random.Generator
) -> tuple[np.ndarray, npt.NDArray[np.int32]]:
    """Targets to returns: cells, threshold, noise, false alarms."""
    cells = _cells(targets._replace(rate=wrapped(targets.rate, sensor.ambiguity_mps)), kind, rng)
    alarms = _false_alarms(kind, sensor, rng)
    cells = _Cells.joined(cells, alarms)
    loud = np.flatnonzero(cells.snr > 10.0 ** (kind.threshold_db / 10.0))
    loud = loud[np.argsort(-cells.snr[loud], kind="stable")][: kind.max_returns]
    cells = _Cells._make(column[loud] for column in cells)

    n = len(loud)
    fine = np.maximum(0.5 / np.sqrt(cells.snr), 0.06)  # of a cell, after interpolation between cells
    distance = cells.distance + kind.range_m * fine * rng.standard_normal(n)
    rate = wrapped(cells.rate + kind.doppler_mps * fine * rng.standard_normal(n), sensor.ambiguity_mps)
    across = np.clip(cells.across + kind.azimuth * fine * rng.standard_normal(n), -1.0, 1.0)
    up = cells.up + kind.elevation * fine * rng.standard_normal(n) if kind.elevation else np.zeros(n)
    ahead = np.sqrt(np.maximum(1.0 - across**2 - up**2, 0.0))
    snr_db = 10.0 * np.log10(cells.snr)
    gain = antenna_db(np.arctan2(across, ahead), np.arcsin(np.clip(up, -1.0, 1.0)), kind)
    rcs = (
        snr_db
        - kind.threshold_db
        + 10.0
        - 40.0 * np.log10(kind.clear_range_m / np.maximum(distance, kind.near_m))
        - gain
    )

    out = np.zeros(n, RADAR_POINT)
    out["x"], out["y"], out["z"] = distance * ahead, distance * across, distance * up
    out["range_rate"], out["rcs"], out["snr"] = rate, rcs + rng.normal(0.0, 1.0, n), snr_db
    order = np.argsort(distance, kind="stable")
    return out[order], cells.owner[order]


def _cells(targets: Targets, kind: RadarType, rng: np.random.Generator) -> _Cells:
    """What lies in one cell of range, azimuth, elevation and Doppler is one return.

    Cells start anywhere, anew in each cycle: in a real radar they are laid around the peaks.
    """
    n = len(targets.distance)
    start = rng.random(4)
    keys = [targets.distance / kind.range_m, targets.local[:, 1] / kind.azimuth, targets.rate / kind.doppler_mps]
    keys.append(targets.local[:, 2] / kind.elevation if kind.elevation else np.zeros(n))
    _, cell = np.unique(_numbered(np.floor(np.stack(keys) + start[:, None]).astype(np.int64)), return_inverse=True)
    k = int(cell.max(initial=-1)) + 1
    # each centre fluctuates from cycle to cycle (Swerling III) and has a phase of its own
    power = 10.0 ** (targets.power_db / 10.0) * rng.gamma(2.0, 0.5, n)
    phase = rng.uniform(0.0, 2 * np.pi, n)
    noise = rng.normal(0.0, np.sqrt(0.5), (2, k))
    real = np.bincount(cell, np.sqrt(power) * np.cos(phase), minlength=k) + noise[0]
    imaginary = np.bincount(cell, np.sqrt(power) * np.sin(phase), minlength=k) + noise[1]
    total = np.maximum(np.bincount(cell, power, minlength=k), 1e-12)

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(cell, power * values, minlength=k) / total)

    owner = np.full(k, FALSE_ALARM, np.int32)
    by_power = np.argsort(power, kind="stable")
    owner[cell[by_power]] = targets.owner[by_power]
    up = mean(targets.local[:, 2])
    return _Cells(
        real**2 + imaginary**2, mean(targets.distance), mean(targets.rate), mean(targets.local[:, 1]), up, owner
    )


def _numbered(where: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(n,) one number for each column of ``where`` (axes, n): the same for the same cell alone."""
    out = np.zeros(where.shape[1], np.int64)
    for axis in where:
        low, high = axis.min(initial=0), axis.max(initial=0)
        out = out * (high - low + 1) + (axis - low)
    return out


def _false_alarms(kind: RadarType, sensor: RadarSensor, rng: np.random.Generator) -> _Cells:
    """Noise that passes the threshold: anywhere, and exponentially little above it."""
    n = int(rng.poisson(kind.false_alarms))
    widest = 0.5 * sensor.ambiguity_mps or 30.0
    return _Cells(
        10.0 ** (kind.threshold_db / 10.0) * (1.0 + 1e-6) + rng.exponential(2.0, n),
        rng.uniform(1.0, sensor.max_range_m, n),
        rng.uniform(-widest, widest, n),
        np.sin(rng.uniform(-kind.field_of_view, kind.field_of_view, n)),
        rng.uniform(-1.0, 1.0, n) * 0.5 * np.sin(kind.elevation_beam),
        np.full(n, FALSE_ALARM, np.int32),
    )


def wrapped(rate: FloatArray, ambiguity: float) -> FloatArray:
    """Range rates as a radar with this unambiguous interval gives them; 0 = it gives all."""
    return np.asarray((rate + 0.5 * ambiguity) % ambiguity - 0.5 * ambiguity) if ambiguity else rate
