"""Sorting out bad stamps: as many as possible are kept, and a good sequence is left alone."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nodes.sources.indexed import longest_increasing


@given(st.lists(st.integers(0, 12), max_size=9))
def test_keeps_as_many_as_brute_force(times: list[int]) -> None:
    keep = longest_increasing(np.array(times, dtype=np.int64))
    kept = np.array(times, dtype=np.int64)[keep]
    assert (np.diff(kept) > 0).all()
    longest = max(
        size
        for size in range(len(times) + 1)
        if any(all(a < b for a, b in pairwise(part)) for part in combinations(times, size))
    )
    assert len(kept) == longest


@given(st.integers(3, 40), st.integers(0, 39), st.integers(-(10**12), 10**12))
def test_one_wild_stamp_costs_at_most_itself(count: int, where: int, wild: int) -> None:
    times = np.arange(count, dtype=np.int64) * 100
    where %= count
    times[where] = wild
    keep = longest_increasing(times)
    assert keep.sum() >= count - 1
    if not keep[where]:
        assert np.delete(keep, where).all()


def test_of_two_ways_the_steadier_is_kept() -> None:
    assert longest_increasing(np.array([100, 3, 120, 130])).tolist() == [True, False, True, True]
    assert longest_increasing(np.array([100, 110, 9000, 130])).tolist() == [True, True, False, True]
