"""Faults of a LiDAR: what is done to the points (N,) of POINT of a sweep, lidar frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.rig import LidarSensor
from nodes.simulator.world.environment import Weather
from nodes.weather.lidar import weathered_sweep

Points: TypeAlias = np.ndarray  # of POINT
CloudFault = Callable[[Points, float, LidarSensor, np.random.Generator], Points]

_UNKNOWN_BEAMS = 64


def fog(points: Points, visibility_m: float, lidar: LidarSensor, rng: np.random.Generator) -> Points:
    return weathered_sweep(points, Weather(visibility_m=visibility_m), lidar.max_range_m, rng)


def rain(points: Points, mm_h: float, lidar: LidarSensor, rng: np.random.Generator) -> Points:
    return weathered_sweep(points, Weather(rain_mm_h=mm_h), lidar.max_range_m, rng)


def snow(points: Points, mm_h: float, lidar: LidarSensor, rng: np.random.Generator) -> Points:
    return weathered_sweep(points, Weather(snow_mm_h=mm_h), lidar.max_range_m, rng)


def beam_loss(points: Points, left: float, lidar: LidarSensor, rng: np.random.Generator) -> Points:
    """Keep so many beams, evenly spread over those there are."""
    beam = beams(points, lidar)
    there = np.unique(beam)
    places = (np.arange(round(left)) + 0.5) * len(there) / round(left)
    return points[np.isin(beam, there[places.astype(int)])] if left < len(there) else points


def beams(points: Points, lidar: LidarSensor) -> npt.NDArray[np.int64]:
    """(N,) the beam of each point; where the data do not tell, as many equal shares of the points by elevation."""
    if len(points) == 0 or points["ring"].any():
        return np.asarray(points["ring"], dtype=np.int64)
    elevation = np.arctan2(points["z"], np.hypot(points["x"], points["y"]))
    rank = np.empty(len(points), np.int64)
    rank[np.argsort(elevation, kind="stable")] = np.arange(len(points))
    return rank * (lidar.beams or _UNKNOWN_BEAMS) // len(points)


def fov_cut(points: Points, degrees: float, lidar: LidarSensor, rng: np.random.Generator) -> Points:
    """Keep what lies within half of this angle from the vehicle's x axis, seen from the LiDAR."""
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=1)
    ahead = lidar.ego_SE3_sensor.rotate(xyz)
    return np.asarray(points[np.abs(np.arctan2(ahead[:, 1], ahead[:, 0])) <= np.radians(degrees / 2.0)])


def crosstalk(points: Points, share: float, lidar: LidarSensor, rng: np.random.Generator) -> Points:
    """This share of the points moves along its beam to a range anywhere within what the LiDAR can see."""
    hit = rng.random(len(points)) < share
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=1)[hit]
    distance = np.maximum(np.linalg.norm(xyz, axis=1), 0.1)
    scale = rng.uniform(1.0, lidar.max_range_m, len(xyz)) / distance
    out = points.copy()
    for axis, name in enumerate(("x", "y", "z")):
        out[name][hit] = xyz[:, axis] * scale
    out["intensity"][hit] = rng.random(len(xyz))
    return out


CLOUD_FAULTS: dict[str, CloudFault] = {
    "fog": fog,
    "rain": rain,
    "snow": snow,
    "beam_loss": beam_loss,
    "fov_cut": fov_cut,
    "crosstalk": crosstalk,
}
"""By the names of the table."""
