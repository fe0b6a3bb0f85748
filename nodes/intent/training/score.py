"""How well sentences are understood: intents, whole frames, rejection, and what would be dangerous."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from nodes.intent.language.ontology import CONFIRMED, OPEN_SLOTS, Frame
from nodes.intent.language.text import normalise, with_digits
from nodes.intent.language.understand import Understanding
from nodes.intent.training.corpus import Written


class InCarScore(msgspec.Struct, frozen=True):
    """intent: share of sentences whose intents are all right, in order. frame: with all slots too. dangerous: sentences
    of which a driving command was understood, and would be obeyed without a question, that is not what was meant.
    confusions: [meant, understood, how often], most first. ms_p50: time for one sentence."""

    sentences: int
    intent: float
    frame: float
    dangerous: int
    ms_p50: float
    confusions: list[tuple[str, str, int]]
    wrong: list[str] = []


def score_in_car(model: Understanding, sentences: Sequence[Written], show: bool = False) -> InCarScore:
    """show: list the sentences that were not understood whole; leave it off for held-out ones."""
    right = whole = dangerous = 0
    confusions: Counter[tuple[str, str]] = Counter()
    times, wrong = [], []
    for sentence in sentences:
        begun = time.perf_counter()
        understood = model.understand(sentence.text)
        found = understood.frames
        times.append(time.perf_counter() - begun)
        same = [f.intent for f in found] == [f.intent for f in sentence.frames]
        right += same
        exact = same and all(comparable(a) == comparable(b) for a, b in zip(found, sentence.frames, strict=True))
        whole += exact
        meant = {(f.intent, tuple(sorted(comparable(f).items()))) for f in sentence.frames}
        dangerous += any(
            f.risk == "driving"
            and f.intent not in CONFIRMED
            and model.sure_of(understood, f)
            and (f.intent, tuple(sorted(comparable(f).items()))) not in meant
            for f in found
        )
        if not same:
            confusions["+".join(f.intent for f in sentence.frames), "+".join(f.intent for f in found)] += 1
        if show and not exact:
            wrong.append(f"{sentence.text}: {_said(sentence.frames)} understood as {_said(found)}")
    n = max(len(sentences), 1)
    listed = [(a, b, count) for (a, b), count in confusions.most_common()]
    return InCarScore(
        len(sentences), right / n, whole / n, dangerous, 1e3 * float(np.median(times or [0])), listed, wrong
    )


def comparable(frame: Frame) -> dict[str, str]:
    """Slots as they are compared: what a person said freely without its punctuation, case and form of numbers."""
    return {
        slot: with_digits(normalise(value), "en").removeprefix("the ") if slot in OPEN_SLOTS else value
        for slot, value in frame.slots.items()
    }


def _said(frames: Sequence[Frame]) -> str:
    return " + ".join(f"{f.intent} {f.slots}" for f in frames)
