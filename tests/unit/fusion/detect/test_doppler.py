from __future__ import annotations

import numpy as np
import pytest

from fusion.detect.doppler import DopplerSettings, Expected, own_velocity, wrap

SETTINGS = DopplerSettings()


def scene(
    velocity: tuple[float, float], ambiguity: float, count: int = 300, moving: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Directions and measured rates of a static world, of which a share moves on its own."""
    rng = np.random.default_rng(2)
    azimuth, elevation = rng.uniform(-1.0, 1.0, count), rng.uniform(-0.1, 0.1, count)
    direction = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1
    )
    rate = -direction[:, :2] @ velocity + rng.normal(0, 0.08, count)
    movers = rng.random(count) < moving
    rate[movers] += rng.uniform(-15.0, 15.0, int(movers.sum()))
    return direction, wrap(rate, ambiguity)


@pytest.mark.parametrize("ambiguity", [0.0, 10.3])
@pytest.mark.parametrize("velocity", [(0.0, 0.0), (7.0, 1.3), (13.4, -0.4), (38.0, 0.0), (-3.0, 0.2)])
def test_finds_the_velocity_through_any_number_of_wraps(velocity, ambiguity) -> None:
    direction, rate = scene(velocity, ambiguity)
    own = own_velocity(direction, rate, ambiguity, SETTINGS)
    assert own is not None
    assert own.velocity == pytest.approx(velocity, abs=0.1)
    assert 0.6 < own.share < 0.85


def test_states_its_covariance() -> None:
    errors, sigmas = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        azimuth = rng.uniform(-0.9, 0.9, 120)
        direction = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros(120)], axis=1)
        rate = wrap(-direction[:, :2] @ (9.0, 0.5) + rng.normal(0, 0.1, 120), 10.3)
        own = own_velocity(direction, rate, 10.3, SETTINGS)
        assert own is not None
        errors.append(own.velocity - (9.0, 0.5))
        sigmas.append(np.sqrt(np.diag(own.cov)))
    assert np.std(errors, axis=0) == pytest.approx(np.mean(sigmas, axis=0), rel=0.4)


def test_a_narrow_view_does_not_tell_velocities_an_ambiguity_apart_but_the_former_velocity_does() -> None:
    rng = np.random.default_rng(3)
    azimuth = rng.uniform(-0.15, 0.15, 200)
    direction = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros(200)], axis=1)
    rate = wrap(-direction[:, :2] @ (17.0, 0.0) + rng.normal(0, 0.08, 200), 10.3)
    assert own_velocity(direction, rate, 10.3, SETTINGS) is None
    for true in (17.0, 6.7):
        own = own_velocity(direction, rate, 10.3, SETTINGS, Expected(np.array([true + 1.0, 0.0]), 2.0))
        assert own is not None
        assert own.velocity[0] == pytest.approx(true, abs=0.3)


def test_claims_nothing_from_too_few_or_from_noise() -> None:
    direction, rate = scene((8.0, 0.0), 10.3, count=10)
    assert own_velocity(direction, rate, 10.3, SETTINGS) is None
    direction, _ = scene((8.0, 0.0), 10.3)
    noise = np.random.default_rng(0).uniform(-5.15, 5.15, len(direction))
    assert own_velocity(direction, noise, 10.3, SETTINGS) is None


def test_one_direction_does_not_tell_two_components() -> None:
    direction = np.tile([[1.0, 0.0, 0.0]], (60, 1))
    assert own_velocity(direction, np.full(60, -5.0), 0.0, SETTINGS) is None


def test_wrap_is_the_nearest_representative() -> None:
    assert wrap(np.array([6.0, -6.0, 20.6]), 10.0) == pytest.approx([-4.0, 4.0, 0.6])
    assert wrap(np.array([60.0]), 0.0) == pytest.approx([60.0])
