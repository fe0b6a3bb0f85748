"""The CRF tags what it was taught, never gives tags that cannot be, and finds the best of all rows of tags."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.intent.language.tagger import Tagger, hashed_features, spans
from nodes.intent.training.corpus import Tagged
from nodes.intent.training.fit_tagger import TaggerFit, fit_tagger

TAGS = ("B-a", "B-b", "I-a", "I-b", "O")
WORDS = st.lists(st.sampled_from(["play", "jazz", "in", "the", "car", "7", "周杰伦"]), max_size=6)


def some_tagger(seed: int = 0) -> Tagger:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (64, len(TAGS)), dtype=np.int8)
    transition = rng.normal(size=(len(TAGS), len(TAGS))).astype("f4") * 40
    return Tagger(TAGS, weight, np.full(len(TAGS), 0.3, "f4"), transition, rng.normal(size=len(TAGS)).astype("f4"))


@settings(max_examples=40, deadline=None)
@given(WORDS, st.integers(0, 50))
def test_no_tag_continues_what_has_not_begun(words: list[str], seed: int) -> None:
    tags = some_tagger(seed).tag(words)
    assert len(tags) == len(words)
    for before, tag in itertools.pairwise(["O", *tags]):
        assert tag[0] != "I" or before[1:] == tag[1:]


def test_it_finds_the_best_row_of_tags_there_is() -> None:
    model, words = some_tagger(3), ["play", "jazz", "in", "car"]
    rows = hashed_features(words, buckets=64)
    emission = np.stack([model.weight[r].astype(int).sum(axis=0) * model.scale for r in rows])

    def score(path: tuple[int, ...]) -> float:
        between = sum(model.transition[a, b] for a, b in itertools.pairwise(path))
        return float(model.start[path[0]] + between + sum(emission[t, tag] for t, tag in enumerate(path)))

    allowed = [
        path
        for path in itertools.product(range(len(TAGS)), repeat=4)
        if all(TAGS[b][0] != "I" or TAGS[a][1:] == TAGS[b][1:] for a, b in itertools.pairwise((4, *path)))
    ]
    assert model.tag(words) == [TAGS[i] for i in max(allowed, key=score)]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ([], set()),
        (["O", "B-a", "I-a", "O"], {("a", 1, 3)}),
        (["B-a", "B-a", "I-b"], {("a", 0, 1), ("a", 1, 2), ("b", 2, 3)}),
        (["I-a", "I-a"], {("a", 0, 2)}),
    ],
)
def test_spans_of_tags(tags: list[str], found: set[tuple[str, int, int]]) -> None:
    assert spans(tags) == found


def test_it_learns_what_it_is_shown() -> None:
    artists, places = ["queen", "miles davis", "the clash"], ["paris", "new york", "rome"]
    made = []
    for artist, place in itertools.product(artists, places):
        tokens = ["play", *artist.split(), "in", *place.split()]
        tags = ["O", *_bio("artist", artist), "O", *_bio("place", place)]
        made.append(Tagged(tuple(tokens), tuple(tags), "play"))
    model = fit_tagger(made, TaggerFit(epochs=15, batch=4, buckets=1 << 12))
    for sentence in made:
        assert model.tag(sentence.tokens, "play") == list(sentence.tags)
    assert model.tag(["play", "miles", "davis", "in", "oslo"], "play")[-1] == "B-place"


def _bio(slot: str, words: str) -> list[str]:
    return [f"{'B' if i == 0 else 'I'}-{slot}" for i, _ in enumerate(words.split())]
