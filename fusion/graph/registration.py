"""What the detections of each sensor have in common against those of all others: a turn, a lag, repeats, silences.

Of an object that several sensors see in one frame set, the place that a sensor gives is set against what the others
give together, each with the errors that it really makes (`fusion.beliefs`). If the sensor is turned by psi (rad) about
the vertical and late by tau (s), the difference is

    e = psi r u - tau v + noise        r: distance; u: unit vector to the left of the line of sight; v: velocity of the
                                       object as seen from the vehicle, which turns and moves itself

for every object alike. The normal equations of this least-squares problem are summed over objects and time with a
fading memory (sensor registration: Okello and Ristic, 2003; here one sensor against the rest, so that no track that
has already followed a faulty sensor is taken for the truth). b' inv(A) b is then twice the logarithm of the likelihood
ratio for "this sensor alone is off" (Willsky and Jones, 1976); with a prior for each of these faults, of which there is
one at most, it gives the log-odds of each. The network is told of all this, and adds to the odds what else it knows.

An error that stays with its object for a while is not averaged out by looking again, so a frame counts for less.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from fusion.beliefs import Expected, as_learned, belief_table
from fusion.measurements import FloatArray, IntArray, seconds
from fusion.sight import sight_axes
from fusion.weigher import Encounter
from pipeline.core.messages import Detections

REMEMBERED = 8
"""Numbers per sensor: A (turn, both, lag), b (turn, lag), shares of repeats and silences, fingerprint of a payload."""
SIGNS = (
    "turn", "lag", "turn_score", "lag_score", "score", "margin", "turn_sigma", "lag_sigma", "repeats", "silences",
    "absent_odds", "misaligned_odds", "mistimed_odds", "stuck_odds",
)  # fmt: skip
"""Columns of `signs`: rad, s, signed roots of twice the log likelihood ratios and its lead over the best other
sensor's, 1-sigmas of the estimates, shares of the last messages, all divided so that they come to about one; and the
log-odds of the faults that can be measured, nats."""
TURN_UNIT, LAG_UNIT = 0.03, 0.1  # rad, s

_MEMORY_S = 3.0
_LATELY_S = 1.0  # of repeats and silences, which need no averaging
_LASTS_S = 0.4  # the part of an error that is not new with every detection
_PRIOR = np.array([0.03, 0.1])  # 1-sigma of a turn, rad, and of a lag, s, that may be
_SURE = 1.0  # log-odds from which a track is compared
_OUTLIER = 2.5  # sigmas from which on a difference pulls no harder
_RARE = -5.0  # log prior of each turn and lag; its size also pays for what the noise model leaves out
_PER_REPEAT, _PER_SILENCE = 30.0, 20.0  # nats per share of the last messages; of a healthy sensor none comes twice
_SELDOM, _SURE_ODDS = -3.0, 6.0  # nats, at least and at most
_FLOOR = 0.05**2  # m2: what no sensor knows of where an object's middle is


def accumulate(before: FloatArray, met: Encounter) -> FloatArray:
    """(S, REMEMBERED) after an encounter what was (S, REMEMBERED) before it."""
    after = before.copy()
    keep, keep_lately = float(np.exp(-met.dt / _MEMORY_S)), float(np.exp(-met.dt / _LATELY_S))
    A, b = _normal_equations(met)
    after[:, :3] = keep * before[:, :3] + A
    after[:, 3:5] = keep * before[:, 3:5] + b
    for row, slot in enumerate(met.frames.slots):
        if slot.missing == "not_due":
            continue
        found = slot.detections
        checksum = 0.0 if found is None else _fingerprint(found)
        repeats = float(checksum != 0.0 and checksum == before[row, 7])
        lately = [repeats, float(found is None)]
        after[row, 5:7] = keep_lately * before[row, 5:7] + (1.0 - keep_lately) * np.array(lately)
        after[row, 7] = checksum or before[row, 7]
    return after


def signs(remembered: FloatArray) -> npt.NDArray[np.float32]:
    """(S, len(SIGNS)) of (S, REMEMBERED)."""
    A = np.empty((len(remembered), 2, 2))
    A[:, 0, 0], A[:, 0, 1], A[:, 1, 0], A[:, 1, 1] = remembered[:, [0, 1, 1, 2]].T
    A += np.diag(_PRIOR**-2)
    b = remembered[:, 3:5]
    cov = np.linalg.inv(A)
    estimate = np.einsum("sij,sj->si", cov, b)
    alone = b / np.sqrt(A[:, [0, 1], [0, 1]])
    score = np.sqrt(np.maximum(np.einsum("si,si->s", estimate, b), 0.0))
    columns = [
        *(estimate / [TURN_UNIT, LAG_UNIT]).T,
        *np.sign(alone.T) * np.log1p(np.abs(alone.T)),
        np.log1p(score),
        np.arcsinh(score - _best_other(score)),
        *(np.sqrt(cov[:, [0, 1], [0, 1]]) / _PRIOR).T,
        remembered[:, 5],
        remembered[:, 6],
        np.clip(_SELDOM + _PER_SILENCE * remembered[:, 6], _SELDOM, _SURE_ODDS),
        *_odds_of_one(0.5 * alone**2).T,
        np.clip(_SELDOM + _PER_REPEAT * remembered[:, 5], _SELDOM, _SURE_ODDS),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _odds_of_one(log_ratio: FloatArray) -> FloatArray:
    """(S, 2) log-odds of each fault, where at most one of all is there, from their likelihood ratios against none."""
    weight = np.exp(np.minimum(log_ratio + _RARE, 50.0))
    others = 1.0 + weight.sum() - weight
    return np.asarray(np.clip(np.log(weight / others), _SELDOM, _SURE_ODDS))


def carried(met: Encounter, place: FloatArray) -> FloatArray:
    """(N, 2) m/s, odom axes: velocity at ``place`` (N, 2) of the frame that moves and turns with the vehicle."""
    x, y, turn = met.ego_motion
    away = place - np.array(met.frames.position[:2])
    return np.asarray(np.array([x, y]) + turn * np.stack([-away[:, 1], away[:, 0]], axis=1))


def _fingerprint(found: Detections) -> float:
    """A number that two payloads share only if they are one: noise moves at least the last digits. Alignment moves
    positions, not these. 0 for no detections.
    """
    checksum = 0
    for column in (found.score, found.size, found.radial_speed):
        checksum = zlib.crc32(column.tobytes(), checksum)
    return float(checksum)


def _normal_equations(met: Encounter) -> tuple[FloatArray, FloatArray]:
    """What one frame set adds: (S, 3) and (S, 2)."""
    sensors = len(met.frames.slots)
    sure = (met.tracks.evidence[met.row] > _SURE) & (met.tracks.age[met.row] >= 2)
    z, row = met.z.take(sure), met.row[sure]
    belief = Expected(belief_table(), z, met.frames)
    z = as_learned(z, belief)
    velocity = met.tracks.mean[row, 3:]
    place = z.value[:, :2] - velocity * seconds(z.time_ns - met.time_ns)[:, None]
    old = belief.white + (1.0 - belief.white) * max(_LASTS_S / met.dt, 1.0)
    W = _inverse(old[:, None, None] * (z.R[:, :2, :2] + _FLOOR * np.eye(2)))
    others, pull = _of_others(row, W, (W @ place[..., None])[..., 0], len(met.tracks))
    seen_twice = others[:, 0, 0] > 0.0
    z, place, velocity, W = z.take(seen_twice), place[seen_twice], velocity[seen_twice], W[seen_twice]
    spread = _inverse(others[seen_twice])
    e = place - (spread @ pull[seen_twice][..., None])[..., 0]
    C = _inverse(W) + spread
    weight = _inverse(C)
    once = np.einsum("ni,nij,nj->n", e, weight, e) * old[seen_twice]
    weight *= np.minimum(1.0, _OUTLIER / np.sqrt(np.maximum(once, 1e-12)))[:, None, None]
    distance = np.hypot(*(place - np.array(met.frames.position[:2])).T)
    left = distance[:, None] * sight_axes(z.sight)[:, 1]
    G = np.stack([left, carried(met, place) - velocity], axis=2)  # (N, 2, 2), columns of turn and lag
    GtW = np.swapaxes(G, 1, 2) @ weight
    A, b = GtW @ G, (GtW @ e[..., None])[..., 0]
    parts = [A[:, 0, 0], A[:, 0, 1], A[:, 1, 1], b[:, 0], b[:, 1]]
    total = np.stack([np.bincount(z.sensor, part, sensors) for part in parts], axis=1).astype(np.float64)
    return total[:, :3], total[:, 3:]


def _of_others(row: IntArray, W: FloatArray, Wy: FloatArray, tracks: int) -> tuple[FloatArray, FloatArray]:
    """(N, 2, 2) and (N, 2) precision and pull that the other pairs of each pair's track have; 0 where it is alone."""
    whole, pull = np.zeros((tracks, 2, 2)), np.zeros((tracks, 2))
    np.add.at(whole, row, W)
    np.add.at(pull, row, Wy)
    shared = np.bincount(row, minlength=tracks)[row] > 1
    return (whole[row] - W) * shared[:, None, None], (pull[row] - Wy) * shared[:, None]


def _inverse(m: FloatArray) -> FloatArray:
    """Of (N, 2, 2), written out."""
    a, b, c, d = m[:, 0, 0], m[:, 0, 1], m[:, 1, 0], m[:, 1, 1]
    turned = np.stack([d, -b, -c, a], axis=1).reshape(-1, 2, 2)
    return np.asarray(turned / (a * d - b * c)[:, None, None])


def _best_other(score: FloatArray) -> FloatArray:
    """(S,) the greatest score among the other sensors, 0 where there is none."""
    if len(score) < 2:
        return np.zeros(len(score))
    second, first = np.sort(score)[-2:]
    return np.asarray(np.where(np.arange(len(score)) == score.argmax(), second, first))
