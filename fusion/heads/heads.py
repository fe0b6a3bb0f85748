"""`Heads`: scenes in, in their order; intent, hazard and time to collision of their tracks out."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.engines.choice import chosen
from fusion.engines.engine import Array, Engine, EngineSettings
from fusion.engines.opened import open_engine
from fusion.heads.features import STANDING, Ego, Kinematics, features, kinematics
from fusion.measurements import FloatArray
from pipeline.core.errors import BadInput
from pipeline.core.heads import TrackHeads
from pipeline.core.messages import Scene
from pipeline.core.settings import Settings

SOON_S = 10.0
"""A collision that is further off is none."""
_MAX_GAP_NS = 1_000_000_000
_HARDEST = 99.0  # m/s2: what could not be avoided is this
_INPUTS = {"features", "memory"}


class HeadsSettings(Settings, frozen=True):
    """model: shipped weights by name, or an ONNX file. ego_size: length and width of the vehicle, m, of which ego_tail
    lie behind the rear axle.
    """

    model: str = "heads"
    engine: EngineSettings = EngineSettings()
    ego_size: tuple[float, float] = (4.6, 1.9)
    ego_tail: Annotated[float, msgspec.Meta(ge=0.0)] = 0.9


class Follow:
    """The vehicle's motion from the poses of two scenes; standing where the one before is missing or another odom's."""

    def __init__(self, size: tuple[float, float], tail: float) -> None:
        self._ego = STANDING._replace(size=size, tail=tail)
        self._before: tuple[int, int, FloatArray, float] | None = None

    def step(self, scene: Scene, time_ns: int, epoch: int = 0) -> tuple[Ego, bool]:
        """Its motion, and whether the scene goes on from the one before."""
        forward = scene.odom_SE3_ego.rotation[:2, 0]
        now = (epoch, time_ns, np.array(scene.position[:2]), float(np.arctan2(forward[1], forward[0])))
        before, self._before = self._before, now
        if before is None or before[0] != epoch or not 0 < time_ns - before[1] <= _MAX_GAP_NS:
            return self._ego, False
        dt = (time_ns - before[1]) * 1e-9
        turn = float(np.arctan2(np.sin(now[3] - before[3]), np.cos(now[3] - before[3])))
        return self._ego._replace(velocity=(now[2] - before[2]) / dt, turn=turn / dt), True


class Heads:
    """Remembers of each track that the last scene had what the network remembers."""

    def __init__(self, settings: HeadsSettings | None = None) -> None:
        settings = settings or HeadsSettings()
        self._network = _network(settings.model, settings.engine)
        self._follow = Follow(settings.ego_size, settings.ego_tail)
        self._width = int(self._network.inputs["memory"].shape[1] or 0)
        self._id: npt.NDArray[np.int64] = np.zeros(0, np.int64)  # rising
        self._memory = np.zeros((0, self._width), np.float32)

    def step(self, scene: Scene, time_ns: int, epoch: int = 0) -> TrackHeads:
        """What the heads say of the scene at ``time_ns``. epoch: of the stamp; in another one nothing is remembered."""
        ego, goes_on = self._follow.step(scene, time_ns, epoch)
        moving = kinematics(scene, ego)
        if not len(scene.track_id):
            self._id = self._id[:0]
            return told(scene, moving, None)
        remembered = self._remembered(scene.track_id, goes_on)
        said = self._network({"features": features(scene, ego, moving), "memory": remembered})
        order = np.argsort(scene.track_id)
        self._id, self._memory = scene.track_id[order], said["next_memory"][order]
        return told(scene, moving, said)

    def _remembered(self, track_id: Array, goes_on: bool) -> npt.NDArray[np.float32]:
        out = np.zeros((len(track_id), self._width), np.float32)
        if goes_on and len(self._id):
            at = np.minimum(np.searchsorted(self._id, track_id), len(self._id) - 1)
            known = self._id[at] == track_id
            out[known] = self._memory[at[known]]
        return out


def told(scene: Scene, moving: Kinematics, said: dict[str, Array] | None) -> TrackHeads:
    """The network's logits as probabilities and times. None: there are no tracks."""
    if said is None:
        empty = np.zeros(0, np.float32)
        said = {"intent": np.zeros((0, 7), np.float32)} | dict.fromkeys(
            ("hazard", "collides", "log_time", "log_sigma"), empty
        )
    likely = np.exp(said["intent"] - said["intent"].max(axis=1, keepdims=True))
    hazard = 1.0 / (1.0 + np.exp(-said["hazard"].astype(np.float64)))
    seconds = time_to_collision(moving.contact, said["collides"], said["log_time"])
    closing = np.maximum(-moving.closing[:, 0], 0.0)
    brake = np.where(np.isfinite(seconds), np.minimum(0.5 * closing / np.maximum(seconds, 1e-3), _HARDEST), 0.0)
    rank = np.empty(len(hazard), np.int32)
    rank[np.lexsort((scene.track_id, np.hypot(*moving.place.T), seconds, -np.round(hazard, 2)))] = np.arange(
        len(hazard)
    )
    return TrackHeads(
        index=scene.index,
        track_id=scene.track_id,
        intent=(likely / likely.sum(axis=1, keepdims=True)).astype(np.float32),
        hazard=hazard.astype(np.float32),
        time_to_collision=seconds.astype(np.float32),
        time_sigma=np.exp(said["log_sigma"]).astype(np.float32),
        deceleration=brake.astype(np.float32),
        attention=rank,
    )


def time_to_collision(contact: FloatArray, collides: Array, log_time: Array) -> FloatArray:
    """(M,) s. ``contact`` (M,) of the boxes at constant velocities, where there is one soon; of what just misses, the
    network's own time where it holds a collision to be likelier than none."""
    likely = np.where(collides >= 0.0, np.exp(log_time.astype(np.float64)), np.inf)
    return np.where(contact < SOON_S, contact, likely)


@cache
def _network(model: str, engine: EngineSettings) -> Engine:
    """Raises BadInput where there is no such file, or it holds no heads."""
    path, engine = chosen(model, engine)
    network = open_engine(path, engine)
    if network.inputs.keys() != _INPUTS:
        raise BadInput(path, "inputs", ", ".join(sorted(_INPUTS)), ", ".join(sorted(network.inputs)))
    return network
