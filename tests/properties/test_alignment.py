"""What the aligner decides depends on stamps only: every order of processing gives the same frame sets."""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.messages import Stamp, StreamStatus
from pipeline.sync.align import Aligned, Aligner, AlignerSettings, Recorded
from pipeline.sync.lane import LaneSettings

MS = 1_000_000
START = 1_700_000_000_000_000_000
ANY_ORDER = LaneSettings(reorder_depth=1 << 20)  # never conclude from a later message that an earlier one is lost


class Sensor(NamedTuple):
    """How one simulated sensor behaves. Times in ms, shares in percent."""

    name: str
    period: int
    phase: int
    delay: int
    jitter: int
    lost: int  # on the way
    lost_at_source: int
    twice: int
    swapped: int  # measured out of order
    stuck: int
    step_after: int  # messages, then a new epoch; 0 = never
    dies_after: int  # messages; 0 = never


class Traffic(NamedTuple):
    """What reaches the aligner, in order of arrival, and what the truth of it is."""

    events: list[tuple[str, Stamp, StreamStatus | None]]
    numbers: Counter[str]  # given out, per sensor
    copies: Counter[str]
    arrived: set[tuple[str, int, int]]


sensors = st.builds(
    Sensor,
    name=st.just(""),
    period=st.sampled_from([20, 33, 50, 77, 100, 100, 100, 110, 250]),
    phase=st.integers(-60, 60),
    delay=st.integers(1, 150),
    jitter=st.sampled_from([0, 3, 20, 80, 400]),
    lost=st.sampled_from([0, 0, 5, 30]),
    lost_at_source=st.sampled_from([0, 0, 10]),
    twice=st.sampled_from([0, 0, 10]),
    swapped=st.sampled_from([0, 0, 10]),
    stuck=st.sampled_from([0, 0, 5]),
    step_after=st.sampled_from([0, 0, 12, 30]),
    dies_after=st.sampled_from([0, 0, 0, 12]),
)


def traffic(specs: list[Sensor], seed: int, duration: int = 3000) -> Traffic:
    """Simulate the sensors for ``duration`` ms."""
    rng = random.Random(seed)
    events: list[tuple[int, str, Stamp, StreamStatus | None]] = []
    numbers: Counter[str] = Counter()
    copies: Counter[str] = Counter()
    arrived = set()

    def chance(percent: int) -> bool:
        return rng.random() * 100 < percent

    def tell(at: int, epoch: int, sent: int, losses: Counter[str], next_epoch: int = -1, ended: bool = False) -> None:
        told = StreamStatus(sent=sent, watermark_ns=at, ended=ended, losses=dict(losses), next_epoch=next_epoch)
        stamp = Stamp(sensor_ns=at, arrival_ns=at, time_ns=at, sequence=0, epoch=epoch)
        events.append((at, spec.name, stamp, told))

    for spec in specs:
        epoch = sequence = sent = 0
        last_arrival = last_time = 0
        losses: Counter[str] = Counter()

        count = duration // spec.period
        for k in range(min(count, spec.dies_after or count)):
            time = START + (spec.phase + k * spec.period) * MS + rng.randrange(MS)
            if chance(spec.swapped):
                time -= 3 * spec.period * MS // 2
            if chance(spec.stuck):
                time = last_time or time
            last_time = time
            arrival = max(last_arrival + 1, time + spec.delay * MS + rng.randrange(spec.jitter * MS + 1))
            last_arrival = arrival
            if spec.step_after and sequence == spec.step_after:
                tell(arrival, epoch, sent, losses, next_epoch=epoch + 1, ended=True)
                epoch, sequence, sent, losses = epoch + 1, 0, 0, Counter()
            numbers[spec.name] += 1
            if chance(spec.lost_at_source):
                losses["absurd"] += 1
            else:
                sent += 1
                stamp = Stamp(sensor_ns=time, arrival_ns=arrival, time_ns=time, sequence=sequence, epoch=epoch)
                if not chance(spec.lost):
                    arrived.add((spec.name, epoch, sequence))
                    events.append((arrival, spec.name, stamp, None))
                    if chance(spec.twice):
                        copies[spec.name] += 1
                        events.append((arrival, spec.name, stamp, None))
            sequence += 1
            tell(arrival + 1, epoch, sent, losses)
        tell(max(last_arrival, START) + 1, epoch, sent, losses, ended=True)
    events.sort(key=lambda event: event[0])
    return Traffic([event[1:] for event in events], numbers, copies, arrived)


class Run(NamedTuple):
    sets: list[Aligned]
    aligner: Aligner
    outcomes: dict[tuple[str, int, int], list[str]]


def run(specs: list[Sensor], events: list, follow: list[Recorded] | None = None, **changes: object) -> Run:
    outcomes: dict[tuple[str, int, int], list[str]] = {}

    def journal(sensor: str, stamp: Stamp, outcome: str) -> None:
        outcomes.setdefault((sensor, stamp.epoch, stamp.sequence), []).append(outcome)

    options = AlignerSettings(reference="s0", lane=ANY_ORDER, **changes)
    aligner = Aligner({spec.name: spec.period * MS for spec in specs}, options, follow, journal)
    sets = []
    for index, (sensor, stamp, status) in enumerate(events):
        if status is None:
            aligner.push(sensor, stamp, None)
        else:
            aligner.stream_status(sensor, stamp.epoch, status)
        sets += aligner.advance()
        if index % 50 == 0:
            for row in aligner.ledger.state().rows:
                assert row.received == row.fused + sum(row.dropped.values()) + row.in_flight
    return Run(sets + aligner.finish(), aligner, outcomes)


