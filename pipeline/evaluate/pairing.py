"""Which output is scored against which labels, and which boxes count.

Each output is paired with the label frame nearest in time and the labels are brought to the output's own instant
(`TruthTrack.at`): what was said is not altered. Only where nothing is known of how any label of a frame moves is the
output brought to the labels' instant, at its own velocities. A label frame further than the tolerance from every output
is scored against nothing, so that a silent pipeline misses everything; one that merely falls between two outputs is
passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.se3 import SE3
from pipeline.core.messages import CLASSES, Scene
from pipeline.evaluate.boxes import BoolArray, Boxes, IntArray, centre_distance
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.detection import Sample
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.truth import TruthTrack

_SEEN_TOGETHER_M = 4.0  # what lies as near was seen at the same time; the widest threshold of a match


@dataclass(frozen=True, eq=False)
class Output:
    """What one source said at one instant; ego: odom_SE3_ego then. boxes: odom frame.

    times_ns: (N,) when each box was measured, where not all stand at the instant.
    """

    time_ns: int
    ego: SE3
    boxes: Boxes
    times_ns: IntArray | None = None


def scene_outputs(run: RunLog) -> list[Output]:
    """The fused tracks."""
    return [
        Output(m.stamp.time_ns, m.payload.odom_SE3_ego, Boxes.of_scene(m.payload))
        for m in run.scenes
        if isinstance(m.payload, Scene)
    ]


def sensor_outputs(run: RunLog, sensor: str) -> list[Output]:
    """One sensor alone: its detections as they entered fusion, scored at the instants at which the sensor saw them."""
    return [
        Output(f.slots[sensor].time_ns, f.ego, f.found[sensor], f.measured_ns[sensor])
        for f in run.frames
        if sensor in f.found
    ]


def truth_of(run: RunLog, config: EvalConfig) -> TruthTrack:
    return TruthTrack(run.truth, round(config.interpolation_limit_ms * 1e6))


def pair(outputs: Sequence[Output], truth: TruthTrack, tolerance_ns: int) -> list[tuple[int, int | None]]:
    """(label frame, output or None) in order of label frames."""
    if not len(truth):
        return []
    if not outputs:
        return [(frame, None) for frame in range(len(truth))]
    times = np.array([o.time_ns for o in outputs], dtype=np.int64)
    best: dict[int, int] = {}  # label frame -> nearest of the outputs that are nearest to it
    for index, time_ns in enumerate(times.tolist()):
        frame = truth.nearest(time_ns)
        distance = abs(time_ns - int(truth.times_ns[frame]))
        if distance <= tolerance_ns and (
            frame not in best or distance < abs(times[best[frame]] - truth.times_ns[frame])
        ):
            best[frame] = index
    gap = np.abs(truth.times_ns[:, None] - times[None]).min(axis=1)
    return [(f, best.get(f)) for f in range(len(truth)) if f in best or gap[f] > tolerance_ns]


def samples(run: RunLog, outputs: Sequence[Output], truth: TruthTrack, config: EvalConfig) -> list[Sample]:
    """One per label frame that is scored."""
    tolerance_ns = round(config.pairing_tolerance_ms * 1e6)
    return [
        sample(run, truth, frame, None if index is None else outputs[index], config)
        for frame, index in pair(outputs, truth, tolerance_ns)
    ]


def sample(run: RunLog, truth: TruthTrack, frame: int, output: Output | None, config: EvalConfig) -> Sample:
    """Labels of ``frame`` and the output, at one instant and within the region."""
    stands_ns = truth.stands(frame)
    if output is None or stands_ns is not None:
        time_ns = int(truth.times_ns[frame]) if stands_ns is None else stands_ns
        ego = run.ego_at(time_ns)
        said = Boxes.empty() if output is None else output.boxes.moved((time_ns - output.time_ns) / 1e9)
    else:
        time_ns, ego, said = output.time_ns, output.ego, output.boxes
    labels, points = truth.at(time_ns, frame)
    if output is not None and output.times_ns is not None and stands_ns is None:
        labels, points = truth.at(_seen_ns(labels, output, output.times_ns), frame)
    known = np.isin(labels.class_id, config.class_ids)
    near = inside(labels, ego, config)
    seen = (points < 0) | (points >= config.min_lidar_points)
    return Sample(
        time_ns,
        labels[known & near & seen],
        labels[~known],
        labels[known & near & ~seen],
        said[countable(said, ego, config)],
    )


def _seen_ns(labels: Boxes, output: Output, times_ns: IntArray) -> IntArray:
    """(K,) when the sensor saw each label: as its nearest box, where one is near, else at the output's instant."""
    distance = centre_distance(labels, output.boxes)
    if not distance.size:
        return np.full(len(labels), output.time_ns)
    near = distance.min(axis=1) < _SEEN_TOGETHER_M
    return np.where(near, times_ns[distance.argmin(axis=1)], output.time_ns)


def countable(said: Boxes, ego: SE3, config: EvalConfig) -> BoolArray:
    """(N,) whether a box is scored: finite, of a scored class, within region and range."""
    finite = np.isfinite(said.position[:, :2]).all(axis=1) & np.isfinite(said.score)
    return finite & np.isin(said.class_id, config.class_ids) & inside(said, ego, config)


def inside(boxes: Boxes, ego: SE3, config: EvalConfig) -> BoolArray:
    """(N,) whether the centre lies in the region and within its class's range, seen from the ego."""
    xy = (ego.inverse() @ np.nan_to_num(boxes.position))[:, :2]
    limit = np.append(config.range_by_class, 0.0)[np.clip(boxes.class_id, -1, len(CLASSES))]
    return np.asarray(config.region.contains(xy) & (np.hypot(xy[:, 0], xy[:, 1]) < limit))


def confirmed(sample: Sample, config: EvalConfig) -> Sample:
    """What CLEAR, IDF1 and HOTA see: confirmed tracks, less those on labels that do not count."""
    said = sample.predictions[sample.predictions.existence >= config.confirmed_existence]
    beside = Boxes.join([sample.ignore, sample.unobserved]).contains(said.position[:, :2])
    delta = said.position[:, None, :2] - sample.truth.position[None, :, :2]
    near = (np.hypot(delta[..., 0], delta[..., 1]) < config.match_threshold_m).any(axis=1)
    return Sample(sample.time_ns, sample.truth, sample.ignore, sample.unobserved, said[~beside | near])
