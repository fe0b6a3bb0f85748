"""What words mean by the truth, and what came of a question, on cases that can be counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.grounding import SIDES, Asked, Side, Thing, figures, is_clear, matched, meant, outcome

CAR = ("car",)


def car(number: int, forward: float, left: float, **more: bool) -> Thing:
    return Thing(number, "car", forward, left, **more)


@pytest.mark.parametrize(
    ("things", "side", "wanted"),
    [
        ([car(1, 20, 0)], "ahead", (1,)),
        ([car(1, 20, 0)], "behind", ()),
        ([car(1, 20, 0), car(2, 40, 0)], "ahead", (1,)),  # one behind the other in the lane
        ([car(1, 20, 6), car(2, 40, 0.5)], "ahead", (2,)),  # who is in the lane is meant
        ([car(1, 20, 6), car(2, 21, -6)], "ahead", (1, 2)),  # as near as each other: one has to ask
        ([car(1, 20, 6), car(2, 40, -6)], "ahead", (1,)),  # clearly the nearer
        ([car(1, 1, 5), car(2, 1, -5)], "left", (1,)),
        ([Thing(1, "truck", 20, 0)], "ahead", ()),
        ([car(1, 120, 0)], "ahead", ()),
    ],
)
def test_what_is_meant(things: list[Thing], side: Side, wanted: tuple[int, ...]) -> None:
    assert meant(things, CAR, side) == wanted


def test_clear_is_what_half_a_metre_does_not_change() -> None:
    assert is_clear([car(1, 20, 0), car(2, 50, 0)], CAR, "ahead")
    assert not is_clear([car(1, 20, 6), car(2, 26.9, -6)], CAR, "ahead")  # at the margin between the two
    assert not is_clear([car(1, 20, 0, hidden=True)], CAR, "ahead")


@given(st.lists(st.tuples(st.floats(-60, 60), st.floats(-60, 60)), max_size=6))
def test_every_object_is_meant_on_one_side_at_most(places: list[tuple[float, float]]) -> None:
    things = [car(i, x, y) for i, (x, y) in enumerate(places)]
    found = [number for side in SIDES for number in meant(things, CAR, side)]
    assert len(found) == len(set(found))
    assert bool(found) == bool([t for t in things if t.distance <= 100])


def test_a_track_is_of_the_nearest_object_within_reach() -> None:
    things = [car(1, 20, 0), car(2, 24, 0)]
    assert matched(car(9, 21, 0.5), things) == 1
    assert matched(car(9, 30, 9), things) == -1
    assert matched(car(9, 0, 0), []) == -1


@pytest.mark.parametrize(
    ("wanted", "answered", "asks", "expected"),
    [
        ((1,), [1], False, "right"),
        ((1,), [2], False, "wrong"),
        ((1,), [-1], False, "wrong"),
        ((1,), [], False, "none"),
        ((1,), [1, 2], True, "asked"),
        ((1, 2), [2, 1], True, "right"),
        ((1, 2), [1], False, "wrong"),  # guessed
        ((), [], False, "right"),
        ((), [3], False, "wrong"),
    ],
)
def test_what_came_of_it(wanted: tuple[int, ...], answered: list[int], asks: bool, expected: str) -> None:
    assert outcome(wanted, answered, asks, cannot_tell=False) == expected


def test_who_cannot_tell_is_not_right() -> None:
    assert outcome((1,), [], asks=False, cannot_tell=True) == "cannot_tell"


def test_figures_count_each_kind_of_question_apart() -> None:
    found = figures([
        Asked((1,), True, True, "right"),
        Asked((1,), True, False, "none"),
        Asked((1, 2), True, True, "wrong"),
        Asked((1, 2), True, True, "right"),
        Asked((), True, True, "right"),
        Asked((1,), False, True, "wrong"),  # unclear: not scored
    ])  # fmt: skip
    assert found["questions"] == 6
    assert found["unclear"] == 1
    assert found["one_right"] == 0.5
    assert found["one_perceived_right"] == 1.0
    assert found["several_right"] == 0.5
    assert found["guessed"] == 0.5
    assert found["none_right"] == 1.0
