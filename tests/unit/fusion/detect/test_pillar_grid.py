"""The occupancy that the pillar network reads: what it says, point by point, and that nothing upsets it."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fusion.detect.pillar_grid import (
    BLOCK,
    BLOCKS,
    CHANNELS,
    EARLIER_EDGES_M,
    EDGES_M,
    PILLAR_M,
    RANGE_M,
    occupancy,
    pillars,
)

Points = np.ndarray


def slowly(now: Points, before: Points) -> Points:
    """The definition, one point at a time."""
    out = np.zeros((CHANNELS, BLOCKS, BLOCKS), np.uint8)
    for points, edges, first in ((now, EDGES_M, 0), (before, EARLIER_EDGES_M, len(EDGES_M))):
        for x, y, h in points.tolist():
            if not (abs(x) < RANGE_M and abs(y) < RANGE_M and edges[0] <= h < 6.0):
                continue
            row, column = int((x + RANGE_M) / PILLAR_M), int((y + RANGE_M) / PILLAR_M)
            which = first + sum(h >= edge for edge in edges) - 1
            out[(which * BLOCK + row % BLOCK) * BLOCK + column % BLOCK, row // BLOCK, column // BLOCK] = 1
    return out


def cloud(rng: np.random.Generator, n: int) -> Points:
    """Points in and around the square; heights in the middle of steps of 5 cm, away from every edge."""
    xy = rng.uniform(-1.2 * RANGE_M, 1.2 * RANGE_M, (n, 2))
    return np.column_stack([xy, np.floor(rng.uniform(-1.0, 8.0, n) / 0.05) * 0.05 + 0.025]).astype(np.float32)


def encode(now: Points, before: Points) -> Points:
    return occupancy(pillars(*now.T), pillars(*before.T, EARLIER_EDGES_M))


def test_it_says_what_the_definition_says() -> None:
    rng = np.random.default_rng(0)
    now, before = cloud(rng, 4000), cloud(rng, 2000)
    assert np.array_equal(encode(now, before), slowly(now, before))
    assert encode(now, before).any(axis=(1, 2)).all()


def test_the_order_of_the_points_means_nothing_and_without_a_sweep_before_its_channels_are_empty() -> None:
    rng = np.random.default_rng(1)
    now, before = cloud(rng, 3000), cloud(rng, 3000)
    assert np.array_equal(encode(now, before), encode(now[::-1], rng.permutation(before)))
    alone = occupancy(pillars(*now.T))
    first = len(EDGES_M) * BLOCK * BLOCK
    assert not alone[first:].any()
    assert np.array_equal(alone[:first], encode(now, before)[:first])


def test_no_points_give_an_empty_grid_and_two_million_a_full_one() -> None:
    none = np.zeros((0, 3), np.float32)
    assert not encode(none, none).any()
    rng = np.random.default_rng(2)
    many = rng.uniform(-RANGE_M, RANGE_M, (2_000_000, 3)).astype(np.float32)
    many[:, 2] = rng.uniform(-0.2, 4.0, len(many))
    grid = encode(many, none)
    assert grid.max() == 1
    assert grid[: len(EDGES_M) * BLOCK * BLOCK].mean() > 0.3


def clouds() -> st.SearchStrategy[Points]:
    return st.integers(0, 40).flatmap(lambda n: hnp.arrays(np.float32, (n, 3), elements=st.floats(width=32)))


@given(clouds())
@example(np.full((1, 3), 8.5e37, np.float32))
def test_any_floats_will_do(points: Points) -> None:
    grid = encode(points, points)
    finite = points[np.isfinite(points).all(axis=1)]
    assert np.array_equal(grid, encode(finite, finite))
