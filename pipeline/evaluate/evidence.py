"""Scores of many short runs together, such as clips under one fault: what each shows, and the numbers of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.evaluate.boxes import Boxes, FloatArray
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.detection import Sample, score_detection
from pipeline.evaluate.gaps import histories
from pipeline.evaluate.metrics import of_detection, of_tracking, of_uncertainty, plain
from pipeline.evaluate.pairing import Output, samples, scene_outputs, truth_of
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.tracking import score_tracking
from pipeline.evaluate.uncertainty import LEVELS, Uncertainty, measure_uncertainty
from pipeline.evaluate.units import Value
from pipeline.evaluate.weights import rank_correlation, weights_and_errors

_IDS = 1 << 40  # of objects and tracks in one run; those of the next are above


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one run shows. ahead: each scene, carried on at its own velocities, against the labels of when the next is
    out. weights: (P, 2), see `weights_and_errors`."""

    fused: list[Sample]
    ahead: list[Sample]
    uncertainty: Uncertainty
    weights: FloatArray


def evidence(run: RunLog, config: EvalConfig, latency_ns: int) -> Evidence:
    """Judge one run whose labels have identities. latency_ns: how long after its instant a scene is taken to be out."""
    truth = truth_of(run, config)
    outputs = scene_outputs(run)
    late = [
        Output(o.time_ns + latency_ns, run.ego_at(o.time_ns + latency_ns), o.boxes.moved(latency_ns / 1e9))
        for o in outputs
    ]
    tracked = histories(run, truth, config)
    return Evidence(
        samples(run, outputs, truth, config),
        samples(run, late, truth, config),
        measure_uncertainty(run, truth, config),
        weights_and_errors(run, truth, tracked, config.hota_zero_m),
    )


def pooled(parts: Sequence[Evidence], config: EvalConfig) -> dict[str, Value]:
    """The numbers of all runs as if they were one, under the keys of metrics.json.

    ``streaming/predicted``: of `Evidence.ahead`. ``uncertainty/coverage``: at each of `LEVELS`.
    """
    fused = _apart([part.fused for part in parts])
    uncertainty = Uncertainty.joined([part.uncertainty for part in parts])
    weights = np.concatenate([np.zeros((0, 2)), *(part.weights for part in parts)])
    values = {
        **dict(of_detection("detection/fused", score_detection(fused, config))),
        **dict(of_detection("streaming/predicted", score_detection(_apart([p.ahead for p in parts]), config))),
        **of_tracking(score_tracking(fused, config), (), ()),
        **of_uncertainty(uncertainty),
        **{f"uncertainty/coverage_{level:.2f}": uncertainty.coverage(float(level)) for level in LEVELS},
        "weights/spearman": rank_correlation(weights),
        "weights/pairs": len(weights),
    }
    return {key: plain(value) for key, value in values.items()}


def _apart(runs: Sequence[Sequence[Sample]]) -> list[Sample]:
    """All samples, with no identity in two runs."""
    return [
        replace(s, truth=_renumbered(s.truth, number), predictions=_renumbered(s.predictions, number))
        for number, run in enumerate(runs)
        for s in run
    ]


def _renumbered(boxes: Boxes, run: int) -> Boxes:
    return boxes.replaced(identity=np.where(boxes.identity >= 0, boxes.identity + run * _IDS, boxes.identity))
