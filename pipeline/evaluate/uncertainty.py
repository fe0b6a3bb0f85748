"""Whether the tracks' stated uncertainty is honest: likelihood, coverage of confidence regions, calibration.

Only tracks within the match threshold of a truth, of whatever class, can be judged on position; gross misses show as
false tracks, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from pipeline.core.messages import Scene
from pipeline.evaluate.boxes import Boxes, FloatArray, centre_distance
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.detection import greedy_pairs
from pipeline.evaluate.pairing import countable, pair, sample, scene_outputs
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.truth import TruthTrack

BINS = 10
LEVELS = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """P matched pairs of track and truth.

    error: (P,) m, in the ground plane. mahalanobis2: (P,) the same, squared, under the track's own covariance.
    nll: (P,) nats. speed_error, speed_mahalanobis2: (Q,) m/s, the same for velocity, where the truth has one.
    existence, matched: (T,) of all tracks that count.
    """

    error: FloatArray
    mahalanobis2: FloatArray
    nll: FloatArray
    speed_error: FloatArray
    speed_mahalanobis2: FloatArray
    existence: FloatArray
    matched: FloatArray

    @staticmethod
    def joined(parts: Sequence[Uncertainty]) -> Uncertainty:
        """That of several runs together."""
        names = [field.name for field in fields(Uncertainty)]
        return Uncertainty(*[np.concatenate([np.zeros(0), *(getattr(p, n) for p in parts)]) for n in names])

    def coverage(self, level: float, of: str = "mahalanobis2") -> float:
        """Share of truths inside the region that should hold ``level`` of them (chi-square, 2 degrees of freedom)."""
        values = getattr(self, of)
        return float((values <= -2.0 * np.log(1.0 - level)).mean()) if len(values) else float("nan")

    @property
    def reliability(self) -> list[tuple[float, float, int]]:
        """(mean existence, share matched, count) of each filled bin of existence."""
        place = np.minimum((self.existence * BINS).astype(int), BINS - 1)
        bins = [place == b for b in range(BINS)]
        return [(float(self.existence[b].mean()), float(self.matched[b].mean()), int(b.sum())) for b in bins if b.any()]

    @property
    def existence_ece(self) -> float:
        """Expected calibration error over equal bins; NaN without tracks."""
        if not len(self.existence):
            return float("nan")
        return sum(abs(said - found) * count for said, found, count in self.reliability) / len(self.existence)


def measure_uncertainty(run: RunLog, truth: TruthTrack, config: EvalConfig) -> Uncertainty:
    outputs = scene_outputs(run)
    scenes = [m.payload for m in run.scenes if isinstance(m.payload, Scene)]
    far, position, nll, slips, speed = [], [], [], [], []
    existence, matched = [], []
    for frame, index in pair(outputs, truth, round(config.pairing_tolerance_ms * 1e6)):
        if index is None:
            continue
        labels = sample(run, truth, frame, outputs[index], config)
        rows = np.flatnonzero(countable(outputs[index].boxes, outputs[index].ego, config))
        tracks = outputs[index].boxes[rows]
        covariance = scenes[index].state_cov[rows].astype(np.float64)
        pairs = _match(tracks, labels.truth, config.match_threshold_m)
        hit = np.zeros(len(tracks))
        for row, column in pairs:
            hit[row] = 1.0
            if tracks.existence[row] < config.judged_existence:
                continue
            error = tracks.position[row, :2] - labels.truth.position[column, :2]
            squared, log_volume = _mahalanobis2(error, covariance[row, :2, :2])
            far.append(float(np.hypot(*error)))
            position.append(squared)
            nll.append(0.5 * (squared + log_volume) + np.log(2 * np.pi))
            slip = tracks.velocity[row] - labels.truth.velocity[column]
            if np.isfinite(slip).all():
                slips.append(float(np.hypot(*slip)))
                speed.append(_mahalanobis2(slip, covariance[row, 3:5, 3:5])[0])
        beside = labels.ignore.contains(tracks.position[:, :2]) & (hit == 0)
        existence.append(tracks.existence[~beside])
        matched.append(hit[~beside])
    return Uncertainty(
        np.array(far),
        np.array(position),
        np.array(nll),
        np.array(slips),
        np.array(speed),
        np.concatenate(existence) if existence else np.zeros(0),
        np.concatenate(matched) if matched else np.zeros(0),
    )


def _match(tracks: Boxes, truth: Boxes, threshold_m: float) -> Sequence[tuple[int, int]]:
    if not len(tracks) or not len(truth):
        return []
    return list(zip(*greedy_pairs(centre_distance(tracks, truth), tracks.existence, threshold_m), strict=True))


def _mahalanobis2(error: FloatArray, covariance: FloatArray) -> tuple[float, float]:
    """Squared Mahalanobis distance and log determinant; infinite where the covariance is not positive definite."""
    sign, log_volume = np.linalg.slogdet(covariance)
    if sign <= 0 or not np.isfinite(log_volume):
        return float("inf"), 0.0
    return float(error @ np.linalg.solve(covariance, error)), float(log_volume)
