"""What one sensor's detector finds in its looks, and beside them. One function per kind of sensor."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, Extrinsic, LidarSensor, RadarSensor
from calibration.se3 import SE3
from fusion.training.clips import GHOST, OBJECT
from nodes.simulator.detections import camera, lidar, radar
from nodes.simulator.detections.columns import Drawn, Kind
from nodes.simulator.detections.faults import Effects, Sensor, radar_loss, seen_through_air
from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.looks import Looks, Shown
from nodes.simulator.detections.model import DetectionModel, Ghosts
from nodes.simulator.detections.phantoms import Field, View, flickers, lasting, scattered
from nodes.simulator.detections.scene import Scene

FloatArray = npt.NDArray[Any]  # float32 or float64

FAR_M = 100.0
"""No errors were measured beyond."""
_BORDER = 0.1  # rad, beyond the image's edge, where the middle of an object may lie that is partly in it
_PHANTOMS = 1_000_000  # keys of phantoms; those of actors are below
_RINGS = np.linspace(1.0, 60.0, 31)
_EVEN = np.full(len(_RINGS) - 1, 1.0 / (len(_RINGS) - 1))  # clutter is uniform in range


class Stage(NamedTuple):
    """All that the sensors share, and what befalls the one that is drawn. times: (T,) reference instants, s.

    ego: odom_SE3_ego at each, or at each message of the sensor.

    shown: what of the actors can be seen from where sensors of its kind are. field: what its kind takes for objects.
    """

    scene: Scene
    times: FloatArray
    ego: SE3
    shown: Shown
    field: Field
    effects: Effects
    model: DetectionModel
    rng: np.random.Generator


def detect(stage: Stage, sensor: Sensor, looks: Looks, view: View) -> Drawn:
    """All detections of a sensor through the clip, ego frame of each message.

    looks: at what is in its view, within which phantoms are drawn too.
    """
    if isinstance(sensor, CameraSensor):
        return _camera(stage, sensor, looks, view)
    if isinstance(sensor, LidarSensor):
        return _lidar(stage, sensor, looks, view)
    return _radar(stage, sensor, looks, view)


def view_of(sensor: Sensor, ego_SE3_sensor: SE3, model: DetectionModel) -> View:
    """What a sensor that sits there can see of the ground."""
    origin = ego_SE3_sensor.translation[:2]
    if isinstance(sensor, CameraSensor):
        axis = ego_SE3_sensor.rotation[:, 2]
        half = np.arctan(0.5 * sensor.width / sensor.intrinsics.fx) + _BORDER
        return View(origin, float(np.arctan2(axis[1], axis[0])), float(half), FAR_M)
    reach = min(FAR_M, sensor.max_range_m)
    if isinstance(sensor, LidarSensor):
        return View(origin, 0.0, np.pi, reach)
    return View(origin, float(ego_SE3_sensor.yaw), model.radar.half_view, reach)


def _lidar(stage: Stage, sensor: LidarSensor, looks: Looks, view: View) -> Drawn:
    m, effects, rng = stage.model.lidar, stage.effects, stage.rng
    latents = Latents(looks.frame, looks.key, rng)
    through = seen_through_air(looks.distance, effects.extinction[looks.frame], sensor.max_range_m)
    density = m.density(sensor.beams or 32) * through * effects.beams[looks.frame]
    offset = lidar.time_offset_ns(looks, sensor.sweep_ns) * 1e-9
    looks.centre[:, :2] += looks.velocity * offset[:, None]  # where it was when the beam passed
    count = lidar.returns(m, looks, density, latents, rng)
    hit = lidar.found(m, looks, count, latents)
    again = hit & lidar.extra(m, looks, latents)
    parts = [
        lidar.describe(m, looks.pick(hit), count[hit], "object", sensor.sweep_ns, rng),
        lidar.describe(m, looks.pick(again), count[again], "extra", sensor.sweep_ns, rng),
    ]
    phantoms = _phantoms(stage, m.ghosts, view, effects.clutter + effects.near_echoes)
    share = seen_through_air(phantoms.distance, effects.extinction[phantoms.frame], sensor.max_range_m)
    share = np.where(phantoms.cause == GHOST, share * np.sqrt(effects.beams[phantoms.frame]), 1.0)
    kept = (rng.random(phantoms.n) < share) & (np.abs(phantoms.azimuth) < effects.half_view[phantoms.frame])
    parts.append(lidar.describe(m, phantoms.pick(kept), np.zeros(0), "ghost", sensor.sweep_ns, rng))
    return Drawn.joined(parts)


def _radar(stage: Stage, sensor: RadarSensor, looks: Looks, view: View) -> Drawn:
    m, effects, rng = stage.model.radar, stage.effects, stage.rng
    latents = Latents(looks.frame, looks.key, rng)
    weaker = radar_loss(looks.distance, effects.radar_loss[looks.frame], effects.noise_db[looks.frame])
    hit = radar.found(m, looks, weaker, latents)
    again = hit & radar.extra(m, looks, latents)
    parts = [
        radar.describe(m, looks.pick(hit), sensor.ambiguity_mps, "object", rng),
        radar.describe(m, looks.pick(again), sensor.ambiguity_mps, "extra", rng),
    ]
    phantoms = _phantoms(stage, m.ghosts, view, effects.clutter)
    quiet = np.exp(-0.1 * effects.noise_db[phantoms.frame])  # weak static returns drown first; assumed
    phantoms = phantoms.pick(rng.random(phantoms.n) < quiet)
    parts.append(radar.describe(m, phantoms, sensor.ambiguity_mps, "ghost", rng))
    return Drawn.joined(parts)


def _camera(stage: Stage, sensor: CameraSensor, looks: Looks, view: View) -> Drawn:
    m, effects, rng = stage.model.camera, stage.effects, stage.rng
    frames = len(stage.times)
    true = _remounted(sensor, sensor.ego_SE3_sensor @ effects.mounting.inverse())
    pitch = Latents(np.arange(frames), np.zeros(frames, np.int64), rng).normal(camera.PITCH_RHO)
    looks = Looks.joined([looks, _phantoms(stage, m.ghosts, view, np.zeros(frames))])
    box = camera.true_boxes(looks, true)
    shown = np.flatnonzero(np.isfinite(box[:, 0]))
    shown = shown[_clean(box[shown], true, looks.pick(shown), stage)]
    looks, box = looks.pick(shown), box[shown]
    dimmed = effects.dimmed[looks.frame] + effects.extinction[looks.frame] * looks.distance
    latents = Latents(looks.frame, looks.key, rng)
    object_ = looks.cause == OBJECT
    hit = object_ & camera.found(m, looks, box[:, 3] - box[:, 1], true, dimmed, latents)
    again = hit & camera.extra(m, looks, latents)
    ghost = ~object_ & (rng.random(looks.n) < np.exp(-dimmed))
    kinds: list[tuple[npt.NDArray[np.bool_], Kind]] = [(hit, "object"), (again, "extra"), (ghost, "ghost")]
    parts = [
        camera.describe(m, looks.pick(rows), box[rows], true, dimmed[rows], kind, pitch, rng) for rows, kind in kinds
    ]
    return camera.lifted(Drawn.joined(parts), sensor)


def _phantoms(stage: Stage, ghosts: Ghosts, view: View, clutter: FloatArray) -> Looks:
    """What is no object. clutter: (T,) more of them a frame, near the sensor."""
    rng = stage.rng
    parts = [lasting(ghosts, stage.field, stage.ego, view, rng), flickers(ghosts, len(stage.times), view, rng)]
    if clutter.any():
        parts.append(scattered(ghosts, rng.poisson(clutter), _EVEN, _RINGS, view, rng, series=2))
    phantoms = Looks.joined(parts)
    return phantoms._replace(key=phantoms.key + _PHANTOMS)


def _clean(box: FloatArray, sensor: CameraSensor, looks: Looks, stage: Stage) -> npt.NDArray[np.bool_]:
    """(N,) whether neither dirt nor glare lies over the middle of a box."""
    effects = stage.effects
    clean = np.ones(len(box), bool)
    if len(effects.dirt):
        middle = 0.5 * (box[:, :2] + box[:, 2:]) / sensor.width
        off = np.linalg.norm(middle[:, None] - effects.dirt[None, :, :2], axis=2)
        clean &= ~((off < effects.dirt[:, 2]).any(axis=1) & effects.dirty[looks.frame])
    if effects.glare.any():
        sun = stage.scene.world.light.sun_azimuth - stage.ego.yaw[looks.frame]
        off_sun = np.abs(np.mod(looks.azimuth - sun + np.pi, 2 * np.pi) - np.pi)
        clean &= ~(off_sun < effects.glare[looks.frame])
    return clean


def _remounted(sensor: CameraSensor, ego_SE3_sensor: SE3) -> CameraSensor:
    return msgspec.structs.replace(sensor, extrinsic=Extrinsic.from_se3(ego_SE3_sensor))
