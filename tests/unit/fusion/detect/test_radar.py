from __future__ import annotations

import numpy as np
import pytest

from calibration.se3 import SE3
from fusion.detect import radar
from fusion.detect.doppler import wrap
from pipeline.core.messages import RADAR_POINT, Detections, RadarScan

SETTINGS = radar.RadarSettings()
EGO_SE3_RADAR = SE3.from_yaw(0.1, (3.6, 0.3, 0.5))
OWN = np.array([11.0, 0.4])
AMBIGUITY = 10.3


def scan(
    targets: list[tuple[float, float, float, float]], ambiguity: float = AMBIGUITY, walls: bool = True
) -> RadarScan:
    """Targets (x, y, vx, vy) in the radar frame with six returns each, in a static world seen at OWN."""
    rng = np.random.default_rng(5)
    rows = [(t[:2] + rng.normal(0, 0.4, 2), t[2:]) for t in map(np.array, targets) for _ in range(6)]
    if walls:
        for y in (-15.0, 18.0):
            rows += [(np.array([x, y]), np.zeros(2)) for x in np.arange(5.0, 70.0, 1.0)]
    points = np.zeros(len(rows), RADAR_POINT)
    for point, (at, velocity) in zip(points, rows, strict=True):
        sight = at / np.linalg.norm(at)
        point["x"], point["y"] = at
        point["range_rate"] = wrap(np.array(sight @ (velocity - OWN) + rng.normal(0, 0.05)), ambiguity)
        point["snr"] = 60.0
    points["rcs"] = np.nan
    return RadarScan(points=points, ambiguity_mps=ambiguity)


def detect(given: RadarScan, known: np.ndarray | None = None) -> Detections:
    return radar.detect(given, EGO_SE3_RADAR, known, SETTINGS, "front")


def near(found: Detections, x: float, y: float) -> int:
    place = EGO_SE3_RADAR @ np.array([x, y, 0.0])
    distance = np.hypot(found.position[:, 0] - place[0], found.position[:, 1] - place[1])
    assert distance.min() < 2.0
    return int(distance.argmin())


def test_moving_car_has_its_speed_over_ground() -> None:
    found = detect(scan([(30.0, 2.0, 4.0, 0.0), (25.0, -6.0, 0.0, 0.0)]))
    moving, parked = near(found, 30.0, 2.0), near(found, 25.0, -6.0)
    assert found.radial_speed[moving] == pytest.approx(4.0, abs=0.2)
    assert found.radial_speed[parked] == pytest.approx(0.0, abs=0.2)
    assert found.radial_ambiguity == pytest.approx(AMBIGUITY)
    assert found.score[moving] > found.score[parked]
    assert found.points[moving] == 6


def test_a_speed_beyond_the_interval_is_right_modulo_the_interval() -> None:
    found = detect(scan([(40.0, 3.0, -14.0, 0.0)]))
    speed = float(found.radial_speed[near(found, 40.0, 3.0)])
    expected = -14.0 * 40.0 / np.hypot(40.0, 3.0)
    assert wrap(np.array(speed - expected), AMBIGUITY) == pytest.approx(0.0, abs=0.2)


def test_two_cars_side_by_side_are_told_apart_by_doppler() -> None:
    found = detect(scan([(30.0, 0.0, 5.0, 0.0), (30.0, 2.2, 0.5, 0.0)]))
    assert near(found, 30.0, 0.0) != near(found, 30.0, 2.2)


def test_uncertainty_is_larger_across_than_along_far_away() -> None:
    found = detect(scan([(70.0, 0.0, 3.0, 0.0)]))
    k = near(found, 70.0, 0.0)
    sight = (EGO_SE3_RADAR.rotate([1.0, 0.0, 0.0]))[:2]
    across = np.array([-sight[1], sight[0]])
    cov = found.position_cov[k, :2, :2]
    assert across @ cov @ across > 1.3 * (sight @ cov @ sight)
    assert found.position_cov[k] == pytest.approx(found.position_cov[k].T)


def test_too_few_returns_use_the_pose_or_say_nothing_of_speed() -> None:
    few = scan([(30.0, 2.0, 4.0, 0.0)], walls=False)
    assert np.isnan(detect(few).radial_speed).all()
    found = detect(few, OWN)
    k = near(found, 30.0, 2.0)
    assert found.radial_speed[k] == pytest.approx(4.0, abs=0.3)
    assert found.radial_sigma[k] > 0.2


def test_nan_returns_and_an_empty_scan() -> None:
    good = scan([(30.0, 2.0, 4.0, 0.0)])
    bad = np.zeros(3, RADAR_POINT)
    bad["x"], bad["y"] = [np.nan, 10.0, 0.0], [1.0, np.inf, 0.0]
    dirty = RadarScan(points=np.concatenate([good.points, bad]), ambiguity_mps=AMBIGUITY)
    assert detect(dirty).position == pytest.approx(detect(good).position)
    assert len(detect(RadarScan(points=np.zeros(0, RADAR_POINT)))) == 0


def test_returns_without_doppler_are_still_detections() -> None:
    given = scan([(30.0, 2.0, 4.0, 0.0)])
    points = given.points.copy()
    points["range_rate"] = np.nan
    found = detect(RadarScan(points=points, ambiguity_mps=AMBIGUITY))
    near(found, 30.0, 2.0)
    assert np.isnan(found.radial_speed).all()
