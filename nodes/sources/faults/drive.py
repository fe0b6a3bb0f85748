"""`FaultyDrive`: any drive, simulated or recorded, with faults of air, sensors, mounting, clocks and links.

The order is that of the world: the air changes what a sensor sees, the sensor what it gives, its clock the stamp, the
link whether and when it comes. The rig is the one that the pipeline believes. `truth/sensor/*` tells what was done.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from nodes.sources.drive import Drive
from nodes.sources.faults.clock import FaultyClock
from nodes.sources.faults.deliveries import DELIVERY_FAULTS, Deliveries
from nodes.sources.faults.depth import Sweeps
from nodes.sources.faults.fault import modalities, parse_fault
from nodes.sources.faults.mounting import believed_rig
from nodes.sources.faults.payloads import FaultyPayloads
from nodes.sources.faults.truth import SensorTruth
from pipeline.core.messages import Message, Stamp

_OLDEST_NS = 5_000_000_000  # no message arrives so long after its time; see ClockSettings.max_age_ns


class FaultyDrive:
    """``drive`` with ``faults`` on it.

    Args:
        faults: as on the command line, such as ``fog:3`` or ``camera_front.dark:2@5-12``; applied in this order.
        seed: of all that is random about them. Same drive, faults and seed: same bytes, whatever part is read.

    Raises:
        BadInput: see `parse_fault`.

    A message that is lost leaves a gap in the sequence numbers. `counts` and `arrivals` hold also those whose stamp
    turns out to be refused.
    """

    def __init__(self, drive: Drive, faults: Sequence[str], seed: int = 0) -> None:
        self._drive = drive
        self._seed = seed
        self._sweeps = Sweeps(drive)
        self.faults = tuple(parse_fault(text, drive.rig, drive.topics) for text in faults)
        self._rig = believed_rig(drive.rig, list(enumerate(self.faults)), seed)
        self._truth = {}
        if faults:
            told = (SensorTruth(drive, sensor, self.faults) for sensor in drive.rig.sensors)
            self._truth = {truth.topic: truth for truth in told}
        known = modalities(drive.topics)
        self._on = {
            f"{known[name]}/{name}": [(n, f) for n, f in enumerate(self.faults) if name in f.sensors]
            for name in {name for fault in self.faults for name in fault.sensors if name in known}
        }
        self._planned: dict[str, Deliveries] = {}

    @property
    def name(self) -> str:
        return self._drive.name

    @property
    def rig(self) -> Rig:
        return self._rig

    @property
    def start_ns(self) -> int:
        return self._drive.start_ns

    @property
    def end_ns(self) -> int:
        return self._drive.end_ns

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._drive.topics, *self._truth]))

    @property
    def counts(self) -> Mapping[str, int]:
        changed = {topic: len(self._deliveries(topic).arrival_ns) for topic in self._on if self._is_rescheduled(topic)}
        truth = {topic: len(truth.times_ns) for topic, truth in self._truth.items()}
        return {**self._drive.counts, **changed, **truth}

    @property
    def unreadable(self) -> Mapping[str, int]:
        return self._drive.unreadable

    def arrivals(self, topic: str) -> npt.NDArray[np.int64]:
        if topic in self._truth:
            return np.array(self._truth[topic].times_ns, dtype=np.int64)
        return self._deliveries(topic).arrival_ns if topic in self._on else self._drive.arrivals(topic)

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """See `Drive.messages`."""
        wanted = sorted(self.topics if topics is None else topics)
        changed = [topic for topic in wanted if topic in self._on or topic in self._truth]
        clean = [topic for topic in wanted if topic not in changed]
        streams = [self._stream(topic, start_ns, end_ns) for topic in changed]
        if clean:
            streams.append(self._drive.messages(clean, start_ns, end_ns))
        return heapq.merge(*streams, key=lambda message: message.stamp.arrival_ns)

    # --- one topic

    def _stream(self, topic: str, start_ns: int | None, end_ns: int | None) -> Iterator[Message]:
        if topic in self._truth:
            messages = iter(self._truth[topic].messages())
        elif self._is_rescheduled(topic):
            messages = self._delivered(topic, start_ns)
        else:
            payloads = FaultyPayloads(self._drive, topic, self._on[topic], self._seed, self._sweeps)
            yield from map(payloads.apply, self._drive.messages([topic], start_ns, end_ns))
            return
        for message in messages:
            time_ns = message.stamp.time_ns
            if (start_ns is None or time_ns >= start_ns) and (end_ns is None or time_ns < end_ns):
                yield message

    def _is_rescheduled(self, topic: str) -> bool:
        return any(f.kind.name in DELIVERY_FAULTS or f.kind.stage == "clock" for _, f in self._on[topic])

    def _deliveries(self, topic: str) -> Deliveries:
        """What of a topic comes when, all through the drive."""
        planned = self._planned.get(topic)
        if planned is None:
            planned = Deliveries.clean(self._drive.arrivals(topic))
            for number, fault in self._on[topic]:
                change = DELIVERY_FAULTS.get(fault.kind.name)
                if change is not None:
                    active = fault.active(planned.arrival_ns - self._drive.start_ns)
                    rng = np.random.default_rng([self._seed, number, *topic.encode()])
                    planned = change(planned, active, fault.amount, rng)
            self._planned[topic] = planned
        return planned

    def _delivered(self, topic: str, start_ns: int | None) -> Iterator[Message]:
        """The topic's messages as they come, from the first on that may have a time of ``start_ns`` or later.

        A clock's estimate depends on all before it: such a topic is read from its beginning.
        """
        planned = self._deliveries(topic)
        clock_faults = [fault for _, fault in self._on[topic] if fault.kind.stage == "clock"]
        if start_ns is not None and not clock_faults:
            planned = planned.only(planned.arrival_ns >= start_ns)
        clock = None
        if clock_faults:
            spec = self._drive.rig[topic.rpartition("/")[2]].clock
            clock = FaultyClock(spec, clock_faults, self.start_ns, self.end_ns - self.start_ns)
        stamped: dict[int, Stamp | None] = {}  # a message that comes twice has one stamp
        for place, (own, payload_of, arrival_ns) in enumerate(self._read(topic, planned)):
            number = int(planned.stamp[place])
            if own is None or payload_of is None:
                continue
            if number not in stamped:
                stamp = msgspec.structs.replace(own.stamp, arrival_ns=arrival_ns)
                stamped[number] = clock.take(stamp) if clock else stamp
            known = stamped[number]
            if known is not None:
                yield Message(topic, msgspec.structs.replace(known, arrival_ns=arrival_ns), payload_of.payload)

    def _read(self, topic: str, planned: Deliveries) -> Iterator[tuple[Message | None, Message | None, int]]:
        """For each delivery the messages that give its stamp and its payload, None where one is unreadable."""
        if len(planned.stamp) == 0:
            return
        clean_ns = self._drive.arrivals(topic)
        payloads = FaultyPayloads(self._drive, topic, self._on[topic], self._seed, self._sweeps)
        reached = int(min(planned.stamp.min(), planned.payload.min())) - 1
        first_ns = int(clean_ns[reached + 1])
        source = iter(self._drive.messages([topic], first_ns - _OLDEST_NS))
        last_use = np.full(len(clean_ns), -1)
        for place, pair in enumerate(zip(planned.stamp, planned.payload, strict=True)):
            last_use[list(pair)] = place
        held: dict[int, Message] = {}
        for place, (own, payload_of) in enumerate(zip(planned.stamp.tolist(), planned.payload.tolist(), strict=True)):
            while reached < max(own, payload_of) and (message := next(source, None)) is not None:
                if message.stamp.arrival_ns < first_ns:
                    continue
                reached = max(int(np.searchsorted(clean_ns, message.stamp.arrival_ns)), reached + 1)
                if reached < len(last_use) and last_use[reached] >= place:
                    held[reached] = payloads.apply(message)
            yield held.get(own), held.get(payload_of), int(planned.arrival_ns[place])
            for number in {own, payload_of}:
                if last_use[number] <= place:
                    held.pop(number, None)
