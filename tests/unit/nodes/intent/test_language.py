"""Text, grammar and understanding: what is said means the same however it is written, and nothing said breaks it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.intent.language.classifier import load
from nodes.intent.language.grammar import grammar
from nodes.intent.language.ontology import INTENTS, Frame, slots_of
from nodes.intent.language.text import MAX_CHARACTERS, language_of, normalise, with_digits
from nodes.intent.language.understand import WEIGHTS, shipped
from nodes.intent.training.corpus import written
from nodes.intent.training.score import score_in_car
from pipeline.core.errors import BadInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's THAT?!", "whats that"),
        ("請 打開 空調", "请打开空调"),
        ("ＡＣ　ｏｎ", "ac on"),
        ("slow down,,, please.", "slow down, please"),
        ("98.5", "98.5"),
        ("   ", ""),
    ],
)
def test_text_is_made_even(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("twenty two degrees", "en", "22 degrees"),
        ("one hundred and twenty", "en", "120"),
        ("that one", "en", "that one"),
        ("二十二度", "zh", "22度"),
        ("一百二十公里", "zh", "120公里"),
        ("一百二", "zh", "120"),
        ("第一个", "zh", "第一个"),
        ("一点", "zh", "一点"),
        ("百分之五十", "zh", "50%"),
    ],
)
def test_numbers_in_words_become_digits(text: str, language: str, expected: str) -> None:
    assert with_digits(text, language) == expected  # type: ignore[arg-type]


def test_a_sentence_with_one_foreign_word_keeps_its_language() -> None:
    assert language_of("帮我打开AC") == "zh"
    assert language_of("call 李 please at once") == "en"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_intent_has_templates(language: str) -> None:
    assert set(grammar(language).file.intents) == set(INTENTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_templates_recognise_what_they_make(language: str) -> None:
    words, rng = grammar(language), random.Random(0)  # type: ignore[arg-type]
    kept = made = 0
    for template in (t for t in words.templates if not t.open):
        text, frame = words.sample(template, rng)
        found = words.match(normalise(text))
        made += 1
        kept += found is not None and found.intent == frame.intent
    assert kept > 0.93 * made  # some sentences belong to two templates on purpose: "25 degrees"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.sampled_from(["a", "的", "change ", "打开"]).map(lambda part: part * 5_000))
def test_any_text_is_understood_as_something_of_the_ontology(text: str) -> None:
    for frame in shipped().understand(text).frames:
        assert set(frame.slots) <= {*slots_of(frame.intent)}
        assert 0 <= frame.confidence <= 1


def test_a_sentence_longer_than_a_breath_is_out_of_scope() -> None:
    text = "park the car " * (MAX_CHARACTERS // 10)
    assert shipped().understand(text).frames == (Frame("out_of_scope"),)


@pytest.mark.parametrize(
    ("text", "intents"),
    [
        ("turn on the ac and then take me home", ["set_climate", "navigate"]),
        ("打开空调然后导航回家", ["set_climate", "navigate"]),
        ("text anna that i am late and call me", ["message"]),
        ("i'm cold, turn on the heating", ["set_climate", "set_climate"]),
    ],
)
def test_several_commands_in_one_sentence(text: str, intents: list[str]) -> None:
    assert [f.intent for f in shipped().understand(text).frames] == intents


@pytest.mark.parametrize(
    ("text", "direction"),
    [("change to the left, no, to the right lane", "right"), ("往左变道,不对,往右", "right")],
)
def test_a_repair_within_the_sentence_counts(text: str, direction: str) -> None:
    (frame,) = shipped().understand(text).frames
    assert (frame.intent, frame.slots) == ("change_lane", {"direction": direction})


@pytest.mark.parametrize(
    ("language", "sentences", "intent", "frame"), [("en", 278, 0.91, 0.83), ("zh", 305, 0.81, 0.67)]
)
def test_held_out_sentences_are_understood_as_well_as_the_docs_say(
    language: str, sentences: int, intent: float, frame: float
) -> None:
    score = score_in_car(shipped(), [s for s in written(language) if s.held_out])  # type: ignore[arg-type]
    assert score.sentences == sentences
    assert score.intent >= intent
    assert score.frame >= frame
    assert score.dangerous == 0


def test_weights_that_are_none_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torn = tmp_path / "intent.npz"
    torn.write_bytes(WEIGHTS.read_bytes()[:10_000])
    with pytest.raises(BadInput, match=r"intent\.npz"):
        load(torn, "intent")
