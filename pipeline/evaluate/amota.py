"""nuScenes tracking metrics: AMOTA and AMOTP over 40 recall levels.

Weng et al., A Baseline for 3D Multi-Object Tracking (2019); matching as in Bernardin & Stiefelhagen (2008): pairs of
the past are kept while they stay within reach, the rest is assigned at least total distance. Same numbers as
nuscenes-devkit, except that holes are filled on the straight line between both ends (the devkit swaps the two weights,
which shows only in holes longer than one frame).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.core.messages import CLASSES
from pipeline.evaluate.boxes import Boxes, FloatArray, IntArray
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.detection import Sample

WORST_MOTP = 2.0
"""Metres; what AMOTP takes for a recall that is never reached."""


@dataclass(frozen=True, eq=False)
class TrackFrame:
    """One class at one instant: ids and ground positions (K, 2) of truth, of tracks, and the tracks' scores."""

    truth_id: IntArray
    truth_xy: FloatArray
    track_id: IntArray
    track_xy: FloatArray
    score: FloatArray


@dataclass(frozen=True, eq=False)
class Account:
    """Events over all frames at one score threshold. distance: sum over matches and switches, m."""

    matches: int
    switches: int
    misses: int
    false: int
    distance: float

    @property
    def objects(self) -> int:
        return self.matches + self.switches + self.misses

    @property
    def recall(self) -> float:
        return (self.matches + self.switches) / self.objects

    @property
    def mota(self) -> float:
        """Clipped at 0, as nuScenes does."""
        return max(0.0, 1.0 - (self.misses + self.switches + self.false) / self.objects)

    @property
    def motar(self) -> float:
        """MOTA normalised by the recall reached; NaN where nothing matched."""
        recall = self.matches / self.objects
        if recall == 0:
            return float("nan")
        wrong = self.misses + self.switches + self.false - (1.0 - recall) * self.objects
        return max(0.0, 1.0 - wrong / (recall * self.objects))

    @property
    def motp(self) -> float:
        """Mean distance of matched pairs, m; NaN where nothing matched."""
        found = self.matches + self.switches
        return self.distance / found if found else float("nan")


@dataclass(frozen=True, eq=False)
class AmotaResult:
    """One class. best: the account at the threshold of highest MOTA, with that threshold as ``confidence``."""

    amota: float
    amotp: float
    best: Account | None
    confidence: float


def score_amota(samples: Sequence[Sample], config: EvalConfig) -> dict[str, AmotaResult]:
    """By class, for the tracking classes with truth. Scores are averaged over each track; holes are filled."""
    truth = fill_holes([s.time_ns for s in samples], [s.truth for s in samples])
    tracks = fill_holes([s.time_ns for s in samples], _track_scores([s.predictions for s in samples]))
    results = {}
    for name in config.tracking_classes:
        frames = [of_class(t, p, CLASSES.index(name)) for t, p in zip(truth, tracks, strict=True)]
        if any(len(frame.truth_id) for frame in frames):
            results[name] = amota(frames, config.match_threshold_m, config.min_recall, config.tracking_recalls)
    return results


def amota(frames: Sequence[TrackFrame], reach_m: float, min_recall: float, recalls: int) -> AmotaResult:
    """AMOTA and AMOTP of one class; there must be at least one truth object."""
    thresholds = _thresholds(frames, reach_m, min_recall, recalls)
    accounts = {t: account(frames, reach_m, t)[0] for t in np.unique(thresholds[np.isfinite(thresholds)]).tolist()}
    motar = [accounts[t].motar if np.isfinite(t) else float("nan") for t in thresholds.tolist()]
    motp = [accounts[t].motp if np.isfinite(t) else float("nan") for t in thresholds.tolist()]
    # Ascending threshold = falling recall: the first maximum is the one of highest recall.
    best = max(accounts, key=lambda t: accounts[t].mota) if accounts else float("nan")
    return AmotaResult(
        float(np.nan_to_num(motar, nan=0.0).mean()),
        float(np.nan_to_num(motp, nan=WORST_MOTP).mean()),
        accounts.get(best),
        best,
    )


def account(
    frames: Sequence[TrackFrame], reach_m: float, threshold: float | None = None
) -> tuple[Account, list[float]]:
    """Match all frames in time order with tracks of score >= threshold.

    Returns the account and the scores of the plain matches (no switches), from which thresholds are derived.
    """
    partner: dict[int, int] = {}  # truth id -> track id it was last paired with
    scores: list[float] = []
    matches = switches = misses = false = 0
    distance_sum = 0.0
    for frame in frames:
        use = np.ones(len(frame.score), bool) if threshold is None else frame.score >= threshold
        ids, score = frame.track_id[use], frame.score[use]
        delta = frame.truth_xy[:, None] - frame.track_xy[use][None]
        distance = np.hypot(delta[..., 0], delta[..., 1])
        distance[distance >= reach_m] = np.nan
        pairs = associate(frame.truth_id, ids, distance, partner)
        for row, column in pairs:
            truth_id, track_id = int(frame.truth_id[row]), int(ids[column])
            distance_sum += float(distance[row, column])
            if partner.get(truth_id, track_id) == track_id:
                matches += 1
                scores.append(float(score[column]))
            else:
                switches += 1
            partner[truth_id] = track_id
        misses += len(frame.truth_id) - len(pairs)
        false += len(ids) - len(pairs)
    return Account(matches, switches, misses, false, distance_sum), scores


