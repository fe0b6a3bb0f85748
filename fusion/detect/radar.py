"""Radar returns to detections: own velocity, rates over ground, clusters in space and Doppler.

returns -> own velocity (`doppler`) -> rates over ground -> clusters -> position in polar uncertainty, radial speed
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from calibration.se3 import SE3, FloatArray
from fusion.detect.doppler import NEAREST_M, DopplerSettings, OwnVelocity, velocity_from_scan, wrap
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from pipeline.core.messages import CLASSES, Detections, RadarScan
from pipeline.core.settings import Settings

_ANY = {"car": 0.60, "truck": 0.10, "bus": 0.04, "pedestrian": 0.12, "bicycle": 0.07, "motorcycle": 0.07}
_LARGE = {"car": 0.25, "truck": 0.40, "bus": 0.25, "trailer": 0.10}
_SHARE_OF_ANY, _SHARE_OF_LARGE = (np.array([share.get(name, 0.0) for name in CLASSES]) for share in (_ANY, _LARGE))


class RadarSettings(Settings, frozen=True):
    """link_m: returns of one object lie closer than this to each other, at range 0; the reach grows with range.

    link_range_m: range at which the reach along the ray has doubled.
    doppler_m_per_mps: how many metres a difference of 1 m/s in rate counts as, when returns are linked.
    moving_mps: a cluster whose rate over ground is beyond this moves.
    max_extent_m: longer clusters are walls and guard rails. large_m: longer ones are more often trucks than cars.
    range_sigma_m, azimuth_sigma, rate_sigma: of one return (m, rad, m/s). object_sigma_m: where on an object its
    reflection lies. pose_velocity_sigma: of an own velocity that comes from poses, m/s.
    behind_m: how far the centre of an object lies behind its reflection.
    min_score: detections below are not given out.
    """

    link_m: float = 1.2
    link_range_m: float = 60.0
    doppler_m_per_mps: float = 0.7
    moving_mps: float = 0.7
    max_extent_m: float = 14.0
    large_m: float = 6.5
    range_sigma_m: float = 0.3
    rate_sigma: float = 0.15
    pose_velocity_sigma: float = 0.3
    azimuth_sigma: float = 0.015
    object_sigma_m: float = 0.8
    behind_m: float = 1.3
    height_m: float = 0.7
    min_score: float = 0.05
    doppler: DopplerSettings = DopplerSettings()


class _Clusters(NamedTuple):
    """K clusters of returns, radar frame."""

    centre: FloatArray  # (K, 3) mean position, m
    extent: FloatArray  # (K,) length of the longest axis, m
    hits: FloatArray  # (K,) number of returns
    peak: FloatArray  # (K,) strongest SNR, dB
    radial_speed: FloatArray  # (K,) over ground, m/s, NaN unknown
    radial_sigma: FloatArray  # (K,)
    moving: npt.NDArray[np.bool_]  # (K,)

    def pick(self, which: npt.NDArray[np.int64]) -> _Clusters:
        return _Clusters(
            self.centre[which],
            self.extent[which],
            self.hits[which],
            self.peak[which],
            self.radial_speed[which],
            self.radial_sigma[which],
            self.moving[which],
        )


def detect(
    scan: RadarScan, ego_SE3_radar: SE3, known_velocity: FloatArray | None, settings: RadarSettings, sensor: str
) -> Detections:
    """Objects in one radar cycle.

    Radial speeds are over ground and known modulo the scan's ambiguity; the one nearest to 0 is given.

    Args:
        known_velocity: (2,) m/s of the radar over ground along its own x and y axes, used where the returns do not
            show it; None = unknown, then nothing is said of speeds.
    """
    xyz = scan.xyz.astype(np.float64)
    usable = np.isfinite(xyz).all(axis=1) & np.asarray(np.linalg.norm(xyz, axis=1) > NEAREST_M)
    xyz, returns = xyz[usable], scan.points[usable]
    direction = xyz / np.linalg.norm(xyz, axis=1)[:, None]
    measured = returns["range_rate"].astype(np.float64)
    own = velocity_from_scan(scan, settings.doppler)
    if own is None and known_velocity is not None:
        own = OwnVelocity(known_velocity, np.eye(2) * settings.pose_velocity_sigma**2, 0.0)
    rate = measured
    if own is not None:
        rate = wrap(measured + direction[:, :2] @ own.velocity, scan.ambiguity_mps)

    label = _link(xyz, rate, scan.ambiguity_mps, settings)
    found = _summarise(xyz, rate, returns["snr"].astype(np.float64), label, scan.ambiguity_mps, own, settings)
    score = _score(found, settings)
    kept = np.flatnonzero((score >= settings.min_score) & (found.extent < settings.max_extent_m))
    return _detections(found.pick(kept), score[kept], scan.ambiguity_mps, ego_SE3_radar, settings, sensor)


def _link(xyz: FloatArray, rate: FloatArray, ambiguity: float, settings: RadarSettings) -> npt.NDArray[np.int64]:
    """Cluster number per return: connected within `link_m` in a space of bent position and Doppler.

    Position is bent so that a step of 1 at range r is 1 + r / link_range metres; Doppler lies on a circle of
    circumference `ambiguity`, so that its two ends touch.
    """
    flat = np.hypot(xyz[:, 0], xyz[:, 1])
    bent = settings.link_range_m * np.log1p(flat / settings.link_range_m) / np.maximum(flat, 1e-6)
    rate = np.nan_to_num(rate)
    if ambiguity:
        radius = settings.doppler_m_per_mps * ambiguity / (2 * np.pi)
        phase = 2 * np.pi * rate / ambiguity
        doppler = np.stack([radius * np.cos(phase), radius * np.sin(phase)], axis=1)
    else:
        doppler = np.stack([settings.doppler_m_per_mps * rate, np.zeros(len(rate))], axis=1)
    pairs = cKDTree(np.hstack([xyz[:, :2] * bent[:, None], doppler])).query_pairs(
        settings.link_m, output_type="ndarray"
    )
    n = len(xyz)
    links = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def _summarise(
    xyz: FloatArray,
    rate: FloatArray,
    snr: FloatArray,
    label: npt.NDArray[np.int64],
    ambiguity: float,
    own: OwnVelocity | None,
    settings: RadarSettings,
) -> _Clusters:
    k = int(label.max(initial=-1)) + 1
    count = np.bincount(label, minlength=k).astype(np.float64)

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(label, values, minlength=k) / count)

    centre = np.stack([mean(xyz[:, axis]) for axis in range(3)], axis=1)
    x, y = (xyz[:, :2] - centre[label, :2]).T
    # longest axis of the cluster: the standard deviation of uniform samples over a length L is L / sqrt(12)
    widest = mean(x * x + y * y) / 2 + np.hypot(mean(x * x - y * y) / 2, mean(x * y))
    peak = np.full(k, -np.inf)
    np.maximum.at(peak, label, np.nan_to_num(snr))

    speed, sigma = np.full(k, np.nan), np.full(k, np.nan)
    if own is not None:
        first = np.zeros(k)
        first[label] = rate  # of any member: the others lie within half an interval of it
        offset = wrap(rate - first[label], ambiguity)
        speed = wrap(first + mean(offset), ambiguity)
        spread = mean((offset - mean(offset)[label]) ** 2)
        sight = centre[:, :2] / np.maximum(np.hypot(centre[:, 0], centre[:, 1]), 1e-6)[:, None]
        sigma = np.sqrt(((sight @ own.cov) * sight).sum(axis=1) + (settings.rate_sigma**2 + spread) / count)
    with np.errstate(invalid="ignore"):
        moving = np.abs(speed) > np.maximum(settings.moving_mps, 3 * sigma)
    return _Clusters(centre, np.sqrt(12 * widest), count, peak, speed, sigma, moving)


def _detections(
    found: _Clusters,
    score: FloatArray,
    ambiguity: float,
    ego_SE3_radar: SE3,
    settings: RadarSettings,
    sensor: str,
) -> Detections:
    n = len(score)
    flat = np.hypot(found.centre[:, 0], found.centre[:, 1])
    sight = found.centre[:, :2] / flat[:, None]
    across = np.stack([-sight[:, 1], sight[:, 0]], axis=1)
    behind = np.minimum(settings.behind_m, found.extent + settings.behind_m / 2)
    position = found.centre.copy()
    position[:, :2] += sight * behind[:, None]
    in_ego = ego_SE3_radar @ position
    in_ego[:, 2] = settings.height_m  # elevation is too coarse to say more than that it stands on the road

    along_var = np.full(n, settings.range_sigma_m**2 + settings.object_sigma_m**2)
    across_var = (settings.azimuth_sigma * flat) ** 2 + settings.object_sigma_m**2
    cov = np.zeros((n, 3, 3))
    for variance, axis in ((along_var, sight), (across_var, across)):
        cov[:, :2, :2] += variance[:, None, None] * axis[:, :, None] * axis[:, None, :]
    cov = ego_SE3_radar.rotation @ cov @ ego_SE3_radar.rotation.T
    cov[:, 2, 2] = 1.0

    share = np.where((found.extent > settings.large_m)[:, None], _SHARE_OF_LARGE, _SHARE_OF_ANY)
    size = share @ SIZE_MEAN
    size_var = share @ (SIZE_SIGMA**2 + SIZE_MEAN**2) - size**2
    x, y, z = (float(v) for v in ego_SE3_radar.translation)
    return Detections(
        sensor=sensor,
        modality="radar",
        origin=(x, y, z),
        position=in_ego.astype(np.float32),
        position_cov=cov.astype(np.float32),
        size=size.astype(np.float32),
        size_sigma=np.sqrt(size_var).astype(np.float32),
        yaw=np.zeros(n, np.float32),
        yaw_sigma=np.full(n, np.pi, np.float32),
        velocity=np.full((n, 2), np.nan, np.float32),
        velocity_cov=np.full((n, 2, 2), np.nan, np.float32),
        radial_speed=found.radial_speed.astype(np.float32),
        radial_sigma=found.radial_sigma.astype(np.float32),
        radial_ambiguity=float(ambiguity),
        class_score=share.astype(np.float32),
        score=score.astype(np.float32),
        box2d=np.full((n, 4), np.nan, np.float32),
        time_offset_ns=np.zeros(n, np.int32),
        points=found.hits.astype(np.int32),
        embedding=np.zeros((n, 0), np.float32),
    )


def _score(found: _Clusters, settings: RadarSettings) -> FloatArray:
    """Probability of being an object, set by hand and only checked on labelled frames, whose licence forbids more.

    What stands still is clutter more often than not, however often it was hit; what moves is real if hit several times.
    """
    hits = np.log(found.hits)
    strength = np.clip(found.peak - 50.0, -10.0, 30.0)
    logit = -3.0 + 0.25 * hits + 0.03 * strength + found.moving * (1.8 + 0.6 * hits)
    logit -= 0.25 * np.maximum(found.extent - settings.large_m, 0.0)
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
