"""How far the vehicle moved between two LiDAR sweeps: generalized ICP (Segal et al., RSS 2009) as small_gicp has it.

small_gicp: Koide, JOSS 2024. One thread, so that the same sweeps give the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import small_gicp

from calibration.se3 import SE3, FloatArray
from fusion.odometry.planar import Step
from pipeline.core.settings import Settings

_PLANE = [3, 4, 2]  # x, y, yaw among small_gicp's rotation x, y, z, translation x, y, z


class ScanMatchSettings(Settings, frozen=True):
    """near_m, far_m: points nearer (the vehicle itself) or farther are not used. voxel_m: one point for each.

    reach_m: points further apart than this, or 3 sigmas of the prediction, are no pair; max_reach_m: at most so far.
    max_points: evenly picked before all else. min_share: of the points must find a partner.
    correlation: so many pairs are worth one, in variance, since neighbours err alike: chosen so that at standstill and
    against Doppler on a straight the differences have the stated spread. floor_m, floor_rad: 1-sigma at least.
    """

    near_m: float = 3.0
    far_m: float = 80.0
    voxel_m: float = 0.4
    reach_m: float = 1.0
    max_reach_m: float = 4.0
    max_points: int = 40_000
    min_share: float = 0.4
    correlation: float = 200.0
    floor_m: float = 0.01
    floor_rad: float = 0.0005


class Sweep(NamedTuple):
    """A sweep made ready to be matched."""

    cloud: small_gicp.PointCloud
    tree: small_gicp.KdTree


def prepare(xyz: npt.NDArray[np.float32], settings: ScanMatchSettings) -> Sweep | None:
    """xyz: (N, 3) metres, ego frame at one instant. None where too little is left of it to match anything."""
    xyz = xyz[:: -(-len(xyz) // settings.max_points) or 1]
    distance = np.hypot(xyz[:, 0], xyz[:, 1])
    used = xyz[(distance > settings.near_m) & (distance < settings.far_m)]  # also drops what is no number
    if len(used) < 100:
        return None
    cloud, tree = small_gicp.preprocess_points(used.astype(np.float64), settings.voxel_m, num_threads=1)
    return Sweep(cloud, tree)


def match(before: Sweep, after: Sweep, predicted: Step, settings: ScanMatchSettings) -> Step | None:
    """Motion from ``before`` to ``after``, or None where they do not fit together.

    predicted: the same motion as expected, where the search begins.
    """
    x, y, yaw = predicted.moved
    spread = 3.0 * float(np.sqrt(np.linalg.eigvalsh(predicted.cov[:2, :2])[-1]))
    found = small_gicp.align(
        before.cloud,
        after.cloud,
        before.tree,
        SE3.from_yaw(yaw, (x, y, 0.0)).matrix,
        registration_type="GICP",
        max_correspondence_distance=min(max(spread, settings.reach_m), settings.max_reach_m),
        num_threads=1,
        max_iterations=30,
    )
    if not found.converged or found.num_inliers < settings.min_share * after.cloud.size():
        return None
    T: FloatArray = found.T_target_source
    cov = settings.correlation * np.linalg.inv(found.H)[np.ix_(_PLANE, _PLANE)]
    cov += np.diag([settings.floor_m**2, settings.floor_m**2, settings.floor_rad**2])
    return Step(np.array([T[0, 3], T[1, 3], np.arctan2(T[1, 0], T[0, 0])]), cov)