def associate(
    truth_ids: IntArray, track_ids: IntArray, distance: FloatArray, partner: dict[int, int]
) -> list[tuple[int, int]]:
    """Pairs (row of truth, column of track) of one frame: those of the past first, then the rest at least distance.

    distance: (truths, tracks) m, NaN out of reach. partner: truth id -> track id it was last paired with.
    """
    pairs = _kept(truth_ids, track_ids, distance, partner)
    free = distance.copy()
    for row, column in pairs:
        free[row], free[:, column] = np.nan, np.nan
    return pairs + _assigned(free)


def fill_holes(times_ns: Sequence[int], frames: Sequence[Boxes]) -> list[Boxes]:
    """Boxes of an identity that is missing between two frames that have it, on the straight line between the two.

    Size, yaw and class come from the later box; so do unidentified rows (-1), which are left alone.
    """
    seen: dict[int, list[tuple[int, int]]] = {}  # identity -> (frame, row)
    for index, boxes in enumerate(frames):
        for row, identity in enumerate(boxes.identity.tolist()):
            if identity >= 0:
                seen.setdefault(identity, []).append((index, row))
    added: dict[int, list[Boxes]] = {}
    for places in seen.values():
        for (i, row_i), (j, row_j) in itertools.pairwise(places):
            for hole in range(i + 1, j):
                fraction = (times_ns[hole] - times_ns[i]) / (times_ns[j] - times_ns[i])
                before, after = frames[i][[row_i]], frames[j][[row_j]]
                position = before.position + fraction * (after.position - before.position)
                score = before.score + fraction * (after.score - before.score)
                filled = after.replaced(position=position, score=score)
                added.setdefault(hole, []).append(filled)
    return [Boxes.join([boxes, *added.get(index, [])]) for index, boxes in enumerate(frames)]


def _thresholds(frames: Sequence[TrackFrame], reach_m: float, min_recall: float, recalls: int) -> FloatArray:
    """Score at which each recall level, highest first, is reached if all else stayed; NaN where it never is."""
    truths = sum(len(frame.truth_id) for frame in frames)
    _, scores = account(frames, reach_m)
    levels = np.linspace(min_recall, 1, recalls).round(12)
    if not scores:
        return np.full(recalls, np.nan)
    falling = np.sort(scores)[::-1]
    reached = np.arange(1, len(falling) + 1) / truths
    thresholds: FloatArray = np.interp(levels, reached, falling, right=0)
    thresholds[levels > reached[-1]] = np.nan
    return thresholds[::-1]


def _kept(
    truth_ids: IntArray, track_ids: IntArray, distance: FloatArray, partner: dict[int, int]
) -> list[tuple[int, int]]:
    """Pairs of the past that are both here and within reach; a track taken by one object is not given to another."""
    column_of = {int(track): column for column, track in enumerate(track_ids)}
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for row, truth in enumerate(truth_ids.tolist()):
        column = column_of.get(partner.get(truth, -1), -1)
        if column >= 0 and column not in taken and np.isfinite(distance[row, column]):
            pairs.append((row, column))
            taken.add(column)
    return pairs


def _assigned(distance: FloatArray) -> list[tuple[int, int]]:
    """As many pairs as possible at least total distance; NaN = not allowed."""
    allowed = np.isfinite(distance)
    if not allowed.any():
        return []
    forbidden = 2.0 * min(distance.shape) * (float(np.nanmax(distance)) + 1.0) + 1.0
    rows, columns = linear_sum_assignment(np.where(allowed, distance, forbidden))
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if allowed[r, c]]


def _track_scores(frames: Sequence[Boxes]) -> list[Boxes]:
    """Each box with the mean score of its track over the run."""
    identity = np.concatenate([b.identity for b in frames]) if frames else np.zeros(0, np.int64)
    score = np.concatenate([b.score for b in frames]) if frames else np.zeros(0)
    ids, inverse = np.unique(identity, return_inverse=True)
    mean = np.bincount(inverse, score, len(ids)) / np.maximum(1, np.bincount(inverse, minlength=len(ids)))
    averaged = np.split(mean[inverse], np.cumsum([len(b) for b in frames])[:-1])
    return [boxes.replaced(score=score) for boxes, score in zip(frames, averaged, strict=True)]


def of_class(truth: Boxes, tracks: Boxes, class_id: int) -> TrackFrame:
    t, p = truth[truth.class_id == class_id], tracks[tracks.class_id == class_id]
    return TrackFrame(t.identity, t.position[:, :2], p.identity, p.position[:, :2], p.score)
