"""HOTA, CLEAR and identity metrics of one class, with the definitions and numbers of TrackEval.

Similarity of two objects falls from 1 at the same place to 0 at ``zero_m``. HOTA: Luiten et al., IJCV 2021. CLEAR:
Bernardin & Stiefelhagen, 2008. IDF1: Ristani et al., 2016. CLEAR and IDF1 accept a pair from similarity 0.5, half of
``zero_m``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.evaluate.amota import TrackFrame
from pipeline.evaluate.boxes import FloatArray, IntArray

ALPHAS = np.arange(0.05, 0.99, 0.05)
_EPS = np.finfo(float).eps
_ACCEPT = 0.5


@dataclass(frozen=True, eq=False)
class HotaResult:
    """hota, deta, assa, loca: means over the 19 localisation thresholds; hota_curve: (19,)."""

    hota: float
    deta: float
    assa: float
    loca: float
    hota_curve: FloatArray


@dataclass(frozen=True, eq=False)
class ClearResult:
    """mota: may be negative. mostly_tracked/lost: objects found in more than 80 % / less than 20 % of their frames."""

    mota: float
    recall: float
    precision: float
    switches: int
    fragmentations: int
    mostly_tracked: int
    mostly_lost: int
    hits: int
    misses: int
    false: int


@dataclass(frozen=True, eq=False)
class _Sequence:
    """Ids renumbered from 0, similarity per frame."""

    truth: list[IntArray]
    tracks: list[IntArray]
    similarity: list[FloatArray]
    truths: int
    track_count: int


def hota(frames: Sequence[TrackFrame], zero_m: float) -> HotaResult:
    sequence = _sequence(frames, zero_m)
    truth_count, track_count = _counts(sequence)
    if not truth_count.sum() or not track_count.sum():
        return HotaResult(0.0, 0.0, 0.0, 1.0, np.zeros(len(ALPHAS)))

    overlap = np.zeros((sequence.truths, sequence.track_count))
    for truth, tracks, similarity in zip(sequence.truth, sequence.tracks, sequence.similarity, strict=True):
        union = similarity.sum(0)[None, :] + similarity.sum(1)[:, None] - similarity
        overlap[np.ix_(truth, tracks)] += np.divide(
            similarity, union, out=np.zeros_like(similarity), where=union > _EPS
        )
    alignment = overlap / (truth_count[:, None] + track_count[None, :] - overlap)

    pair, value = _aligned(sequence, alignment)
    hits, located, assa = (np.zeros(len(ALPHAS)) for _ in range(3))
    for a, alpha in enumerate(ALPHAS):
        ok = value >= alpha - _EPS
        pairs, together = np.unique(pair[ok], return_counts=True)
        truth, track = np.divmod(pairs, sequence.track_count)
        either = truth_count[truth] + track_count[track] - together
        hits[a], located[a] = ok.sum(), value[ok].sum()
        assa[a] = (together * together / either).sum() / max(1, hits[a])

    deta = hits / np.maximum(1, truth_count.sum() + track_count.sum() - hits)
    loca = np.maximum(1e-10, located) / np.maximum(1e-10, hits)
    curve = np.sqrt(deta * assa)
    return HotaResult(float(curve.mean()), float(deta.mean()), float(assa.mean()), float(loca.mean()), curve)


def clear(frames: Sequence[TrackFrame], zero_m: float) -> ClearResult:
    sequence = _sequence(frames, zero_m)
    seen, matched, began = (np.zeros(sequence.truths) for _ in range(3))
    last = np.full(sequence.truths, -1)  # partner when last matched, however long ago
    previous = np.full(sequence.truths, -1)  # partner in the frame before
    hits = misses = false = switches = 0
    for truth, tracks, similarity in zip(sequence.truth, sequence.tracks, sequence.similarity, strict=True):
        seen[truth] += 1
        if not similarity.size:
            misses += len(truth)
            false += len(tracks)
            continue
        # Keeping last frame's partner outweighs any similarity.
        value = 1000.0 * (tracks[None, :] == previous[truth][:, None]) + similarity
        value[similarity < _ACCEPT - _EPS] = 0
        rows, columns = linear_sum_assignment(-value)
        ok = value[rows, columns] > _EPS
        found, partner = truth[rows[ok]], tracks[columns[ok]]
        switches += int(((last[found] >= 0) & (last[found] != partner)).sum())
        matched[found] += 1
        now = np.full(sequence.truths, -1)
        now[found] = partner
        began += (previous < 0) & (now >= 0)
        last[found], previous = partner, now
        hits += len(found)
        misses += len(truth) - len(found)
        false += len(tracks) - len(found)
    ratio = matched[seen > 0] / seen[seen > 0]
    tracked, lost = int((ratio > 0.8).sum()), int((ratio < 0.2).sum())
    return ClearResult(
        mota=(hits - false - switches) / max(1, hits + misses),
        recall=hits / max(1, hits + misses),
        precision=hits / max(1, hits + false),
        switches=switches,
        fragmentations=int((began[began > 0] - 1).sum()),
        mostly_tracked=tracked,
        mostly_lost=lost,
        hits=hits,
        misses=misses,
        false=false,
    )


def idf1(frames: Sequence[TrackFrame], zero_m: float) -> float:
    """F1 of detections under the best one-to-one assignment of whole tracks to whole objects."""
    sequence = _sequence(frames, zero_m)
    together = np.zeros((sequence.truths, sequence.track_count))
    for truth, tracks, similarity in zip(sequence.truth, sequence.tracks, sequence.similarity, strict=True):
        together[np.ix_(truth, tracks)] += similarity >= _ACCEPT
    rows, columns = linear_sum_assignment(-together)
    truth_count, track_count = _counts(sequence)
    return float(2.0 * together[rows, columns].sum() / max(1.0, truth_count.sum() + track_count.sum()))


def _aligned(sequence: _Sequence, alignment: FloatArray) -> tuple[IntArray, FloatArray]:
    """Pairs of all frames that serve the global alignment best, as truth * track_count + track, and similarity."""
    pairs, values = [np.zeros(0, np.int64)], [np.zeros(0)]
    for truth, tracks, similarity in zip(sequence.truth, sequence.tracks, sequence.similarity, strict=True):
        rows, columns = linear_sum_assignment(-alignment[np.ix_(truth, tracks)] * similarity)
        pairs.append(truth[rows] * sequence.track_count + tracks[columns])
        values.append(similarity[rows, columns])
    return np.concatenate(pairs), np.concatenate(values)


def _sequence(frames: Sequence[TrackFrame], zero_m: float) -> _Sequence:
    truth_ids = np.unique(np.concatenate([f.truth_id for f in frames]) if frames else np.zeros(0, np.int64))
    track_ids = np.unique(np.concatenate([f.track_id for f in frames]) if frames else np.zeros(0, np.int64))
    similarity = []
    for frame in frames:
        delta = frame.truth_xy[:, None] - frame.track_xy[None]
        similarity.append(np.maximum(0.0, 1.0 - np.hypot(delta[..., 0], delta[..., 1]) / zero_m))
    return _Sequence(
        [np.searchsorted(truth_ids, f.truth_id) for f in frames],
        [np.searchsorted(track_ids, f.track_id) for f in frames],
        similarity,
        len(truth_ids),
        len(track_ids),
    )


def _counts(sequence: _Sequence) -> tuple[FloatArray, FloatArray]:
    """Frames in which each object and each track is present."""
    truth = np.bincount(np.concatenate([*sequence.truth, np.zeros(0, np.int64)]), minlength=sequence.truths)
    tracks = np.bincount(np.concatenate([*sequence.tracks, np.zeros(0, np.int64)]), minlength=sequence.track_count)
    return truth.astype(float), tracks.astype(float)
