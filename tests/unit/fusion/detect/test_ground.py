from __future__ import annotations

import numpy as np
import pytest

from fusion.detect.ground import GroundSettings, ground_grid

RANGE = 60.0


def grid_of(xyz: np.ndarray) -> np.ndarray:
    inside = (np.abs(xyz[:, :2]) < RANGE).all(axis=1)
    return ground_grid(*xyz[inside].T.copy(), RANGE, GroundSettings())


def at(grid: np.ndarray, x: float, y: float) -> float:
    return float(grid[int(x + RANGE), int(y + RANGE)])


@pytest.mark.parametrize("slope", [-0.12, 0.0, 0.08])
def test_follows_a_slope_under_parked_cars(sweep, slope) -> None:
    cars = [(10.0 + 6 * i, y, 0.0, 4.6, 1.9, 1.6) for i in range(6) for y in (-4.0, 4.0)]
    grid = grid_of(sweep(cars, slope=slope))
    for x in (-15.0, 8.0, 16.0, 28.0):
        assert at(grid, x, 4.0) == pytest.approx(slope * (np.floor(x) + 0.5), abs=0.12)


def test_does_not_climb_a_long_wall(sweep) -> None:
    grid = grid_of(sweep([(10.0, 12.0, 0.0, 60.0, 0.5, 8.0)]))
    assert abs(at(grid, 10.0, 12.0)) < 0.25
    assert abs(at(grid, 10.0, 8.0)) < 0.1


def test_ignores_reflections_from_below_the_road(sweep) -> None:
    xyz = sweep([])
    ghosts = np.float32([[12.3, 0.4, -3.0], [12.4, 0.6, -2.5], [-20.0, 5.0, -4.0]])
    assert abs(at(grid_of(np.concatenate([xyz, ghosts])), 12.0, 0.0)) < 0.1


def test_nothing_seen_is_flat() -> None:
    assert not grid_of(np.zeros((0, 3), np.float32)).any()


def test_as_many_tolerances_as_levels() -> None:
    with pytest.raises(ValueError, match="tolerance_m"):
        GroundSettings(widths_m=(5.0,), tolerance_m=(0.5,))
