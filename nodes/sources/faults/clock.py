"""Faults of a sensor's clock: the device stamps wrongly, and vehicle time is what the pipeline's own estimate gives."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from calibration.rig import Clock as ClockSpec
from nodes.sources.faults.fault import Fault
from pipeline.core.messages import Stamp
from pipeline.sync.clock_model import ClockSettings, Corrected, Reading, SensorClock
from pipeline.sync.ptp import PtpPort


def clock_error_ns(faults: Sequence[Fault], since_ns: int, duration_ns: int) -> int:
    """By how much the sensor's clock is ahead of the true one, ``since_ns`` after the start of the drive."""
    total = 0.0
    for fault in faults:
        begin_ns = clock_fault_begins_ns(fault, duration_ns)
        if not begin_ns <= since_ns < fault.end_ns and not (fault.kind.name == "clock_drift" and since_ns >= begin_ns):
            continue
        if fault.kind.name == "clock_step":
            total += fault.amount * 1e6
        else:  # what has drifted stays
            total += fault.amount * 1e-6 * (min(since_ns, fault.end_ns) - begin_ns)
    return round(total)


def clock_skew_ppm(faults: Sequence[Fault], since_ns: int) -> float:
    """By how much it runs fast."""
    return sum(f.amount for f in faults if f.kind.name == "clock_drift" and f.start_ns <= since_ns < f.end_ns)


def clock_fault_begins_ns(fault: Fault, duration_ns: int) -> int:
    """A step comes after a third of the drive unless a time is given: the estimate is to know the clock by then."""
    return duration_ns // 3 if fault.kind.name == "clock_step" and not fault.windowed else fault.start_ns


class FaultyClock:
    """Gives a sensor's messages the stamps that they would have had with a faulty clock.

    Two estimates run side by side, with and without the fault. Vehicle time changes by what sets them apart, so that a
    correction which the recording had from elsewhere is kept. Give it every stamp of the stream, in order of arrival.
    """

    def __init__(self, spec: ClockSpec, faults: Sequence[Fault], start_ns: int, duration_ns: int) -> None:
        self._faults = faults
        self._start_ns, self._duration_ns = start_ns, duration_ns
        self._triggered = spec.discipline == "trigger"
        self._port = PtpPort("SLAVE", "vehicle") if spec.discipline == "ptp" else None
        self._true = SensorClock(spec, ClockSettings())
        self._faulty = SensorClock(spec, ClockSettings())
        self._first: dict[int, int] = {}  # epoch of the faulty clock -> first sequence number in it

    def take(self, stamp: Stamp) -> Stamp | None:
        """The new stamp; None where a live source would refuse it."""
        error_ns = clock_error_ns(self._faults, stamp.time_ns - self._start_ns, self._duration_ns)
        true, faulty = (
            self._read(clock, stamp, ahead_ns) for clock, ahead_ns in ((self._true, 0), (self._faulty, error_ns))
        )
        if faulty.refused:
            return None
        epoch = self._faulty.epoch
        first = self._first.setdefault(epoch, stamp.sequence if epoch else 0)
        known_better_ns = 0 if true.refused else stamp.time_ns - true.time_ns
        return msgspec.structs.replace(
            stamp,
            sensor_ns=stamp.sensor_ns + error_ns,
            time_ns=faulty.time_ns + known_better_ns,
            sigma_ns=max(stamp.sigma_ns, faulty.sigma_ns),
            sequence=stamp.sequence - first,
            epoch=stamp.epoch + epoch,
        )

    def _read(self, clock: SensorClock, stamp: Stamp, ahead_ns: int) -> Corrected:
        """As a live source would have read it: a recording keeps neither pulses nor port states, so both are sound."""
        if self._triggered:
            clock.pulse(stamp.time_ns)
        counter = stamp.sequence if self._triggered else None
        return clock.take(Reading(stamp.sensor_ns + ahead_ns, stamp.arrival_ns, counter, self._port))
