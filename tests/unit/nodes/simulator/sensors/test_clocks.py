"""What the pipeline believes of time is as wrong as it says."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.rig import Clock
from nodes.simulator.sensors.clocks import BEHAVIOURS, ClockBehaviour, StampTable, stamps

START = 1_700_000_000_000_000_000
SPECS = {
    "vehicle": Clock(sigma_ns=100_000),
    "ptp": Clock(discipline="ptp"),
    "trigger": Clock(discipline="trigger", trigger_period_ns=100_000_000),
    "free": Clock(discipline="free"),
}


def table(discipline: str, seed: int, behaviour: ClockBehaviour = BEHAVIOURS["lidar"]) -> StampTable:
    return stamps(SPECS[discipline], behaviour, START, 0.1, 40.0, 10.0, np.random.default_rng(seed))


@pytest.mark.parametrize("discipline", SPECS)
@pytest.mark.parametrize("seed", range(4))
def test_error_is_consistent_with_sigma(discipline: str, seed: int) -> None:
    found = table(discipline, seed)
    assert found.messages == 400
    assert (found.sequence == np.arange(400)).all()
    assert not found.epoch.any()
    error = np.abs(found.time_ns - found.true_ns)
    assert (error <= 4 * found.sigma_ns + 1).mean() > 0.99
    settled = error[100:]
    assert np.quantile(settled, 0.99) < {"vehicle": 400e3, "ptp": 3e3, "trigger": 1e3, "free": 300e3}[discipline]


def test_messages_arrive_in_order_and_never_before_they_can() -> None:
    found = table("free", 1)
    assert (np.diff(found.arrival_ns) >= 0).all()
    latency = found.arrival_ns - found.true_ns
    assert latency.min() >= 1e9 * BEHAVIOURS["lidar"].latency_s - 1
    assert np.quantile(latency, 0.5) < 0.02e9


def test_true_offset_and_skew_belong_together() -> None:
    found = table("free", 2)
    passed = (found.true_ns[-1] - found.true_ns[0]) * 1e-9
    moved = found.clock_offset_ns[-1] - found.clock_offset_ns[0]
    assert moved / passed == pytest.approx(found.clock_skew_ppb.mean(), rel=0.01, abs=5.0)
    assert np.abs(found.sensor_ns - found.true_ns - found.clock_offset_ns).max() < 50_000


def test_a_short_stream_and_none() -> None:
    behaviour = BEHAVIOURS["camera"]
    assert stamps(SPECS["free"], behaviour, START, 0.1, 0.1, 10.0, np.random.default_rng(0)).messages == 1
    assert stamps(SPECS["free"], behaviour, START, 0.2, 0.1, 10.0, np.random.default_rng(0)).messages == 0


def test_same_seed_same_table() -> None:
    for a, b in zip(table("free", 3), table("free", 3), strict=True):
        assert (a == b).all()
