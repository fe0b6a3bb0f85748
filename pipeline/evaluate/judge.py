"""`evaluate`: one run in, every number about it out. The order of this file is the order of the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from pipeline.evaluate.alignment import LedgerCheck, SensorAlignment, check_ledger, sensor_alignment
from pipeline.evaluate.bias import Bias, measure_bias
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.detection import DetectionResult, Sample, score_detection
from pipeline.evaluate.gaps import Gap, History, find_gaps, histories
from pipeline.evaluate.latency import Latency, measure_latency
from pipeline.evaluate.metrics import (
    Metrics,
    of_alignment,
    of_bias,
    of_detection,
    of_latency,
    of_run,
    of_tracking,
    of_uncertainty,
    plain,
)
from pipeline.evaluate.pairing import samples, scene_outputs, sensor_outputs, truth_of
from pipeline.evaluate.run_log import RunLog, load_run
from pipeline.evaluate.streaming import streaming_samples
from pipeline.evaluate.tracking import TrackingResult, score_tracking
from pipeline.evaluate.truth import TruthTrack
from pipeline.evaluate.uncertainty import Uncertainty, measure_uncertainty
from pipeline.evaluate.weights import rank_correlation, weights_and_errors


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A judged run: the numbers in `metrics`, and behind them everything that the report draws.

    detection, bias: by source, "fused" and each sensor; empty without truth. streaming: "held" and "predicted".
    """

    run: RunLog
    config: EvalConfig
    truth: TruthTrack
    samples: list[Sample]
    detection: dict[str, DetectionResult]
    bias: dict[str, Bias]
    tracking: TrackingResult | None
    streaming: dict[str, DetectionResult]
    latency: Latency
    alignment: list[SensorAlignment]
    ledger: LedgerCheck
    uncertainty: Uncertainty | None
    histories: list[History]
    gaps: list[Gap]
    weight_correlation: tuple[float, int]
    metrics: Metrics

    @property
    def best_sensor(self) -> str:
        """The single sensor with the highest mAP; "" without truth."""
        singles = {name: r.mean_ap for name, r in self.detection.items() if name != "fused" and not np.isnan(r.mean_ap)}
        return max(singles, key=lambda name: singles[name], default="")


def evaluate(run: Path, config: EvalConfig) -> Metrics:
    """Score a run folder or recording. Raises BadInput where it is not one."""
    return judge(load_run(run), config).metrics


def judge(run: RunLog, config: EvalConfig) -> Evaluation:
    truth = truth_of(run, config)
    outputs = scene_outputs(run)
    fused = samples(run, outputs, truth, config)
    latency = measure_latency(run)
    detection: dict[str, DetectionResult] = {}
    bias: dict[str, Bias] = {}
    streaming: dict[str, DetectionResult] = {}
    tracking = uncertainty = None
    all_histories: list[History] = []
    gaps: list[Gap] = []
    correlation = (float("nan"), 0)
    if len(truth):
        said = {s: samples(run, sensor_outputs(run, s), truth, config) for s in run.sensors}
        for source, scored in {"fused": fused, **said}.items():
            detection[source] = score_detection(scored, config)
            bias[source] = measure_bias(run, scored, config.hota_zero_m)
        for name in ("held", "predicted"):
            streamed = streaming_samples(run, latency, truth, config, predicted=name == "predicted")
            if streamed:
                streaming[name] = score_detection(streamed, config)
        uncertainty = measure_uncertainty(run, truth, config)
    if truth.has_identities:
        tracking = score_tracking(fused, config)
        all_histories = histories(run, truth, config)
        gaps = find_gaps(run, truth, all_histories, config)
        weighed = weights_and_errors(run, truth, all_histories, config.hota_zero_m)
        correlation = (rank_correlation(weighed), len(weighed))
    alignment, ledger = sensor_alignment(run), check_ledger(run)
    values = {
        **of_run(run, fused),
        **of_alignment(alignment, ledger),
        **of_latency(run, latency),
        **{k: v for source, result in detection.items() for k, v in of_detection(f"detection/{source}", result)},
        **{k: v for name, result in streaming.items() for k, v in of_detection(f"streaming/{name}", result)},
        **of_bias(bias),
        **(of_tracking(tracking, all_histories, gaps) if tracking else {}),
        **(of_uncertainty(uncertainty) if uncertainty else {}),
        "weights/spearman": correlation[0],
        "weights/pairs": correlation[1],
    }
    metrics = Metrics(
        drive=run.info.drive,
        graph=graph_name(run.info.graph_yaml),
        config=config.name,
        values={key: plain(value) for key, value in values.items()},
        notes=tuple(_notes(run, truth, latency, ledger, config)),
    )
    return Evaluation(
        run, config, truth, fused, detection, bias, tracking, streaming, latency, alignment, ledger, uncertainty,
        all_histories, gaps, correlation, metrics,
    )  # fmt: skip


def graph_name(graph_yaml: str) -> str:
    """The name that a graph file gives itself; "" where it gives none."""
    try:
        document = yaml.safe_load(graph_yaml)
    except yaml.YAMLError:
        return ""
    return str(document.get("name", "")) if isinstance(document, dict) else ""


def _notes(run: RunLog, truth: TruthTrack, latency: Latency, ledger: LedgerCheck, config: EvalConfig) -> Iterator[str]:
    yield from (f"LEDGER: {problem}" for problem in ledger.problems)
    yield from (f"Recording damaged: {damage}" for damage in run.damage)
    if not len(truth):
        yield "The drive has no labels: nothing is scored against truth."
        return
    yield f"Scored region: {config.region}; ranges by class: " + ", ".join(
        f"{name} {limit:g} m" for name, limit in config.class_range_m.items()
    )
    least = config.min_class_labels
    enough = f"with {least} or more labelled objects" if least > 1 else "with labelled objects"
    yield f"Means are over the classes {enough} in the region. A scene has no attributes: no AAE, no NDS."
    yield (
        "Labels are brought to the instant of what is scored: along a line between label frames where the object has an"
        " identity, else at its labelled velocity, else as they are."
    )
    if config.min_lidar_points > 0:
        yield f"Labels with fewer than {config.min_lidar_points} LiDAR returns are not scored, as in nuScenes."
    if not truth.has_identities:
        yield "The labels carry no identities: tracking metrics, gaps and weight correlation are not computed."
    if not latency.scenes:
        yield "No timing of scenes was recorded: no latency, no streaming score."
    else:
        yield f"Latency: {latency.basis}."
