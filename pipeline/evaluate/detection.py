"""nuScenes detection metrics: average precision by centre distance, and errors of the true positives.

Caesar et al., nuScenes (CVPR 2020), section 4.1. Same numbers as nuscenes-devkit's accumulate, calc_ap and calc_tp on
the same boxes, with one addition: an unmatched box inside an ignore region is left out instead of counted as false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.messages import CLASSES
from pipeline.evaluate.boxes import BoolArray, Boxes, FloatArray, centre_distance, wrapped
from pipeline.evaluate.config import EvalConfig

ERRORS = ("translation", "scale", "orientation", "velocity")
"""ATE (m), ASE (1 - IoU of the aligned boxes), AOE (rad), AVE (m/s). Attributes are not part of a scene."""

RECALLS = np.linspace(0.0, 1.0, 101)
_SYMMETRIC = CLASSES.index("barrier")  # heading known modulo pi
_NOT_MEASURED = {"traffic_cone": ("orientation", "velocity"), "barrier": ("velocity",)}


@dataclass(frozen=True, eq=False)
class Sample:
    """One truth frame and what was said about it; all odom frame.

    truth: objects that count. ignore: labels outside the classes (never a hit, never false). unobserved: labels with
    too few LiDAR returns to count, which nuScenes leaves out.
    """

    time_ns: int
    truth: Boxes
    ignore: Boxes
    unobserved: Boxes
    predictions: Boxes


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and confidence at each of the 101 recalls; errors: mean over the true positives up to there.

    hits, false, truths: totals over all predictions.
    """

    precision: FloatArray
    confidence: FloatArray
    errors: dict[str, FloatArray]
    hits: int
    false: int
    truths: int


@dataclass(frozen=True, eq=False)
class Contest:
    """One class in one sample. distance: (P, K) m. excused: (P,) in an ignore region. period: of the heading, rad."""

    truth: Boxes
    found: Boxes
    distance: FloatArray
    excused: BoolArray
    period: float


def contests(samples: Sequence[Sample], class_id: int) -> list[Contest]:
    """What is matched at every threshold, prepared once."""
    result = []
    for sample in samples:
        truth = sample.truth[sample.truth.class_id == class_id]
        found = sample.predictions[sample.predictions.class_id == class_id]
        excused = sample.ignore.contains(found.position[:, :2])
        period = np.pi if class_id == _SYMMETRIC else 2 * np.pi
        result.append(Contest(truth, found, centre_distance(found, truth), excused, period))
    return result


def curve(of_class: Sequence[Contest], threshold_m: float) -> Curve:
    """Match greedily by falling score, each prediction to the nearest free truth of its class below ``threshold_m``."""
    truths = sum(len(contest.truth) for contest in of_class)
    score, hit, ignored, errors = _matches(of_class, threshold_m)
    # Ties go to the later box, as in the devkit's reversed ascending sort.
    order = np.argsort(score, kind="stable")[::-1]
    order = order[~ignored[order]]
    score, hit, errors = score[order], hit[order], errors[order]
    hits, false = int(hit.sum()), int((~hit).sum())
    if truths == 0 or hits == 0:
        none = {name: np.ones(101) for name in ERRORS}
        return Curve(np.zeros(101), np.zeros(101), none, hits, false, truths)

    true_positives, false_positives = np.cumsum(hit).astype(float), np.cumsum(~hit).astype(float)
    recall = true_positives / truths
    precision = np.interp(RECALLS, recall, true_positives / (true_positives + false_positives), right=0)
    confidence = np.interp(RECALLS, recall, score, right=0)
    matched = score[hit]
    resampled = {
        # np.interp wants rising x, so both run backwards
        name: np.interp(confidence[::-1], matched[::-1], _running_mean(errors[hit, i])[::-1])[::-1]
        for i, name in enumerate(ERRORS)
    }
    return Curve(precision, confidence, resampled, hits, false, truths)


def average_precision(curve: Curve, min_recall: float = 0.1, min_precision: float = 0.1) -> float:
    """Area under precision above ``min_precision`` and right of ``min_recall``, normalised to 0..1."""
    clipped = np.clip(curve.precision[round(100 * min_recall) + 1 :] - min_precision, 0.0, None)
    return float(clipped.mean()) / (1.0 - min_precision)


def true_positive_error(curve: Curve, name: str, min_recall: float = 0.1) -> float:
    """Mean error over the recalls reached beyond ``min_recall``; 1 where that recall is never reached."""
    first = round(100 * min_recall) + 1
    reached = np.flatnonzero(curve.confidence)
    last = int(reached[-1]) if len(reached) else 0
    return 1.0 if last < first else float(curve.errors[name][first : last + 1].mean())


@dataclass(frozen=True, eq=False)
class ClassResult:
    """ap and curves: per distance threshold. errors: at the match threshold, NaN where the class has none."""

    ap: dict[float, float]
    errors: dict[str, float]
    curves: dict[float, Curve]

    @property
    def mean_ap(self) -> float:
        return _mean(list(self.ap.values()))

    @property
    def truths(self) -> int:
        """Labelled objects over all frames."""
        return next(iter(self.curves.values())).truths


