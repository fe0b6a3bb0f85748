"""Time offsets: found to a millisecond on simulated motion, within what is stated; refused where nothing tells."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.cannot import CannotCalibrate
from calibration.se3 import SE3
from calibration.time_offset import Signal, TimeOffsetSettings, time_offset

SETTINGS = TimeOffsetSettings(window_s=15.0, stride_s=7.5)
TURNED = SE3.exp([0, 0, 0, 0.4, -1.1, 2.0])


def turning(t: np.ndarray, seed: int) -> np.ndarray:
    """(N, 3) rad/s: a car that bends and pitches, by a sum of slow sines."""
    rng = np.random.default_rng(seed)
    frequency, phase = rng.uniform(0.05, 1.0, (2, 3, 6))
    size = rng.uniform(0.01, 0.05, (3, 6))
    return (size * np.sin(2 * np.pi * (frequency * t[:, None, None] + phase))).sum(axis=2)


def pair(seed: int, offset: float, noise: float = 0.002) -> tuple[Signal, Signal]:
    """A gyro of 104 Hz and a pose of 20 Hz, mounted differently; the pose's stamps are early by ``offset``.

    noise: what is left in comma2k19 once the two are aligned.
    """
    rng = np.random.default_rng(seed)
    fast = np.arange(0, 60, 1 / 104) + rng.uniform(0, 1e-3, 6240)
    slow = np.arange(0.02, 60, 1 / 20)
    gyro = turning(fast, seed) + 0.02 + rng.normal(0, noise, (len(fast), 3))
    pose = TURNED.rotate(turning(slow, seed)) + rng.normal(0, noise, (len(slow), 3))
    return Signal("gyro", fast, gyro), Signal("pose", slow - offset, pose)


def test_within_a_millisecond_and_as_often_within_its_sigmas_as_it_should_be() -> None:
    offsets = (-0.21, -0.0337, 0.0, 0.004, 0.0561, 0.3)
    found = [time_offset(*pair(seed, offset), SETTINGS) for seed, offset in enumerate(offsets)]
    errors = np.abs([f.offset_s - offset for f, offset in zip(found, offsets, strict=True)])
    assert errors.max() <= 1e-3
    assert (errors < 2 * np.array([f.sigma_s for f in found])).mean() >= 0.8
    assert max(f.sigma_s for f in found) < 5e-4


@pytest.mark.slow
def test_two_sigmas_hold_nine_of_ten_drives() -> None:
    offsets = np.random.default_rng(9).uniform(-0.3, 0.3, 24)
    found = [time_offset(*pair(seed, offset), SETTINGS) for seed, offset in enumerate(offsets)]
    sigmas = np.array([(f.offset_s - offset) / f.sigma_s for f, offset in zip(found, offsets, strict=True)])
    assert (np.abs(sigmas) < 1.0).mean() > 0.6
    assert (np.abs(sigmas) < 2.0).mean() > 0.9
    assert np.abs(sigmas).max() < 4.0


def test_a_speed_needs_no_vector() -> None:
    gyro, pose = pair(3, 0.05, noise=0.001)
    by_x = Signal("x", pose.t, TURNED.inverse().rotate(pose.value)[:, 0])
    assert time_offset(Signal("x", gyro.t, gyro.value[:, 0]), by_x, SETTINGS).offset_s == pytest.approx(0.05, abs=2e-3)


def test_the_same_signal_twice_has_no_offset() -> None:
    gyro, _ = pair(0, 0.0)
    assert time_offset(gyro, gyro, SETTINGS).offset_s == pytest.approx(0.0, abs=1e-6)


def test_sensors_that_share_no_motion_are_refused() -> None:
    with pytest.raises(CannotCalibrate, match="no common motion") as refused:
        time_offset(pair(0, 0.0)[0], pair(1, 0.0)[1], SETTINGS)
    assert "turns, starts and stops" in refused.value.record


def test_standing_still_is_refused() -> None:
    t = np.arange(0, 60, 0.01)
    rng = np.random.default_rng(0)
    still = [Signal(name, t, rng.normal(0, 0.01, (len(t), 3))) for name in "ab"]
    with pytest.raises(CannotCalibrate, match="0 of"):
        time_offset(*still, SETTINGS)


def test_an_offset_beyond_the_search_is_refused_not_clipped() -> None:
    with pytest.raises(CannotCalibrate):
        time_offset(*pair(2, 0.8), SETTINGS)


def test_a_clock_that_drifts_is_named() -> None:
    gyro, pose = pair(4, 0.0)
    with pytest.raises(CannotCalibrate, match="do not agree"):
        time_offset(gyro, pose._replace(t=pose.t * 1.003), SETTINGS)


def test_a_motion_that_repeats_has_no_single_peak() -> None:
    t = np.arange(0, 60, 0.01)
    wave = np.sin(2 * np.pi * 3.1 * t)
    with pytest.raises(CannotCalibrate, match="two peaks"):
        time_offset(Signal("a", t, wave), Signal("b", t, wave), SETTINGS)


def test_too_short_and_broken_signals() -> None:
    gyro, pose = pair(0, 0.0)
    with pytest.raises(CannotCalibrate, match="overlap"):
        time_offset(gyro, Signal("pose", pose.t[:100], pose.value[:100]), SETTINGS)
    with pytest.raises(ValueError, match="increasing"):
        time_offset(gyro, pose._replace(t=pose.t[::-1]), SETTINGS)
