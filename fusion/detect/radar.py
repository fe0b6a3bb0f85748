"""Radar returns to detections: own velocity, rates over ground, clusters in space and Doppler.

returns -> own velocity (`doppler`) -> rates over ground -> clusters -> position in polar uncertainty, radial speed
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from calibration.se3 import SE3, FloatArray
from fusion.detect.doppler import DopplerSettings, OwnVelocity, own_velocity, wrap
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from pipeline.core.messages import CLASSES, C, Detections, RadarScan
from pipeline.core.settings import Settings

_PRIOR = {"car": 0.60, "truck": 0.10, "bus": 0.04, "pedestrian": 0.12, "bicycle": 0.07, "motorcycle": 0.07}
_LARGE = {"car": 0.25, "truck": 0.40, "bus": 0.25, "trailer": 0.10}


class RadarSettings(Settings, frozen=True):
    """link_m: returns of one object lie closer than this to each other, at range 0; the reach grows with range.

    link_range_m: range at which the reach along the ray has doubled.
    doppler_m_per_mps: how many metres a difference of 1 m/s in rate counts as, when returns are linked.
    moving_mps: a cluster whose rate over ground is beyond this moves.
    max_extent_m: longer clusters are walls and guard rails. large_m: longer ones are more often trucks than cars.
    range_sigma_m, azimuth_sigma: of one return; object_sigma_m: where on an object its reflection lies.
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
    azimuth_sigma: float = 0.015
    object_sigma_m: float = 0.8
    behind_m: float = 1.3
    height_m: float = 0.7
    min_score: float = 0.05
    doppler: DopplerSettings = DopplerSettings()


def detect(
    scan: RadarScan, ego_SE3_radar: SE3, known_velocity: FloatArray | None, settings: RadarSettings, sensor: str
) -> Detections:
    """Objects in one radar cycle.

    Args:
        known_velocity: (2,) m/s of the radar over ground along its own x and y axes, used where the returns do not
            show it; None = unknown, then nothing is said of speeds.
    """
    xyz = scan.xyz.astype(np.float64)
    usable = np.isfinite(xyz).all(axis=1) & (np.linalg.norm(xyz, axis=1) > 0.5)
    xyz, returns = xyz[usable], scan.points[usable]
    distance = np.linalg.norm(xyz, axis=1)
    direction = xyz / distance[:, None]
    measured = returns["range_rate"].astype(np.float64)
    has_rate = np.isfinite(measured)
    own = own_velocity(direction[has_rate], measured[has_rate], scan.ambiguity_mps, settings.doppler)
    if own is None and known_velocity is not None:
        own = OwnVelocity(known_velocity, np.eye(2) * 0.3**2, 0.0)
    over_ground = np.full(len(xyz), np.nan)
    if own is not None:
        over_ground = wrap(measured + direction[:, :2] @ own.velocity, scan.ambiguity_mps)

    label = _link(xyz, measured if own is None else over_ground, scan.ambiguity_mps, settings)
    return _detections(
        xyz,
        over_ground,
        returns["snr"].astype(np.float64),
        label,
        scan.ambiguity_mps,
        own,
        ego_SE3_radar,
        settings,
        sensor,
    )


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


