"""The graph as a `fusion.weigher.Weigher`: runs the exported network and turns its answer into a verdict."""

from __future__ import annotations

from functools import cache
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from fusion.engines.choice import chosen
from fusion.engines.engine import Engine, EngineSettings
from fusion.engines.opened import open_engine
from fusion.graph.alarm import ALARM, follow, named
from fusion.graph.inputs import GraphInput, graph_input
from fusion.graph.polar import pair_motion, track_motion
from fusion.graph.registration import REMEMBERED, accumulate, carried
from fusion.kalman import Innovation
from fusion.measurements import BoolArray, FloatArray, Measurements
from fusion.per_sensor import PerSensor
from fusion.sight import sight_axes, stretch
from fusion.weigher import Encounter, SensorVerdict, Shares, Verdict
from pipeline.core.errors import BadInput
from pipeline.core.heads import WEATHERS
from pipeline.core.messages import FrameSet

FAULTS = ("healthy", "absent", "blind", "noisy", "misaligned", "mistimed", "stuck")
"""What may ail a sensor. blind: sees less than it should. noisy: reports what is not there. stuck: repeats itself."""
INFLATION = "inflation"
"""Key of the model file's metadata: factor on published covariances, found on drives kept apart."""
_RADIAL = 5  # column of `Measurements`


class GraphSettings(Shares, frozen=True, tag_field="method", tag="graph"):
    """model: shipped weights by name, or an ONNX file. engine: what runs it. existence: 0..1, how much the network's
    opinion on which tracks are there counts against the filter's.
    """

    model: str = "graph"
    engine: EngineSettings = EngineSettings()
    existence: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1.0


class Graph:
    """Remembers WIDTH numbers of each track and of each sensor, and of these what `registration` and `alarm` sum."""

    def __init__(self, settings: GraphSettings) -> None:
        self._settings = settings
        self._network = _network(settings.model, settings.engine)
        self.memory, width = (
            int(self._network.inputs[name].shape[1] or 0) for name in ("track_memory", "sensor_memory")
        )
        self._parts = [width, width + REMEMBERED]  # of what is remembered of a sensor
        self.sensors = PerSensor(np.zeros(width + REMEMBERED + len(FAULTS) - 1))
        about = self._network.metadata
        self._inflation, self._threshold = float(about.get(INFLATION, "1")), float(about.get(ALARM, "1"))

    def expect(self, z: Measurements, frames: FrameSet) -> Measurements:
        return z

    def weigh(self, met: Encounter) -> Verdict:
        names = tuple(slot.sensor for slot in met.frames.slots)
        rows = self.sensors.rows(names)
        memory, remembered, sums = np.split(self.sensors.values[rows], self._parts, axis=1)
        remembered = accumulate(remembered, met)
        told = self.ask(met, graph_input(met, remembered), memory)
        sums = follow(sums, told["fault"], met.dt, self._threshold)
        self.sensors.values[rows] = np.concatenate([told["next_sensor_memory"], remembered, sums], axis=1)
        share = self._settings.of(met.frames)[met.z.sensor]
        weather = _together(told["weather"], met.looks.looked)
        odds = np.log(share / (1.0 - share)) + told["white"]
        fault = np.exp(told["fault"] - told["fault"].max(axis=1, keepdims=True))
        return Verdict(
            seen=believed(met.seen, told["log_scale"], told["bias"], met.z.sight),
            trust=np.ones(len(met.row)),
            white=1.0 / (1.0 + np.exp(-odds)),
            class_trust=told["class_trust"],
            evidence=met.tracks.evidence + told["evidence"],
            memory=told["next_track_memory"],
            say=self._settings.existence,
            inflation=self._inflation,
            sensors=SensorVerdict(
                FAULTS, fault / fault.sum(axis=1, keepdims=True), named(sums, self._threshold), weather
            ),
        )

    def learn(self, met: Encounter, left: object) -> None:
        """What it knows it learned before."""

    def ask(self, met: Encounter, given: GraphInput, memory: FloatArray) -> dict[str, FloatArray]:
        """The network's answer. memory (S, ...): of the sensors."""
        if len(met.tracks) == 0:
            return self._nothing(memory)
        seen, tracks = four_columns(met.seen), met.tracks
        unit = sight_axes(met.z.sight)[:, 0]
        velocity = tracks.mean[:, 3:]
        frame = carried(met, met.z.value[:, :2])
        motion = pair_motion(seen.residual, seen.predicted, seen.R, velocity[met.row], frame, unit)
        inputs = given._asdict() | {
            "pair_motion": np.stack(motion, axis=1),
            "track_motion": np.stack(track_motion(tracks.mean, tracks.cov, tracks.bias), axis=1),
            "velocity": velocity,
            "track_memory": tracks.memory,
            "sensor_memory": memory,
        }
        feed = {k: v if v.dtype == np.int64 else v.astype(np.float32) for k, v in inputs.items()}
        return {name: answer.astype(np.float64) for name, answer in self._network(feed).items()}

    def _nothing(self, memory: FloatArray) -> dict[str, FloatArray]:
        """The answer where there is nothing to ask about."""
        n = np.zeros(0)
        return {
            "log_scale": np.zeros((0, 3)), "bias": np.zeros((0, 2)), "white": n, "class_trust": n, "evidence": n,
            "fault": np.zeros((len(memory), len(FAULTS))), "weather": np.zeros((len(memory), len(WEATHERS))),
            "next_track_memory": np.zeros((0, self.memory)), "next_sensor_memory": memory,
        }  # fmt: skip


