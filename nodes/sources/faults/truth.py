"""`truth/sensor/<name>`: what ails each sensor, for the judge alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np

from calibration.rig import Sensor
from nodes.sources.drive import Drive
from nodes.sources.faults.clock import clock_error_ns, clock_fault_begins_ns, clock_skew_ppm
from nodes.sources.faults.fault import Fault
from pipeline.core.messages import Message, Stamp
from pipeline.core.truth import TruthSensor

_EVERY_NS = 1_000_000_000


class SensorTruth:
    """The truth about one sensor at 1 Hz and whenever a fault begins or ends; what the drive itself tells is kept."""

    def __init__(self, drive: Drive, sensor: Sensor, faults: Sequence[Fault]) -> None:
        self.topic = f"truth/sensor/{sensor.name}"
        self._drive, self._sensor = drive, sensor
        self._faults = [fault for fault in faults if sensor.name in fault.sensors]
        self._start_ns, self._duration_ns = drive.start_ns, drive.end_ns - drive.start_ns

    @cached_property
    def times_ns(self) -> list[int]:
        """When it is told."""
        edges = {edge for fault in self._faults for edge in self._changes_ns(fault)}
        since = edges | {time_ns - self._start_ns for time_ns, _ in self._told}
        return sorted(self._start_ns + t for t in since if 0 <= t < self._duration_ns)

    @cached_property
    def _told(self) -> list[tuple[int, TruthSensor]]:
        """What the drive itself tells, and when; of a drive that tells nothing, what its rig says, every second."""
        if self.topic in self._drive.topics:
            messages = self._drive.messages([self.topic])
            return [(m.stamp.time_ns, m.payload) for m in messages if isinstance(m.payload, TruthSensor)]
        known = _as_in_rig(self._sensor)
        return [(self._start_ns + t, known) for t in range(0, self._duration_ns, _EVERY_NS)]

    def messages(self) -> list[Message]:
        """All of them, in order."""
        return [self._at(time_ns, sequence) for sequence, time_ns in enumerate(self.times_ns)]

    def _at(self, time_ns: int, sequence: int) -> Message:
        since_ns = time_ns - self._start_ns
        told = self._told[max(bisect_right([t for t, _ in self._told], time_ns) - 1, 0)][1]
        there = [f for f in self._faults if self._is_there(f, since_ns)]
        clock = [f for f in self._faults if f.kind.stage == "clock"]
        payload = msgspec.structs.replace(
            told,
            clock_offset_ns=told.clock_offset_ns + clock_error_ns(clock, since_ns, self._duration_ns),
            clock_skew_ppb=told.clock_skew_ppb + 1000.0 * clock_skew_ppm(clock, since_ns),
            faults=(*told.faults, *(f.label for f in there)),
        )
        stamp = Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=sequence)
        return Message(self.topic, stamp, payload)

    def _changes_ns(self, fault: Fault) -> list[int]:
        if fault.kind.stage == "clock":
            return [clock_fault_begins_ns(fault, self._duration_ns), fault.end_ns]
        return fault.changes_ns(self._duration_ns)

    def _is_there(self, fault: Fault, since_ns: int) -> bool:
        if fault.kind.stage == "clock":
            return clock_fault_begins_ns(fault, self._duration_ns) <= since_ns < fault.end_ns
        return bool(fault.active(np.array([since_ns]))[0])


def _as_in_rig(sensor: Sensor) -> TruthSensor:
    return TruthSensor(
        sensor=sensor.name,
        clock_offset_ns=0,
        clock_skew_ppb=0.0,
        translation=sensor.extrinsic.translation,
        rotation_wxyz=sensor.extrinsic.rotation_wxyz,
    )