@dataclass(frozen=True, eq=False)
class DetectionResult:
    """classes: those with truth in the region, by name. counted: those of them with enough truth to be in the means."""

    classes: dict[str, ClassResult]
    counted: tuple[str, ...]

    @property
    def mean_ap(self) -> float:
        """mAP, NaN where no class counts."""
        return _mean([self.classes[name].mean_ap for name in self.counted])

    def mean_ap_at(self, threshold_m: float) -> float:
        return _mean([self.classes[name].ap[threshold_m] for name in self.counted])

    def mean_error(self, error: str) -> float:
        values = [self.classes[name].errors[error] for name in self.counted]
        return _mean([v for v in values if np.isfinite(v)])

    @property
    def nds_without_attributes(self) -> float:
        """NDS less its attribute term, so comparable only to itself: (5 mAP + sum over errors of max(0, 1 - e)) / 9."""
        if not self.counted:
            return float("nan")
        scores = [max(0.0, 1.0 - e) for e in map(self.mean_error, ERRORS) if np.isfinite(e)]
        return (5.0 * self.mean_ap + sum(scores)) / (5.0 + len(scores))


def score_detection(samples: Sequence[Sample], config: EvalConfig) -> DetectionResult:
    """All classes of the configuration that have truth."""
    results = {}
    for class_id in config.class_ids:
        if not any((s.truth.class_id == class_id).any() for s in samples):
            continue
        name = CLASSES[class_id]
        of_class = contests(samples, class_id)
        curves = {t: curve(of_class, t) for t in config.distance_thresholds_m}
        at_match = curves[config.match_threshold_m]
        errors = {
            error: float("nan")
            if error in _NOT_MEASURED.get(name, ())
            else true_positive_error(at_match, error, config.min_recall)
            for error in ERRORS
        }
        ap = {t: average_precision(c, config.min_recall, config.min_precision) for t, c in curves.items()}
        results[name] = ClassResult(ap, errors, curves)
    counted = tuple(name for name, scores in results.items() if scores.truths >= config.min_class_labels)
    return DetectionResult(results, counted)


def greedy_pairs(distance: FloatArray, score: FloatArray, threshold_m: float) -> tuple[list[int], list[int]]:
    """Rows (predictions) by falling score, each with the nearest column (truth) still free, if below the threshold.

    distance: (P, K), overwritten. Returns matching row and column numbers.
    """
    rows, columns = [], []
    for row in np.argsort(score, kind="stable")[::-1]:
        column = int(distance[row].argmin())
        if distance[row, column] < threshold_m:
            rows.append(int(row))
            columns.append(column)
            distance[:, column] = np.inf
    return rows, columns


def _matches(of_class: Sequence[Contest], threshold_m: float) -> tuple[FloatArray, BoolArray, BoolArray, FloatArray]:
    """Score (P,), hit (P,), ignored (P,) and errors (P, 4) of all predictions of one class, in sample order."""
    hits, errors = [], []
    for contest in of_class:
        hit = np.zeros(len(contest.found), dtype=bool)
        error = np.full((len(contest.found), len(ERRORS)), np.nan)
        if len(contest.truth) and len(contest.found):
            rows, columns = greedy_pairs(contest.distance.copy(), contest.found.score, threshold_m)
            hit[rows] = True
            error[rows] = _errors(contest.truth[columns], contest.found[rows], contest.period)
        hits.append(hit)
        errors.append(error)
    if not hits:
        return np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), np.zeros((0, len(ERRORS)))
    score = np.concatenate([contest.found.score for contest in of_class])
    excused = np.concatenate([contest.excused for contest in of_class])
    hit = np.concatenate(hits)
    return score, hit, excused & ~hit, np.concatenate(errors)


def _errors(truth: Boxes, found: Boxes, period: float) -> FloatArray:
    """(P, 4) in the order of ERRORS, pair by pair; NaN where one side does not know."""
    intersection = np.minimum(truth.size, found.size).prod(axis=1)
    union = truth.size.prod(axis=1) + found.size.prod(axis=1) - intersection
    return np.stack(
        [
            np.hypot(*(truth.position - found.position)[:, :2].T),
            1.0 - intersection / union,
            np.abs(wrapped(truth.yaw - found.yaw, period)),
            np.hypot(*(truth.velocity - found.velocity).T),
        ],
        axis=1,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _running_mean(values: FloatArray) -> FloatArray:
    """Mean of the known values so far; 0 before the first known; all 1 where none is known (the devkit's choice)."""
    known = np.isfinite(values)
    if not known.any():
        return np.ones(len(values))
    count = np.cumsum(known)
    total = np.cumsum(np.where(known, values, 0.0))
    mean: FloatArray = np.divide(total, count, out=np.zeros(len(values)), where=count > 0)
    return mean
