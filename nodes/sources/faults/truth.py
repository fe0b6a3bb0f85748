"""`truth/sensor/<name>`: what ails each sensor, for the judge alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

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
        self._faults = [fault for fault in faults if sensor.name in fault.sensors]
        self._start_ns, self._duration_ns = drive.start_ns, drive.end_ns - drive.start_ns
        told = drive.messages([self.topic]) if self.topic in drive.topics else ()
        self._told = [(m.stamp.time_ns, m.payload) for m in told if isinstance(m.payload, TruthSensor)] or [
            (drive.start_ns, _as_in_rig(sensor))
        ]
        edges = (edge for fault in self._faults for edge in self._span(fault))
        own = range(0, self._duration_ns, _EVERY_NS) if len(self._told) == 1 else ()
        since = {*own, *(t - self._start_ns for t, _ in self._told), *edges}
        self.times_ns = sorted(self._start_ns + t for t in since if 0 <= t < self._duration_ns)

    def messages(self) -> list[Message]:
        """All of them, in order."""
        return [self._at(time_ns, sequence) for sequence, time_ns in enumerate(self.times_ns)]

    def _at(self, time_ns: int, sequence: int) -> Message:
        since_ns = time_ns - self._start_ns
        told = self._told[max(bisect_right([t for t, _ in self._told], time_ns) - 1, 0)][1]
        there = [f for f in self._faults if self._span(f)[0] <= since_ns < f.end_ns]
        clock = [f for f in self._faults if f.kind.stage == "clock"]
        payload = msgspec.structs.replace(
            told,
            clock_offset_ns=told.clock_offset_ns + clock_error_ns(clock, since_ns, self._duration_ns),
            clock_skew_ppb=told.clock_skew_ppb + 1000.0 * clock_skew_ppm(clock, since_ns),
            faults=(*told.faults, *(f.label for f in there)),
        )
        stamp = Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=sequence)
        return Message(self.topic, stamp, payload)

    def _span(self, fault: Fault) -> tuple[int, int]:
        if fault.kind.stage == "clock":
            return clock_fault_begins_ns(fault, self._duration_ns), fault.end_ns
        return fault.start_ns, fault.end_ns


def _as_in_rig(sensor: Sensor) -> TruthSensor:
    return TruthSensor(
        sensor=sensor.name,
        clock_offset_ns=0,
        clock_skew_ppb=0.0,
        translation=sensor.extrinsic.translation,
        rotation_wxyz=sensor.extrinsic.rotation_wxyz,
    )
