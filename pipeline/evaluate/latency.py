"""Where the time went: per node and step, and from sensor to scene.

`Timing.arrival_ns` is drive time and the rest host time; `RunInfo` says how the two ran against each other. In a paced
run waiting is real and is reported. In a run as fast as possible waiting says nothing, and a scene's latency is what
its steps alone would take: the slowest sensor's arrival and detection, alignment, fusion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.messages import Timing
from pipeline.evaluate.boxes import FloatArray
from pipeline.evaluate.run_log import AlignedFrame, RunLog

FRAMES = "frames"
_ONLOOKERS = ("record", "view")  # they hear of frame sets too; no scene waits for them


@dataclass(frozen=True, eq=False)
class Stage:
    """One node, all its steps, ms. wait: received to started. step: started to ended."""

    node: str
    wait_ms: FloatArray
    step_ms: FloatArray


@dataclass(frozen=True, eq=False)
class SceneLatency:
    """One scene, drive time. available_ns: when it was out. from_arrival_ms: since the last message that it needed."""

    index: int
    reference_ns: int
    available_ns: int
    from_arrival_ms: float

    @property
    def age_ms(self) -> float:
        """Age of the scene's instant when it was out: sensor read-out and transport included."""
        return (self.available_ns - self.reference_ns) / 1e6


@dataclass(frozen=True, eq=False)
class Latency:
    """rate: drive seconds per host second, 0 = as fast as possible. parts: ms of each critical path, by name."""

    rate: float
    stages: list[Stage]
    scenes: list[SceneLatency]
    parts: list[dict[str, float]]

    @property
    def paced(self) -> bool:
        """Waiting counts."""
        return self.rate > 0

    @property
    def basis(self) -> str:
        if self.rate == 1.0:
            return "measured at real time"
        if self.rate > 0:
            return f"measured at {self.rate:g} times real time, in drive time"
        return "compute time of each step; the run was not at real time"


def percentiles(values: npt.ArrayLike) -> dict[str, float]:
    """p50, p90, p99 and max; NaN for no values."""
    data = np.asarray(values, dtype=np.float64)
    data = data[np.isfinite(data)]
    if not len(data):
        return dict.fromkeys(("p50", "p90", "p99", "max"), float("nan"))
    p50, p90, p99 = np.percentile(data, (50, 90, 99))
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(data.max())}


def measure_latency(run: RunLog) -> Latency:
    by_node: dict[str, list[Timing]] = {}
    for timing in run.timings:
        if timing.sensor in run.sensors or timing.sensor == FRAMES:  # steps on poses would drown the others
            by_node.setdefault(timing.node, []).append(timing)
    stages = [
        Stage(
            node,
            np.array([(t.started_ns - t.received_ns) / 1e6 for t in rows]),
            np.array([(t.ended_ns - t.started_ns) / 1e6 for t in rows]),
        )
        for node, rows in sorted(by_node.items(), key=lambda item: (_place(item[0]), min(t.ended_ns for t in item[1])))
    ]
    fused = {t.sequence: t for t in run.timings if t.sensor == FRAMES and t.node not in _ONLOOKERS}
    steps = {(t.sensor, t.epoch, t.sequence, t.node): t for t in run.timings}
    scenes, parts = [], []
    for frame in run.frames:
        fuse = fused.get(frame.index)
        if fuse is None:
            continue
        path = critical_path(frame, fuse, steps)
        if path is None:
            continue
        last_arrival_ns, part = path
        available_ns = last_arrival_ns + round(sum(part.values()) * 1e6)
        if run.info.rate > 0:
            available_ns = run.info.start_ns + round((fuse.ended_ns - run.info.started_ns) * run.info.rate)
            part["waiting"] = max(0.0, (available_ns - last_arrival_ns) / 1e6 - sum(part.values()))
        scenes.append(SceneLatency(frame.index, frame.time_ns, available_ns, (available_ns - last_arrival_ns) / 1e6))
        parts.append(part)
    return Latency(run.info.rate, stages, scenes, parts)


def _place(node: str) -> int:
    """In the flow of the data: detectors, then alignment, then what uses it."""
    return 0 if node.startswith("detect_") else 1 if node == "align" else 2


def critical_path(
    frame: AlignedFrame, fuse: Timing, steps: dict[tuple[str, int, int, str], Timing]
) -> tuple[int, dict[str, float]] | None:
    """Arrival of the sensor message that was done last, if every step starts at once, and its steps in ms."""
    best: tuple[int, int, dict[str, float]] | None = None
    for sensor, slot in frame.slots.items():
        if slot.missing:
            continue
        detect = steps.get((sensor, slot.epoch, slot.sequence, f"detect_{sensor}"))
        if detect is None:
            continue
        took = detect.ended_ns - detect.started_ns
        align = steps.get((sensor, slot.epoch, slot.sequence, "align"))
        parts = {f"detect {sensor}": took / 1e6}
        if align is not None:
            parts["align"] = (align.ended_ns - align.started_ns) / 1e6
        done_ns = detect.arrival_ns + took
        if best is None or done_ns > best[0]:
            best = (done_ns, detect.arrival_ns, parts)
    if best is None:
        return None
    _, arrival_ns, parts = best
    return arrival_ns, {**parts, fuse.node: (fuse.ended_ns - fuse.started_ns) / 1e6}
