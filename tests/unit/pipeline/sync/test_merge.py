from __future__ import annotations

import itertools

import pytest

from pipeline.core.messages import EgoPose, Message, Stamp, StreamStatus
from pipeline.sync.merge import ArrivalOrder

A, B = [10, 30, 50], [20, 31, 60]


def message(source: str, arrival_ns: int, sequence: int) -> Message:
    stamp = Stamp(sensor_ns=arrival_ns, arrival_ns=arrival_ns, time_ns=arrival_ns, sequence=sequence)
    return Message(f"pose/{source}", stamp, EgoPose(position=(0.0,) * 3, rotation_wxyz=(1.0, 0.0, 0.0, 0.0)))


def out(order: ArrivalOrder, **how: int) -> list[int]:
    return [m.stamp.arrival_ns for m in order.ready(**how)]  # type: ignore[arg-type]


@pytest.mark.parametrize("turns", sorted(set(itertools.permutations("aaabbb"))))
def test_messages_come_out_in_order_of_arrival_whatever_the_order_of_work(turns: tuple[str, ...]) -> None:
    order, got = ArrivalOrder(["a", "b"], patience_ns=5), []
    given = {"a": iter(enumerate(A)), "b": iter(enumerate(B))}
    for source in turns:
        number, arrival_ns = next(given[source])
        order.push(message(source, arrival_ns, number))
        got += out(order)
    got += out(order, everything=True)
    assert got == sorted(A + B)


def test_a_streams_own_count_stands_for_its_next_message() -> None:
    order = ArrivalOrder(["a", "b"], patience_ns=5)
    order.push(message("a", 10, 0))
    assert out(order) == []
    order.status("b", 0, StreamStatus(sent=0, watermark_ns=11))
    order.status("ego", 0, StreamStatus(sent=0, watermark_ns=11))  # of no stream here
    assert out(order) == [10]


def test_in_a_live_run_nobody_is_waited_for_long() -> None:
    order = ArrivalOrder(["a", "b"], patience_ns=5)
    order.push(message("a", 10, 0))
    assert out(order, now_ns=14) == []
    assert out(order, now_ns=16) == [10]
