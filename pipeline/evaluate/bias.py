"""Where each source puts an object relative to its label: a constant shift points at a detector or the calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluate.boxes import FloatArray, centre_distance
from pipeline.evaluate.detection import Sample, greedy_pairs
from pipeline.evaluate.run_log import RunLog


@dataclass(frozen=True, eq=False)
class Bias:
    """Errors of P matched centres, (P, 3) metres: along the line of sight (away positive), to its left, up."""

    errors: FloatArray

    @property
    def median(self) -> FloatArray:
        """(3,) NaN where nothing matched."""
        return np.asarray(np.median(self.errors, axis=0)) if len(self.errors) else np.full(3, np.nan)

    @property
    def spread(self) -> FloatArray:
        """(3,) 1-sigma about the median, from the median absolute deviation."""
        if not len(self.errors):
            return np.full(3, np.nan)
        return np.asarray(1.4826 * np.median(np.abs(self.errors - self.median), axis=0))


def measure_bias(run: RunLog, samples: Sequence[Sample], reach_m: float) -> Bias:
    """Over all classes: each prediction, by falling score, with the nearest free label within ``reach_m``."""
    errors = [np.zeros((0, 3))]
    for sample in samples:
        if not len(sample.predictions) or not len(sample.truth):
            continue
        found, truth = sample.predictions, sample.truth
        rows, columns = greedy_pairs(centre_distance(found, truth), found.score, reach_m)
        ego_SE3_odom = run.ego_at(sample.time_ns).inverse()
        place = (ego_SE3_odom @ truth.position[columns])[:, :2]
        away = place / np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-9)
        error = ego_SE3_odom.rotate(found.position[rows] - truth.position[columns])
        left = error[:, 1] * away[:, 0] - error[:, 0] * away[:, 1]
        errors.append(np.stack([(error[:, :2] * away).sum(axis=1), left, error[:, 2]], axis=1))
    return Bias(np.concatenate(errors))
