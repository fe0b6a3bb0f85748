"""PTP: believed in lock, carried on without."""

from __future__ import annotations

import pytest

from pipeline.sync.envelope import Estimate
from pipeline.sync.ptp import PtpClock, PtpPort, PtpSettings

SECOND = 1_000_000_000
US = 1_000
LOCKED = PtpPort("SLAVE", "00:11:22:ff:fe:33", 300)
LOST = PtpPort("UNCALIBRATED", "00:11:22:ff:fe:33", 0)


def envelope(offset_ns: int = 4_000_000, sigma_ns: int = 50 * US) -> Estimate:
    """Of delays: an offset that holds the unknown minimum delay."""
    return Estimate(offset_ns, sigma_ns, 0.0)


def ask(clock: PtpClock, sensor_ns: int, port: PtpPort | None, estimate: Estimate) -> Estimate:
    clock.hear(port)
    return clock.at(sensor_ns, estimate)


def test_in_lock_the_stamp_is_vehicle_time() -> None:
    clock = PtpClock(PtpSettings())
    assert ask(clock, SECOND, LOCKED, envelope())[:2] == (0, 1 * US)
    assert clock.alarm == ""
    assert clock.port == LOCKED


def test_an_offset_from_the_master_is_doubt() -> None:
    assert ask(PtpClock(PtpSettings()), SECOND, LOCKED._replace(offset_ns=-80 * US), envelope()).sigma_ns == 80 * US


def test_without_lock_doubt_grows_with_the_drift_and_no_further_than_the_envelope_knows() -> None:
    clock = PtpClock(PtpSettings(drift_ppb=20_000.0))
    ask(clock, 0, LOCKED, envelope())
    sigmas = [ask(clock, t * SECOND, LOST, envelope()).sigma_ns for t in (1, 2, 5, 60, 600)]
    assert sigmas == sorted(sigmas)
    assert sigmas[0] == pytest.approx(20 * US, rel=0.1)
    assert sigmas[-1] == pytest.approx(2**0.5 * 50 * US, rel=0.01)
    assert "UNCALIBRATED" in clock.alarm


def test_without_lock_the_drift_that_the_envelope_shows_is_taken_out() -> None:
    clock = PtpClock(PtpSettings())
    ask(clock, 0, LOCKED, envelope())
    drifted = ask(clock, 600 * SECOND, LOST, envelope(4_000_000 - 6_000_000))
    assert drifted.offset_ns == pytest.approx(-6_000_000, abs=20 * US)
    assert ask(clock, 601 * SECOND, LOCKED, envelope()).offset_ns == 0


def test_another_grandmaster_is_not_believed() -> None:
    clock = PtpClock(PtpSettings())
    ask(clock, 0, LOCKED, envelope())
    ask(clock, SECOND, LOCKED._replace(grandmaster="66:77:88:ff:fe:99"), envelope())
    assert "66:77:88:ff:fe:99, not 00:11:22:ff:fe:33" in clock.alarm
    configured = PtpClock(PtpSettings(grandmaster="aa"))
    configured.hear(LOCKED)
    assert configured.alarm


def test_a_port_that_was_never_locked_leaves_it_to_the_envelope() -> None:
    clock = PtpClock(PtpSettings())
    estimate = envelope()
    assert ask(clock, 0, None, estimate) is estimate
    assert "silent" in clock.alarm


def test_the_ptp_timescale_may_be_ahead_of_utc() -> None:
    clock = PtpClock(PtpSettings(utc_offset_ns=37 * SECOND))
    assert ask(clock, 0, LOCKED, envelope()).offset_ns == -37 * SECOND


def test_coming_under_discipline_and_falling_out_of_it_is_told() -> None:
    clock = PtpClock(PtpSettings())
    assert [clock.hear(port) for port in (LOCKED, LOCKED, LOST, LOST, LOCKED)] == [False, False, True, False, True]
