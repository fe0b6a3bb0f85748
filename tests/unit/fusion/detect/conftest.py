"""A ray-cast LiDAR over a plane with boxes: exact geometry to detect in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

ORIGIN = np.array([1.0, 0.0, 1.9])

Box = tuple[float, float, float, float, float, float]  # x, y, yaw, length, width, height


@pytest.fixture(scope="session")
def origin() -> np.ndarray:
    """(3,) sensor position, ego frame."""
    return ORIGIN


@pytest.fixture(scope="session")
def sweep() -> Callable[..., np.ndarray]:
    """(boxes, slope=0, beams=64, columns=1800) -> (N, 3) float32 returns of boxes standing on the plane z = slope x."""

    def cast(boxes: list[Box], slope: float = 0.0, beams: int = 64, columns: int = 1800) -> np.ndarray:
        azimuth = np.repeat(np.linspace(-np.pi, np.pi, columns, endpoint=False), beams)
        elevation = np.tile(np.deg2rad(np.linspace(-25.0, 12.0, beams)), columns)
        ray = np.stack(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ground = (slope * ORIGIN[0] - ORIGIN[2]) / (ray[:, 2] - slope * ray[:, 0])
            best = np.where(ground > 0, ground, np.inf)
            for x, y, yaw, length, width, height in boxes:
                cos, sin = np.cos(yaw), np.sin(yaw)
                turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])
                half = np.array([length, width, height]) / 2
                start = turn @ (ORIGIN - [x, y, slope * x + height / 2])
                direction = ray @ turn.T
                near, far = (-half - start) / direction, (half - start) / direction
                enter, leave = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
                hit = (enter < leave) & (enter > 0)
                best = np.where(hit & (enter < best), enter, best)
        distance = best + np.random.default_rng(0).normal(0.0, 0.02, len(best))
        seen = best < 120.0
        return np.asarray(ORIGIN + ray[seen] * distance[seen, None], np.float32)

    return cast
