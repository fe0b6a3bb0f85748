"""Which detection belongs to which track: likelihood ratio of each near pair, then the best one-to-one assignment.

The gain of a pair is the log of  P(detection | it is this track's object) / P(detection | it is clutter), so that a
pair is taken only where it is the better explanation. It contains the detection's own score (log-odds), so that weak
detections keep a track alive where nothing better is near, as the second pass of ByteTrack does (Zhang et al. 2022),
and class agreement, without a pass or threshold of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from fusion.kalman import innovate
from fusion.measurements import BoolArray, FloatArray, IntArray, Measurements, seconds
from fusion.tracks import Tracks
from pipeline.core.messages import C
from pipeline.core.settings import Settings

_MAX_WANDER = 1.0  # m2: bound of what `innovate` adds to R


class AssociationSettings(Settings, frozen=True):
    """gate_sigmas: a pair further apart than this many standard deviations is none.

    slack_m: 1-sigma, added to every pair's covariance here, though not in the filter: a sensor with a silent fault must
    stay inside the gate, or it would double every object.
    clutter_per_m3: false detections per volume; velocity_clutter: their spread of velocities, m/s, per axis.
    class_weight: how much class agreement counts (0 = not at all).
    resolve_sigmas: a radial speed known modulo an interval is used where this many sigmas fit into half of it.
    duplicate_m: two detections of one sensor nearer than this are one object, as long as neither is wider than this.
    """

    gate_sigmas: float = 3.8
    slack_m: float = 0.5
    clutter_per_m3: float = 3e-5
    velocity_clutter: float = 10.0
    class_weight: float = 1.0
    resolve_sigmas: float = 3.0
    duplicate_m: float = 0.8


class Pairs(NamedTuple):
    """Candidate pairs, ordered by track, then detection. gain: log likelihood ratio against clutter."""

    track: IntArray
    detection: IntArray
    gain: FloatArray

    def take(self, rows: IntArray | BoolArray) -> Pairs:
        return Pairs(self.track[rows], self.detection[rows], self.gain[rows])


def candidates(
    tracks: Tracks, z: Measurements, time_ns: int, accel_psd: FloatArray, settings: AssociationSettings
) -> Pairs:
    """All pairs inside the gate; the tracks stand at ``time_ns``, each detection is met at its own instant."""
    ahead = seconds(z.time_ns - time_ns)
    row, column = _near(tracks, z, ahead, settings)
    pair_z, cov = z.take(column), tracks.cov[row]
    cov[:, 0, 0] += settings.slack_m**2
    cov[:, 1, 1] += settings.slack_m**2
    seen = innovate(tracks.mean[row], cov, ahead[column], accel_psd[row], pair_z, settings.resolve_sigmas)
    distance = seen.distance()

    log_clutter = np.full(len(row), np.log(settings.clutter_per_m3))
    if seen.present[:, 3:].any():
        width = np.where(pair_z.ambiguity > 0.0, pair_z.ambiguity, 4.0 * settings.velocity_clutter)
        log_clutter -= 2.0 * np.log(4.0 * settings.velocity_clutter) * seen.present[:, 3]
        log_clutter -= np.log(width) * seen.present[:, 5]
    agreement = np.log(C * np.einsum("nc,nc->n", tracks.class_prob[row], pair_z.class_prob) + 1e-3)
    gain = -0.5 * (distance + seen.log_norm()) - log_clutter + settings.class_weight * agreement + pair_z.odds
    return Pairs(row, column, gain).take((distance < settings.gate_sigmas**2) & (gain > 0.0))


def _near(
    tracks: Tracks, z: Measurements, ahead: FloatArray, settings: AssociationSettings
) -> tuple[IntArray, IntArray]:
    """Pairs that can be inside the gate at all: d' S^-1 d >= |d|^2 / trace(S), in the plane."""
    x = z.value[None, :, 0] - tracks.mean[:, 0, None] - ahead * tracks.mean[:, 3, None]  # (M, N)
    y = z.value[None, :, 1] - tracks.mean[:, 1, None] - ahead * tracks.mean[:, 4, None]
    P = tracks.cov
    constant = P[:, 0, 0] + P[:, 1, 1] + 2.0 * settings.slack_m**2
    linear = 2.0 * (P[:, 0, 3] + P[:, 1, 4])
    quadratic = P[:, 3, 3] + P[:, 4, 4]
    trace = (quadratic[:, None] * ahead + linear[:, None]) * ahead
    trace += constant[:, None] + (z.R[:, 0, 0] + z.R[:, 1, 1] + _MAX_WANDER)[None, :]
    row, column = np.nonzero(x * x + y * y < settings.gate_sigmas**2 * trace)
    return row.astype(np.int64), column.astype(np.int64)