def _together(votes: FloatArray, looked: BoolArray) -> FloatArray:
    """(W,) probabilities from logits (S, W) of the sensors that looked: they see one sky, so their mean counts."""
    mean = votes[looked].mean(axis=0) if looked.any() else np.zeros(votes.shape[1])
    likely = np.exp(mean - mean.max())
    return np.asarray(likely / likely.sum())


class FourColumns(NamedTuple):
    """residual (N, 4): x, y, z, radial speed; R and predicted = H P H' (N, 4, 4). Unmeasured: residual 0, R 1."""

    residual: FloatArray
    R: FloatArray
    predicted: FloatArray


def four_columns(seen: Innovation) -> FourColumns:
    """What the graph is told of innovations."""
    columns = np.flatnonzero((seen.measured < 3) | (seen.measured == _RADIAL))
    predicted = (seen.S - seen.R)[:, columns[:, None], columns]
    residual, R = seen.residual[:, columns], seen.R[:, columns[:, None], columns]
    if len(columns) == 4:
        return FourColumns(residual, R, predicted)
    n = len(residual)
    whole = FourColumns(np.zeros((n, 4)), np.tile(np.eye(4), (n, 1, 1)), np.zeros((n, 4, 4)))
    whole.residual[:, :3], whole.R[:, :3, :3], whole.predicted[:, :3, :3] = residual, R, predicted
    return whole


def believed(seen: Innovation, log_scale: FloatArray, bias: FloatArray, sight: FloatArray) -> Innovation:
    """The bias taken off, and R stretched along and across the line of sight and in the radial speed.

    log_scale (N, 3): of the variances. bias (N, 2): along and across, m. sight (N, 2).
    """
    axes, scale = sight_axes(sight), np.exp(0.5 * log_scale)
    n, m = seen.residual.shape
    T = np.tile(np.eye(m), (n, 1, 1))
    T[:, :2, :2] = stretch(axes, scale[:, :2])
    if _RADIAL in seen.measured:
        T[:, -1, -1] = np.where(seen.present[:, -1], scale[:, 2], 1.0)
    residual = seen.residual.copy()
    residual[:, :2] -= (np.swapaxes(axes, 1, 2) @ bias[..., None])[..., 0]
    return seen._replace(residual=residual, R=T @ seen.R @ T)


@cache
def _network(model: str, engine: EngineSettings) -> Engine:
    """Raises BadInput where there is no such file, or it holds no network of this kind."""
    path, engine = chosen(model, engine)
    network = open_engine(path, engine)
    wanted = {*GraphInput._fields, "pair_motion", "track_motion", "velocity", "track_memory", "sensor_memory"}
    if network.inputs.keys() != wanted:
        raise BadInput(path, "inputs", ", ".join(sorted(wanted)), ", ".join(sorted(network.inputs)))
    return network
