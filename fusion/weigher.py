"""What decides how far each detection is believed: the part in which the filter's rivals and the graph differ.

The tracker pairs, predicts and fuses the same way for all of them. A `Weigher` meets the pairs of one frame set and
says how precise each detection is held to be, how far off it is, and how much is new in it; it may also say which
tracks are there. What it remembers of a track stands in `Tracks.memory`, what it remembers of a sensor in ``sensors``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from fusion.existence import Looks
from fusion.kalman import Innovation
from fusion.measurements import FloatArray, IntArray, Measurements
from fusion.per_sensor import PerSensor
from fusion.tracks import Tracks
from pipeline.core.messages import FrameSet
from pipeline.core.settings import Settings


class Shares(Settings, frozen=True):
    """camera, lidar, radar: share of the stated variance that differs from one detection of an object to the next; the
    rest is the same for long (the side that is seen, a cut box), moves with the object and is not averaged out.
    Half the mean square of differences over the mean square is 0.11-0.29 for PandaSet's LiDARs and 0.35-0.47 for its
    camera ahead, whose share is set higher because its errors have long tails. No labels with identities show a radar:
    its share was chosen by Astyx' fused AP, of a few.
    """

    camera: float = 0.7
    lidar: float = 0.25
    radar: float = 0.15

    def of(self, frames: FrameSet) -> FloatArray:
        """(S,) of each slot's sensor."""
        share = {"camera": self.camera, "lidar": self.lidar, "radar": self.radar}
        return np.array([share[slot.modality] for slot in frames.slots])


class Encounter(NamedTuple):
    """One frame set's N pairs of a detection and a track, before anything is fused.

    tracks: M, predicted to ``time_ns``, those just started last. row (N,): the track of detection i of ``z``. seen:
    detection against prediction. looks: who could see what. evidence (M,): log-odds that this frame set brings, as the
    filter weighs it. unpaired (S,): detections of each sensor that belong to no track; unusable (S,): those that could
    not be filtered. ego_motion (3,): velocity of the
    vehicle since the last frame set, x and y of the odom frame, m/s, and its yaw rate, rad/s; 0 where there was none.
    """

    frames: FrameSet
    time_ns: int
    dt: float
    tracks: Tracks
    row: IntArray
    z: Measurements
    seen: Innovation
    looks: Looks
    evidence: FloatArray
    unpaired: IntArray
    ego_motion: FloatArray
    unusable: IntArray


@dataclasses.dataclass(frozen=True)
class SensorVerdict:
    """What is thought of S sensors. faults: F names, the first is that of health. fault (S, F): probabilities. alarm
    (S,): the fault that is sure enough to be named, 0 = none. weather (W,): probability of each of
    `pipeline.core.heads.WEATHERS`, empty where nothing is thought of it.
    """

    faults: tuple[str, ...]
    fault: FloatArray
    alarm: IntArray
    weather: FloatArray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def names(self) -> tuple[str, ...]:
        """(S,) the fault that each sensor is named to have, "" for none."""
        return tuple(self.faults[i] if i else "" for i in self.alarm.tolist())


@dataclasses.dataclass(frozen=True)
class Verdict:
    """seen: the innovations as they are believed, the bias taken off and R corrected; its S is not used.
    trust (N,): factor on the precision of each. white (N,): share of R that is new with every detection.
    class_trust (N,): factor on what each says about the class. memory (M, K): of each track.
    evidence (M,): log-odds that each track is there, and ``say``, how much they count against the tracker's own, 0..1.
    sensors: None = nothing is thought of them.
    inflation: factor on the covariances that are published, not on those that the filter goes on with.
    """

    seen: Innovation
    trust: FloatArray
    white: FloatArray
    class_trust: FloatArray
    memory: FloatArray
    evidence: FloatArray | None = None
    say: float = 1.0
    sensors: SensorVerdict | None = None
    inflation: float = 1.0


class Weigher(Protocol):
    """memory: K, numbers that it keeps of each track."""

    memory: int
    sensors: PerSensor

    def expect(self, z: Measurements, frames: FrameSet) -> Measurements:
        """The detections as they are believed from what earlier frame sets have taught of their sensors."""
        ...

    def weigh(self, met: Encounter) -> Verdict: ...

    def learn(self, met: Encounter, left: Callable[[], Innovation]) -> None:
        """left: gives what is left of the residuals after the update."""
        ...


def as_stated(met: Encounter, shares: Shares, trust: FloatArray | None = None) -> Verdict:
    """The verdict that changes nothing but ``trust`` (N,)."""
    ones = np.ones(len(met.row))
    return Verdict(
        seen=met.seen,
        trust=ones if trust is None else trust,
        white=shares.of(met.frames)[met.z.sensor],
        class_trust=ones,
        memory=met.tracks.memory,
    )
