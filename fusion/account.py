"""What one step of the tracker made of every sensor, for chosen tracks: read from the step itself, nothing guessed.

`Observed` is the tracker with somebody looking on: the same scenes, and of each chosen track an `Account` whose shares
of evidence sum to the log-odds of the existence that is published.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from fusion import existence
from fusion.association import compared, without_duplicates
from fusion.measurements import FloatArray, IntArray, Measurements, measurements, seconds, take
from fusion.sight import sight_axes
from fusion.tracker import Ending, Tracker, precision_brought
from fusion.tracks import Tracks
from fusion.weigher import Encounter, Verdict
from pipeline.core.messages import CLASSES, FrameSet, Scene

# A detection is told of up to so far, or this share of the range, from a track that did not get it.
_NEAR_M, _NEAR_SHARE = 3.0, 0.1
_HIDDEN = 0.5  # share of an object behind another from which on it counts as hidden

What = Literal["used", "rejected", "silent", "hidden", "out_of_view", "missing", "not_fused"]
"""used: its detection went into the track. rejected: it had one near, which did not. silent: it looked, and had none.
hidden: the same, but a nearer object stood before it. missing: its message is not in the frame set. not_fused: of a
kind of sensor that this fuser ignores."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A detection against a track. distance_m: horizontal, where the track was at the detection's instant; sigmas: the
    same as a Mahalanobis distance of all that was measured, gain: log likelihood ratio against clutter, both with the
    gate's slack. agreement: of the classes, log. stated_sigma_m: along and across the line of sight; believed_sigma_m:
    as it was weighed, bias_m: taken off; NaN where it was not used. other: the track that it went into, 0 = none.
    """

    row: int
    class_name: str
    score: float
    distance_m: float
    sigmas: float
    gain: float
    agreement: float
    stated_sigma_m: tuple[float, float]
    believed_sigma_m: tuple[float, float] = (float("nan"), float("nan"))
    bias_m: tuple[float, float] = (0.0, 0.0)
    other: int = 0


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor in one step of one track.

    reason: of what is missing, the aligner's; of what was rejected: ``gate``, ``clutter`` (chance explains it better),
    ``other_track``, ``seat_taken`` (another detection of the sensor fits better), ``duplicate`` of another detection,
    ``unusable`` (no finite position or positive covariance).
    brought: log-odds of its detection or its silence, in this frame set; evidence: its share in the published log-odds.
    chance: probability that it would have detected the track, as it has learned. weight: share of the precision.
    """

    sensor: str
    modality: str
    what: What
    reason: str = ""
    brought: float = 0.0
    evidence: float = 0.0
    chance: float = 0.0
    weight: float = 0.0
    health: float = float("nan")
    fault: str = ""
    detection: Told | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one track; odom frame, m, m/s.

    existence: published; its log-odds are carried + the contributions' evidence + opinion. carried: what earlier frame
    sets left; opinion: what the weigher's own view adds. news: share of the evidence that a frame set with a detection
    replaces, gain: what its log-odds are multiplied by. sigma_m: 1-sigma of the horizontal position, root of the mean
    of both variances. ending: why the track ended here, by the names of `fusion.tracker.Ending`.
    """

    index: int
    time_ns: int
    track_id: int
    class_name: str
    position: tuple[float, float, float]
    velocity: tuple[float, float]
    sigma_m: float
    range_m: float
    existence: float
    carried: float
    opinion: float
    news: float
    gain: float
    born: bool
    contributions: tuple[Contribution, ...]
    ending: str = ""


class _Pool(NamedTuple):
    """All usable detections of a frame set as they were paired. kept (N,): those that are no duplicates."""

    z: Measurements
    kept: set[tuple[int, int]]


class Observed:
    """A `fusion.fuser.Fuser`: ``tracker`` with accounts of the tracks for which ``wanted(id)``.

    accounts: by track, in order of time.
    """

    def __init__(self, tracker: Tracker, wanted: Callable[[int], bool]) -> None:
        self._tracker = tracker
        self._wanted = wanted
        self.accounts: dict[int, list[Account]] = {}

    def step(self, frames: FrameSet, time_ns: int) -> Scene:
        tracker = self._tracker
        met = tracker.meet(frames, time_ns)
        verdict = tracker.weigher.weigh(met)
        rows = [row for row, number in enumerate(met.tracks.id.tolist()) if self._wanted(number)]
        predicted = take(met.tracks, np.arange(len(met.tracks)))  # a copy, since settling writes into the table
        pool = self._pool(met) if rows else None
        scene = tracker.settle(met, verdict)
        if pool is not None:
            step = _Step(tracker, met, verdict, predicted, pool)
            for row in rows:
                self.accounts.setdefault(int(met.tracks.id[row]), []).append(step.account(row))
        return scene

    def snapshot(self) -> bytes:
        return self._tracker.snapshot()

    def restore(self, snapshot: bytes) -> None:
        self._tracker.restore(snapshot)

    def close(self) -> None:
        self._tracker.close()

    def _pool(self, met: Encounter) -> _Pool:
        settings = self._tracker.settings
        z = measurements(met.frames, met.time_ns, settings.modalities)
        kept = without_duplicates(z, settings.association.duplicate_m)
        keys = set(zip(kept.sensor.tolist(), kept.detection.tolist(), strict=True))
        return _Pool(self._tracker.weigher.expect(z, met.frames), keys)


class _Step:
    """One step after it was settled; makes the accounts of its tracks."""

    def __init__(self, tracker: Tracker, met: Encounter, verdict: Verdict, before: Tracks, pool: _Pool) -> None:
        self._tracker, self._met, self._verdict, self._before, self._pool = tracker, met, verdict, before, pool
        settings = tracker.settings.existence
        self._news = existence.news(met.dt, settings)
        self._newborn = before.age < 0
        self._share = existence.attention(met.looks) * self._news
        self._brought = existence.evidence_by_sensor(met.looks, settings) * met.looks.looked
        self._evidence = met.tracks.evidence.copy()
        if verdict.evidence is not None:
            self._evidence = verdict.say * verdict.evidence + (1.0 - verdict.say) * self._evidence
        self._ending = tracker.endings(met.tracks, self._evidence, met.looks.hit)
        self._precision = precision_brought(met, verdict)
        self._pair = {(int(met.row[i]), int(met.z.sensor[i])): i for i in range(len(met.row))}
        self._goes_to = {
            (int(s), int(d)): int(r) for s, d, r in zip(met.z.sensor, met.z.detection, met.row, strict=True)
        }

    def account(self, row: int) -> Account:
        met, after = self._met, self._met.tracks
        settings = self._tracker.settings.existence
        factor = 1.0 if self._newborn[row] else float(self._share[row]) * settings.gain
        carried = 0.0 if self._newborn[row] else float((1.0 - self._share[row]) * self._before.evidence[row])
        x, y, z = after.mean[row, :3].tolist()
        vx, vy = after.mean[row, 3:].tolist()
        variance = self._verdict.inflation * np.trace(after.whole_cov[row, :2, :2]) / 2.0
        ending = int(self._ending[row])
        return Account(
            index=met.frames.index,
            time_ns=met.time_ns,
            track_id=int(after.id[row]),
            class_name=CLASSES[int(after.class_log[row].argmax())],
            position=(x, y, z),
            velocity=(vx, vy),
            sigma_m=float(np.sqrt(variance)),
            range_m=float(np.hypot(x - met.frames.position[0], y - met.frames.position[1])),
            existence=float(existence.probability(self._evidence[row])),
            carried=carried,
            opinion=float(self._evidence[row] - after.evidence[row]),
            news=self._news,
            gain=settings.gain,
            born=bool(self._newborn[row]),
            contributions=tuple(self._of_sensor(row, s, factor) for s in range(len(met.frames.slots))),
            ending=Ending(ending).name.lower() if ending else "",
        )

    def _of_sensor(self, row: int, sensor: int, factor: float) -> Contribution:
        met, slot = self._met, self._met.frames.slots[sensor]
        looks, thought = met.looks, self._verdict.sensors
        what, reason, told = self._what(row, sensor)
        return Contribution(
            sensor=slot.sensor,
            modality=slot.modality,
            what=what,
            reason=reason,
            brought=float(self._brought[row, sensor]),
            evidence=float(factor * self._brought[row, sensor]),
            chance=float(looks.detection[row, sensor]),
            weight=float(self._precision[row, sensor] / max(self._precision[row].sum(), 1e-12)),
            health=float("nan") if thought is None else float(thought.fault[sensor, 0]),
            fault="" if thought is None else thought.names()[sensor],
            detection=told,
        )

    def _what(self, row: int, sensor: int) -> tuple[What, str, Told | None]:
        looks, slot = self._met.looks, self._met.frames.slots[sensor]
        if slot.detections is None:
            return "missing", slot.missing or "no_detections", None
        if not looks.looked[sensor]:
            return "not_fused", "", None
        if looks.hit[row, sensor]:
            return "used", "", self._used(row, sensor)
        reason, told = self._rejected(row, sensor)
        if told is not None or reason:
            return "rejected", reason, told
        if not looks.visible[row, sensor]:
            return "out_of_view", "", None
        return ("hidden" if looks.hidden[row] >= _HIDDEN else "silent"), "", None

    def _used(self, row: int, sensor: int) -> Told:
        met, seen, pair = self._met, self._verdict.seen, self._pair[row, sensor]
        told = self._told(row, met.z.take(np.array([pair])))[0]
        axes = sight_axes(met.z.sight[[pair]])[0]
        believed = np.sqrt(np.einsum("ai,ij,aj->a", axes, seen.R[pair, :2, :2], axes) / self._verdict.trust[pair])
        along, across = (axes @ (met.seen.residual[pair, :2] - seen.residual[pair, :2])).tolist()
        return msgspec.structs.replace(told, believed_sigma_m=tuple(believed.tolist()), bias_m=(along, across))

    def _rejected(self, row: int, sensor: int) -> tuple[str, Told | None]:
        """The detection of this sensor nearest to the track, if it has one that is near at all."""
        z = self._pool.z
        mine = np.flatnonzero(z.sensor == sensor)
        ahead = seconds(z.time_ns[mine] - self._met.time_ns)
        place = self._before.mean[row, :2] + ahead[:, None] * self._before.mean[row, 3:]
        apart = np.hypot(*(z.value[mine, :2] - place).T)
        reach = max(_NEAR_M, _NEAR_SHARE * self._range(row))
        near = self._told(row, z.take(mine[apart < reach]))
        if not near:
            return ("unusable", None) if self._unusable_near(row, sensor, reach) else ("", None)
        gate = self._tracker.settings.association.gate_sigmas
        fits = [told for told in near if told.sigmas < gate]
        told = max(fits, key=lambda t: t.gain) if fits else min(near, key=lambda t: t.sigmas)
        if told.other:
            return "other_track", told
        if (sensor, told.row) not in self._pool.kept:
            return "duplicate", told
        if told.sigmas >= gate:
            return "gate", told
        return ("clutter" if told.gain <= 0.0 else "seat_taken"), told

    def _told(self, row: int, z: Measurements) -> list[Told]:
        """Detections of ``z`` against a track as it was predicted."""
        before, time_ns = self._before, self._met.time_ns
        rows: IntArray = np.full(len(z), row)
        settings = self._tracker.settings.association
        met = compared(before, rows, z, time_ns, self._tracker.accel_psd(before), settings)
        place = before.mean[rows, :2] + seconds(z.time_ns - time_ns)[:, None] * before.mean[rows, 3:]
        axes = sight_axes(z.sight)
        stated: FloatArray = np.sqrt(np.einsum("nai,nij,naj->na", axes, z.R[:, :2, :2], axes))
        out = []
        for i, apart in enumerate(np.hypot(*(z.value[:, :2] - place).T).tolist()):
            went = self._goes_to.get((int(z.sensor[i]), int(z.detection[i])), row)
            out.append(
                Told(
                    row=int(z.detection[i]),
                    class_name=CLASSES[int(z.class_prob[i].argmax())],
                    score=float(existence.probability(z.odds[i])),
                    distance_m=apart,
                    sigmas=float(np.sqrt(met.distance[i])),
                    gain=float(met.gain[i]),
                    agreement=float(met.agreement[i]),
                    stated_sigma_m=(float(stated[i, 0]), float(stated[i, 1])),
                    other=int(before.id[went]) if went != row else 0,
                )
            )
        return out

    def _unusable_near(self, row: int, sensor: int, reach: float) -> bool:
        """Whether the sensor has a detection near the track that was left out, since it cannot be filtered."""
        seen = self._met.frames.slots[sensor].detections
        assert seen is not None
        usable = self._pool.z.detection[self._pool.z.sensor == sensor]
        left_out = np.setdiff1d(np.arange(len(seen)), usable)
        place = self._met.frames.odom_SE3_ego @ seen.position[left_out].astype(np.float64)
        return bool((np.hypot(*(place[:, :2] - self._before.mean[row, :2]).T) < reach).any())

    def _range(self, row: int) -> float:
        return float(np.hypot(*(self._before.mean[row, :2] - np.array(self._met.frames.position[:2]))))
