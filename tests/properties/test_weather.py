"""Weather takes away what its laws say, in the direction and by the amount."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.simulator.world.environment import Weather
from nodes.weather.air import extinction, rain_extinction, snow_extinction
from nodes.weather.camera import to_linear, weathered_image
from nodes.weather.lidar import REFERENCE_REFLECTIVITY, fog_return, weathered_sweep
from nodes.weather.radar import attenuation_db_per_m, snr_loss_db, weathered_scan
from pipeline.core.messages import POINT, RADAR_POINT

visibilities = st.floats(30.0, 2000.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def checks(depth_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Dark and bright squares at one distance, under a strip of sky."""
    image = np.full((80, 80, 3), 60, np.uint8)
    image[::2, ::2] = 180
    image[:10] = 200
    depth = np.full((80, 80), depth_m, np.float32)
    depth[:10] = np.inf
    return image, depth


@settings(max_examples=40, deadline=None)
@given(visibilities, st.floats(2.0, 140.0))
def test_contrast_falls_by_the_law_of_koschmieder(visibility_m: float, distance: float) -> None:
    image, depth = checks(distance)
    foggy = weathered_image(image, depth, Weather(visibility_m=visibility_m), rng())
    before = to_linear(image)[10:].max() - to_linear(image)[10:].min()
    after = to_linear(foggy)[10:].max() - to_linear(foggy)[10:].min()
    assert after / before == pytest.approx(np.exp(-3.0 * distance / visibility_m), abs=0.02)


def test_five_per_cent_of_contrast_is_left_at_the_visibility() -> None:
    image, depth = checks(100.0)
    foggy = weathered_image(image, depth, Weather(visibility_m=100.0), rng())
    light = to_linear(foggy)[10:]
    assert (light.max() - light.min()) / (to_linear(image)[10:].max() - to_linear(image)[10:].min()) < 0.07


def test_clear_air_changes_nothing() -> None:
    image, depth = checks(50.0)
    points, scan = np.ones(5, POINT), np.ones(5, RADAR_POINT)
    assert weathered_image(image, depth, Weather(), rng()) is image
    assert weathered_sweep(points, Weather(), 100.0, rng()) is points
    assert len(weathered_scan(scan, Weather(), rng())) == 5


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 100.0), st.floats(1.05, 2.0))
def test_more_rain_or_snow_takes_more(mm_h: float, more: float) -> None:
    assert 0 < rain_extinction(mm_h) < rain_extinction(mm_h * more)
    assert 0 < snow_extinction(min(mm_h, 20)) < snow_extinction(min(mm_h, 20) * more)
    assert attenuation_db_per_m(Weather(rain_mm_h=mm_h)) < attenuation_db_per_m(Weather(rain_mm_h=mm_h * more))


def test_rain_whitens_the_dark_and_snow_draws_flakes() -> None:
    image = np.full((120, 200, 3), 40, np.uint8)
    image[:20] = 210
    depth = np.full((120, 200), 30.0, np.float32)
    depth[:20] = np.inf
    light, heavy = (weathered_image(image, depth, Weather(rain_mm_h=r), rng()) for r in (5.0, 60.0))
    assert image[20:].mean() < light[20:].mean() < heavy[20:].mean()
    snowy = weathered_image(image, depth, Weather(snow_mm_h=2.5), rng())
    assert (snowy[20:].max(axis=2) > 120).sum() > 20, "single flakes are brighter than what is behind them"


def wall(distance: float, intensity: float, number: int = 400) -> np.ndarray:
    points = np.zeros(number, POINT)
    points["x"], points["intensity"] = distance, intensity
    points["t_ns"] = np.arange(number)
    return points


@settings(max_examples=60, deadline=None)
@given(visibilities, st.floats(8.0, 150.0), st.floats(0.15, 0.9))
def test_fog_cuts_the_range_by_the_extinction_law(visibility_m: float, distance: float, intensity: float) -> None:
    """A hard return is left where intensity exp(-2 a R) / R^2 reaches that of a 10 % target at the greatest range."""
    max_range_m = 200.0
    points = wall(distance, intensity)
    seen = weathered_sweep(points, Weather(visibility_m=visibility_m), max_range_m, rng())
    strength = intensity * np.exp(-6.0 * distance / visibility_m) / distance**2
    weakest = REFERENCE_REFLECTIVITY / max_range_m**2
    _, soft = fog_return(visibility_m, np.array([distance]))
    outshone = soft[0] > 0.1 * np.exp(-6.0 * distance / visibility_m)  # speckle: 2 dB, here 10
    hard = seen[seen["x"] > 0.999 * distance]
    if strength < 0.999 * weakest:
        assert len(hard) == 0
    elif strength > 1.001 * weakest and not outshone:
        assert len(hard) == len(points)
        np.testing.assert_allclose(hard["intensity"], intensity * np.exp(-6.0 * distance / visibility_m), rtol=1e-4)


def test_dense_fog_gives_returns_of_its_own_before_the_target() -> None:
    seen = weathered_sweep(wall(60.0, 0.5), Weather(visibility_m=40.0), 200.0, rng())
    assert len(seen) > 100
    assert 1.0 < np.median(seen["x"]) < 12.0
    assert set(seen["t_ns"]) <= set(range(400)), "each on the beam and at the time of its own shot"


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["rain_mm_h", "snow_mm_h"]), st.floats(1.0, 4.0))
def test_false_returns_grow_with_the_rate_and_are_near(kind: str, mm_h: float) -> None:
    def seen(rate: float) -> np.ndarray:
        return weathered_sweep(wall(40.0, 0.8, 20_000), Weather(**{kind: rate}), 200.0, rng())["x"]

    few, many = seen(mm_h), seen(3.0 * mm_h)
    assert 0 < (few < 20.0).sum() < (many < 20.0).sum()
    assert (np.abs(few[few > 20.0] - 40.0) < 0.2).mean() > 0.99, "what is true is off by centimetres"


def test_radar_loses_decibels_in_rain_and_next_to_nothing_in_fog() -> None:
    """ITU-R P.838-3: some 11 dB/km at 25 mm/h and 77 GHz."""
    assert 1000 * attenuation_db_per_m(Weather(rain_mm_h=25.0)) == pytest.approx(11.4, abs=0.5)
    assert 2 * 100 * attenuation_db_per_m(Weather(visibility_m=50.0)) < 0.5
    loss = snr_loss_db(Weather(rain_mm_h=60.0), np.array([5.0, 100.0, 150.0]))
    assert loss[1] < loss[2]
    assert loss[0] > 0.5, "the echo of near rain raises the floor"


def test_a_scan_in_rain_keeps_what_is_strong_enough() -> None:
    points = np.zeros(300, RADAR_POINT)
    points["x"], points["snr"] = 100.0, np.linspace(10.0, 30.0, 300)
    weather = Weather(rain_mm_h=60.0)
    seen = weathered_scan(points, weather, rng())
    loss = float(snr_loss_db(weather, np.array([100.0]))[0])
    assert 0 < len(seen) < 300
    assert seen["snr"].min() == pytest.approx(10.0, abs=0.2)
    assert seen["snr"].max() == pytest.approx(30.0 - loss, abs=0.01)
    points["snr"] = np.nan
    assert len(weathered_scan(points, weather, rng())) < 300, "also where the radar states no SNR"


def test_extinctions_add() -> None:
    both = Weather(visibility_m=300.0, rain_mm_h=10.0, snow_mm_h=1.0)
    assert extinction(both) == pytest.approx(0.01 + rain_extinction(10.0) + snow_extinction(1.0))