def rows(result: Run) -> object:
    return msgspec.to_builtins(result.aligner.ledger.state())


def named(specs: list[Sensor]) -> list[Sensor]:
    return [spec._replace(name=f"s{i}") for i, spec in enumerate(specs)]


@settings(max_examples=60, deadline=None)
@given(st.lists(sensors, min_size=1, max_size=5), st.integers(0, 2**32), st.integers(0, 2**32))
def test_any_order_of_processing_gives_the_same_frame_sets(specs: list[Sensor], seed: int, order: int) -> None:
    specs = named(specs)
    sent = traffic(specs, seed)
    shuffled = list(sent.events)
    random.Random(order).shuffle(shuffled)

    first, second = run(specs, sent.events), run(specs, shuffled)

    assert second.sets == first.sets
    assert {k: sorted(v) for k, v in second.outcomes.items()} == {k: sorted(v) for k, v in first.outcomes.items()}
    assert rows(second) == rows(first)


@settings(max_examples=60, deadline=None)
@given(st.lists(sensors, min_size=1, max_size=5), st.integers(0, 2**32))
def test_every_message_ends_once_and_the_ledger_says_where(specs: list[Sensor], seed: int) -> None:
    specs = named(specs)
    sent = traffic(specs, seed)
    result = run(specs, sent.events)

    used = [(s.sensor, s.item.stamp.epoch, s.item.stamp.sequence) for f in result.sets for s in f.slots if s.item]
    assert len(used) == len(set(used)), "a message was used twice"
    assert set(used) == {key for key, outcome in result.outcomes.items() if "fused" in outcome}
    assert set(result.outcomes) == sent.arrived
    for outcome in result.outcomes.values():
        assert len([o for o in outcome if o != "duplicate"]) == 1
    for row in result.aligner.ledger.state().rows:
        assert row.in_flight == 0
        assert row.received == sent.numbers[row.sensor] + sent.copies[row.sensor]
        assert row.fused == sum(sensor == row.sensor for sensor, _, _ in used)
        assert row.dropped.get("duplicate", 0) == sent.copies[row.sensor]
        here = sum(sensor == row.sensor for sensor, _, _ in sent.arrived)
        lost = row.dropped.get("lost_in_transit", 0) + row.dropped.get("absurd", 0)
        assert lost == sent.numbers[row.sensor] - here


@settings(max_examples=60, deadline=None)
@given(st.lists(sensors, min_size=1, max_size=5), st.integers(0, 2**32))
def test_frame_sets_are_in_order_and_within_their_bounds(specs: list[Sensor], seed: int) -> None:
    specs = named(specs)
    result = run(specs, traffic(specs, seed).events)

    assert [f.number for f in result.sets] == list(range(len(result.sets)))
    assert all(b.time_ns > a.time_ns for a, b in zip(result.sets, result.sets[1:], strict=False))
    last: dict[str, tuple[int, int]] = {}
    for frames in result.sets:
        assert any(slot.item for slot in frames.slots)
        for slot in frames.slots:
            assert (slot.item is None) == bool(slot.missing)
            if slot.item:
                stamp = slot.item.stamp
                assert -100 * MS <= stamp.time_ns - frames.time_ns <= 250 * MS
                assert stamp.arrival_ns - frames.time_ns <= 900 * MS  # bounded by the largest wait
                assert (stamp.epoch, stamp.sequence) > last.get(slot.sensor, (-1, -1)), "went back in its stream"
                last[slot.sensor] = (stamp.epoch, stamp.sequence)


@settings(max_examples=40, deadline=None)
@given(st.lists(sensors, min_size=1, max_size=4), st.integers(0, 2**32), st.integers(0, 2**32))
def test_recorded_decisions_are_repeated_exactly(specs: list[Sensor], seed: int, order: int) -> None:
    """A live run that the wall clock hurried: its decisions, recorded, give the same sets again without a clock."""
    specs = named(specs)
    sent = traffic(specs, seed)
    rng = random.Random(order)
    aligner = Aligner({spec.name: spec.period * MS for spec in specs}, AlignerSettings(reference="s0", lane=ANY_ORDER))
    live = []
    now = START
    for sensor, stamp, status in sent.events:
        now = max(now, stamp.arrival_ns + rng.choice([MS, 5 * MS, 2000 * MS]))  # now and then this process stalls
        if status is None:
            aligner.push(sensor, stamp, None, now)
        live += aligner.advance(now)
    live += aligner.finish()

    decisions = [
        Recorded(
            f.time_ns,
            {s.sensor: (s.item.stamp.epoch, s.item.stamp.sequence) if s.item else s.missing for s in f.slots},
            f.number,
        )
        for f in live
    ]
    shuffled = list(sent.events)
    rng.shuffle(shuffled)
    assert run(specs, shuffled, follow=decisions).sets == live
