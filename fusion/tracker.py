"""The filter baseline: a multi-object tracker that reads like its outline.

    suppress duplicates -> believe a covariance -> pair every sensor's detections with the predicted tracks ->
    fuse them all, each at its own instant -> start tracks from what is left -> weigh existence -> end tracks

All sensors are paired against the same prediction and fused in one step, so no sensor's place in the order favours it,
and a sensor's weight is the share of the precision that it brought.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from fusion import existence, shape
from fusion.association import (
    AssociationSettings,
    Pairs,
    assign,
    candidates,
    duplicate_tracks,
    founders,
    without_duplicates,
)
from fusion.existence import ExistenceSettings, Visibility
from fusion.field_of_view import FieldOfView, in_view
from fusion.kalman import Groups, Innovation, fuse, innovate, predict, shared_bias
from fusion.measurements import BoolArray, FloatArray, IntArray, Measurements, join, measurements, seconds, take
from fusion.noise import NoiseModel, NoiseSettings
from fusion.shape import ShapeSettings
from fusion.snapshots import State, pack, unpack
from fusion.tracks import ACCEL_PSD, Tracks, born, no_tracks, seeds
from pipeline.core.messages import FrameSet, Scene
from pipeline.core.settings import Settings

_NEVER = -(1 << 62)


class TrackerSettings(Settings, frozen=True):
    """One struct, all variants of the baseline.

    modalities: the others are ignored (single-modality baselines). accel_scale multiplies the classes' process noise;
    climb_psd: white vertical speed, m2/s. merge: two tracks nearer than this share of their width are one.
    class_memory_s, class_gain: the class evidence is low-passed as existence is.
    fields: of view, by sensor; what is outside is not missed there.
    max_gap_s: after a longer silence, or when time runs backwards, all tracks end and new ones start.
    """

    modalities: tuple[Literal["camera", "lidar", "radar"], ...] = ("camera", "lidar", "radar")
    noise: NoiseSettings = NoiseSettings()
    association: AssociationSettings = AssociationSettings()
    existence: ExistenceSettings = ExistenceSettings()
    shape: ShapeSettings = ShapeSettings()
    fields: dict[str, FieldOfView] = {}
    accel_scale: float = 1.0
    climb_psd: float = 0.05
    merge: float = 0.5
    class_memory_s: float = 1.0
    class_gain: float = 1.5
    max_gap_s: float = 1.0
    max_tracks: int = 512


class Tracker:
    """A `fusion.fuser.Fuser`. Detections come and go; the state is `Tracks`, the noise factors and the visibility.

    first_id: of its tracks.
    """

    def __init__(self, settings: TrackerSettings | None = None, first_id: int = 1) -> None:
        self.settings = settings or TrackerSettings()
        self._noise = NoiseModel(self.settings.noise)
        self._visibility = Visibility(self.settings.existence)
        self._tracks = no_tracks()
        self._next_id = first_id
        self._time_ns = _NEVER  # reference instant of the last frame set
        self._odom = -1  # epoch of its poses

    def step(self, frames: FrameSet, time_ns: int) -> Scene:
        settings = self.settings
        sensors = tuple(slot.sensor for slot in frames.slots)
        z = measurements(frames, time_ns, settings.modalities)
        dt = self._advance(time_ns, frames.pose_epoch)
        z = self._noise.believed(without_duplicates(z, settings.association.duplicate_m), sensors)

        tracks, seen = self._tracks, Seen.nothing(len(self._tracks), len(sensors))
        row, column, certainty = assign(self._candidates(tracks, z), z)
        matched = z.take(column)
        matched.odds[:] = np.where(matched.odds > 0.0, certainty * matched.odds, matched.odds)
        white = self._noise.white(frames)
        self._absorb(tracks, row, matched, dt, seen, white)
        self._learn_noise(tracks, row, matched, sensors)
        unexplained = np.ones(len(z), dtype=bool)
        unexplained[column] = False
        newborn, seen_newborn = self._start(z.take(unexplained), dt, white)

        tracks.coasted[:] = np.where(seen.hit.any(axis=1), 0, tracks.coasted + 1)
        tracks.age += 1
        shape.follow_motion(tracks, dt, settings.shape)

        tracks, seen = join(tracks, newborn), join(seen, seen_newborn)
        self._weigh_existence(tracks, seen, frames, dt)
        lives = self._lives(tracks, seen)
        self._tracks, seen = take(tracks, lives), take(seen, lives)
        return self._scene(frames, sensors, seen)

    def snapshot(self) -> bytes:
        state = State(
            self._tracks, self._noise.factors, self._visibility.counts, self._next_id, self._time_ns, self._odom
        )
        return pack(state)

    def restore(self, snapshot: bytes) -> None:
        state = unpack(snapshot, self._noise.factors, self._visibility.counts)
        self._tracks, self._noise.factors, self._visibility.counts = state.tracks, state.factors, state.visibility
        self._next_id, self._time_ns, self._odom = state.next_id, state.time_ns, state.odom

    def close(self) -> None:
        """Nothing is held outside this object."""

    def _advance(self, time_ns: int, odom: int) -> float:
        """Predict all tracks to ``time_ns``. odom: epoch of the poses; in another one places mean something else.

        Returns the seconds since the last frame set; 0.1 after a jump, which ends all tracks.
        """
        dt = (time_ns - self._time_ns) * 1e-9
        if not 0.0 < dt <= self.settings.max_gap_s or odom != self._odom:
            self._tracks = no_tracks()
            dt = 0.1
        self._time_ns, self._odom = time_ns, odom
        tracks = self._tracks
        tracks.mean[:], tracks.cov[:] = predict(
            tracks.mean, tracks.cov, dt, self._accel_psd(tracks), self.settings.climb_psd
        )
        shape.forget(tracks, dt, self.settings.shape)
        tracks.class_log[:] *= np.exp(-dt / self.settings.class_memory_s)
        return dt

    def _accel_psd(self, tracks: Tracks) -> FloatArray:
        return np.asarray(self.settings.accel_scale * (tracks.class_prob @ ACCEL_PSD))

    def _candidates(self, tracks: Tracks, z: Measurements) -> Pairs:
        return candidates(tracks, z, self._time_ns, self._accel_psd(tracks), self.settings.association)

    def _compare(self, tracks: Tracks, row: IntArray, z: Measurements) -> Innovation:
        ahead, accel_psd = seconds(z.time_ns - self._time_ns), self._accel_psd(tracks)[row]
        resolve_sigmas = self.settings.association.resolve_sigmas
        return innovate(tracks.mean[row], tracks.cov[row], ahead, accel_psd, z, resolve_sigmas)

    def _absorb(self, tracks: Tracks, row: IntArray, z: Measurements, dt: float, seen: Seen, white: FloatArray) -> None:
        """Take detection i into track row[i]; ``tracks`` and ``seen`` are written into."""
        compared = self._compare(tracks, row, z)
        trust = self._noise.trust(compared, row)
        groups = Groups(row, len(tracks))
        before = tracks.cov[:, [0, 1], [0, 1]].sum(axis=1)
        share = white[z.sensor]
        tracks.mean[:], tracks.cov[:] = fuse(tracks.mean, tracks.cov, compared, trust / share, groups)
        gain = 1.0 - tracks.cov[:, [0, 1], [0, 1]].sum(axis=1) / before
        common = compared.R[:, :2, :2] * ((1.0 - share) / trust)[:, None, None]
        shared_bias(tracks.bias, common, gain, groups)
        np.maximum.at(tracks.seen_ns, row, z.time_ns)
        shape.absorb(tracks, groups, z, dt, self.settings.shape)
        class_share = self.settings.class_gain * (1.0 - np.exp(-dt / self.settings.class_memory_s))
        tracks.class_log[:] += class_share * groups.sum(np.log(z.class_prob))
        seen.note(row, z, trust)

    def _learn_noise(self, tracks: Tracks, row: IntArray, z: Measurements, sensors: tuple[str, ...]) -> None:
        """Young tracks do not teach: their velocity still holds whatever their first detections disagreed on."""
        if self.settings.noise.method == "adaptive":
            settled = tracks.age[row] >= self.settings.noise.settled_age
            row, z = row[settled], z.take(settled)
            self._noise.learn(z, self._compare(tracks, row, z), sensors)

    def _start(self, z: Measurements, dt: float, white: FloatArray) -> tuple[Tracks, Seen]:
        """Tracks from detections that no track explains; those of one object by several sensors start one track."""
        if len(z) == 0:
            return no_tracks(), Seen.nothing(0, len(white))
        each = np.arange(len(z))
        founder = founders(self._candidates(seeds(z, self._time_ns), z), z)
        strongest = np.full(len(z), -np.inf)
        np.maximum.at(strongest, founder, z.odds)
        weakest = existence.log_odds(self.settings.existence.birth_score)
        founding = np.flatnonzero((founder == each) & (strongest >= weakest))
        newborn, seen = born(z.take(founding), self._next_id), Seen.nothing(len(founding), len(white))
        newborn.evidence[:] = np.bincount(founder, z.odds, len(z))[founding]
        self._next_id += len(founding)
        joins = np.isin(founder, founding)
        self._absorb(newborn, np.searchsorted(founding, founder[joins]), z.take(joins), dt, seen, white)
        return newborn, seen

    def _weigh_existence(self, tracks: Tracks, seen: Seen, frames: FrameSet, dt: float) -> None:
        settings = self.settings.existence
        position = existence.in_ego(tracks, frames.odom_SE3_ego)
        cell = existence.cells(position)
        believed = tracks.evidence > 0.0
        hidden = settings.shadow * existence.shadowed(position, tracks.size, believed)
        looks = [s.detections is not None and s.modality in self.settings.modalities for s in frames.slots]
        sensors = tuple(s.sensor for s, used in zip(frames.slots, looks, strict=True) if used)
        hit, odds = seen.hit[:, looks], seen.odds[:, looks]
        visible = in_view(position, sensors, self.settings.fields)
        detection = self._visibility.detection(sensors, cell) * visible * (1.0 - hidden[:, None])
        outvoted = np.where(hit.any(axis=1), settings.miss_weight, 1.0)[:, None]
        missed = outvoted * np.log1p(-np.minimum(detection, 0.99))
        total = np.where(hit, odds, missed).sum(axis=1)
        known = (tracks.evidence > settings.teacher) & (tracks.coasted <= 3) & (hidden < 0.5)
        self._visibility.learn(sensors, cell[known], hit[known], visible[known], dt)
        looked = np.where(hit.any(axis=1), 1.0, visible.any(axis=1) * (1.0 - hidden))
        followed = existence.follow(tracks.evidence, total, looked, dt, settings)
        tracks.evidence[:] = np.where(tracks.age == 0, total, followed)

    def _lives(self, tracks: Tracks, seen: Seen) -> BoolArray:
        settings = self.settings
        lives = existence.probability(tracks.evidence) >= settings.existence.death
        lives &= seconds(self._time_ns - tracks.seen_ns) <= settings.existence.max_coast_s
        lives &= ~duplicate_tracks(tracks, seen.hit, settings.merge)
        surplus = np.lexsort((tracks.id, -tracks.evidence))[settings.max_tracks :]
        lives[surplus] = False
        return lives

    def _scene(self, frames: FrameSet, sensors: tuple[str, ...], seen: Seen) -> Scene:
        probability = existence.probability(self._tracks.evidence)
        shown = probability >= self.settings.existence.publish
        tracks, information = take(self._tracks, shown), seen.information[shown]
        return Scene(
            index=frames.index,
            position=frames.position,
            rotation_wxyz=frames.rotation_wxyz,
            sensors=sensors,
            missing=tuple(f"{slot.sensor}: {slot.missing}" for slot in frames.slots if slot.missing),
            track_id=tracks.id,
            track_position=tracks.mean[:, :3].copy(),
            track_velocity=tracks.mean[:, 3:].copy(),
            track_size=tracks.size.astype(np.float32),
            track_yaw=tracks.yaw,
            state_cov=tracks.whole_cov.astype(np.float32),
            class_score=tracks.class_prob.astype(np.float32),
            existence=probability[shown].astype(np.float32),
            weight=(information / np.maximum(information.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32),
            age=tracks.age.astype(np.int32),
            coasted=tracks.coasted.astype(np.int32),
        )


@dataclasses.dataclass
class Seen:
    """What this frame set's sensors gave to each of M tracks.

    hit (M, S): detected. odds (M, S): the detection's log-odds. information (M, S): trace of the precision of its
    horizontal position, 1/m2, as believed.
    """

    hit: BoolArray
    odds: FloatArray
    information: FloatArray

    @staticmethod
    def nothing(tracks: int, sensors: int) -> Seen:
        shape = (tracks, sensors)
        return Seen(np.zeros(shape, dtype=bool), np.zeros(shape), np.zeros(shape))

    def note(self, row: IntArray, z: Measurements, trust: FloatArray) -> None:
        self.hit[row, z.sensor] = True
        self.odds[row, z.sensor] = z.odds
        determinant = z.R[:, 0, 0] * z.R[:, 1, 1] - z.R[:, 0, 1] ** 2
        self.information[row, z.sensor] = trust * (z.R[:, 0, 0] + z.R[:, 1, 1]) / determinant  # of the 2x2 inverse
