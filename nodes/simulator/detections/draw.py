"""`draw_clip`: a world and a rig to detections of all sensors with the truth beside them, without rendering anything.

Read this file first; the others are its steps, each vectorised over all frames of the clip:

    scene states at each message -> looks (`looks`: how each object lies, what hides it: `sight`, `walls`)
        -> found or not, extra finds, phantoms (`sense`, `phantoms`) -> detections (`lidar`, `radar`, `camera`)
        -> brought to the reference instants -> one table

Numbers come from `detection_model.json` (`model`, fitted by `fit`); faults change them (`faults`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, LidarSensor, RadarSensor, Rig
from calibration.se3 import SE3
from fusion.training.clips import DETECTION_COLUMNS, Clip, Columns, FaultSpan, Modality
from nodes.simulator.detections.behaviour import behaviour
from nodes.simulator.detections.columns import Drawn
from nodes.simulator.detections.faults import Effects, Sensor, effects_of
from nodes.simulator.detections.looks import LEAST_VISIBLE, Shown, crowding, look, open_to, show
from nodes.simulator.detections.model import DetectionModel, load_model
from nodes.simulator.detections.phantoms import Field
from nodes.simulator.detections.scene import Scene
from nodes.simulator.detections.sense import FAR_M, Stage, detect, view_of
from nodes.simulator.detections.walls import Walls
from nodes.simulator.world.world import World

FloatArray = npt.NDArray[Any]  # float32 or float64

START_NS = 1_700_000_000_000_000_000
"""Vehicle time at the start of a scenario."""
_AHEAD_M = 10.0  # of the ego frame's origin, at most, where a sensor sits
_JITTER_S = 0.5e-3
_MODALITY: dict[type, Modality] = {CameraSensor: "camera", LidarSensor: "lidar", RadarSensor: "radar"}


class _Seen(NamedTuple):
    """drawn: ego frame of the reference instants. slot_time: (T,) s, as stamped. origin: (T, 3) m. missing: (T,)."""

    drawn: Drawn
    slot_time: FloatArray
    origin: FloatArray
    missing: npt.NDArray[np.uint8]


def draw_clip(
    world: World,
    rig: Rig,
    seed: int,
    faults: Sequence[FaultSpan] = (),
    model: DetectionModel | None = None,
    period_s: float = 0.1,
) -> Clip:
    """Everything that the cameras, LiDARs and radars of ``rig`` detect in ``world``, at instants ``period_s`` apart.

    Same arguments, same bytes. Beyond 100 m nothing is detected, for no errors were measured there.

    Args:
        faults: what ails which sensor, in frames of the clip.

    Raises:
        KeyError: a fault that has no model here.
    """
    model = model or load_model()
    scene = Scene(world)
    times = np.arange(period_s, world.duration - 0.5 * period_s, period_s)
    odom_SE3_ego = scene.ego(times)
    sensors: list[Sensor] = [*rig.cameras, *rig.lidars, *rig.radars]
    shown = _shown(scene, times, odom_SE3_ego, sensors)
    fields = {
        kind: Field.drawn(ghosts, odom_SE3_ego.translation[:, :2], np.random.default_rng([seed, number, 1]))
        for number, (kind, ghosts) in enumerate(
            {"camera": model.camera.ghosts, "lidar": model.lidar.ghosts, "radar": model.radar.ghosts}.items()
        )
    }
    reference = rig.lidars[0].name if rig.lidars else ""
    seen = []
    for number, sensor in enumerate(sensors):
        rng = np.random.Generator(np.random.SFC64([seed, number]))
        effects = effects_of(faults, sensor, world.weather, times, seed)
        stage = Stage(scene, times, odom_SE3_ego, shown[sensor.modality], fields[sensor.modality], effects, model, rng)
        seen.append(_sensor(stage, sensor, sensor.name == reference))
    detections, first = _table([s.drawn for s in seen], len(times))
    time_ns = START_NS + np.rint(times * 1e9).astype(np.int64)
    truth, doing, truth_first = _truth(scene, times, odom_SE3_ego, shown)
    return Clip(
        name=world.name,
        seed=seed,
        sensors=tuple(sensor.name for sensor in sensors),
        modalities=tuple(_MODALITY[type(sensor)] for sensor in sensors),
        ambiguity=tuple(sensor.ambiguity_mps if isinstance(sensor, RadarSensor) else 0.0 for sensor in sensors),
        time_ns=time_ns,
        ego_position=odom_SE3_ego.translation.copy(),
        ego_rotation=odom_SE3_ego.quaternion,
        slot_time_ns=START_NS + np.rint(np.stack([s.slot_time for s in seen], axis=1) * 1e9).astype(np.int64),
        sequence=np.tile(np.arange(len(times), dtype=np.int64)[:, None], (1, len(sensors))),
        missing=np.stack([s.missing for s in seen], axis=1),
        origin=np.stack([s.origin for s in seen], axis=1),
        first=first,
        detections=detections,
        truth_first=truth_first,
        truth=truth,
        behaviour=doing,
        faults=tuple(faults),
    )


def _sensor(stage: Stage, sensor: Sensor, is_reference: bool) -> _Seen:
    """One sensor through the whole clip."""
    times, effects, rng = stage.times, stage.effects, stage.rng
    phase = 0.0 if is_reference else rng.uniform(-0.5, 0.5) / sensor.rate_hz
    stamped = times + phase - effects.late
    if not is_reference:
        stamped = stamped + np.clip(rng.normal(size=len(times)) * _JITTER_S, -2 * _JITTER_S, 2 * _JITTER_S)
    measured = stamped - effects.lag
    then = stage._replace(ego=stage.scene.ego(measured))
    ego_SE3_true = sensor.ego_SE3_sensor @ effects.mounting.inverse()
    view = view_of(sensor, ego_SE3_true, stage.model)
    looks = look(stage.scene, stage.scene.at(measured), then.ego, ego_SE3_true.translation, view.reach, stage.shown)
    looks = looks.pick(view.contains(looks) & (np.abs(looks.azimuth) < effects.half_view[looks.frame]))
    drawn = detect(then, sensor, looks, view)
    if not isinstance(sensor, CameraSensor):  # a camera's boxes are lifted as believed already
        drawn = _as_believed(drawn, sensor.ego_SE3_sensor, ego_SE3_true)
    drawn = _turned(drawn, sensor.ego_SE3_sensor.translation, effects.turned)
    drawn = _delivered(drawn, effects)
    # the pipeline takes out the vehicle's motion since the stamp: what it believes of the time, not what is so
    ego_SE3_stamped = stage.ego.inverse() @ stage.scene.ego(stamped)
    drawn = _compensated(drawn, ego_SE3_stamped, stamped - times)
    seen_from = ego_SE3_stamped @ np.broadcast_to(sensor.ego_SE3_sensor.translation, (len(times), 3))
    return _Seen(drawn, stamped, np.asarray(seen_from), effects.missing)


def _as_believed(drawn: Drawn, ego_SE3_believed: SE3, ego_SE3_true: SE3) -> Drawn:
    """What a sensor measured, placed by the extrinsics that the rig states."""
    error = ego_SE3_believed @ ego_SE3_true.inverse()
    if np.abs(error.matrix - np.eye(4)).max() < 1e-12:
        return drawn
    position = error @ drawn.columns["position"].astype(np.float64)
    yaw = drawn.columns["yaw"] + np.float32(error.yaw)
    return Drawn(drawn.frame, {**drawn.columns, "position": position.astype(np.float32), "yaw": yaw})


def _turned(drawn: Drawn, origin: FloatArray, angle: FloatArray) -> Drawn:
    """What a sensor at ``origin`` (3,) says that has turned about the vertical by ``angle`` (T,) rad unnoticed."""
    if not angle.any():
        return drawn
    about = SE3.exp(np.outer(-angle, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    to_sensor = SE3(np.eye(3), -np.asarray(origin))
    return _compensated(drawn, to_sensor.inverse() @ about @ to_sensor, np.zeros(len(angle)))


def _delivered(drawn: Drawn, effects: Effects) -> Drawn:
    """Frames that repeat an earlier payload, and frames that bring none."""
    frames = len(effects.source)
    here = (effects.source == np.arange(frames)) & (effects.missing == 0)
    if here.all():
        return drawn
    drawn = drawn.pick(np.argsort(drawn.frame, kind="stable"))
    first = np.searchsorted(drawn.frame, np.arange(frames + 1))
    count = np.where(effects.missing == 0, (first[1:] - first[:-1])[effects.source], 0)
    start = np.cumsum(count) - count
    rows = np.arange(count.sum()) + np.repeat(first[effects.source] - start, count)
    return Drawn(np.repeat(np.arange(frames), count), drawn.pick(rows).columns)


def _compensated(drawn: Drawn, ego_SE3_then: SE3, shift_s: FloatArray) -> Drawn:
    """To the ego frame of the reference instants, as `pipeline.sync.motion.compensate_detections` does for one.

    Covariances are turned about z only: the vehicle tilts by far less than a detection is uncertain.
    """
    columns, frame = drawn.columns, drawn.frame
    turn = ego_SE3_then.rotation.astype(np.float32)[frame]
    yaw = ego_SE3_then.yaw.astype(np.float32)
    c, s = np.cos(yaw)[frame], np.sin(yaw)[frame]
    cov = columns["position_cov"].copy()
    xx, xy, yy = cov[:, 0, 0].copy(), cov[:, 0, 1].copy(), cov[:, 1, 1].copy()
    cov[:, 0, 0] = c * c * xx - 2 * c * s * xy + s * s * yy
    cov[:, 1, 1] = s * s * xx + 2 * c * s * xy + c * c * yy
    cov[:, 0, 1] = cov[:, 1, 0] = c * s * (xx - yy) + (c * c - s * s) * xy
    xz, yz = cov[:, 0, 2].copy(), cov[:, 1, 2].copy()
    cov[:, 0, 2] = cov[:, 2, 0] = c * xz - s * yz
    cov[:, 1, 2] = cov[:, 2, 1] = s * xz + c * yz
    return Drawn(
        frame,
        {
            **columns,
            "position": np.einsum("nij,nj->ni", turn, columns["position"])
            + ego_SE3_then.translation.astype(np.float32)[frame],
            "position_cov": cov,
            "yaw": np.mod(columns["yaw"] + yaw[frame] + np.float32(np.pi), np.float32(2 * np.pi)) - np.float32(np.pi),
            "time_offset_ns": columns["time_offset_ns"] + np.rint(shift_s * 1e9).astype(np.int32)[frame],
        },
    )


def _table(drawn: list[Drawn], frames: int) -> tuple[Columns, npt.NDArray[np.int64]]:
    """All sensors' detections in order of frame and sensor, and the first row of each slot."""
    sensors = len(drawn)
    slot = np.concatenate([d.frame * sensors + number for number, d in enumerate(drawn)])
    order = np.argsort(slot, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    ends = np.cumsum([0, *(d.n for d in drawn)])
    table: Columns = {}
    for name, (kind, shape) in DETECTION_COLUMNS.items():
        column = np.empty((len(order), *shape), np.dtype(kind))
        for number, d in enumerate(drawn):
            column[place[ends[number] : ends[number + 1]]] = d.columns.get(name, np.nan)
        table[name] = column
    count = np.bincount(slot, minlength=frames * sensors)
    return table, np.concatenate([[0], np.cumsum(count)]).astype(np.int64)


def _truth(
    scene: Scene, times: FloatArray, odom_SE3_ego: SE3, shown: dict[str, Shown]
) -> tuple[Columns, Columns, npt.NDArray[np.int64]]:
    """Objects within reach at the reference instants, and what they do. visibility: as the kind of sensors that sees
    most of it; a hidden object has no LiDAR returns, of others nothing is known."""
    states = scene.at(times)
    away = states.centre[..., :2] - odom_SE3_ego.translation[:, None, :2]
    frame, row = np.nonzero(np.hypot(away[..., 0], away[..., 1]) < FAR_M + _AHEAD_M)
    visible = np.max([of_kind.visible[frame, row] for of_kind in shown.values()], axis=0)
    truth: Columns = {
        "object_id": scene.object_id[row],
        "class_id": scene.class_id[row].astype(np.int32),
        "position": states.centre[frame, row],
        "size": scene.size[row].astype(np.float32),
        "yaw": np.arctan2(np.sin(states.yaw[frame, row]), np.cos(states.yaw[frame, row])),
        "velocity": states.velocity[frame, row].astype(np.float32),
        "lidar_points": np.where(visible > LEAST_VISIBLE, -1, 0).astype(np.int32),
        "visibility": visible.astype(np.float32),
    }
    return (
        truth,
        behaviour(scene, times, states, frame, row),
        np.searchsorted(frame, np.arange(len(times) + 1)).astype(np.int64),
    )


def _shown(scene: Scene, times: FloatArray, odom_SE3_ego: SE3, sensors: list[Sensor]) -> dict[str, Shown]:
    """What can be seen from the middle of the sensors of each kind, at the reference instants."""
    states, walls = scene.at(times), Walls(scene.world.static, odom_SE3_ego.translation[:, :2])
    middle = np.mean([s.ego_SE3_sensor.translation for s in sensors], axis=0)
    unwalled = open_to(scene, states, (odom_SE3_ego @ SE3(np.eye(3), middle)).translation, walls, FAR_M)
    crowded = crowding(scene, states)
    out = {}
    for kind in sorted({sensor.modality for sensor in sensors}):
        eye = np.mean([s.ego_SE3_sensor.translation for s in sensors if s.modality == kind], axis=0)
        out[kind] = show(scene, states, odom_SE3_ego @ SE3(np.eye(3), eye), unwalled, crowded)
    return out
