"""Which detection belongs to which track: likelihood ratio of each near pair, then the best one-to-one assignment.

The gain of a pair is the log of  P(detection | it is this track's object) / P(detection | it is clutter), so that a
pair is taken only where it is the better explanation. It contains the detection's own score (log-odds), so that weak
detections keep a track alive where nothing better is near, as the second pass of ByteTrack does (Zhang et al. 2022),
and class agreement, without a pass or threshold of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from fusion.kalman import FloatArray, innovate, predict
from fusion.measurements import IntArray, Measurements, seconds
from fusion.tracks import Tracks
from pipeline.core.messages import C
from pipeline.core.settings import Settings


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


def candidates(
    tracks: Tracks, z: Measurements, accel_psd: FloatArray, climb_psd: float, settings: AssociationSettings
) -> Pairs:
    """All pairs inside the gate, each track predicted to the instant of the detection it is paired with."""
    row, column = _near(tracks, z, accel_psd, climb_psd, settings)
    pair_z = z.take(column)
    dt = seconds(pair_z.time_ns - tracks.time_ns[row])
    mean, cov = predict(tracks.mean[row], tracks.cov[row], dt, accel_psd[row], climb_psd)
    seen = innovate(mean, cov, np.minimum(dt, 0.0), pair_z, settings.resolve_sigmas)
    loose = seen.S.copy()
    loose[:, [0, 1], [0, 1]] += settings.slack_m**2
    distance, log_norm = seen._replace(S=loose).whitened()

    radial_clutter = np.where(pair_z.ambiguity > 0, pair_z.ambiguity, 4 * settings.velocity_clutter)
    log_clutter = (
        np.log(settings.clutter_per_m3)
        - 2.0 * np.log(4.0 * settings.velocity_clutter) * seen.present[:, 3]
        - np.log(radial_clutter) * seen.present[:, 5]
    )
    agreement = np.log(C * np.einsum("nc,nc->n", tracks.class_prob[row], pair_z.class_prob) + 1e-3)
    odds = np.log(pair_z.score / (1.0 - pair_z.score))
    gain = -0.5 * (distance + log_norm) - log_clutter + settings.class_weight * agreement + odds
    inside = (distance < settings.gate_sigmas**2) & (gain > 0.0)
    return Pairs(row[inside], column[inside], gain[inside])


def _near(
    tracks: Tracks, z: Measurements, accel_psd: FloatArray, climb_psd: float, settings: AssociationSettings
) -> tuple[IntArray, IntArray]:
    """Pairs that can be inside the gate at all, since d' S^-1 d >= |d|^2 / trace(S), with S bounded over the frame."""
    dt = seconds(z.time_ns[None, :] - tracks.time_ns[:, None])  # (M, N)
    apart = z.position[None, :, :2] - tracks.mean[:, None, :2] - dt[..., None] * tracks.mean[:, None, 3:]
    forward = np.maximum(dt, 0.0)
    velocity_var = tracks.cov[:, 3, 3] + tracks.cov[:, 4, 4]
    position_var = tracks.cov[:, 0, 0] + tracks.cov[:, 1, 1]
    cross = tracks.cov[:, 0, 3] + tracks.cov[:, 1, 4]
    spread = position_var[:, None] + 2.0 * dt * cross[:, None] + dt**2 * velocity_var[:, None]
    spread += 2.0 / 3.0 * accel_psd[:, None] * forward**3 + (z.position_cov[:, 0, 0] + z.position_cov[:, 1, 1])[None, :]
    spread += 2.0 * settings.slack_m**2
    row, column = np.nonzero((apart**2).sum(axis=2) < settings.gate_sigmas**2 * spread)
    return row.astype(np.int64), column.astype(np.int64)


def assign(pairs: Pairs, z: Measurements) -> tuple[IntArray, IntArray]:
    """One-to-one per sensor, largest total gain (Kuhn 1955, by scipy): rows of tracks and of detections."""
    chosen_track, chosen_detection = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    sensor_of_pair = z.sensor[pairs.detection]
    for sensor in np.unique(sensor_of_pair):
        mine = np.flatnonzero(sensor_of_pair == sensor)
        rows, row = np.unique(pairs.track[mine], return_inverse=True)
        columns, column = np.unique(pairs.detection[mine], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        gain[row, column] = pairs.gain[mine]
        best_row, best_column = linear_sum_assignment(gain, maximize=True)
        real = gain[best_row, best_column] > 0.0
        chosen_track.append(rows[best_row[real]])
        chosen_detection.append(columns[best_column[real]])
    return np.concatenate(chosen_track), np.concatenate(chosen_detection)


def without_duplicates(z: Measurements, duplicate_m: float) -> Measurements:
    """Greedy non-maximum suppression by centre distance within each sensor; the better score stays."""
    if len(z) == 0:
        return z
    apart = ((z.position[:, None, :2] - z.position[None, :, :2]) ** 2).sum(axis=2)
    width = np.nan_to_num(np.minimum(z.size[:, 0], z.size[:, 1]), nan=duplicate_m)
    reach = np.minimum(duplicate_m, 0.5 * (width[:, None] + width[None, :]))
    close = (apart < reach**2) & (z.sensor[:, None] == z.sensor[None, :])
    kept = np.ones(len(z), dtype=bool)
    for row in np.flatnonzero(np.triu(close, 1).any(axis=1)):  # rows stand in order of score within a sensor
        if kept[row]:
            kept[row + 1 :] &= ~close[row, row + 1 :]
    return z if kept.all() else z.take(kept)


def duplicate_tracks(tracks: Tracks, shared: npt.NDArray[np.bool_], near_m: float) -> npt.NDArray[np.bool_]:
    """(M,) which tracks only repeat another: as near as two objects cannot be, and never told apart by a sensor.

    shared (M, M): whether one sensor saw both in this frame set. Of two, the one with more evidence stays, then the
    older.
    """
    m = len(tracks)
    repeats = np.zeros(m, dtype=bool)
    apart = ((tracks.mean[:, None, :2] - tracks.mean[None, :, :2]) ** 2).sum(axis=2)
    width = np.minimum(tracks.size[:, 0], tracks.size[:, 1])
    reach = np.maximum(near_m * np.minimum(width[:, None], width[None, :]), 0.3)
    close = (apart < reach**2) & ~shared
    order = np.lexsort((tracks.id, -tracks.evidence))
    for place, row in enumerate(order):
        if not repeats[row]:
            later = order[place + 1 :]
            repeats[later[close[row, later]]] = True
    return repeats
