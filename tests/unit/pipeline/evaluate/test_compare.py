"""Comparing runs: the same to the byte, or where they part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluate.boxes import Boxes
from pipeline.evaluate.compare import _pairs, compare
from tests.recordings import split_run

WriteRun = Callable[..., Path]


def test_the_same_run_twice_is_identical(write_run: WriteRun) -> None:
    one, two = write_run("one", images=False), write_run("two", images=False)
    found = compare(one, two)
    assert found.identical
    assert found.first is None
    assert found.hash_a == found.hash_b
    assert found.to_text().startswith("identical: 20 scenes")


def test_the_first_scene_that_differs_is_named_and_measured(write_run: WriteRun) -> None:
    one = write_run("one", images=False)
    two = write_run("two", images=False, wobble=0.25, wobble_from=13, graph="name: made_up_graph\nreach: 2.5\n")
    found = compare(one, two)
    assert not found.identical
    assert found.first == 13
    assert [d.index for d in found.differing] == list(range(13, 20))
    assert found.differing[0].max_position_m == pytest.approx(0.25)
    assert found.differing[0].matched == found.differing[0].tracks_a == 6
    assert "-reach: 3.0" in found.settings
    assert "+reach: 2.5" in found.settings
    assert "first at scene 13" in found.to_text()
    assert json.loads(found.to_json())["first"] == 13


def test_a_run_cut_short_differs_where_it_ends(write_run: WriteRun) -> None:
    found = compare(write_run("one", images=False), write_run("two", images=False, frames=15))
    assert (found.first, found.only_a, found.only_b, found.differing) == (15, (15, 16, 17, 18, 19), (), ())
    assert not found.identical


def test_a_track_that_is_gone_counts(write_run: WriteRun) -> None:
    one = write_run("one", images=False, vanish=(14, range(0)))
    two = write_run("two", images=False, vanish=(14, range(19, 20)))
    found = compare(one, two)
    assert found.first == 19
    assert (found.differing[0].tracks_a, found.differing[0].tracks_b, found.differing[0].matched) == (6, 5, 5)
    assert found.differing[0].missing_b == ("top: late",)


def test_a_run_of_several_parts_is_compared_to_its_end(write_run: WriteRun, tmp_path: Path) -> None:
    whole = write_run("whole", images=False)
    parts = split_run(whole, tmp_path / "parts")
    assert compare(whole, parts).to_text() == compare(whole, whole).to_text()
    other = split_run(write_run("other", images=False, wobble=0.25, wobble_from=17), tmp_path / "other parts")
    assert compare(parts, other).first == 17


def test_no_scenes_at_all_is_not_identical(write_run: WriteRun) -> None:
    found = compare(write_run("one", frames=0), write_run("two", frames=0))
    assert not found.identical
    assert found.first is None
    assert found.to_text().startswith("nothing to compare")


def test_tracks_are_paired_by_place_where_their_ids_are_not_the_same_things() -> None:
    def boxes(ids: list[int], x: list[float]) -> Boxes:
        n = len(ids)
        position = np.array([[v, 0, 0] for v in x], float)
        return Boxes(position, np.ones((n, 3)), np.zeros(n), np.zeros((n, 2)), np.zeros(n, int), np.ones(n), np.ones(n),
                     np.array(ids))  # fmt: skip

    a, b = boxes([1, 2, 3], [0.0, 10.0, 50.0]), boxes([2, 1, 9], [0.5, 90.0, 51.0])
    assert sorted(_pairs(a, b)) == [(0, 0), (2, 2)]
