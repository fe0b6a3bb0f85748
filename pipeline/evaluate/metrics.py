"""The numbers of a run, flat, under stable keys: what scripts read and what two runs are compared by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from pipeline.evaluate.alignment import LedgerCheck, SensorAlignment
from pipeline.evaluate.bias import Bias
from pipeline.evaluate.boxes import FloatArray
from pipeline.evaluate.detection import ERRORS, DetectionResult, Sample
from pipeline.evaluate.gaps import Gap, History
from pipeline.evaluate.latency import Latency, percentiles
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.tracking import TrackingResult
from pipeline.evaluate.uncertainty import Uncertainty
from pipeline.evaluate.units import Figure, Value, figure

SHORT = {"translation": "ATE", "scale": "ASE", "orientation": "AOE", "velocity": "AVE"}


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Every number of a run under a flat, stable key such as ``detection/fused/car/AP``; None where it is undefined.

    notes: what was not scored, and why. figures: the same numbers with their units and what they are measured against.
    """

    drive: str
    graph: str
    config: str
    values: dict[str, Value]
    notes: tuple[str, ...]

    @property
    def figures(self) -> list[Figure]:
        return [figure(name, value) for name, value in self.values.items()]

    def to_json(self) -> bytes:
        both = {**msgspec.structs.asdict(self), "figures": self.figures}
        return msgspec.json.format(msgspec.json.encode(both), indent=2)


def of_run(run: RunLog, fused: Sequence[Sample]) -> dict[str, Value]:
    return {
        "run/faults": ", ".join(run.faults) or None,
        "run/scenes": len(run.scenes),
        "run/frames": len(run.frames),
        "run/truth_frames": len({m.stamp.time_ns for m in run.truth}),
        "run/truth_frames_scored": len(fused),
        "run/truth_objects_scored": sum(len(s.truth) for s in fused),
        "run/nodes_failed_steps": sum(s.failed for s in run.statuses.values()),
        "run/unusable_detections": sum(run.unusable.values()),
        **{f"run/unusable_detections/{sensor}": n for sensor, n in run.unusable.items()},
        "run/lost_on_the_way": sum(sum(s.losses.values()) for n, s in run.statuses.items() if not _is_source(n)),
        **{f"run/source_lost/{k}": v for n, s in run.statuses.items() if _is_source(n) for k, v in s.losses.items()},
    }


def _is_source(node: str) -> bool:
    """Sources count frames and points that could not be read, the others messages lost between nodes."""
    return node.startswith("source_")


def of_alignment(alignment: Sequence[SensorAlignment], ledger: LedgerCheck) -> dict[str, Value]:
    values: dict[str, Value] = {"ledger/balanced": ledger.balanced}
    for row in ledger.rows:
        key = f"ledger/{row.sensor}"
        values |= {
            f"{key}/received": row.received,
            f"{key}/fused": row.fused,
            f"{key}/in_flight": row.in_flight,
            f"{key}/dropped": sum(row.dropped.values()),
            f"{key}/sent": ledger.sent.get(row.sensor),
        }
        values |= {f"{key}/dropped/{reason}": count for reason, count in row.dropped.items()}
    for sensor in alignment:
        key = f"alignment/{sensor.sensor}"
        values |= {f"{key}/taken": sensor.taken, f"{key}/missing": len(sensor.missing) - sensor.taken}
        values |= {f"{key}/residual_m_{p}": v for p, v in percentiles(sensor.residual_m).items()}
        values |= {f"{key}/residual_ms_{p}": v for p, v in percentiles(sensor.residual_ms).items()}
        values |= {f"{key}/abs_offset_ms_{p}": v for p, v in percentiles(np.abs(sensor.offset_ms)).items()}
    together = np.concatenate([s.residual_m for s in alignment]) if alignment else np.zeros(0)
    return values | {f"alignment/residual_m_{p}": v for p, v in percentiles(together).items()}


