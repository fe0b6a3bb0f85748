from __future__ import annotations

import pytest

from pipeline.transport.notify import Notify, unpack
from pipeline.transport.ring import Place
from pipeline.transport.zeromq import Gaps


def notify(counter: int, node: str = "camera", topic: str = "camera/front", instance: int = 1) -> Notify:
    return Notify(topic, node, instance, counter, None)


def test_a_gap_in_the_counter_is_that_many_losses() -> None:
    gaps = Gaps(frozenset({"camera"}))
    assert [gaps.missing(notify(k))[0] for k in (5, 6, 9, 10)] == [0, 0, 2, 0]
    assert gaps.missing(notify(12)) == (1, "queue_full")


def test_each_publisher_and_topic_counts_for_itself() -> None:
    gaps = Gaps(frozenset({"camera", "other"}))
    for node in ("camera", "other"):
        for topic in ("camera/front", "camera/left"):
            assert gaps.missing(notify(3, node, topic))[0] == 0
            assert gaps.missing(notify(4, node, topic))[0] == 0


def test_a_publisher_that_came_later_or_again_is_counted_from_its_first_message() -> None:
    gaps = Gaps(frozenset({"camera"}))
    assert gaps.missing(notify(2, "later")) == (2, "not_connected")
    assert gaps.missing(notify(7)) == (0, "not_connected")
    assert gaps.missing(notify(3, instance=2)) == (3, "not_connected")
    assert gaps.missing(notify(4, instance=2, topic="camera/left")) == (4, "not_connected")
    assert gaps.missing(notify(5, instance=2)) == (1, "queue_full")


def test_a_counter_that_goes_backwards_is_refused() -> None:
    gaps = Gaps(frozenset())
    gaps.missing(notify(5))
    with pytest.raises(ValueError, match="expected counter 6"):
        gaps.missing(notify(5))
    assert gaps.missing(notify(6))[0] == 0


def test_made_up_names_do_not_fill_the_memory() -> None:
    gaps = Gaps(frozenset())
    for k in range(4096):
        gaps.missing(notify(0, topic=f"camera/{k}"))
    with pytest.raises(ValueError, match="more than"):
        gaps.missing(notify(0, topic="camera/more"))
    with pytest.raises(ValueError, match="more than"):
        gaps.missing(notify(0, node="more"))


@pytest.mark.parametrize("place", [None, Place(1, 2, 3, 4), Place(2**32 - 1, 2**32 - 1, 2**64 - 1, 2**64 - 1)])
def test_a_notify_comes_back_from_its_frame(place: Place | None) -> None:
    sent = Notify("camera/front", "camera", 2**64 - 1, 2**64 - 1, place)
    assert unpack(sent.pack()) == sent
