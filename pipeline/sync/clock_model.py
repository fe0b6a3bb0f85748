"""One sensor's clock: what its stamps mean in vehicle time, and which of them to believe.

Every clock is watched by an `Envelope` of its delays. What the time is taken from depends on the clock's discipline:

    vehicle   the stamp itself
    ptp       the stamp itself while the port is locked; then carried on with the drift that the envelope shows
    trigger   the hardware pulse that fired the exposure
    free      the envelope; also the fallback of the others

Policies, each with its reason code:

    out_of_range   not a time in 1970..2116: not a number of nanoseconds
    unit_slip      1000 times (or its square, or cube) too large, too small, too fast or too slow: another unit
    absurd_time    of a clock that should show vehicle time: too far from the arrival
    clock_jump     ahead of what the envelope allows, or behind it with a step that is no multiple of the period
    duplicate      a stamp that came before
    stuck_stamp    the same stamp for the third time in a row and on

Three refused stamps in a row that agree among themselves mean that the clock did step: a new epoch begins, and the
model anew. So does a delay that stays above the bound for long. A stamp that is merely out of order is good.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple, TypeAlias

from calibration.rig import Clock as ClockSpec
from pipeline.core.messages import ClockState
from pipeline.core.settings import Settings
from pipeline.sync.deadline import RunningQuantile
from pipeline.sync.envelope import Envelope, EnvelopeSettings, Estimate
from pipeline.sync.ptp import PtpClock, PtpPort, PtpSettings
from pipeline.sync.trigger import TriggerMatcher, TriggerSettings

Method: TypeAlias = Literal["vehicle", "envelope", "trigger", "ptp"]

_LATEST_NS = 2**62
_UNITS = (10**3, 10**6, 10**9)
_AGREE = 3
_REMEMBERED = 64
_PERIODS = 31
_UNIT_AFTER_NS = 200_000_000
_YOUNG = 32


class ClockSettings(Settings, frozen=True):
    """step_ns: a jump beyond it is a step of the clock, not a delay. hold_ns: so long all delays must stay above it.

    max_age_ns, max_future_ns: how far a stamp of a clock that should show vehicle time may be before or after arrival.
    warn_ns: for how long the state shows that something happened.
    """

    envelope: EnvelopeSettings = EnvelopeSettings()
    ptp: PtpSettings = PtpSettings()
    trigger_min_delay_ns: int = 0
    trigger_max_delay_ns: int = 0
    trigger_counter_bits: int = 32
    step_ns: int = 20_000_000
    hold_ns: int = 2_000_000_000
    max_age_ns: int = 5_000_000_000
    max_future_ns: int = 100_000_000
    warn_ns: int = 10_000_000_000


class Reading(NamedTuple):
    """What a driver tells about the time of one message; counter: of the exposure, where a pulse fired it."""

    sensor_ns: int
    arrival_ns: int
    counter: int | None = None
    port: PtpPort | None = None


class Corrected(NamedTuple):
    """Vehicle time of a message, or why it is refused."""

    time_ns: int
    sigma_ns: int
    refused: str = ""


class SensorClock:
    """The clock model of one sensor stream; `take` every message in order of arrival."""

    def __init__(self, spec: ClockSpec, settings: ClockSettings, first_epoch: int = 0) -> None:
        self.epoch = first_epoch
        self.out_of_order = 0
        self._spec = spec
        self._settings = settings
        self._trigger = None
        if spec.discipline == "trigger":
            self._trigger = TriggerMatcher(
                TriggerSettings(
                    period_ns=spec.trigger_period_ns,
                    counter_bits=settings.trigger_counter_bits,
                    min_delay_ns=settings.trigger_min_delay_ns,
                    max_delay_ns=settings.trigger_max_delay_ns,
                    sigma_ns=spec.sigma_ns or 200,
                )
            )
        self._suspects: deque[Reading] = deque(maxlen=_AGREE)
        self._alarm, self._alarm_until_ns = "", 0  # what happened
        self._repeats = self._late_count = 0
        self._late_since: Reading | None = None
        self._newest_arrival_ns = 0
        self._begin()

    def pulse(self, time_ns: int) -> None:
        """A hardware pulse fired at this vehicle time.

        Raises:
            ValueError: the rig says that nothing triggers this sensor.
        """
        if self._trigger is None:
            raise ValueError("a pulse for a sensor that is not triggered")
        self._trigger.pulse(time_ns)

    def take(self, reading: Reading) -> Corrected:
        """Vehicle time of a message; `epoch` rises when the clock stepped."""
        self._newest_arrival_ns = reading.arrival_ns
        refused = self._refusal(reading)
        if refused in ("clock_jump", "absurd_time", "unit_slip") and self._stepped(reading):
            refused = ""
        if refused:
            return Corrected(0, 0, refused)
        self._suspects.clear()
        if self._stays_late(reading):
            self._new_epoch([reading], "delays stay above the bound: the clock stepped back or the path changed")
        self._accept(reading)
        self._estimate = self._judge(reading)
        return Corrected(reading.sensor_ns + self._estimate.offset_ns, self._estimate.sigma_ns)

    @property
    def alarm(self) -> str:
        """What happened to the clock lately, else why it is not what its discipline promises; mostly empty."""
        return self._alarm if self._newest_arrival_ns < self._alarm_until_ns else self._doubt

    @property
    def state(self) -> ClockState:
        """What is believed of the clock."""
        port = self._ptp.port
        skew_ppb = self._envelope.at(self._newest_ns).skew_ppb if self._first else 0.0
        return ClockState(
            method=self._method,
            offset_ns=self._estimate.offset_ns,
            skew_ppb=skew_ppb,
            sigma_ns=self._estimate.sigma_ns,
            epoch=self.epoch,
            alarm=self.alarm,
            ptp_grandmaster=port.grandmaster,
            ptp_state=port.state,
        )

    # --- which stamps to believe

    def _refusal(self, reading: Reading) -> str:
        """Why a stamp is not believed; empty where it is."""
        sensor_ns = reading.sensor_ns
        if not 0 <= sensor_ns < _LATEST_NS:
            return "out_of_range"
        if sensor_ns in self._recent:
            self._repeats = self._repeats + 1 if sensor_ns == self._recent[-1] else 1
            if self._repeats < _AGREE - 1:
                return "duplicate"
            self._warn("stamps stand still", reading.arrival_ns)
            return "stuck_stamp"
        s = self._settings
        excess_ns = self._excess_ns(reading)
        if self._on_vehicle_time:
            if -s.max_future_ns <= excess_ns <= s.max_age_ns:
                return ""
            if not _other_unit(sensor_ns, reading.arrival_ns):
                return "absurd_time"
            self._warn("stamps count another unit than nanoseconds", reading.arrival_ns)
            return "unit_slip"
        if self._first is None:
            return ""
        expected_ns = sensor_ns + excess_ns
        passed_ns = reading.arrival_ns - self._first.arrival_ns
        if _other_unit(sensor_ns, expected_ns) or (
            passed_ns > _UNIT_AFTER_NS and _other_unit(sensor_ns - self._first.sensor_ns, passed_ns)
        ):
            self._warn("stamps count another unit than nanoseconds", reading.arrival_ns)
            return "unit_slip"
        bound_ns = s.step_ns + 4 * self._line.sigma_ns
        if not -s.max_age_ns <= excess_ns <= s.max_age_ns:
            return "clock_jump"
        if excess_ns < -bound_ns and len(self._envelope) >= _YOUNG:  # not all those before can have been late
            return "clock_jump"
        if abs(excess_ns) > bound_ns and (self._suspects or self._irregular(sensor_ns)):
            return "clock_jump"
        return ""

    def _excess_ns(self, reading: Reading) -> int:
        """By how much the message came later than the earliest that its stamp allows."""
        delay_ns = reading.arrival_ns - reading.sensor_ns
        if self._on_vehicle_time:
            return delay_ns + self._settings.ptp.utc_offset_ns * (self._spec.discipline == "ptp")
        if self._first is None:
            return 0
        line, since_ns = self._line, reading.sensor_ns - self._line_at_ns
        return delay_ns - line.offset_ns - round(line.skew_ppb * 1e-9 * since_ns) - self._settings.envelope.min_delay_ns

    def _irregular(self, sensor_ns: int) -> bool:
        """Whether a stamp lies where no message was due, as it does when the clock stepped.

        Messages are due at multiples of the period, where none was before; one that fills a gap is only out of order.
        """
        if len(self._periods) < _PERIODS // 2:
            return False
        if sensor_ns < self._newest_ns:
            return any(abs(sensor_ns - other_ns) < 0.7 * self._period_ns for other_ns in self._recent)
        cycles = (sensor_ns - self._newest_ns) / self._period_ns
        return cycles < 0.5 or abs(cycles - round(cycles)) > 0.2

    def _stepped(self, reading: Reading) -> bool:
        """Whether the refused stamps of late agree on where the clock is now; then the new epoch has begun."""
        self._suspects.append(reading)
        if len(self._suspects) < _AGREE:
            return False
        suspects = list(self._suspects)
        delays = [r.arrival_ns - r.sensor_ns for r in suspects]
        in_order = suspects[0].sensor_ns < suspects[1].sensor_ns < suspects[2].sensor_ns
        passed_ns = suspects[-1].arrival_ns - suspects[0].arrival_ns
        if not in_order or max(delays) - min(delays) > max(self._settings.step_ns, passed_ns // 4):
            return False
        self._new_epoch(suspects, f"the clock jumped by {-self._excess_ns(reading) / 1e6:.1f} ms")
        return True

    def _stays_late(self, reading: Reading) -> bool:
        """Whether all delays have been above the bound for so long that it is not a passing congestion."""
        if self._on_vehicle_time or self._excess_ns(reading) <= self._settings.step_ns:
            self._late_since = None
            return False
        if self._late_since is None:
            self._late_since, self._late_count = reading, 0
        self._late_count += 1
        long = reading.arrival_ns - self._late_since.arrival_ns >= self._settings.hold_ns
        return long and self._late_count >= _PERIODS // 2

    # --- what they mean

    def _begin(self) -> None:
        """Know nothing of the clock."""
        self._envelope = Envelope(self._settings.envelope)
        self._ptp = PtpClock(self._settings.ptp)
        self._line = self._estimate = Estimate(0, self._settings.envelope.jitter_ns, 0.0)
        self._on_vehicle_time = self._spec.discipline in ("vehicle", "ptp")
        self._method: Method = "vehicle"
        self._doubt = ""  # why the clock is not what its discipline promises
        self._recent: deque[int] = deque(maxlen=_REMEMBERED)
        self._repeats = 0
        self._first: Reading | None = None
        self._newest_ns = self._line_at_ns = 0
        self._periods = RunningQuantile(0.5, _PERIODS)
        self._period_ns = 0
        self._late_since = None

    def _new_epoch(self, believed: list[Reading], alarm: str) -> None:
        """The clock is another one than before; ``believed`` is known of it already."""
        self.epoch += 1
        self._begin()
        self._warn(alarm, believed[-1].arrival_ns)
        delay_ns = min(self._excess_ns(r) for r in believed)
        if self._on_vehicle_time and not -self._settings.max_future_ns <= delay_ns <= self._settings.max_age_ns:
            self._on_vehicle_time = False
            self._doubt = "not on vehicle time"
        if self._trigger is not None:
            self._trigger.restart()
        for reading in believed[:-1]:
            self._envelope.add(reading.sensor_ns, reading.arrival_ns)

    def _accept(self, reading: Reading) -> None:
        """Learn from a believed stamp."""
        sensor_ns = reading.sensor_ns
        self._first = self._first or reading
        self._envelope.add(sensor_ns, reading.arrival_ns)
        if self._recent and sensor_ns < self._newest_ns:
            self.out_of_order += 1
        elif self._recent:
            self._period_ns = self._periods.add(sensor_ns - self._newest_ns)
        self._newest_ns = max(sensor_ns, self._newest_ns)
        self._recent.append(sensor_ns)
        self._repeats = 0

    def _judge(self, reading: Reading) -> Estimate:
        """Vehicle time of a believed stamp, by the clock's discipline."""
        if self._on_vehicle_time and self._spec.discipline == "vehicle":
            return Estimate(0, self._spec.sigma_ns, 0.0)
        if self._on_vehicle_time and self._ptp.hear(reading.port):
            self._envelope.forget()
            self._envelope.add(reading.sensor_ns, reading.arrival_ns)
        envelope = self._envelope.at(reading.sensor_ns)
        self._line, self._line_at_ns = envelope, reading.sensor_ns
        if self._on_vehicle_time:
            estimate = self._ptp.at(reading.sensor_ns, envelope)
            self._doubt = self._ptp.alarm
            self._method = "envelope" if estimate is envelope else "ptp"
            return estimate
        if self._trigger is not None:
            counter = reading.counter
            match = None
            if counter is not None:
                match = self._trigger.match(counter, reading.sensor_ns, reading.arrival_ns)
            if match is not None:
                self._method = "trigger"
                self._doubt = "which pulse it was is ambiguous" if match.ambiguous else ""
                if match.moved:
                    self.epoch += 1
                    self._warn("matched to other pulses than before", reading.arrival_ns)
                return Estimate(match.time_ns - reading.sensor_ns, match.sigma_ns, envelope.skew_ppb)
            self._doubt = "no pulse matches"
        if abs(envelope.skew_ppb) > 950.0 * self._settings.envelope.max_skew_ppm:
            self._doubt = "skew beyond what an oscillator does"
        elif self._trigger is None and self._spec.discipline == "free":
            self._doubt = ""
        self._method = "envelope"
        return envelope

    def _warn(self, alarm: str, arrival_ns: int) -> None:
        self._alarm, self._alarm_until_ns = alarm, arrival_ns + self._settings.warn_ns


def _other_unit(found_ns: int, expected_ns: int) -> bool:
    """Whether a number is what was expected in another unit: 10^3, 10^6, 10^9 times as large or small, within 10 %."""
    if found_ns <= 0 or expected_ns <= 0:
        return False
    small, large = sorted((found_ns, expected_ns))
    return any(abs(large - small * unit) <= large // 10 for unit in _UNITS)