def of_latency(run: RunLog, latency: Latency) -> dict[str, Value]:
    values: dict[str, Value] = {"latency/paced": latency.paced}
    for stage in latency.stages:
        values |= {f"latency/{stage.node}/step_ms_{p}": v for p, v in percentiles(stage.step_ms).items()}
        if latency.paced:
            values |= {f"latency/{stage.node}/wait_ms_{p}": v for p, v in percentiles(stage.wait_ms).items()}
    totals = {
        "sensor_to_scene": [s.from_arrival_ms for s in latency.scenes],
        "age_at_scene": [s.age_ms for s in latency.scenes],
    }
    for name, column in totals.items():
        values |= {f"latency/{name}_ms_{p}": v for p, v in percentiles(column).items()}
    return values


def of_detection(key: str, result: DetectionResult) -> Iterator[tuple[str, Value]]:
    yield f"{key}/mAP", result.mean_ap
    yield f"{key}/NDS_without_attributes", result.nds_without_attributes
    for error in ERRORS:
        yield f"{key}/m{SHORT[error]}", result.mean_error(error)
    for name, scores in result.classes.items():
        yield f"{key}/{name}/AP", scores.mean_ap
        for threshold, ap in scores.ap.items():
            yield f"{key}/{name}/AP@{threshold:g}", ap
        for error in ERRORS:
            yield f"{key}/{name}/{SHORT[error]}", scores.errors[error]
        yield f"{key}/{name}/truth", scores.truths


def of_bias(bias: Mapping[str, Bias]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for source, found in bias.items():
        for axis, name in enumerate(("radial", "lateral", "vertical")):
            values[f"bias/{source}/{name}_m"] = float(found.median[axis])
            values[f"bias/{source}/{name}_spread_m"] = float(found.spread[axis])
        values[f"bias/{source}/pairs"] = len(found.errors)
    return values


def of_tracking(tracking: TrackingResult, found: Sequence[History], gaps: Sequence[Gap]) -> dict[str, Value]:
    values: dict[str, Value] = {
        "tracking/AMOTA": _mean([r.amota for r in tracking.amota.values()]),
        "tracking/AMOTP": _mean([r.amotp for r in tracking.amota.values()]),
        "tracking/HOTA": _mean([r.hota for r in tracking.hota.values()]),
        "tracking/DetA": _mean([r.deta for r in tracking.hota.values()]),
        "tracking/AssA": _mean([r.assa for r in tracking.hota.values()]),
        "tracking/MOTA": _mean([r.mota for r in tracking.clear.values()]),
        "tracking/IDF1": _mean(list(tracking.idf1.values())),
        "tracking/switches": sum(r.switches for r in tracking.clear.values()),
        "tracking/fragmentations": sum(r.fragmentations for r in tracking.clear.values()),
        "tracking/objects": len(found),
        "tracking/gaps_between": sum(g.kind == "between" for g in gaps),
        "tracking/longest_gap_s": max((g.duration_ns for g in gaps if g.kind == "between"), default=0) / 1e9,
    }
    for name, result in tracking.amota.items():
        key = f"tracking/{name}"
        values |= {f"{key}/AMOTA": result.amota, f"{key}/AMOTP": result.amotp, f"{key}/HOTA": tracking.hota[name].hota}
        values |= {f"{key}/MOTA": tracking.clear[name].mota, f"{key}/IDF1": tracking.idf1[name]}
    return values


def of_uncertainty(uncertainty: Uncertainty) -> dict[str, Value]:
    return {
        "uncertainty/pairs": len(uncertainty.mahalanobis2),
        "uncertainty/position_rmse_m": _rms(uncertainty.error),
        "uncertainty/velocity_rmse_mps": _rms(uncertainty.speed_error),
        "uncertainty/position_nll": _mean(uncertainty.nll.tolist()),
        "uncertainty/position_coverage_50": uncertainty.coverage(0.5),
        "uncertainty/position_coverage_90": uncertainty.coverage(0.9),
        "uncertainty/velocity_coverage_50": uncertainty.coverage(0.5, "speed_mahalanobis2"),
        "uncertainty/velocity_coverage_90": uncertainty.coverage(0.9, "speed_mahalanobis2"),
        "uncertainty/existence_ece": uncertainty.existence_ece,
    }


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else float("nan")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def plain(value: Value) -> Value:
    """As JSON can hold it."""
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