def assign(pairs: Pairs, z: Measurements) -> tuple[IntArray, IntArray]:
    """One-to-one per sensor, largest total gain: rows of tracks and of detections, in the order of ``pairs``.

    Pairs that nothing competes with are taken as they are; the rest are one assignment problem (Kuhn 1955, solved by
    scipy), whose rows are seats: a track has one for each sensor.
    """
    seat = z.sensor[pairs.detection] * (int(pairs.track.max(initial=0)) + 1) + pairs.track
    taken = (np.bincount(seat)[seat] == 1) & (np.bincount(pairs.detection)[pairs.detection] == 1)
    rest = np.flatnonzero(~taken)
    seats, row = np.unique(seat[rest], return_inverse=True)
    detections, column = np.unique(pairs.detection[rest], return_inverse=True)
    gain, which = np.zeros((len(seats), len(detections))), np.full((len(seats), len(detections)), -1)
    gain[row, column], which[row, column] = pairs.gain[rest], rest
    best = which[linear_sum_assignment(gain, maximize=True)]
    taken[best[best >= 0]] = True
    return pairs.track[taken], pairs.detection[taken]


def without_duplicates(z: Measurements, duplicate_m: float) -> Measurements:
    """Greedy non-maximum suppression by centre distance within each sensor; the better score stays."""
    apart = 2.0 * duplicate_m
    floor = np.column_stack([z.value[:, :2], apart * z.sensor])  # sensors are kept apart by a third dimension
    close = KDTree(floor).query_pairs(duplicate_m, output_type="ndarray") if len(z) else np.zeros((0, 2), np.int64)
    kept = np.ones(len(z), dtype=bool)
    width = np.where(np.isfinite(z.size_var[:, 1]), np.minimum(z.size[:, 0], z.size[:, 1]), duplicate_m)
    for first, second in close[np.lexsort((close[:, 1], close[:, 0]))]:  # first < second, which has the lower score
        distance = np.hypot(*(z.value[first, :2] - z.value[second, :2]))
        if kept[first] and distance < 0.5 * (width[first] + width[second]):
            kept[second] = False
    return z if kept.all() else z.take(kept)


def founders(pairs: Pairs, z: Measurements) -> IntArray:
    """Which new object each detection belongs to: (N,) the row of the detection that founds it.

    pairs: of detections (as ``track``) with detections of other sensors. The most exact detection goes first; it founds
    an object unless it fits one already founded by another sensor, and an object takes one detection per sensor.
    """
    founder = np.arange(len(z))
    order = np.argsort(z.R[:, 0, 0] + z.R[:, 1, 1], kind="stable")
    rank = np.empty(len(z), dtype=np.int64)
    rank[order] = np.arange(len(z))
    earlier = pairs.take(rank[pairs.track] < rank[pairs.detection])
    taken: set[tuple[int, int]] = set()
    for k in np.lexsort((-earlier.gain, rank[earlier.detection])):
        first, second = int(earlier.track[k]), int(earlier.detection[k])
        seat = (first, int(z.sensor[second]))
        if founder[first] == first and founder[second] == second and z.sensor[first] != seat[1] and seat not in taken:
            founder[second] = first
            taken.add(seat)
    return founder


def duplicate_tracks(tracks: Tracks, told_apart: BoolArray, near: float) -> BoolArray:
    """(M,) which tracks only repeat another: nearer than the share ``near`` of their width, and never told apart.

    told_apart (M, M): whether one sensor saw both in this frame set. Of two, the one with more evidence stays, then the
    older.
    """
    repeats = np.zeros(len(tracks), dtype=bool)
    x = tracks.mean[:, 0, None] - tracks.mean[None, :, 0]
    y = tracks.mean[:, 1, None] - tracks.mean[None, :, 1]
    width = np.minimum(tracks.size[:, 0], tracks.size[:, 1])
    reach = np.maximum(near * np.minimum(width[:, None], width[None, :]), 0.3)
    close = (x * x + y * y < reach * reach) & ~told_apart
    rank = np.empty(len(tracks), dtype=np.int64)
    rank[np.lexsort((tracks.id, -tracks.evidence))] = np.arange(len(tracks))
    first, second = np.nonzero(close & (rank[:, None] < rank[None, :]))
    for k in np.argsort(rank[first], kind="stable"):
        if not repeats[first[k]]:
            repeats[second[k]] = True
    return repeats
