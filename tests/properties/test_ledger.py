"""The books balance at every moment, whatever a source does and whatever happens to its messages on the way."""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.messages import NodeStatus, Stamp, StreamStatus
from pipeline.sync.ledger import DETECTOR_FAILED, LOST, Account, Ledger, LossReports
from pipeline.sync.sequence import Arrival, Sequencer


class Sent(NamedTuple):
    stamp: Stamp


class Epoch(NamedTuple):
    """What a source did in one epoch: for each number True = published, False = lost by itself; and whether it said
    how the epoch ended."""

    numbers: list[bool]
    told: bool


epochs = st.lists(
    st.builds(Epoch, numbers=st.lists(st.sampled_from([True, True, True, False]), max_size=25), told=st.booleans()),
    min_size=1,
    max_size=4,
)


class Delivery(NamedTuple):
    """One thing that reaches the ledger."""

    epoch: int
    message: Sent | None
    status: StreamStatus | None


def emissions(source: list[Epoch], rng: random.Random, lost: float, twice: float) -> list[Delivery]:
    """What a source gives out, in its order; part of it never gets through, part of it twice."""
    out = []
    for number, epoch in enumerate(source):
        sent, own = 0, Counter[str]()
        arrival = 1_000 * number
        for sequence, published in enumerate(epoch.numbers):
            arrival += 1
            if published:
                sent += 1
                stamp = Stamp(sensor_ns=0, arrival_ns=arrival, time_ns=arrival, sequence=sequence, epoch=number)
                copies = 0 if rng.random() < lost else 2 if rng.random() < twice else 1
                out += [Delivery(number, Sent(stamp), None)] * copies
            else:
                own["stuck_stamp"] += 1
            if rng.random() < 0.3:
                out.append(Delivery(number, None, StreamStatus(sent=sent, watermark_ns=arrival, losses=dict(own))))
        if epoch.told:
            following = number + 1 if number + 1 < len(source) else -1
            end = StreamStatus(sent=sent, watermark_ns=arrival + 1, ended=True, losses=dict(own), next_epoch=following)
            out.append(Delivery(number, None, end))
    return out


class Book:
    """A sequencer and an account, driven as a lane drives them, with an independent tally beside."""

    def __init__(self, depth: int) -> None:
        self.stream: Sequencer[Sent] = Sequencer(depth)
        self.account = Account("top")
        self.ledger = Ledger([(self.account, self.stream)], LossReports({"top": "detect_top"}, "align"))
        self.order: list[tuple[int, int]] = []
        self.accepted: list[tuple[int, int]] = []
        self.refused = 0

    def take(self, delivery: Delivery, rng: random.Random) -> None:
        if delivery.status is not None:
            self.stream.status(delivery.epoch, delivery.status)
        if delivery.message is not None:
            stamp = delivery.message.stamp
            arrival = self.stream.push(delivery.message)
            if arrival is Arrival.DUPLICATE:
                self.account.refuse("duplicate")
                self.refused += 1
                return
            self.accepted.append((stamp.epoch, stamp.sequence))
            self.account.take(0)
            if arrival is Arrival.GIVEN_UP:
                self.account.drop("late_processing")
        self.decide(rng)

    def decide(self, rng: random.Random) -> None:
        while self.stream.ready:
            stamp = self.stream.ready.popleft().stamp
            self.order.append((stamp.epoch, stamp.sequence))
            if rng.random() < 0.5:
                self.account.fuse()
            else:
                self.account.drop("superseded")

    def check(self) -> None:
        row = self.ledger.row("top")
        assert row.received == row.fused + sum(row.dropped.values()) + row.in_flight
        assert min([row.received, row.fused, row.in_flight, *row.dropped.values()]) >= 0
        assert row.received >= len(self.accepted) + self.refused


def play(source: list[Epoch], seed: int, depth: int, disorder: int) -> tuple[Book, set[tuple[int, int]]]:
    """Run a source through a channel that delays each delivery by up to ``disorder`` places."""
    rng = random.Random(seed)
    delivered = emissions(source, rng, lost=rng.choice([0.0, 0.1, 0.5]), twice=rng.choice([0.0, 0.2]))
    places = {index: index + rng.uniform(0, disorder) for index in range(len(delivered))}
    book = Book(depth)
    for index in sorted(places, key=places.__getitem__):
        book.take(delivered[index], rng)
        book.check()
    book.stream.close()
    book.decide(rng)
    book.check()
    return book, {(d.epoch, d.message.stamp.sequence) for d in delivered if d.message}


@settings(max_examples=300, deadline=None)
@given(epochs, st.integers(0, 2**32), st.sampled_from([0, 2, 1000]), st.sampled_from([0, 3, 60]))
def test_every_number_is_accounted_for_once(source: list[Epoch], seed: int, depth: int, disorder: int) -> None:
    book, delivered = play(source, seed, depth, disorder)
    row = book.ledger.row("top")
    assert row.in_flight == 0
    assert sorted(book.accepted) == sorted(delivered), "each number taken exactly once, whatever came twice or late"
    assert book.order == sorted(set(book.order))
    if all(epoch.told for epoch in source):
        given_out = sum(len(epoch.numbers) for epoch in source)
        own = sum(not published for epoch in source for published in epoch.numbers)
        assert row.received == given_out + book.refused
        assert row.dropped.get("stuck_stamp", 0) == own
        assert row.dropped.get(LOST, 0) == given_out - own - len(delivered)


@settings(max_examples=100, deadline=None)
@given(epochs, st.integers(0, 2**32))
def test_with_patience_enough_order_is_always_restored(source: list[Epoch], seed: int) -> None:
    told = [epoch._replace(told=True) for epoch in source]
    book, delivered = play(told, seed, depth=1000, disorder=1000)
    assert book.order == sorted(delivered)
    assert "late_processing" not in book.ledger.row("top").dropped


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 40),
    st.lists(st.tuples(st.sampled_from(["overwritten", "malformed"]), st.integers(0, 20)), max_size=3),
    st.integers(0, 20),
    st.booleans(),
)
def test_reported_losses_explain_no_more_than_was_lost(
    lost: int, reported: list[tuple[str, int]], failed: int, restarted: bool
) -> None:
    account, stream = Account("top"), Sequencer[Sent](0)
    reports = LossReports({"top": "detect_top", "front": "detect_front"}, "align")
    ledger = Ledger([(account, stream)], reports)
    stream.status(0, StreamStatus(sent=lost, watermark_ns=1, ended=True))
    stream.close()
    losses = {f"lidar/top {reason}": count for reason, count in reported}
    beat = NodeStatus(node="detect_top", received=0, published=0, failed=failed, losses=losses)
    reports.take(beat)
    if restarted:
        reports.take(NodeStatus(node="detect_top", received=0, published=0, failed=0, losses=dict.fromkeys(losses, 0)))
    reports.take(NodeStatus(node="view", received=0, published=0, failed=99, losses={"lidar/top overwritten": 99}))
    row = ledger.row("top")
    assert row.received == lost == sum(row.dropped.values())
    explained = {**dict(reported), DETECTOR_FAILED: failed}
    for reason, count in row.dropped.items():
        assert reason == LOST or count <= explained[reason]
    assert row.dropped.get(LOST, 0) == max(0, lost - sum(explained.values()))
