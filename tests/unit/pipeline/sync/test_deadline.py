"""Waits that follow what is measured and forget a hiccup."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.sync.deadline import RunningQuantile, Wait, WaitSettings

MS = 1_000_000


def test_running_quantile_is_that_of_the_last_values() -> None:
    rng = np.random.default_rng(5)
    values = rng.integers(0, 1000, 400).tolist()
    quantile = RunningQuantile(0.9, 50)
    for end, value in enumerate(values, start=1):
        recent = values[max(0, end - 50) : end]
        assert quantile.add(value) == np.quantile(recent, 0.9, method="inverted_cdf")
    assert len(quantile) == 50


@pytest.mark.parametrize(("quantile", "size"), [(-0.1, 5), (1.1, 5), (0.5, 0)])
def test_a_quantile_of_nothing_is_refused(quantile: float, size: int) -> None:
    with pytest.raises(ValueError, match="quantile"):
        RunningQuantile(quantile, size)


def test_one_hiccup_among_many_does_not_count() -> None:
    wait = Wait(WaitSettings())
    for _ in range(255):
        wait.add(20 * MS)
    wait.add(400 * MS)
    assert wait.ns == 25 * MS


def test_two_hiccups_count_and_are_forgotten() -> None:
    wait = Wait(WaitSettings(window=256))
    for _ in range(254):
        wait.add(20 * MS)
    wait.add(300 * MS)
    wait.add(310 * MS)
    assert wait.ns == 305 * MS
    for _ in range(256):
        wait.add(20 * MS)
    assert wait.ns == 25 * MS


def test_a_lasting_rise_is_followed_within_the_bounds() -> None:
    wait = Wait(WaitSettings(max_ns=200 * MS))
    for _ in range(300):
        wait.add(90 * MS)
    assert wait.ns == 95 * MS
    for _ in range(300):
        wait.add(2000 * MS)
    assert wait.ns == 200 * MS
    for _ in range(300):
        wait.add(-50 * MS)
    assert wait.ns == 5 * MS


def test_before_enough_is_known_the_initial_wait_holds() -> None:
    wait = Wait(WaitSettings(initial_ns=77, enough=3))
    wait.add(MS)
    wait.add(MS)
    assert wait.ns == 77
    wait.add(MS)
    assert wait.ns == 6 * MS


@pytest.mark.parametrize("wrong", [{"quantile": 1.5}, {"min_ns": 5, "max_ns": 4}, {"window": 0}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WaitSettings(**wrong)  # type: ignore[arg-type]
