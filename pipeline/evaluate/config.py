"""The metric is a versioned setting: what is scored, where, and with which thresholds. Files: `configs/eval/*.yaml`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.messages import CLASSES
from pipeline.core.settings import Settings, load_yaml

CONFIG_VERSION = 1


class Region(Settings, frozen=True, kw_only=True):
    """The part of the ego frame in which both truth and output are scored: where the labels are complete.

    azimuth_deg: from, to, counter-clockwise, 0 = straight ahead. range in metres in the ground plane.
    """

    azimuth_deg: tuple[float, float] = (-180.0, 180.0)
    min_range_m: float = 0.0
    max_range_m: float = 200.0

    def __post_init__(self) -> None:
        start, end = self.azimuth_deg
        if not (start < end <= start + 360.0):
            raise ValueError(f"azimuth_deg: expected from < to <= from + 360, got {self.azimuth_deg}")
        if not 0.0 <= self.min_range_m < self.max_range_m:
            raise ValueError(f"min_range_m, max_range_m: expected 0 <= min < max, got {self}")

    def contains(self, ego_xy: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """(N,) whether points (N, 2), metres, ego frame, lie inside."""
        xy = np.asarray(ego_xy, dtype=np.float64).reshape(-1, 2)
        distance = np.hypot(xy[:, 0], xy[:, 1])
        start, end = self.azimuth_deg
        turned = (np.degrees(np.arctan2(xy[:, 1], xy[:, 0])) - start) % 360.0
        inside = (distance >= self.min_range_m) & (distance < self.max_range_m) & (turned <= end - start)
        return np.asarray(inside)

    def __str__(self) -> str:
        start, end = self.azimuth_deg
        around = "all around" if end - start >= 360.0 else f"azimuth {start:g}° to {end:g}°"
        return f"{around}, {self.min_range_m:g}–{self.max_range_m:g} m"


class EvalConfig(Settings, frozen=True, kw_only=True):
    """Everything that a score depends on.

    class_range_m: classes scored and how far from the ego, as nuScenes' class_range. min_lidar_points: truth with fewer
    returns is not scored (unknown counts, -1, are kept). min_class_labels: classes with fewer labelled objects over all
    frames are shown but not in the means. confirmed_existence: tracks at or above it are what CLEAR,
    IDF1 and HOTA score. judged_existence: tracks below it are not judged on their uncertainty. hota_zero_m: distance at
    which similarity reaches 0, so that 0.5 is half of it.
    """

    name: str
    version: int = CONFIG_VERSION
    description: str = ""
    region: Region = Region()
    class_range_m: dict[str, float]
    distance_thresholds_m: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    match_threshold_m: float = 2.0
    min_recall: float = 0.1
    min_precision: float = 0.1
    min_lidar_points: int = 1
    min_class_labels: int = 1
    tracking_classes: tuple[str, ...] = ()
    tracking_recalls: int = 40
    confirmed_existence: float = 0.5
    judged_existence: float = 0.0
    hota_zero_m: float = 4.0
    pairing_tolerance_ms: float = 55.0
    interpolation_limit_ms: float = 1000.0

    def __post_init__(self) -> None:
        if self.version != CONFIG_VERSION:
            raise ValueError(f"version: expected {CONFIG_VERSION}, got {self.version}")
        for field, names in (("class_range_m", self.class_range_m), ("tracking_classes", self.tracking_classes)):
            unknown = sorted(set(names) - set(CLASSES))
            if unknown:
                raise ValueError(f"{field}: expected names from {', '.join(CLASSES)}, got {', '.join(unknown)}")
        if not self.class_range_m or not set(self.tracking_classes) <= set(self.class_range_m):
            raise ValueError("class_range_m: expected every tracking class in it, and at least one class")
        if self.match_threshold_m not in self.distance_thresholds_m:
            raise ValueError(f"match_threshold_m: expected one of {self.distance_thresholds_m}")
        if not (0.0 <= self.min_recall <= 1.0 and 0.0 <= self.min_precision < 1.0):
            raise ValueError("min_recall, min_precision: expected within 0..1")
        if self.tracking_recalls < 2 or self.hota_zero_m <= 0:
            raise ValueError("tracking_recalls: expected at least 2; hota_zero_m: expected > 0")

    @property
    def class_ids(self) -> tuple[int, ...]:
        return tuple(i for i, name in enumerate(CLASSES) if name in self.class_range_m)

    @property
    def range_by_class(self) -> npt.NDArray[np.float64]:
        """(C,) metres, 0 where a class is not scored."""
        return np.array([self.class_range_m.get(name, 0.0) for name in CLASSES])


def load_config(path: Path) -> EvalConfig:
    """Raises BadInput, naming file and field, where the file is not a valid evaluation."""
    return load_yaml(path, EvalConfig)
