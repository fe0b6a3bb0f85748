"""How well the pillar network does on labelled sweeps: nuScenes average precision of each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calibration.se3 import SE3
from fusion.detect.pillars import Earlier
from fusion.training.sweeps import UNIT_M, LabelledSweep, read_folder
from pipeline.core.messages import Detections
from pipeline.evaluate.boxes import Boxes
from pipeline.evaluate.config import EvalConfig, Region
from pipeline.evaluate.detection import DetectionResult, Sample, score_detection

CLASSES = ("car", "truck", "bus", "pedestrian", "motorcycle", "bicycle", "traffic_cone", "barrier")
ORIGIN = np.array([1.0, 0.0, 1.9])
"""Where the LiDAR of a stored sweep is said to be; the network does not use it."""


class Look(NamedTuple):
    """One sweep and its labels, ego frame. returns: (K,) of each label, -1 unknown."""

    xyz: np.ndarray
    t_ns: np.ndarray
    origin: np.ndarray
    earlier: Earlier | None
    labels: Boxes
    returns: np.ndarray


def labelled(folder: Path) -> Iterator[Look]:
    """Sweeps as they are stored: heights above the ground, as if it were level."""
    return map(look, read_folder(folder))


def look(sweep: LabelledSweep) -> Look:
    now, before = (points[:, :3].astype(np.float32) * np.float32(UNIT_M) for points in (sweep.now, sweep.before))
    b = sweep.boxes.astype(np.float64)
    labels = boxes_of(b[:, :3], b[:, 3:6], b[:, 6], b[:, 7:9], sweep.class_id)
    earlier = Earlier(before, sweep.gap_s) if len(before) else None
    return Look(now, np.zeros(len(now), np.int32), ORIGIN, earlier, labels, sweep.points)


def boxes_of(xyz: np.ndarray, size: np.ndarray, yaw: np.ndarray, velocity: np.ndarray, kind: np.ndarray) -> Boxes:
    one = np.ones(len(xyz))
    return Boxes(xyz, size, yaw, velocity, kind.astype(np.int64), one, one, np.arange(len(xyz)))


def score_looks(
    looks: Sequence[Look], said: Sequence[Detections], ring: tuple[float, float], half: float
) -> DetectionResult:
    """ring: from how far to how far, m. half: labels count this far from ahead, degrees."""
    region = Region(azimuth_deg=(-half, half), min_range_m=ring[0], max_range_m=ring[1])
    config = EvalConfig(name="lidar", region=region, class_range_m=dict.fromkeys(CLASSES, 60.0), min_class_labels=20)
    samples = []
    for one, found in zip(looks, said, strict=True):
        boxes, near = Boxes.of_detections(found, SE3.identity()), region.contains(one.labels.position[:, :2])
        counts = one.returns != 0
        known = np.isin(one.labels.class_id, config.class_ids)
        scored = np.isin(boxes.class_id, config.class_ids) & region.contains(boxes.position[:, :2])
        samples.append(
            Sample(0, one.labels[known & near & counts], one.labels[~known], one.labels[~counts], boxes[scored])
        )
    return score_detection(samples, config)
