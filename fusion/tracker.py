"""The filter baseline: a multi-object tracker that reads like its outline.

    suppress duplicates -> believe a covariance -> pair every sensor's detections with the predicted tracks ->
    update in order of time, each at its own instant -> start tracks from what is left -> weigh existence -> end tracks

All sensors are paired against the same prediction, so no sensor's place in the order favours it. Detections then
enter each track in order of their instants, in rounds: round k takes every track's k-th detection, all tracks at once.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from fusion import existence, shape, snapshots
from fusion.association import (
    AssociationSettings,
    assign,
    candidates,
    duplicate_tracks,
    without_duplicates,
)
from fusion.existence import ExistenceSettings, Visibility
from fusion.kalman import FloatArray, Innovation, innovate, predict, update
from fusion.measurements import IntArray, Measurements, join, measurements, seconds, take
from fusion.noise import NoiseModel, NoiseSettings
from fusion.shape import ShapeSettings
from fusion.tracks import ACCEL_PSD, Tracks, born, no_tracks
from pipeline.core.messages import FrameSet, Scene
from pipeline.core.settings import Settings


class TrackerSettings(Settings, frozen=True):
    """One struct, all variants of the baseline.

    modalities: the others are ignored (single-modality baselines). accel_scale multiplies the classes' process noise;
    climb_psd: white vertical speed, m2/s. merge: two tracks nearer than this share of their width are one.
    class_memory_s, class_gain: the class evidence is low-passed as existence is.
    max_gap_s: after a longer silence, or when time runs backwards, all tracks end and new ones start.
    """

    modalities: tuple[Literal["camera", "lidar", "radar"], ...] = ("camera", "lidar", "radar")
    noise: NoiseSettings = NoiseSettings()
    association: AssociationSettings = AssociationSettings()
    existence: ExistenceSettings = ExistenceSettings()
    shape: ShapeSettings = ShapeSettings()
    accel_scale: float = 1.0
    climb_psd: float = 0.05
    merge: float = 0.5
    class_memory_s: float = 1.0
    class_gain: float = 1.5
    max_gap_s: float = 2.0
    max_tracks: int = 512


class Tracker:
    """A `fusion.fuser.Fuser`. Detections come and go; the state is `Tracks`, the noise factors and the visibility."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._noise = NoiseModel(self.settings.noise)
        self._visibility = Visibility(self.settings.existence)
        self._tracks = no_tracks()
        self._next_id = 1
        self._time_ns: int | None = None  # reference instant of the last frame set

    def step(self, frames: FrameSet, time_ns: int) -> Scene:
        settings = self.settings
        sensors = tuple(slot.sensor for slot in frames.slots)
        z = measurements(frames, time_ns, settings.modalities)

        dt = self._advance(time_ns)
        z = self._noise.believed(without_duplicates(z, settings.association.duplicate_m), sensors)

        tracks = self._tracks
        pairs = candidates(tracks, z, self._accel_psd(tracks), settings.climb_psd, settings.association)
        row, column = assign(pairs, z)
        seen = Seen.nothing(len(tracks), len(sensors))
        self._absorb(tracks, row, z.take(column), dt, seen)
        self._learn_noise(tracks, row, z.take(column), sensors)

        newborn, seen_newborn = self._start(z.take(np.setdiff1d(np.arange(len(z)), column)), sensors, dt)
        self._weigh_existence(tracks, seen, frames, dt)
        tracks.coasted[:] = np.where(seen.hit.any(axis=1), 0, tracks.coasted + 1)
        tracks.age += 1
        shape.follow_motion(tracks, dt, settings.shape)

        tracks, seen = join([tracks, newborn]), join([seen, seen_newborn])
        lives = self._lives(tracks, seen, time_ns)
        self._tracks, seen = take(tracks, lives), take(seen, lives)
        return self._scene(frames, time_ns, sensors, seen)

    def snapshot(self) -> bytes:
        return snapshots.pack(self._tracks, self._noise.factors, self._visibility.looks, self._next_id, self._time_ns)

    def restore(self, snapshot: bytes) -> None:
        state = snapshots.unpack(snapshot)
        self._tracks, self._noise.factors, self._visibility.looks = state.tracks, state.factors, state.looks
        self._next_id, self._time_ns = state.next_id, state.time_ns

    def close(self) -> None:
        """Nothing is held outside this object."""

    def _advance(self, time_ns: int) -> float:
        """Seconds since the last frame set; 0.1 for the first, or after a jump, which also ends all tracks."""
        dt = 0.1 if self._time_ns is None else (time_ns - self._time_ns) * 1e-9
        if not 0.0 < dt <= self.settings.max_gap_s:
            self._tracks = no_tracks()
            dt = 0.1
        self._time_ns = time_ns
        shape.forget(self._tracks, dt, self.settings.shape)
        self._tracks.class_log *= np.exp(-dt / self.settings.class_memory_s)
        return dt

    def _accel_psd(self, tracks: Tracks) -> FloatArray:
        return np.asarray(self.settings.accel_scale * (tracks.class_prob @ ACCEL_PSD))

    def _absorb(self, tracks: Tracks, row: IntArray, z: Measurements, dt: float, seen: Seen) -> None:
        """Take detection i into track row[i], in rounds; ``tracks`` and ``seen`` are written into."""
        settings = self.settings
        z = self._noise.shared(z, row)
        order = np.lexsort((z.sensor, z.time_ns, row))
        round_of = np.arange(len(row)) - np.searchsorted(row[order], row[order])
        for k in range(int(round_of.max(initial=-1)) + 1):
            these = order[round_of == k]
            at, now = row[these], z.take(these)
            ahead = seconds(now.time_ns - tracks.time_ns[at])
            mean, cov = predict(
                tracks.mean[at], tracks.cov[at], ahead, self._accel_psd(take(tracks, at)), settings.climb_psd
            )
            believed = self._noise.robust(self._compare(mean, cov, ahead, now))
            tracks.mean[at], tracks.cov[at] = update(mean, cov, believed)
            tracks.time_ns[at] = np.maximum(tracks.time_ns[at], now.time_ns)
            shape.absorb(tracks, at, now, dt, settings.shape)
            share = 1.0 - np.exp(-dt / settings.class_memory_s)
            tracks.class_log[at] += settings.class_gain * share * np.log(now.class_prob)
            seen.note(at, now, believed.R)

    def _compare(self, mean: FloatArray, cov: FloatArray, ahead: FloatArray, z: Measurements) -> Innovation:
        return innovate(mean, cov, np.minimum(ahead, 0.0), z, self.settings.association.resolve_sigmas)

    def _learn_noise(self, tracks: Tracks, row: IntArray, z: Measurements, sensors: tuple[str, ...]) -> None:
        ahead = seconds(z.time_ns - tracks.time_ns[row])
        self._noise.learn(z, self._compare(tracks.mean[row], tracks.cov[row], ahead, z), sensors)

    def _start(self, z: Measurements, sensors: tuple[str, ...], dt: float) -> tuple[Tracks, Seen]:
        """Tracks from detections that no track explains, the most exact sensor's first; the others then join them."""
        settings = self.settings
        newborn, seen = no_tracks(), Seen.nothing(0, len(sensors))
        spread = np.trace(z.position_cov[:, :2, :2], axis1=1, axis2=2)
        present = np.unique(z.sensor)
        for sensor in sorted(present.tolist(), key=lambda s: (float(np.median(spread[z.sensor == s])), s)):
            mine = z.take(z.sensor == sensor)
            pairs = candidates(newborn, mine, self._accel_psd(newborn), settings.climb_psd, settings.association)
            row, column = assign(pairs, mine)
            self._absorb(newborn, row, mine.take(column), dt, seen)
            rest = mine.take(np.setdiff1d(np.arange(len(mine)), column))
            first = rest.take(rest.score >= settings.existence.birth_score)
            fresh, seen_fresh = born(first, self._next_id), Seen.nothing(len(first), len(sensors))
            self._next_id += len(first)
            self._absorb(fresh, np.arange(len(first)), first, dt, seen_fresh)
            newborn, seen = join([newborn, fresh]), join([seen, seen_fresh])
        return newborn, seen

    def _weigh_existence(self, tracks: Tracks, seen: Seen, frames: FrameSet, dt: float) -> None:
        settings = self.settings.existence
        position = existence.in_ego(tracks, frames.odom_SE3_ego)
        cell = existence.cells(position)
        hidden = settings.shadow * existence.shadowed(position, tracks.size, tracks.evidence > 0.0)
        known = np.flatnonzero((tracks.evidence > 0.0) & (tracks.coasted <= 3) & (hidden < 0.5))
        total = np.zeros(len(tracks))
        for index, slot in enumerate(frames.slots):
            if slot.detections is None or slot.modality not in self.settings.modalities:
                continue
            hit = seen.hit[:, index]
            detection = self._visibility.detection(slot.sensor, cell) * (1.0 - hidden)
            total += np.where(hit, seen.odds[:, index], np.log1p(-np.minimum(detection, 0.99)))
            self._visibility.learn(slot.sensor, cell[known], hit[known], dt)
        tracks.evidence[:] = existence.follow(tracks.evidence, total, dt, settings)

    def _lives(self, tracks: Tracks, seen: Seen, time_ns: int) -> npt.NDArray[np.bool_]:
        settings = self.settings
        coasting = seconds(time_ns - tracks.time_ns)
        lives = existence.probability(tracks.evidence) >= settings.existence.death
        lives &= coasting <= settings.existence.max_coast_s
        told_apart = np.asarray((seen.hit[:, None, :] & seen.hit[None, :, :]).any(axis=2))
        lives &= ~duplicate_tracks(tracks, told_apart, settings.merge)
        surplus = np.lexsort((tracks.id, -tracks.evidence))[settings.max_tracks :]
        lives[surplus] = False
        return lives

    def _scene(self, frames: FrameSet, time_ns: int, sensors: tuple[str, ...], seen: Seen) -> Scene:
        probability = existence.probability(self._tracks.evidence)
        shown = probability >= self.settings.existence.publish
        tracks, information = take(self._tracks, shown), seen.information[shown]
        ahead = seconds(time_ns - tracks.time_ns)
        mean, cov = predict(tracks.mean, tracks.cov, ahead, self._accel_psd(tracks), self.settings.climb_psd)
        return Scene(
            index=frames.index,
            position=frames.position,
            rotation_wxyz=frames.rotation_wxyz,
            sensors=sensors,
            missing=tuple(f"{slot.sensor}: {slot.missing}" for slot in frames.slots if slot.missing),
            track_id=tracks.id,
            track_position=mean[:, :3],
            track_velocity=mean[:, 3:],
            track_size=tracks.size.astype(np.float32),
            track_yaw=tracks.yaw,
            state_cov=cov.astype(np.float32),
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

    hit: npt.NDArray[np.bool_]
    odds: FloatArray
    information: FloatArray

    @staticmethod
    def nothing(tracks: int, sensors: int) -> Seen:
        shape = (tracks, sensors)
        return Seen(np.zeros(shape, dtype=bool), np.zeros(shape), np.zeros(shape))

    def note(self, row: IntArray, z: Measurements, R: FloatArray) -> None:
        self.hit[row, z.sensor] = True
        self.odds[row, z.sensor] = np.log(z.score / (1.0 - z.score))
        self.information[row, z.sensor] = np.trace(np.linalg.inv(R[:, :2, :2]), axis1=1, axis2=2)
