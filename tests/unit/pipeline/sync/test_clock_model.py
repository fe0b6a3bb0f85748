"""Which stamps are believed, what they mean, and when a clock is another one than before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from calibration.rig import Clock
from pipeline.sync.clock_model import ClockSettings, Corrected, Reading, SensorClock
from pipeline.sync.ptp import PtpPort, PtpSettings

MS = 1_000_000
SECOND = 1_000_000_000
START = 1_700_000_000_000_000_000
BOOTED = 5 * SECOND  # on the sensor's own clock at START
FREE = Clock(discipline="free")


class Sensor:
    """10 Hz for a minute: true times, stamps of a free clock 50 ppm slow, arrivals with 5 ms jitter."""

    def __init__(self, count: int = 600, seed: int = 0, jitter: float = 5e6) -> None:
        rng = np.random.default_rng(seed)
        self.true = START + np.arange(count) * 100 * MS
        self.stamps = BOOTED + ((self.true - START) * (1 - 50e-6)).astype(np.int64)
        self.arrivals = self.true + rng.exponential(jitter, count).astype(np.int64)

    def readings(self, stamps: Iterable[int] | None = None) -> list[Reading]:
        chosen = self.stamps.tolist() if stamps is None else stamps
        return [Reading(int(s), int(a)) for s, a in zip(chosen, self.arrivals.tolist(), strict=True)]


class Run:
    """What a clock made of some readings."""

    def __init__(self, readings: list[Reading], spec: Clock = FREE, settings: ClockSettings | None = None) -> None:
        self.clock = SensorClock(spec, settings or ClockSettings())
        self.alarms: list[str] = []
        self.epochs: list[int] = []
        self.out: list[Corrected] = []
        for reading in readings:
            self.out.append(self.clock.take(reading))
            self.epochs.append(self.clock.epoch)
            if self.clock.alarm and self.clock.alarm not in self.alarms:
                self.alarms.append(self.clock.alarm)

    @property
    def refused(self) -> Counter[str]:
        return Counter(c.refused for c in self.out if c.refused)

    def errors(self, true: np.ndarray) -> np.ndarray:
        """(accepted,) absolute, ns."""
        return np.array([abs(c.time_ns - int(t)) for c, t in zip(self.out, true, strict=True) if not c.refused])


def changed(stamps: np.ndarray, at: int, by: int) -> list[int]:
    return [*stamps[:at].tolist(), *(stamps[at:] + by).tolist()]


# --- believed


def test_a_free_clock_is_brought_to_vehicle_time() -> None:
    sensor = Sensor()
    run = Run(sensor.readings())
    assert not run.refused
    assert np.quantile(run.errors(sensor.true)[100:], 0.99) < 500_000
    state = run.clock.state
    assert state.method == "envelope"
    assert state.skew_ppb == pytest.approx(50_000, abs=15_000)
    assert state.offset_ns == pytest.approx(sensor.true[-1] - sensor.stamps[-1], abs=4 * state.sigma_ns)


@pytest.mark.parametrize("seed", range(8))
def test_jitter_bursts_and_stalls_are_no_steps(seed: int) -> None:
    sensor = Sensor(seed=seed)
    rng = np.random.default_rng(100 + seed)
    for at in [0, *rng.integers(1, 590, 6)]:
        sensor.arrivals[at : at + 8] += 400 * MS
    sensor.arrivals = np.maximum.accumulate(sensor.arrivals)
    run = Run(sensor.readings())
    assert (not run.refused, run.clock.epoch) == (True, 0)


def test_messages_out_of_order_are_good() -> None:
    sensor = Sensor()
    stamps = sensor.stamps.tolist()
    for n in (100, 200, 300):
        stamps[n], stamps[n + 1] = stamps[n + 1], stamps[n]
        sensor.arrivals[n] = sensor.arrivals[n + 1]
    run = Run(sensor.readings(stamps))
    assert not run.refused
    assert run.clock.out_of_order == 3
    assert run.clock.epoch == 0


def test_a_clock_on_vehicle_time_is_taken_at_its_word() -> None:
    sensor = Sensor()
    run = Run(sensor.readings(sensor.true), Clock(sigma_ns=500))
    assert run.errors(sensor.true).max() == 0
    assert {c.sigma_ns for c in run.out} == {500}
    assert run.clock.state.method == "vehicle"


# --- refused, each with its reason


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        (15_567_552_000_000_000_000, "out_of_range"),  # the year 2463
        (-5, "out_of_range"),
        (BOOTED + 31 * SECOND, "clock_jump"),
        (35_000_000_000_000, "unit_slip"),
        (35_000, "unit_slip"),
        (BOOTED + 9 * SECOND + 50 * MS, "clock_jump"),
    ],
)
def test_one_absurd_stamp_is_refused_and_changes_nothing(stamp: int, reason: str) -> None:
    sensor = Sensor()
    stamps = sensor.stamps.tolist()
    stamps[300] = stamp
    run = Run(sensor.readings(stamps))
    assert run.refused == {reason: 1}
    assert run.clock.epoch == 0
    assert run.errors(sensor.true)[299:].max() < MS


def test_a_duplicate_is_refused_once_and_a_stuck_stamp_for_as_long_as_it_lasts() -> None:
    sensor = Sensor()
    stamps = sensor.stamps.tolist()
    stamps[100] = stamps[99]
    stamps[300:340] = [stamps[299]] * 40
    run = Run(sensor.readings(stamps))
    assert run.refused == {"duplicate": 2, "stuck_stamp": 39}
    assert run.alarms == ["stamps stand still"]
    assert run.clock.epoch == 0
    assert run.clock.alarm == "", "it is over"


@pytest.mark.parametrize("spec", [FREE, Clock()])
def test_a_sensor_that_counts_microseconds_is_named_and_not_guessed_at(spec: Clock) -> None:
    sensor = Sensor()
    times = sensor.stamps if spec is FREE else sensor.true
    run = Run(sensor.readings(times // 1000), spec)
    assert run.refused["unit_slip"] >= 595
    assert "unit" in run.clock.alarm


# --- steps


@pytest.mark.parametrize("by", [500 * MS, 30 * MS, 3600 * SECOND, -530 * MS, -50 * MS, -10 * SECOND, -100 * MS])
def test_a_step_of_the_clock_opens_a_new_epoch_within_three_messages(by: int) -> None:
    sensor = Sensor(jitter=1e6)
    if by < 0:  # a clock that was up for long enough to be set back
        sensor.stamps += 3600 * SECOND
    run = Run(sensor.readings(changed(sensor.stamps, 300, by)))
    assert run.epochs[299] == 0
    assert run.clock.epoch == 1
    assert run.epochs[303] == 1
    assert run.refused.total() == 2
    assert run.alarms == [run.alarms[0]]
    assert "jumped by" in run.alarms[0]
    assert run.errors(sensor.true)[450:].max() < MS


def test_a_source_that_restarted_begins_above_its_old_epochs() -> None:
    clock = SensorClock(FREE, ClockSettings(), first_epoch=1 << 16)
    clock.take(Reading(BOOTED, START))
    assert clock.epoch == 1 << 16


def test_delays_that_stay_high_are_a_step_that_no_single_stamp_shows() -> None:
    """The clock steps back by just one period: the stamps look regular."""
    sensor = Sensor(jitter=1e6)
    lost = np.delete(np.arange(600), 300)
    sensor.true, sensor.arrivals = sensor.true[lost], sensor.arrivals[lost]
    stamps = np.delete(sensor.stamps, 599)
    run = Run(sensor.readings(stamps))
    assert run.clock.epoch == 1
    assert run.epochs.index(1) <= 325
    assert run.errors(sensor.true)[450:].max() < MS


def test_a_vehicle_clock_that_is_not_on_vehicle_time_falls_back_to_the_envelope_and_back() -> None:
    sensor = Sensor()
    stamps = changed(sensor.true, 200, 3600 * SECOND)
    stamps[400:] = sensor.true[400:].tolist()
    run = Run(sensor.readings(stamps), Clock())
    assert run.refused == {"absurd_time": 2, "clock_jump": 2}
    assert run.clock.epoch == 2
    assert any("not on vehicle time" in alarm for alarm in run.alarms)
    assert run.errors(sensor.true)[330:396].max() < 3 * MS
    assert run.clock.state.method == "vehicle"


# --- trigger, PTP


def test_a_triggered_sensor_has_the_time_of_its_pulse() -> None:
    sensor = Sensor()
    clock = SensorClock(Clock(discipline="trigger", trigger_period_ns=100 * MS, sigma_ns=150), ClockSettings())
    errors = []
    for n, reading in enumerate(sensor.readings()):
        clock.pulse(int(sensor.true[n]))
        errors.append(abs(clock.take(reading._replace(counter=n + 7)).time_ns - int(sensor.true[n])))
    assert max(errors[5:]) <= 1_000
    assert (clock.state.method, clock.state.sigma_ns, clock.state.alarm) == ("trigger", 150, "")
    for n, reading in enumerate(Sensor(700).readings()[620:], start=620):
        clock.take(reading._replace(counter=n + 7))
    assert (clock.state.method, clock.alarm) == ("envelope", "no pulse matches")


def test_a_pulse_for_a_sensor_that_is_not_triggered_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not triggered"):
        SensorClock(FREE, ClockSettings()).pulse(START)


def test_a_ptp_clock_in_lock_and_after_its_loss() -> None:
    sensor = Sensor()
    drift = np.where(np.arange(600) > 300, (np.arange(600) - 300) * 100 * MS * 30e-6, 0).astype(np.int64)
    readings = sensor.readings(sensor.true + drift)
    ports = [PtpPort("SLAVE", "gm", 0)] * 300 + [PtpPort("FAULTY", "gm", 0)] * 300
    settings = ClockSettings(ptp=PtpSettings(drift_ppb=40_000.0))
    run = Run([r._replace(port=p) for r, p in zip(readings, ports, strict=True)], Clock(discipline="ptp"), settings)
    errors = run.errors(sensor.true)
    assert errors[:300].max() == 0
    late = np.array([c.sigma_ns for c in run.out[301:]])
    assert np.mean(errors[301:] <= 2.6 * late) > 0.9
    assert drift[-1] > 800_000
    assert errors[-100:].max() < 400_000, "most of the drift is seen in the delays"
    state = run.clock.state
    assert (state.method, state.ptp_state, state.ptp_grandmaster) == ("ptp", "FAULTY", "gm")
    assert "FAULTY" in state.alarm
