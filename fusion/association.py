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

_SAME_M = 0.3  # no two objects are nearer than that


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
    row, column = _near(tracks, z, seconds(z.time_ns - time_ns), accel_psd, settings)
    met = compared(tracks, row, z.take(column), time_ns, accel_psd, settings)
    return Pairs(row, column, met.gain).take((met.distance < settings.gate_sigmas**2) & (met.gain > 0.0))


class Compared(NamedTuple):
    """N pairs. distance: squared Mahalanobis; agreement: log of how well the classes agree; gain as in `Pairs`."""

    distance: FloatArray
    agreement: FloatArray
    gain: FloatArray


def compared(
    tracks: Tracks, row: IntArray, z: Measurements, time_ns: int, accel_psd: FloatArray, settings: AssociationSettings
) -> Compared:
    """How well detection i goes with track row[i], whether or not they are near each other; accel_psd (M,)."""
    cov = tracks.whole_cov[row]
    cov[:, 0, 0] += settings.slack_m**2
    cov[:, 1, 1] += settings.slack_m**2
    ahead = seconds(z.time_ns - time_ns)
    seen = innovate(tracks.mean[row], cov, ahead, accel_psd[row], z, settings.resolve_sigmas)
    distance, log_norm = seen.fit()

    log_clutter = np.full(len(row), np.log(settings.clutter_per_m3))
    if 3 in seen.measured:
        log_clutter -= 2.0 * np.log(4.0 * settings.velocity_clutter) * seen.present[:, 3]
    if 5 in seen.measured:
        width = np.where(z.ambiguity > 0.0, z.ambiguity, 4.0 * settings.velocity_clutter)
        log_clutter -= np.log(width) * seen.present[:, -1]
    agreement = np.log(C * np.einsum("nc,nc->n", tracks.class_prob[row], z.class_prob) + 1e-3)
    gain = -0.5 * (distance + log_norm) - log_clutter + settings.class_weight * agreement + z.odds
    return Compared(distance, agreement, gain)


def _near(
    tracks: Tracks, z: Measurements, ahead: FloatArray, accel_psd: FloatArray, settings: AssociationSettings
) -> tuple[IntArray, IntArray]:
    """Pairs that can be inside the gate at all, judged by their horizontal positions alone."""
    loose = z.R[:, :2, :2].copy()
    wander = accel_psd.max(initial=0.0) * np.abs(ahead) ** 3 / 3.0  # the most that `innovate` adds
    loose[:, [0, 1], [0, 1]] += (settings.slack_m**2 + wander)[:, None]
    reach = settings.gate_sigmas * np.sqrt(loose[:, 0, 0] + loose[:, 1, 1])
    row, column = np.nonzero(_within_reach(tracks, z, ahead, reach, settings.gate_sigmas))
    P, R, ahead = tracks.cov[row], loose[column], ahead[column]
    x, y = (z.value[column, axis] - tracks.mean[row, axis] - ahead * tracks.mean[row, axis + 3] for axis in (0, 1))
    a = P[:, 0, 0] + (2.0 * P[:, 0, 3] + P[:, 3, 3] * ahead) * ahead + R[:, 0, 0]
    b = P[:, 0, 1] + (P[:, 0, 4] + P[:, 1, 3] + P[:, 3, 4] * ahead) * ahead + R[:, 0, 1]
    d = P[:, 1, 1] + (2.0 * P[:, 1, 4] + P[:, 4, 4] * ahead) * ahead + R[:, 1, 1]
    near = a * y * y - 2.0 * b * x * y + d * x * x < settings.gate_sigmas**2 * (a * d - b * b)
    return row[near].astype(np.int64), column[near].astype(np.int64)


def _within_reach(tracks: Tracks, z: Measurements, ahead: FloatArray, s: FloatArray, gate_sigmas: float) -> BoolArray:
    """(M, N) |p - q| <= r + s: no gate of a track at p and a detection at q reaches further, whatever its shape.

    Squared and multiplied out, that is the sign of one matrix product: (p.p - r r) + (q.q - s s) - 2 (p.q + r s) <= 0.
    """
    m, n = len(tracks), len(z)
    early, late = float(ahead.min(initial=0.0)), float(ahead.max(initial=0.0))
    middle, half = 0.5 * (early + late), 0.5 * (late - early)
    origin = z.value[:, :2].mean(axis=0) if n else np.zeros(2)
    p = tracks.mean[:, :2] + middle * tracks.mean[:, 3:] - origin
    q = z.value[:, :2] - origin
    P = tracks.cov
    constant, linear, quadratic = P[:, 0, 0] + P[:, 1, 1], 2.0 * (P[:, 0, 3] + P[:, 1, 4]), P[:, 3, 3] + P[:, 4, 4]
    # the trace of a covariance bounds its largest axis; it is convex in time, so the ends bound what lies between
    trace = np.maximum(*(constant + (linear + quadratic * t) * t for t in (early, late)))
    r = gate_sigmas * np.sqrt(trace) + half * np.hypot(tracks.mean[:, 3], tracks.mean[:, 4])
    left = np.column_stack([p, r, (p * p).sum(axis=1) - r * r, np.ones(m)])
    right = np.column_stack([-2.0 * q, -2.0 * s, np.ones(n), (q * q).sum(axis=1) - s * s])
    return np.asarray(left @ right.T <= 1e-6)


class Matches(NamedTuple):
    """Pairs that are taken. certainty: share of the pair's likelihood among all that could explain its detection, 0..1;
    a detection that fits many tracks alike speaks for none of them.
    """

    track: IntArray
    detection: IntArray
    certainty: FloatArray


def assign(pairs: Pairs, z: Measurements) -> Matches:
    """One-to-one per sensor, largest total gain, in the order of ``pairs``.

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
    best_gain = np.zeros(len(z))
    np.maximum.at(best_gain, pairs.detection, pairs.gain)
    likelihood = np.exp(pairs.gain - best_gain[pairs.detection])
    certainty = likelihood / np.bincount(pairs.detection, likelihood, len(z))[pairs.detection]
    return Matches(pairs.track[taken], pairs.detection[taken], certainty[taken])


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


def duplicate_tracks(tracks: Tracks, hit: BoolArray, near: float) -> BoolArray:
    """(M,) which tracks only repeat another: nearer than the share ``near`` of their width, and never told apart.

    hit (M, S): which sensors saw which track in this frame set; one that saw both tells them apart. Of two, the one
    with more evidence stays, then the older.
    """
    repeats = np.zeros(len(tracks), dtype=bool)
    width = np.minimum(tracks.size[:, 0], tracks.size[:, 1])
    tree = KDTree(tracks.mean[:, :2])
    close = tree.query_pairs(max(near * float(width.max(initial=0.0)), _SAME_M), output_type="ndarray")
    rank = np.empty(len(tracks), dtype=np.int64)
    rank[np.lexsort((tracks.id, -tracks.evidence))] = np.arange(len(tracks))
    better = np.where(rank[close[:, 0]] < rank[close[:, 1]], close[:, 0], close[:, 1])
    worse = close.sum(axis=1) - better
    for k in np.lexsort((rank[worse], rank[better])):
        first, second = better[k], worse[k]
        apart = np.hypot(*(tracks.mean[first, :2] - tracks.mean[second, :2]))
        reach = max(near * min(width[first], width[second]), _SAME_M)
        if apart < reach and not repeats[first] and not (hit[first] & hit[second]).any():
            repeats[second] = True
    return repeats
