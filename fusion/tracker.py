"""The multi-object tracker that all fusion methods share; it reads like its outline.

    suppress duplicates -> expect a covariance -> pair every sensor's detections with the predicted tracks ->
    start tracks from what is left -> weigh every pair -> fuse them all, each at its own instant ->
    weigh existence -> end tracks

All sensors are paired against the same prediction and fused in one step, so no sensor's place in the order favours it,
and a sensor's weight is the share of the precision that it brought. How far a detection is believed is the business of
a `fusion.weigher.Weigher`: the filter's, or the graph's.
"""

from __future__ import annotations

from enum import IntEnum
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
from fusion.existence import ExistenceSettings, Looks, Visibility
from fusion.field_of_view import FieldOfView, in_view
from fusion.kalman import Groups, Innovation, fuse, innovate, predict, shared_bias
from fusion.measurements import (
    BoolArray,
    FloatArray,
    IntArray,
    Measurements,
    join,
    measurements,
    seconds,
    take,
    unusable,
)
from fusion.noise import NominalSettings
from fusion.shape import ShapeSettings
from fusion.snapshots import State, pack, unpack
from fusion.tracks import ACCEL_PSD, Tracks, born, no_tracks, seeds
from fusion.weigher import Encounter, Verdict
from fusion.weighers import WeigherSettings, weigher
from pipeline.core.messages import FrameSet, Scene
from pipeline.core.settings import Settings

_NEVER = -(1 << 62)


class Ending(IntEnum):
    """Why a track ends: its existence is doubted, no sensor has seen it for too long, it only repeats another track, or
    there are more tracks than are kept."""

    DOUBTED = 1
    UNSEEN_TOO_LONG = 2
    REPEATS_ANOTHER = 3
    SURPLUS = 4


