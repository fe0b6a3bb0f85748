"""The pool of odd sentences that a person may let the project learn from: off unless asked for, redacted, bounded.

Nothing is sent. What is kept lies in one file of this machine, to be read before anybody hands it on.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import msgspec

from nodes.intent.language.grammar import grammar
from nodes.intent.language.ontology import Frame, Language
from nodes.intent.language.text import normalise
from pipeline.core.bounded import read_text
from pipeline.core.errors import BadInput

MOST = 500
"""Sentences kept; a new one drives out the oldest."""
HIDDEN = "□"

_PRIVATE = ("call", "message")
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+", re.UNICODE)


class Odd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence as it is kept, and what it was taken for."""

    text: str
    language: Language
    intents: tuple[str, ...]


class Pool:
    """Keeps sentences that were understood badly. path: of a JSON-lines file; that it is given is the consent.

    Raises:
        BadInput: the file there is none of ours.
    """

    def __init__(self, path: Path, most: int = MOST) -> None:
        self._path, self._most = path, most
        self._kept: list[Odd] = []
        if path.exists():
            try:
                self._kept = [msgspec.json.decode(line, type=Odd) for line in read_text(path, 4 << 20).splitlines()]
            except msgspec.DecodeError as error:
                raise BadInput(path, "sentence", "text, language, intents", error) from error

    def offer(self, text: str, language: Language, frames: Iterable[Frame], below: float = 0.6) -> bool:
        """Keep it, redacted, where it was understood less surely than ``below``; whether it is kept.

        Nothing that is said to somebody is."""
        meant = tuple(frames)
        if any(f.intent in _PRIVATE for f in meant) or all(
            f.confidence >= below and f.intent != "out_of_scope" for f in meant
        ):
            return False
        odd = Odd(redacted(text, language), language, tuple(f.intent for f in meant))
        if odd in self._kept or not odd.text.replace(HIDDEN, "").strip():
            return False
        self._kept = [*self._kept, odd][-self._most :]
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in self._kept))
        partial.replace(self._path)
        return True


def redacted(text: str, language: Language) -> str:
    """Only words that our own templates use are left, numbers as 0: names, places and all else become □.

    Of Chinese a character is left where it stands beside one beside which it stands in the templates too.
    """
    words = _WORD.findall(re.sub(r"\d+", "0", normalise(text)))
    known = _known(language)
    edged = ["", *words, ""]
    kept = []
    for before, word, after in zip(edged, words, edged[2:], strict=False):
        if "\u3400" <= word[0] <= "\u9fff":
            kept.append(word if before + word in known or word + after in known else HIDDEN)
        else:
            kept.append(word if word in known or word == "0" else HIDDEN)
    line = ("" if language == "zh" else " ").join(kept)
    return re.sub(f"{HIDDEN}[ {HIDDEN}]*{HIDDEN}", HIDDEN, line)


@lru_cache(maxsize=2)
def _known(language: Language) -> frozenset[str]:
    """Words of templates and lexicon, and pairs of Chinese characters that stand side by side in them; no example of
    what a person's own words may be."""
    words = grammar(language)
    lines = [part for template in words.templates for part in _texts(template.tree)]
    lines += [phrase for values in words.file.lexicon.values() for phrases in values.values() for phrase in phrases]
    lines += [*words.file.polite_before, *words.file.polite_after, *words.file.joints]
    found: set[str] = set()
    for line in lines:
        parts = _WORD.findall(normalise(line))
        found.update(part for part in parts if not "\u3400" <= part[0] <= "\u9fff")
        found.update(a + b for a, b in itertools.pairwise(parts))
    return frozenset(found)


def _texts(tree: list) -> Iterable[str]:  # type: ignore[type-arg]
    for kind, value in tree:
        if kind == "text":
            yield value
        elif kind == "any":
            for branch in value:
                yield from _texts(branch)
