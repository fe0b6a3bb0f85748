"""Sources that die, hang, stutter, lie about time: the others go on, and not one message is unaccounted for.

Sensors with clocks of their own, the stampers, a channel and the aligner, in virtual time, with the wall clock of a
live run.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from calibration.rig import Clock
from nodes.sources.stamp import Stamper, StampSettings
from pipeline.core.messages import Message, Stamp, StreamStatus, WheelSpeed
from pipeline.sync.align import Aligned, Aligner, AlignerSettings
from pipeline.sync.lane import LaneSettings

MS = 1_000_000
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
PAYLOAD = WheelSpeed(speed=0.0)
PERIODS = {"top": 100 * MS, "front": 100 * MS, "radar": 77 * MS}
SKEW = {"top": 20e-6, "front": -70e-6, "radar": 95e-6}
DEPTH = 6  # messages that the channel may swap


class Fault(NamedTuple):
    """What befalls a source from ``start_s`` to ``end_s``."""

    kind: str
    start_s: float
    end_s: float

    def holds(self, seconds: float) -> bool:
        return self.start_s <= seconds < self.end_s


class Event(NamedTuple):
    """Something that reaches the aligner."""

    at_ns: int
    sensor: str
    message: Message


class Truth(NamedTuple):
    """What a source really did."""

    taken: int  # raw messages that its stampers took
    refused: Counter[int]  # by the stampers, per epoch
    lost: int  # on the way
    copies: int  # that the channel made
    delivered: set[tuple[int, int]]


def source(sensor: str, faults: list[Fault], seconds: int, seed: int) -> tuple[list[Event], Truth]:
    """Simulate one sensor, its driver and the way of its messages to the aligner."""
    rng = random.Random(f"{sensor} {seed}")
    events: list[Event] = []
    delivered: set[tuple[int, int]] = set()
    restart = lost = copies = taken = 0
    refused: Counter[int] = Counter()
    clock_ns = 0  # by which the sensor's clock has jumped
    jumped: set[Fault] = set()
    stamper: Stamper | None = Stamper(f"radar/{sensor}", Clock(discipline="free"), StampSettings())
    free_ns = 0  # when the detector has worked on what came before

    def at(kind: str, seconds: float) -> bool:
        return any(f.kind == kind and f.holds(seconds) for f in faults)

    def out(messages: list[Message]) -> None:
        nonlocal lost, copies, free_ns
        for message in messages:
            arrived = message.stamp.arrival_ns
            if isinstance(message.payload, StreamStatus):
                events.append(Event(arrived + MS, sensor, message))
            elif message.payload is PAYLOAD:
                free_ns = max(free_ns, arrived) + rng.randrange(5 * MS, 25 * MS)
                if at("lossy", (arrived - START) / SECOND) and rng.random() < 0.1:
                    lost += 1
                    continue
                delivered.add((message.stamp.epoch, message.stamp.sequence))
                events.append(Event(free_ns, sensor, message))
                if at("copied", (arrived - START) / SECOND) and rng.random() < 0.3:
                    copies += 1
                    events.append(Event(free_ns + rng.randrange(150 * MS), sensor, message))

    previous_arrival_ns = 0
    for n in range(seconds * SECOND // PERIODS[sensor]):
        true_ns = START + n * PERIODS[sensor]
        now = (true_ns - START) / SECOND
        for fault in faults:
            if fault.kind == "jumped" and fault.holds(now) and fault not in jumped:
                jumped.add(fault)
                clock_ns += rng.choice([-7, 7]) * SECOND
        sensor_ns = 3_600 * SECOND + round((true_ns - START) * (1 + SKEW[sensor])) + clock_ns
        arrival_ns = true_ns + 10 * MS + int(rng.expovariate(1 / (5 * MS)))
        for fault in faults:
            if fault.kind == "stalled" and fault.holds(now):
                arrival_ns = max(arrival_ns, START + round(fault.end_s * SECOND))
        arrival_ns = max(arrival_ns, previous_arrival_ns + 1000)
        previous_arrival_ns = arrival_ns
        if at("killed", now):
            stamper = None
            continue
        if stamper is None:
            restart += 1
            stamper = Stamper(f"radar/{sensor}", Clock(discipline="free"), StampSettings(), restart)
        if at("absurd", now) and rng.random() < 0.3:
            sensor_ns = rng.choice([sensor_ns // 1000, 15_567_552_000 * SECOND, sensor_ns + 40 * SECOND, -1])
        if at("stuck", now):
            sensor_ns -= sensor_ns % (5 * SECOND)
        for _ in range(2 if at("duplicated", now) else 1):
            taken += 1
            out(stamper.take(PAYLOAD, sensor_ns, arrival_ns))
    if stamper is not None:
        out(stamper.finish(START + seconds * SECOND))
    for event in events:
        told = event.message.payload
        if isinstance(told, StreamStatus):
            refused[event.message.stamp.epoch] = max(refused[event.message.stamp.epoch], sum(told.losses.values()))
    return _reordered(events, faults, rng), Truth(taken, refused, lost, copies, delivered)


def _reordered(events: list[Event], faults: list[Fault], rng: random.Random) -> list[Event]:
    """Swap messages with their neighbours while that fault holds."""
    out = sorted(events, key=lambda e: e.at_ns)
    for index in range(len(out) - 1):
        seconds = (out[index].at_ns - START) / SECOND
        if any(f.kind == "reordered" and f.holds(seconds) for f in faults) and rng.random() < 0.4:
            a, b = out[index], out[index + 1]
            out[index], out[index + 1] = b._replace(at_ns=a.at_ns), a._replace(at_ns=b.at_ns)
    return out


class Outcome:
    """A run of the aligner over all sources, and what it left."""

    def __init__(self, faults: dict[str, list[Fault]], seconds: int, seed: int = 0) -> None:
        self.fates: dict[tuple[str, int, int], list[str]] = {}
        self.sets: list[Aligned] = []
        self.sizes: list[int] = []
        self.truth: dict[str, Truth] = {}
        events: list[Event] = []
        for sensor in PERIODS:
            part, self.truth[sensor] = source(sensor, faults.get(sensor, []), seconds, seed)
            events += part
        events.sort(key=lambda e: e.at_ns)
        lane = LaneSettings(reorder_depth=DEPTH)
        self.aligner = Aligner(PERIODS, AlignerSettings(reference="top", lane=lane), journal=self._note)
        for index, event in enumerate(events):
            self._take(event)
            if index % 500 == 0:
                self.sizes.append(held(self.aligner))
                self.check_balance()
        self.sets += self.aligner.finish()
        self.check_balance()

    def _take(self, event: Event) -> None:
        stamp, payload = event.message.stamp, event.message.payload
        if isinstance(payload, StreamStatus):
            self.aligner.stream_status(event.sensor, stamp.epoch, payload)
        else:
            self.aligner.push(event.sensor, stamp, None, event.at_ns)
        self.sets += self.aligner.advance(event.at_ns)

    def _note(self, sensor: str, stamp: Stamp, outcome: str) -> None:
        self.fates.setdefault((sensor, stamp.epoch, stamp.sequence), []).append(outcome)

    def check_balance(self) -> None:
        for row in self.aligner.ledger.state().rows:
            assert row.received == row.fused + sum(row.dropped.values()) + row.in_flight, row

    def check_books(self) -> None:
        """The ledger against what the sources really did."""
        for row in self.aligner.ledger.state().rows:
            truth = self.truth[row.sensor]
            here = {(epoch, seq): fate for (sensor, epoch, seq), fate in self.fates.items() if sensor == row.sensor}
            assert set(here) == truth.delivered
            for fate in here.values():
                assert len([f for f in fate if f != "duplicate"]) == 1, fate
            assert row.in_flight == 0
            assert row.received == truth.taken + truth.copies
            assert row.fused == sum("fused" in fate for fate in here.values())
            refused = sum(truth.refused.values())
            assert row.dropped.get("lost_in_transit", 0) == truth.lost
            after = Counter(reason for fate in here.values() for reason in fate if reason != "fused")
            assert sum(row.dropped.values()) == refused + truth.lost + after.total()

    def used(self, sensor: str) -> list[bool]:
        return [slot.item is not None for frames in self.sets for slot in frames.slots if slot.sensor == sensor]


def held(root: object) -> int:
    """How many things an object holds, however deep: a measure of memory that does not depend on the allocator."""
    seen: set[int] = set()

    def inside(thing: object) -> Iterator[object]:
        if isinstance(thing, dict):
            yield from thing.keys()
            yield from thing.values()
        elif isinstance(thing, (list, tuple, set, deque)):
            yield from thing
        elif hasattr(thing, "__dict__") and not isinstance(thing, (type, Outcome)) and not isinstance(thing, Callable):  # type: ignore[arg-type]
            yield from vars(thing).values()

    def count(thing: object) -> int:
        if id(thing) in seen:
            return 0
        seen.add(id(thing))
        return 1 + sum(count(part) for part in inside(thing))

    return count(root)


KINDS = ("killed", "stalled", "duplicated", "copied", "reordered", "jumped", "lossy", "absurd", "stuck")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sensor", list(PERIODS))
def test_each_source_in_turn(sensor: str, kind: str) -> None:
    faults = {sensor: [Fault(kind, 15, 18), Fault(kind, 30, 42)]}
    outcome = Outcome(faults, seconds=60)
    outcome.check_books()

    times = [frames.time_ns for frames in outcome.sets]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) >= 585, "frame sets go on"
    assert min(gaps) > 0
    assert max(gaps) <= 200 * MS
    for other in PERIODS:
        if other != sensor:
            expected = 0.98 if PERIODS[other] == PERIODS["top"] else 0.95
            assert sum(outcome.used(other)) >= expected * len(times), "the others are not drawn in"
    assert sum(outcome.used(sensor)[-120:]) >= 115, "and when it is well again it takes part again"


def test_ten_minutes_of_random_faults() -> None:
    rng = random.Random(7)
    seconds = 600
    faults = {
        sensor: [
            Fault(rng.choice(KINDS), start, start + rng.uniform(1, 15))
            for start in sorted(rng.uniform(5, seconds - 30) for _ in range(25))
        ]
        for sensor in PERIODS
    }
    outcome = Outcome(faults, seconds)
    outcome.check_books()
    assert len(outcome.sets) >= 0.95 * seconds * 10
    passed = sum(truth.taken for truth in outcome.truth.values())
    assert max(outcome.sizes) < 4_000 < passed / 4, "windows, the last epochs, and what waits; nothing that grows"


def test_all_sources_fail_at_once_and_come_back() -> None:
    faults = {sensor: [Fault("killed", 20, 30), Fault("stalled", 40, 43)] for sensor in PERIODS}
    outcome = Outcome(faults, seconds=60)
    outcome.check_books()
    seconds = [(frames.time_ns - START) / SECOND for frames in outcome.sets]
    assert not [s for s in seconds if 21 < s < 29.9], "no frame sets of nothing"
    assert len([s for s in seconds if 31 < s < 39]) >= 78
    assert len([s for s in seconds if 45 < s < 59]) >= 138