class TrackerSettings(Settings, frozen=True):
    """One struct, all variants.

    modalities: the others are ignored (single-modality baselines). weigh: how far each detection is believed, by
    ``method``. accel_scale multiplies the classes' process noise; climb_psd: white vertical speed, m2/s. merge: two
    tracks nearer than this share of their width are one. class_memory_s, class_gain: the class evidence is low-passed
    as existence is. fields: of view, by sensor; what is outside is not missed there.
    max_gap_s: after a longer silence, or when time runs backwards, all tracks end and new ones start.
    """

    modalities: tuple[Literal["camera", "lidar", "radar"], ...] = ("camera", "lidar", "radar")
    weigh: WeigherSettings = NominalSettings()
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
    """A `fusion.fuser.Fuser`. Detections come and go; the state is `Tracks`, the visibility, and what the weigher
    remembers of the sensors.

    first_id: of its tracks. `meet` and `settle` are the halves of a step, for who weighs otherwise (training).
    """

    def __init__(self, settings: TrackerSettings | None = None, first_id: int = 1) -> None:
        self.settings = settings or TrackerSettings()
        self.weigher = weigher(self.settings.weigh)
        self._visibility = Visibility(self.settings.existence)
        self._tracks = no_tracks(self.weigher.memory)
        self._next_id = first_id
        self._time_ns = _NEVER  # reference instant of the last frame set
        self._odom = -1  # epoch of its poses
        self._pose = np.zeros(3)  # x, y, yaw of the vehicle in it

    def step(self, frames: FrameSet, time_ns: int) -> Scene:
        met = self.meet(frames, time_ns)
        return self.settle(met, self.weigher.weigh(met))

    def meet(self, frames: FrameSet, time_ns: int) -> Encounter:
        """The first half of a step: which detection belongs to which track, old or just started."""
        z = measurements(frames, time_ns, self.settings.modalities)
        refused = unusable(z, frames, self.settings.modalities)
        dt, ego_motion = self._advance(time_ns, frames)
        z = self.weigher.expect(without_duplicates(z, self.settings.association.duplicate_m), frames)
        row, column, certainty = assign(self._candidates(self._tracks, z), z)
        z.odds[column] = np.where(z.odds[column] > 0.0, certainty * z.odds[column], z.odds[column])
        unexplained = np.ones(len(z), dtype=bool)
        unexplained[column] = False
        unexplained = np.flatnonzero(unexplained)
        newborn, founded, of = self._start(z.take(unexplained))
        tracks = join(self._tracks, newborn)
        row = np.concatenate([row, len(self._tracks) + founded])
        column = np.concatenate([column, unexplained[of]])
        alone = np.ones(len(z), dtype=bool)
        alone[column] = False
        z, unpaired = z.take(column), np.bincount(z.sensor[alone], minlength=len(frames.slots))
        looks = self._looks(tracks, row, z, frames)
        evidence = existence.frame_evidence(looks, self.settings.existence)
        seen = self._compare(tracks, row, z)
        return Encounter(frames, time_ns, dt, tracks, row, z, seen, looks, evidence, unpaired, ego_motion, refused)

    def settle(self, met: Encounter, verdict: Verdict) -> Scene:
        """The second half: fuse the pairs as they are believed, and see which tracks live on."""
        tracks, newborn = met.tracks, met.tracks.age < 0
        self._absorb(met, verdict)
        self.weigher.learn(met, lambda: self._compare(tracks, met.row, met.z))
        seen = met.looks.hit.any(axis=1)
        tracks.coasted[:] = np.where(seen, 0, tracks.coasted + 1)
        tracks.age += 1
        shape.follow_motion(tracks, met.dt, self.settings.shape)
        self._weigh_existence(met, newborn)
        believed = tracks.evidence
        if verdict.evidence is not None:
            believed = verdict.say * verdict.evidence + (1.0 - verdict.say) * believed
        tracks.memory[:] = verdict.memory
        information = precision_brought(met, verdict)
        lives = self.endings(tracks, believed, met.looks.hit) == 0
        self._tracks = take(tracks, lives)
        return self._scene(met, believed[lives], information[lives], verdict)

    def snapshot(self) -> bytes:
        return pack(State(
            self._tracks, self.weigher.sensors, self._visibility.counts, self._next_id, self._time_ns, self._odom,
            self._pose,
        ))  # fmt: skip

    def restore(self, snapshot: bytes) -> None:
        state = unpack(snapshot, self.weigher.sensors, self._visibility.counts, self.weigher.memory)
        self._tracks, self.weigher.sensors, self._visibility.counts = state.tracks, state.sensors, state.visibility
        self._next_id, self._time_ns, self._odom = state.next_id, state.time_ns, state.odom
        self._pose = state.pose

    def close(self) -> None:
        """Nothing is held outside this object."""

    def _advance(self, time_ns: int, frames: FrameSet) -> tuple[float, FloatArray]:
        """Predict all tracks to ``time_ns``. In another epoch of the poses places mean something else.

        Returns the seconds since the last frame set, 0.1 after a jump, which ends all tracks; and the vehicle's motion
        as in `Encounter`.
        """
        dt = (time_ns - self._time_ns) * 1e-9
        forward = frames.odom_SE3_ego.rotation[:2, 0]
        pose = np.array([*frames.position[:2], np.arctan2(forward[1], forward[0])])
        moved = pose - self._pose
        moved[2] = np.arctan2(np.sin(moved[2]), np.cos(moved[2]))
        if not 0.0 < dt <= self.settings.max_gap_s or frames.pose_epoch != self._odom:
            self._tracks = no_tracks(self.weigher.memory)
            dt, moved = 0.1, np.zeros(3)
        self._time_ns, self._odom, self._pose = time_ns, frames.pose_epoch, pose
        tracks = self._tracks
        tracks.mean[:], tracks.cov[:] = predict(
            tracks.mean, tracks.cov, dt, self.accel_psd(tracks), self.settings.climb_psd
        )
        shape.forget(tracks, dt, self.settings.shape)
        tracks.class_log[:] *= np.exp(-dt / self.settings.class_memory_s)
        return dt, moved / dt

    def accel_psd(self, tracks: Tracks) -> FloatArray:
        """(M,) power density of their white acceleration, m2/s3."""
        return np.asarray(self.settings.accel_scale * (tracks.class_prob @ ACCEL_PSD))

    def _candidates(self, tracks: Tracks, z: Measurements) -> Pairs:
        return candidates(tracks, z, self._time_ns, self.accel_psd(tracks), self.settings.association)

    def _compare(self, tracks: Tracks, row: IntArray, z: Measurements) -> Innovation:
        ahead, accel_psd = seconds(z.time_ns - self._time_ns), self.accel_psd(tracks)[row]
        resolve_sigmas = self.settings.association.resolve_sigmas
        return innovate(tracks.mean[row], tracks.cov[row], ahead, accel_psd, z, resolve_sigmas)

    def _start(self, z: Measurements) -> tuple[Tracks, IntArray, IntArray]:
        """Tracks from detections that no track explains; those of one object by several sensors start one track.

        Returns the M new tracks, age -1; and of the detections that belong to them, the track and the row in ``z``.
        """
        if len(z) == 0:
            nothing = np.zeros(0, dtype=np.int64)
            return no_tracks(self.weigher.memory), nothing, nothing
        each = np.arange(len(z))
        founder = founders(self._candidates(seeds(z, self._time_ns), z), z)
        strongest = np.full(len(z), -np.inf)
        np.maximum.at(strongest, founder, z.odds)
        weakest = existence.log_odds(self.settings.existence.birth_score)
        founding = np.flatnonzero((founder == each) & (strongest >= weakest))
        newborn = born(z.take(founding), self._next_id, self.weigher.memory)
        newborn.evidence[:] = np.bincount(founder, z.odds, len(z))[founding]
        self._next_id += len(founding)
        joins = np.flatnonzero(np.isin(founder, founding))
        return newborn, np.searchsorted(founding, founder[joins]), joins

    def _looks(self, tracks: Tracks, row: IntArray, z: Measurements, frames: FrameSet) -> Looks:
        settings, sensors = self.settings.existence, tuple(slot.sensor for slot in frames.slots)
        looked = [s.detections is not None and s.modality in self.settings.modalities for s in frames.slots]
        hit, odds = np.zeros((len(tracks), len(sensors)), dtype=bool), np.zeros((len(tracks), len(sensors)))
        hit[row, z.sensor], odds[row, z.sensor] = True, z.odds
        position = existence.in_ego(tracks, frames.odom_SE3_ego)
        hidden = settings.shadow * existence.shadowed(position, tracks.size, tracks.evidence > 0.0)
        visible = in_view(position, sensors, self.settings.fields)
        detection = self._visibility.detection(sensors, existence.cells(position)) * visible * (1.0 - hidden[:, None])
        return Looks(np.array(looked, dtype=bool), hit, odds, visible, hidden, detection)

    def _absorb(self, met: Encounter, verdict: Verdict) -> None:
        """Take detection i into track row[i]; the encounter's tracks are written into."""
        tracks, z, seen = met.tracks, met.z, verdict.seen
        groups = Groups(met.row, len(tracks))
        before = tracks.cov[:, [0, 1], [0, 1]].sum(axis=1)
        tracks.mean[:], tracks.cov[:] = fuse(tracks.mean, tracks.cov, seen, verdict.trust / verdict.white, groups)
        gain = 1.0 - tracks.cov[:, [0, 1], [0, 1]].sum(axis=1) / before
        common = seen.R[:, :2, :2] * ((1.0 - verdict.white) / verdict.trust)[:, None, None]
        shared_bias(tracks.bias, common, gain, groups)
        np.maximum.at(tracks.seen_ns, met.row, z.time_ns)
        shape.absorb(tracks, groups, z, met.dt, self.settings.shape)
        class_share = self.settings.class_gain * (1.0 - np.exp(-met.dt / self.settings.class_memory_s))
        tracks.class_log[:] += class_share * groups.sum(verdict.class_trust[:, None] * np.log(z.class_prob))

    def _weigh_existence(self, met: Encounter, newborn: BoolArray) -> None:
        """The evidence as the filter weighs it: also where the weigher has its own opinion, of which it is a part."""
        settings, tracks, looks = self.settings.existence, met.tracks, met.looks
        known = (tracks.evidence > settings.teacher) & (tracks.coasted <= 3) & (looks.hidden < 0.5)
        used = np.flatnonzero(looks.looked)
        sensors = tuple(met.frames.slots[i].sensor for i in used)
        cell = existence.cells(existence.in_ego(tracks, met.frames.odom_SE3_ego))[known]
        self._visibility.learn(sensors, cell, looks.hit[known][:, used], looks.visible[known][:, used], met.dt)
        followed = existence.follow(tracks.evidence, met.evidence, existence.attention(looks), met.dt, settings)
        tracks.evidence[:] = np.where(newborn, met.evidence, followed)

    def endings(self, tracks: Tracks, evidence: FloatArray, hit: BoolArray) -> IntArray:
        """(M,) which tracks end after this frame set and why: `Ending`, 0 for those that live on.

        evidence (M,): log-odds of their existence; hit (M, S): which sensors saw them.
        """
        settings, ending = self.settings, np.zeros(len(tracks), dtype=np.int64)
        ending[duplicate_tracks(tracks, hit, settings.merge)] = Ending.REPEATS_ANOTHER
        ending[seconds(self._time_ns - tracks.seen_ns) > settings.existence.max_coast_s] = Ending.UNSEEN_TOO_LONG
        ending[existence.probability(evidence) < settings.existence.death] = Ending.DOUBTED
        surplus = np.lexsort((tracks.id, -evidence))[settings.max_tracks :]
        ending[surplus] = Ending.SURPLUS
        return ending

    def _scene(self, met: Encounter, evidence: FloatArray, information: FloatArray, verdict: Verdict) -> Scene:
        frames = met.frames
        probability = existence.probability(evidence)
        shown = probability >= self.settings.existence.publish
        tracks, information, thought = take(self._tracks, shown), information[shown], verdict.sensors
        return Scene(
            index=frames.index,
            position=frames.position,
            rotation_wxyz=frames.rotation_wxyz,
            sensors=tuple(slot.sensor for slot in frames.slots),
            missing=tuple(f"{slot.sensor}: {slot.missing}" for slot in frames.slots if slot.missing),
            track_id=tracks.id,
            track_position=tracks.mean[:, :3].copy(),
            track_velocity=tracks.mean[:, 3:].copy(),
            track_size=tracks.size.astype(np.float32),
            track_yaw=tracks.yaw,
            state_cov=(verdict.inflation * tracks.whole_cov).astype(np.float32),
            class_score=tracks.class_prob.astype(np.float32),
            existence=probability[shown].astype(np.float32),
            weight=(information / np.maximum(information.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32),
            age=tracks.age.astype(np.int32),
            coasted=tracks.coasted.astype(np.int32),
            sensor_health=np.zeros(0, np.float32) if thought is None else thought.fault[:, 0].astype(np.float32),
            sensor_fault=() if thought is None else thought.names(),
            unusable=met.unusable.astype(np.int32),
            weather=np.zeros(0, np.float32) if thought is None else thought.weather.astype(np.float32),
        )


def precision_brought(met: Encounter, verdict: Verdict) -> FloatArray:
    """(M, S) trace of the precision of its horizontal position that each sensor gave to each track, 1/m2."""
    out = np.zeros(met.looks.hit.shape)
    R = verdict.seen.R
    determinant = R[:, 0, 0] * R[:, 1, 1] - R[:, 0, 1] ** 2
    out[met.row, met.z.sensor] = verdict.trust * (R[:, 0, 0] + R[:, 1, 1]) / determinant  # of the 2x2 inverse
    return out
