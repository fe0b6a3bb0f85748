"""The order of a stream restored, and an account of every number."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pipeline.core.messages import Stamp, StreamStatus
from pipeline.sync.sequence import FOREVER_NS, Arrival, Numbers, Sequencer


class Sent(NamedTuple):
    stamp: Stamp


def sent(sequence: int, epoch: int = 0, arrival: int | None = None) -> Sent:
    at = 1000 * epoch + sequence if arrival is None else arrival
    return Sent(Stamp(sensor_ns=at, arrival_ns=at, time_ns=at, sequence=sequence, epoch=epoch))


def restored(stream: Sequencer[Sent]) -> list[tuple[int, int]]:
    return [(message.stamp.epoch, message.stamp.sequence) for message in stream.ready]


def feed(depth: int, *sequences: int) -> Sequencer[Sent]:
    stream: Sequencer[Sent] = Sequencer(depth)
    for sequence in sequences:
        stream.push(sent(sequence))
    return stream


def test_messages_in_order_pass_at_once() -> None:
    assert restored(feed(0, 0, 1, 2)) == [(0, 0), (0, 1), (0, 2)]


def test_a_late_one_is_put_in_its_place() -> None:
    stream = feed(4, 0, 2, 3)
    assert restored(stream) == [(0, 0)]
    assert stream.outstanding
    stream.push(sent(1))
    assert restored(stream) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert not stream.outstanding


def test_on_a_transport_that_keeps_order_a_later_message_proves_the_loss() -> None:
    stream = feed(0, 0, 2)
    assert restored(stream) == [(0, 0), (0, 2)]
    assert stream.numbers == Numbers(known=3, lost=1, awaited=0, source={})


def test_more_than_depth_later_messages_end_the_wait() -> None:
    stream = feed(2, 0, 2, 3)
    assert restored(stream) == [(0, 0)]
    assert stream.numbers.awaited == 1
    stream.push(sent(4))
    assert restored(stream) == [(0, 0), (0, 2), (0, 3), (0, 4)]
    assert stream.numbers.lost == 1


def test_what_comes_after_it_was_given_up_is_no_duplicate_and_no_longer_lost() -> None:
    stream = feed(0, 0, 3)
    assert stream.push(sent(1)) is Arrival.GIVEN_UP
    assert stream.push(sent(1)) is Arrival.DUPLICATE
    assert stream.numbers == Numbers(known=4, lost=1, awaited=0, source={})


@pytest.mark.parametrize("again", [0, 1, 3])
def test_a_number_counts_once(again: int) -> None:
    stream = feed(9, 0, 1, 3)
    assert stream.push(sent(again)) is Arrival.DUPLICATE
    assert stream.numbers.known == 4


def test_a_number_below_zero_is_absurd() -> None:
    assert feed(0).push(sent(-1)) is Arrival.ABSURD


def test_the_sources_count_shows_what_it_gave_up_itself() -> None:
    stream = feed(9, 0, 1, 4)
    stream.status(0, StreamStatus(sent=3, watermark_ns=50, losses={"stuck_stamp": 2}))
    assert restored(stream) == [(0, 0), (0, 1), (0, 4)]
    assert stream.numbers == Numbers(known=5, lost=0, awaited=0, source={"stuck_stamp": 2})


def test_the_sources_count_shows_what_is_still_to_come() -> None:
    stream = feed(0, 0, 1)
    stream.status(0, StreamStatus(sent=5, watermark_ns=50))
    assert stream.numbers == Numbers(known=5, lost=0, awaited=3, source={})
    assert stream.known_ns == -1
    for sequence in (2, 3, 4):
        stream.push(sent(sequence))
    assert stream.known_ns == 49


def test_an_old_status_does_not_undo_a_newer_one() -> None:
    stream = feed(0, 0)
    stream.status(0, StreamStatus(sent=3, watermark_ns=50))
    stream.status(0, StreamStatus(sent=1, watermark_ns=10))
    assert stream.numbers.known == 3


def test_a_replay_from_the_middle_does_not_miss_the_beginning() -> None:
    stream: Sequencer[Sent] = Sequencer(0)
    stream.status(0, StreamStatus(sent=0, watermark_ns=0, first_sequence=17))
    stream.push(sent(17))
    assert restored(stream) == [(0, 17)]
    assert stream.numbers == Numbers(known=1, lost=0, awaited=0, source={})


def test_a_status_that_comes_after_the_first_message_says_where_the_replay_began() -> None:
    stream = feed(0, 17, 18)
    assert stream.numbers.lost == 17
    stream.status(0, StreamStatus(sent=2, watermark_ns=0, first_sequence=17))
    assert stream.numbers == Numbers(known=2, lost=0, awaited=0, source={})


def test_the_next_epoch_begins_when_the_one_before_is_complete() -> None:
    stream = feed(9, 0, 1)
    stream.push(sent(0, epoch=1))
    assert restored(stream) == [(0, 0), (0, 1)]
    stream.status(0, StreamStatus(sent=3, watermark_ns=9, ended=True, next_epoch=1))
    assert restored(stream) == [(0, 0), (0, 1)]
    stream.push(sent(2))
    assert restored(stream) == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_a_source_that_died_and_came_back_says_nothing_of_its_end() -> None:
    stream = feed(0, 0, 1)
    stream.status(0, StreamStatus(sent=4, watermark_ns=9))
    stream.push(sent(0, epoch=1 << 16))
    assert restored(stream) == [(0, 0), (0, 1), (1 << 16, 0)]
    assert stream.numbers == Numbers(known=5, lost=2, awaited=0, source={})
    assert stream.push(sent(3)) is Arrival.GIVEN_UP
    assert stream.numbers == Numbers(known=5, lost=1, awaited=0, source={})
    assert stream.push(sent(6)) is Arrival.GIVEN_UP, "sent after the last status, overtaken by the new epoch"
    assert stream.numbers == Numbers(known=8, lost=3, awaited=0, source={}), "so 4 and 5 were sent too"


def test_the_wait_can_be_given_up_for_what_should_have_come_by_a_time() -> None:
    stream = feed(99, 0)
    stream.push(sent(2, arrival=20))
    stream.push(sent(4, arrival=40))
    stream.give_up(30)
    assert restored(stream) == [(0, 0), (0, 2)]


def test_nothing_follows_a_stream_that_ended() -> None:
    stream = feed(0, 0)
    stream.status(0, StreamStatus(sent=1, watermark_ns=9, ended=True))
    assert stream.known_ns == FOREVER_NS


def test_at_the_close_everything_missing_is_lost() -> None:
    stream = feed(99, 0, 2)
    stream.status(0, StreamStatus(sent=5, watermark_ns=9))
    stream.status(1, StreamStatus(sent=4, watermark_ns=10))
    stream.close()
    assert restored(stream) == [(0, 0), (0, 2)]
    assert stream.numbers == Numbers(known=9, lost=7, awaited=0, source={})
    assert stream.known_ns == FOREVER_NS


def test_memory_stays_bounded_whatever_comes() -> None:
    stream: Sequencer[Sent] = Sequencer(8)
    for n in range(20_000):
        stream.push(sent((n * 7919) % 100_003, epoch=n // 5_000))
        stream.status(n, StreamStatus(sent=n, watermark_ns=n))
        stream.ready.clear()
    assert len(stream._early) <= 9
    assert len(stream._epochs) <= 16
    assert max(len(epoch.holes) for epoch in stream._epochs.values()) <= 64


def test_a_status_that_comes_after_its_epoch_still_counts() -> None:
    stream = feed(0, 0, 1)
    stream.push(sent(0, epoch=1))
    stream.status(0, StreamStatus(sent=5, watermark_ns=9, ended=True, next_epoch=1))
    assert stream.numbers == Numbers(known=6, lost=3, awaited=0, source={})
