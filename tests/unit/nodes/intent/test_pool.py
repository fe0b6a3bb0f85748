"""The pool keeps odd sentences without what is private, never more than its bound."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.intent.language.ontology import Frame
from nodes.intent.pool import HIDDEN, Pool, redacted
from pipeline.core.errors import BadInput

ODD = (Frame("out_of_scope", {}, 0.9),)


@pytest.mark.parametrize(
    ("text", "language", "private"),
    [
        ("please take me to 14 Rosebank Crescent quickly", "en", ("Rosebank", "rosebank", "14")),
        ("tell Siobhan the window is open", "en", ("Siobhan", "siobhan")),
        ("my number is 0171 2345678", "en", ("0171", "2345678")),
        ("把空调打开,钱钟书要来", "zh", ("钱钟书",)),
        ("导航到翠湖花园8栋602", "zh", ("翠湖", "602")),
    ],
)
def test_what_is_private_is_hidden(text: str, language: str, private: tuple[str, ...]) -> None:
    kept = redacted(text, language)  # type: ignore[arg-type]
    assert HIDDEN in kept or "0 0" in kept
    assert not [part for part in private if part in kept]


def test_what_says_how_people_speak_is_kept() -> None:
    assert redacted("could you open the window a bit", "en") == "could you open the window a bit"
    assert "打开" in redacted("把空调打开", "zh")


def test_only_what_was_understood_badly_is_kept_and_nothing_to_anybody(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "odd.jsonl")
    assert not pool.offer("open the window", "en", [Frame("set_window", {}, 0.97)])
    assert not pool.offer("tell mum i am late", "en", [Frame("message", {}, 0.2)])
    assert not pool.offer("xqz", "en", ODD)  # nothing of it could be shown
    assert not (tmp_path / "odd.jsonl").exists()
    assert pool.offer("open the window of the neighbour", "en", ODD)
    assert not pool.offer("open the window of the neighbour", "en", ODD)
    assert (tmp_path / "odd.jsonl").read_text().count("\n") == 1


def test_the_oldest_makes_room_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    words = ("window", "seat", "lights", "music", "radio")
    for word in words:
        assert Pool(tmp_path / "odd.jsonl", most=3).offer(f"turn the {word} over", "en", ODD)
    kept = (tmp_path / "odd.jsonl").read_text()
    assert [word for word in words if f"the {word} " in kept] == ["lights", "music", "radio"]


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text('{"text": 3}\n')
    with pytest.raises(BadInput, match=r"odd\.jsonl"):
        Pool(tmp_path / "odd.jsonl")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.sampled_from(["en", "zh"]))
def test_no_digit_but_zero_is_ever_kept(text: str, language: str) -> None:
    kept = redacted(text, language)  # type: ignore[arg-type]
    assert not set("123456789") & set(kept)
