"""Rejection figures on cases that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluate.language import confusion_plot, labels_score, rejection, spans_f1


def test_accuracy_is_the_share_of_equal_labels() -> None:
    assert labels_score(["a", "b", "c", "d"], ["a", "b", "x", "d"]) == 0.75


def test_a_slot_is_right_where_its_name_and_both_ends_are() -> None:
    truth = [{("artist", 1, 3), ("city", 5, 6)}, set()]
    assert spans_f1([{("artist", 1, 3), ("city", 5, 7)}, {("city", 0, 1)}], truth) == pytest.approx(2 / 5)
    assert spans_f1(truth, truth) == 1.0


def test_rejection_keeps_as_many_as_asked_and_rejects_what_is_below() -> None:
    inside = np.array([0.9, 0.8, 0.7, 0.2])
    right = np.array([True, True, True, True])
    found = rejection(inside, right, np.array([0.1, 0.3, 0.75]), keep=0.75)
    assert found["in_scope_accuracy"] == 0.75
    assert found["out_of_scope_recall"] == pytest.approx(2 / 3)
    assert found["auroc"] == pytest.approx(9 / 12)


def test_where_nothing_keeps_so_many_the_most_is_kept() -> None:
    found = rejection(np.array([0.9, 0.5]), np.array([True, False]), np.array([0.6]), keep=0.9)
    assert found == {"auroc": 0.5, "out_of_scope_recall": 1.0, "in_scope_accuracy": 0.5}


@pytest.mark.parametrize("confusions", [[], [("call", "message", 2), ("park", "out_of_scope", 1)]])
def test_confusions_are_drawn(tmp_path: Path, confusions: list[tuple[str, str, int]]) -> None:
    confusion_plot(confusions, tmp_path / "plot.png", "title")
    assert (tmp_path / "plot.png").stat().st_size > 1000
