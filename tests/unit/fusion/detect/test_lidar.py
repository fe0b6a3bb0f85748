from __future__ import annotations

import numpy as np
import pytest

from fusion.detect import lidar
from pipeline.core.messages import CLASSES, Detections

SETTINGS = lidar.LidarSettings()
CAR = CLASSES.index("car")


def detect(xyz: np.ndarray, origin: np.ndarray, t_ns: np.ndarray | None = None) -> Detections:
    times = np.zeros(len(xyz), np.int32) if t_ns is None else t_ns
    return lidar.detect(xyz, times, origin, SETTINGS, "top")


def nearest(found: Detections, x: float, y: float) -> int:
    return int(np.hypot(found.position[:, 0] - x, found.position[:, 1] - y).argmin())


CARS = [(12.0, 4.0, 0.1, 4.6, 1.9, 1.6), (22.0, -5.0, -0.3, 4.4, 1.8, 1.5), (-14.0, 3.5, 3.1, 4.8, 2.0, 1.7)]


@pytest.mark.parametrize("slope", [0.0, 0.07])
def test_finds_cars_where_they_are(sweep, origin, slope) -> None:
    found = detect(sweep(CARS, slope=slope), origin)
    for x, y, yaw, *size in CARS:
        k = nearest(found, x, y)
        assert found.position[k] == pytest.approx([x, y, slope * x + size[2] / 2], abs=0.4)
        assert found.size[k] == pytest.approx(size, abs=0.5)
        assert abs(np.angle(np.exp(2j * (found.yaw[k] - yaw)))) / 2 < 0.1
        assert found.class_score[k].argmax() == CAR
        assert found.score[k] > 0.25  # flat boxes look a little like walls to a model of real cars


def test_the_stated_uncertainty_holds_for_half_hidden_cars(sweep, origin) -> None:
    """A car behind another: its far part is guessed, and the guess says how good it is."""
    inside = []
    for gap in np.linspace(5.5, 9.0, 12):
        car = (14.0 + gap, 4.5, 0.0, 4.6, 1.9, 1.6)
        found = detect(sweep([(14.0, 3.5, 0.0, 4.6, 1.9, 1.6), car]), origin)
        k = nearest(found, car[0], car[1])
        off = (found.position[k, :2] - car[:2]).astype(np.float64)
        inside.append(off @ np.linalg.inv(found.position_cov[k, :2, :2]) @ off < 9.2)  # 99 % of a chi2 with 2 dof
    assert np.mean(inside) >= 0.9


def test_a_building_is_no_object(sweep, origin) -> None:
    found = detect(sweep([(15.0, 12.0, 0.0, 60.0, 1.0, 9.0), CARS[0]]), origin)
    assert (np.abs(found.position[found.score > 0.3, 1] - 12.0) > 2.0).all()
    assert found.score[nearest(found, CARS[0][0], CARS[0][1])] > 0.25


def test_works_with_sixteen_beams(sweep, origin) -> None:
    found = detect(sweep(CARS[:2], beams=20, columns=900), origin)
    for x, y, *_ in CARS[:2]:
        k = nearest(found, x, y)
        assert np.hypot(found.position[k, 0] - x, found.position[k, 1] - y) < 1.0


def test_each_object_has_the_time_at_which_it_was_seen(sweep, origin) -> None:
    xyz = sweep(CARS)
    azimuth = np.arctan2(xyz[:, 1] - origin[1], xyz[:, 0] - origin[0])
    t_ns = np.rint((azimuth / (2 * np.pi) - 0.5) * 1e8).astype(np.int32)
    found = detect(xyz, origin, t_ns)
    for x, y, *_ in CARS:
        expected = (np.arctan2(y, x - origin[0]) / (2 * np.pi) - 0.5) * 1e8
        assert found.time_offset_ns[nearest(found, x, y)] == pytest.approx(expected, abs=2e6)


def test_the_order_of_points_does_not_matter_to_what_is_found(sweep, origin) -> None:
    xyz = sweep(CARS)
    shuffled = xyz[np.random.default_rng(3).permutation(len(xyz))]
    a, b = detect(xyz, origin), detect(shuffled, origin)
    for x, y, *_ in CARS:
        i, j = nearest(a, x, y), nearest(b, x, y)
        assert a.position[i] == pytest.approx(b.position[j], abs=0.1)
        assert a.score[i] == pytest.approx(b.score[j], abs=0.1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_next_to_no_points_give_no_detection(count, origin) -> None:
    assert len(detect(np.zeros((count, 3), np.float32), origin)) == 0


def test_nan_infinity_and_far_away_are_skipped(sweep, origin) -> None:
    xyz = sweep(CARS[:1])
    bad = np.float32([[np.nan] * 3, [np.inf, 0, 0], [1.0, 2.0, np.nan], [1e9, 0, 0], [5.0, 5.0, -np.inf]])
    clean, dirty = detect(xyz, origin), detect(np.concatenate([bad, xyz]), origin)
    assert dirty.position == pytest.approx(clean.position)


def test_a_low_wall_is_too_long_for_an_object(sweep, origin) -> None:
    found = detect(sweep([(15.0, 8.0, 0.0, 40.0, 0.4, 1.6)]), origin)
    assert found.size[:, 0].max(initial=0.0) <= SETTINGS.max_length_m


def test_the_vehicle_itself_is_not_seen(origin) -> None:
    own = np.float32(np.random.default_rng(0).uniform([0.0, -0.8, 0.5], [3.5, 0.8, 1.5], (500, 3)))
    assert len(detect(own, origin)) == 0
