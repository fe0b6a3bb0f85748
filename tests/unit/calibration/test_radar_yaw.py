"""Radar yaw: errors lie within what is stated, and motions that contradict each other give no answer."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.cannot import CannotCalibrate
from calibration.radar_yaw import Pair, RadarYawSettings, calibrate

TURNED = np.radians(1.7)


def drive(seed: int, pairs: int = 30, speed: float = 8.0, common: float = 0.0) -> list[Pair]:
    """Six stretches. common: 1-sigma of an error of direction that all pairs of a stretch share, rad."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(pairs):
        stretch = i * 6 // pairs
        shared = common * np.random.default_rng([seed, stretch]).normal()
        heading = rng.normal(0, 0.05)
        true = speed * np.array([np.cos(heading), np.sin(heading)])
        c, s = np.cos(TURNED + shared), np.sin(TURNED + shared)
        cov = np.diag([0.05, 0.05]) ** 2
        doppler = np.array([[c, -s], [s, c]]) @ true + rng.normal(0, 0.05, 2)
        out.append(Pair(i, stretch, doppler, cov, true + rng.normal(0, 0.05, 2), cov, 0.0))
    return out


@pytest.mark.parametrize("common", [0.0, 0.01])
def test_errors_lie_within_the_stated_deviation(common: float) -> None:
    found = [calibrate(drive(seed, common=common), RadarYawSettings(max_sd_deg=2.0)) for seed in range(60)]
    sigmas = np.array([(f.yaw - TURNED) / f.sd for f in found])
    assert (np.abs(sigmas) < 1.0).mean() > 0.5
    assert (np.abs(sigmas) < 2.0).mean() > 0.9
    assert np.abs(sigmas).max() < 4.0


def test_one_wrong_pair_does_not_turn_the_answer() -> None:
    found = calibrate(drive(3))
    with_wrong = calibrate(
        [p if i != 4 else p._replace(doppler=p.doppler + np.array([0.0, 0.8])) for i, p in enumerate(drive(3))]
    )
    assert abs(with_wrong.yaw - found.yaw) < found.sd


def test_what_does_not_tell_is_refused() -> None:
    with pytest.raises(CannotCalibrate, match="0 of 30 pairs of sweeps are faster"):
        calibrate(drive(0, speed=0.4))
    with pytest.raises(CannotCalibrate, match="5 of 5"):
        calibrate(drive(0, pairs=5))
    with pytest.raises(CannotCalibrate, match="do not agree"):
        calibrate([p._replace(doppler=p.doppler[::-1] if i % 2 else p.doppler) for i, p in enumerate(drive(0))])
    with pytest.raises(CannotCalibrate, match="known only to"):
        calibrate([p._replace(other_cov=p.other_cov * 900, doppler_cov=p.doppler_cov * 900) for p in drive(0)])
