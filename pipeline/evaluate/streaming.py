"""Streaming accuracy: every label frame against the last scene that was out by then.

Li, Wang & Ramanan, Towards Streaming Perception (ECCV 2020): latency is paid for in accuracy. Two variants: held, the
scene as it was published, and predicted, its tracks moved to the label's instant at their published velocity, as a
planner would do.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.messages import Scene
from pipeline.evaluate.boxes import Boxes
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.detection import Sample
from pipeline.evaluate.latency import Latency
from pipeline.evaluate.pairing import Output, sample
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.truth import TruthTrack


def streaming_samples(
    run: RunLog, latency: Latency, truth: TruthTrack, config: EvalConfig, predicted: bool
) -> list[Sample]:
    """One per label frame; before the first scene is out everything is missed. Empty where no latency is known."""
    if not latency.scenes:
        return []
    payloads = {m.payload.index: m for m in run.scenes if isinstance(m.payload, Scene)}
    timed = [(s.available_ns, payloads[s.index]) for s in latency.scenes if s.index in payloads]
    out_ns = np.array([available for available, _ in timed], dtype=np.int64)
    result = []
    for frame, time_ns in enumerate(truth.times_ns.tolist()):
        ready = np.flatnonzero(out_ns <= time_ns)
        if not len(ready):
            result.append(sample(run, truth, frame, None, config))
            continue
        newest = max((timed[i][1] for i in ready), key=lambda m: m.stamp.time_ns)
        scene = newest.payload
        assert isinstance(scene, Scene)
        boxes = Boxes.of_scene(scene)
        if predicted:
            boxes = boxes.moved((time_ns - newest.stamp.time_ns) / 1e9)
        result.append(sample(run, truth, frame, Output(time_ns, run.ego_at(time_ns), boxes), config))
    return result