def _detections(
    xyz: FloatArray,
    over_ground: FloatArray,
    snr: FloatArray,
    label: npt.NDArray[np.int64],
    ambiguity: float,
    own: OwnVelocity | None,
    ego_SE3_radar: SE3,
    settings: RadarSettings,
    sensor: str,
) -> Detections:
    k = int(label.max(initial=-1)) + 1
    count = np.bincount(label, minlength=k).astype(np.float64)

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(label, values, minlength=k) / count)

    snr = np.nan_to_num(snr)
    centre = np.stack([mean(xyz[:, axis]) for axis in range(3)], axis=1)
    off = xyz[:, :2] - centre[label, :2]
    # longest axis of the cluster: of uniform samples over a length L the standard deviation is L / sqrt(12)
    spread_xx, spread_yy, spread_xy = mean(off[:, 0] ** 2), mean(off[:, 1] ** 2), mean(off[:, 0] * off[:, 1])
    widest = (spread_xx + spread_yy) / 2 + np.hypot((spread_xx - spread_yy) / 2, spread_xy)
    extent = np.sqrt(12 * widest)

    flat = np.hypot(centre[:, 0], centre[:, 1])
    radial_speed, radial_sigma = np.full(k, np.nan), np.full(k, np.nan)
    moving = np.zeros(k, bool)
    if own is not None:
        first = np.zeros(k)
        first[label] = over_ground  # any member: the others lie within half an interval of it
        turned = wrap(over_ground - first[label], ambiguity)
        radial_speed = wrap(first + mean(turned), ambiguity)
        within = np.sqrt(mean((turned - mean(turned)[label]) ** 2))
        sight = centre[:, :2] / np.maximum(flat, 1e-6)[:, None]
        from_own = np.einsum("ki,ij,kj->k", sight, own.cov, sight)
        radial_sigma = np.sqrt(from_own + (0.15**2 + within**2) / count)
        moving = np.abs(radial_speed) > np.maximum(settings.moving_mps, 3 * radial_sigma)

    peak = np.full(k, -np.inf)
    np.maximum.at(peak, label, snr)
    score = _score(moving, count, peak, extent, settings)
    kept = np.flatnonzero((score >= settings.min_score) & (extent < settings.max_extent_m))

    sight = centre[kept, :2] / flat[kept, None]
    behind = np.minimum(settings.behind_m, extent[kept] + settings.behind_m / 2)
    position = centre[kept].copy()
    position[:, :2] += sight * behind[:, None]
    in_ego = ego_SE3_radar @ position
    in_ego[:, 2] = settings.height_m
    across = np.stack([-sight[:, 1], sight[:, 0]], axis=1)
    n = len(kept)
    reflex = settings.object_sigma_m**2 * np.ones(n)
    along_var = settings.range_sigma_m**2 + reflex
    across_var = (settings.azimuth_sigma * flat[kept]) ** 2 + reflex
    cov = np.zeros((n, 3, 3))
    cov[:, :2, :2] = np.einsum("k,ki,kj->kij", along_var, sight, sight) + np.einsum(
        "k,ki,kj->kij", across_var, across, across
    )
    turn = ego_SE3_radar.rotation
    cov = turn @ cov @ turn.T
    cov[:, 2, 2] = 1.0

    class_score = np.zeros((n, C))
    large = extent[kept] > settings.large_m
    for share, rows in ((_PRIOR, ~large), (_LARGE, large)):
        class_score[rows] = [share.get(name, 0.0) for name in CLASSES]
    origin = ego_SE3_radar.translation
    return Detections(
        sensor=sensor,
        modality="radar",
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        position=in_ego.astype(np.float32),
        position_cov=cov.astype(np.float32),
        size=(class_score @ SIZE_MEAN).astype(np.float32),
        size_sigma=np.sqrt(class_score @ (SIZE_SIGMA**2 + SIZE_MEAN**2) - (class_score @ SIZE_MEAN) ** 2).astype(
            np.float32
        ),
        yaw=np.zeros(n, np.float32),
        yaw_sigma=np.full(n, np.pi, np.float32),
        velocity=np.full((n, 2), np.nan, np.float32),
        velocity_cov=np.full((n, 2, 2), np.nan, np.float32),
        radial_speed=radial_speed[kept].astype(np.float32),
        radial_sigma=radial_sigma[kept].astype(np.float32),
        radial_ambiguity=float(ambiguity),
        class_score=class_score.astype(np.float32),
        score=score[kept].astype(np.float32),
        box2d=np.full((n, 4), np.nan, np.float32),
        time_offset_ns=np.zeros(n, np.int32),
        points=count[kept].astype(np.int32),
        embedding=np.zeros((n, 0), np.float32),
    )


def _score(
    moving: npt.NDArray[np.bool_], count: FloatArray, peak: FloatArray, extent: FloatArray, settings: RadarSettings
) -> FloatArray:
    """Probability of being an object, set by hand and only checked on labelled frames, whose licence forbids more.

    What stands still is clutter more often than not, however often it was hit; what moves is real if hit several times.
    """
    hits = np.log(count)
    strength = np.clip(peak - 50.0, -10.0, 30.0)
    logit = -3.0 + 0.25 * hits + 0.03 * strength + moving * (1.8 + 0.6 * hits)
    logit -= 0.25 * np.maximum(extent - settings.large_m, 0.0)
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
