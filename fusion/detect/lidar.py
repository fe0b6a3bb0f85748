"""LiDAR points to detections without a network. Read this file first; the others are its steps.

points -> height above ground (`ground`) -> clusters (`cluster`) -> visible boxes and features (`box`, `segment`)
       -> what they are (`cluster_class`) -> headings where little was seen (`heading`) -> full boxes (`box.complete`)
       -> without the pieces of others (`pieces`)
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray
from fusion.detect.box import Boxes, Completed, CompletionSettings, complete
from fusion.detect.cluster_class import classify, load_model
from fusion.detect.heading import HeadingSettings, settle_headings
from fusion.detect.pieces import pieces
from fusion.detect.segment import SegmentSettings, find_clusters
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from pipeline.core.messages import CLASSES, Detections
from pipeline.core.settings import Settings

Rows = TypeVar("Rows", Boxes, Completed)

_VEHICLES = [CLASSES.index(name) for name in ("car", "truck", "bus", "trailer", "construction_vehicle")]


class LidarSettings(Settings, frozen=True, tag_field="method", tag="clusters"):
    """min_score: detections below are not given out. voting_score: vehicles above vote on the heading of others.

    max_length_m, max_width_m: nothing larger is an object. piece_margin_m: how far a piece of a vehicle may stick out
    of it. height_sigma_m: of a box centre. place_sigma_m: of it on the ground, whatever was seen of the box.
    """

    segment: SegmentSettings = SegmentSettings()
    heading: HeadingSettings = HeadingSettings()
    completion: CompletionSettings = CompletionSettings()
    min_score: float = 0.05
    max_length_m: float = 18.0
    max_width_m: float = 4.5
    voting_score: float = 0.5
    piece_margin_m: float = 0.2
    height_sigma_m: float = 0.15
    place_sigma_m: float = 0.2


def detect(
    xyz: npt.NDArray[np.float32],
    t_ns: npt.NDArray[np.int32],
    origin: FloatArray,
    settings: LidarSettings,
    sensor: str,
) -> Detections:
    """Objects in one sweep.

    Yaw is known modulo pi only, since front and back look alike: of the two headings the one along the own vehicle's is
    given. Velocity is not seen by one sweep.

    Args:
        xyz: (N, 3) float32, metres, ego frame at one instant (deskewed); NaN and points out of range are skipped.
        t_ns: (N,) int32, when each point was measured, relative to that instant.
        origin: (3,) sensor position, ego frame.
    """
    found = find_clusters(xyz, t_ns, settings.segment)
    exists, class_score = classify(found.features, load_model())
    exists[(found.features["length"] > settings.max_length_m) | (found.features["width"] > settings.max_width_m)] = 0.0
    best = class_score.argmax(axis=1)
    vehicle = np.isin(best, _VEHICLES) & (exists >= settings.min_score)
    trusted = exists >= settings.voting_score
    boxes, yaw_sigma = settle_headings(found.boxes, found.xy, found.start, vehicle, trusted, settings.heading)
    full = complete(boxes, origin[:2], SIZE_MEAN[best, :2], SIZE_SIGMA[best, :2], settings.completion)
    likely = np.flatnonzero(exists >= settings.min_score)
    kept = likely[
        ~pieces(_some(boxes, likely), _some(full, likely), exists[likely], vehicle[likely], settings.piece_margin_m)
    ]
    n = len(kept)
    best, floor, full = best[kept], found.floor_z[kept], _some(full, kept)
    # the highest beam that hit may have hit low
    height = np.maximum(found.top_z[kept] - floor, SIZE_MEAN[best, 2] - SIZE_SIGMA[best, 2])
    elongated = vehicle[kept] | (full.size[:, 0] > 1.5 * full.size[:, 1])
    unknown = np.full((n, 2, 2), np.nan, np.float32)
    return Detections(
        sensor=sensor,
        modality="lidar",
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        position=np.column_stack([full.centre, floor + height / 2]).astype(np.float32),
        position_cov=_covariance(
            boxes.yaw[kept], np.hypot(full.centre_sigma, settings.place_sigma_m), settings.height_sigma_m
        ),
        size=np.column_stack([full.size, height]).astype(np.float32),
        size_sigma=np.column_stack([full.size_sigma, np.full(n, 2 * settings.height_sigma_m)]).astype(np.float32),
        yaw=(np.mod(boxes.yaw[kept] + np.pi / 2, np.pi) - np.pi / 2).astype(np.float32),
        yaw_sigma=np.where(elongated, yaw_sigma[kept], np.pi).astype(np.float32),
        velocity=unknown[:, 0],
        velocity_cov=unknown,
        radial_speed=unknown[:, 0, 0],
        radial_sigma=unknown[:, 0, 0],
        class_score=class_score[kept].astype(np.float32),
        score=exists[kept].astype(np.float32),
        box2d=np.full((n, 4), np.nan, np.float32),
        time_offset_ns=found.time_ns[kept].astype(np.int32),
        points=found.points[kept].astype(np.int32),
        embedding=np.zeros((n, 0), np.float32),
    )


def _some(rows: Rows, which: npt.NDArray[np.int64]) -> Rows:
    """The same named tuple of arrays, with these rows only."""
    return type(rows)(*(part[which] for part in rows))


def _covariance(yaw: FloatArray, sigma: FloatArray, height_sigma: float) -> npt.NDArray[np.float32]:
    """(K, 3, 3) m2 in the ego frame, from 1-sigma along and across each box."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    cov = np.zeros((len(yaw), 3, 3))
    cov[:, :2, :2] = np.einsum("kij,kj,klj->kil", turn, sigma**2, turn)
    cov[:, 2, 2] = height_sigma**2
    return cov.astype(np.float32)
