"""Dialogue state: what was said stays, what was offered is kept where it is taken, and values are compared evenly."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from nodes.intent.training.fit_tagger import TaggerFit, fit_tagger
from nodes.intent.training.kvret import even, joint_goal, kvret, tagged, tracked
from pipeline.core.errors import BadInput

PLACE = "Dish Parking"


def dialogue(split: str, first: str, value: str, answer: str, last: str, taken: bool) -> dict[str, object]:
    start = first.index(value)
    act = {"domain": "navigate", "slot": "poi_type", "value": value, "start": start, "end": start + len(value)}
    state = {"navigate": {"poi_type": value}}
    after = {"navigate": {"poi_type": value.upper() + ".", **({"poi": PLACE} if taken else {})}}
    return {
        "split": split,
        "turns": [
            {"speaker": "user", "utterance": first, "dialogue_acts": {"non-categorical": [act]}, "state": state},
            {"speaker": "system", "utterance": answer},
            {"speaker": "user", "utterance": last, "dialogue_acts": {"non-categorical": [{"domain": "x", "slot": "y"}]},
             "state": after},
        ],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        dialogue("train", f"where is a {kind}?", kind, f"The nearest is {PLACE}.", last, taken)
        for kind in ("parking garage", "gas station", "hospital")
        for last, taken in (("yes, take me there", True), ("no, another one", False))
    ]
    (tmp_path / "train_val.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    ontology = {"domains": {"navigate": {"slots": {"poi": {"possible_values": [PLACE]}}}}}
    (tmp_path / "ontology.json").write_text(json.dumps(ontology))
    return tmp_path


def test_what_is_offered_and_taken_is_kept(folder: Path) -> None:
    dialogues, places = kvret(folder)
    model = fit_tagger(tagged(dialogues), TaggerFit(epochs=15, batch=4, buckets=1 << 12))
    assert joint_goal(model, dialogues, places) == 1.0
    (_, first), (found, _) = tracked(model, dialogues[0], places)
    assert first == {"navigate.poi_type": "parking garage"}
    assert found == {"navigate.poi_type": "parking garage", "navigate.poi": "dish parking"}
    assert joint_goal(model, dialogues, []) == pytest.approx(0.75)  # without names nothing can be kept of an offer


@pytest.mark.parametrize(
    ("value", "plain"), [("Doctor's Appointment.", "doctors appointment"), ("the  12th", "12th"), ("", "")]
)
def test_values_are_made_even(value: str, plain: str) -> None:
    assert even(value) == plain


def test_what_is_not_kvret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="train_val"):
        kvret(tmp_path)
    (tmp_path / "train_val.json.gz").write_bytes(b"none")
    with pytest.raises(BadInput, match="train_val"):
        kvret(tmp_path)
