"""A linear-chain CRF over hashed features of tokens: which words of a sentence fill which slot, in numpy.

    score(tags) = sum over tokens of emission[t, tag] + transition[tag before, tag]

The emission is a sum of rows of one table of eight-bit weights. Learnt by `nodes.intent.training.fit_tagger`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BUCKETS = 1 << 16

Floats = npt.NDArray[np.float32]


def features(tokens: Sequence[str], intent: str = "") -> list[list[str]]:
    """What is seen of each token: itself, its beginning and end, its shape, its neighbours, the sentence's intent."""
    words = ["<<", "<", *(re.sub(r"\d", "0", token) for token in tokens), ">", ">>"]
    found = []
    for i in range(2, len(words) - 2):
        word, before, after = words[i], words[i - 1], words[i + 1]
        row = ["", f"i {intent}", f"w {word}", f"wi {word} {intent}", f"b {before}", f"a {after}"]
        row += [f"bb {words[i - 2]}", f"aa {words[i + 2]}", f"bw {before} {word}", f"wa {word} {after}"]
        row += [f"ba {before} {after}", f"bbb {words[i - 2]} {before}", f"aaa {after} {words[i + 2]}"]
        row += [f"bi {before} {intent}", f"ai {after} {intent}", f"bwa {before} {word} {after}"]
        row += [f"p{n} {word[:n]}" for n in (1, 2, 3, 4) if n < len(word)]
        row += [f"s{n} {word[-n:]}" for n in (1, 2, 3, 4) if n < len(word)]
        row += [f"h {_shape(word)}", f"at {min(i - 2, 3)}", f"end {min(len(words) - 3 - i, 3)}"]
        found.append(row)
    return found


def hashed_features(tokens: Sequence[str], intent: str = "", buckets: int = BUCKETS) -> list[npt.NDArray[np.int64]]:
    """Rows of the table for each token."""
    return [np.array([zlib.crc32(f.encode()) % buckets for f in row], np.int64) for row in features(tokens, intent)]


class Tagger:
    """Args: tags: "O", "B-slot", "I-slot". weight: (buckets, tags) int8, times scale (tags,). transition: (tags, tags)
    from the first to the second. start: (tags,)."""

    def __init__(
        self, tags: tuple[str, ...], weight: npt.NDArray[np.int8], scale: Floats, transition: Floats, start: Floats
    ) -> None:
        self.tags, self.weight, self.scale, self.transition, self.start = tags, weight, scale, transition, start

    def tag(self, tokens: Sequence[str], intent: str = "") -> list[str]:
        """The most probable tags, by Viterbi; an I-slot that follows neither B-slot nor I-slot never comes."""
        if not tokens:
            return []
        rows = hashed_features(tokens, intent, len(self.weight))
        emission = np.stack([self.weight[r].astype(np.int32).sum(axis=0) * self.scale for r in rows])
        best, back = emission[0] + self.start + _allowed_first(self.tags), []
        allowed = self.transition + _allowed(self.tags)
        for row in emission[1:]:
            through = best[:, None] + allowed
            back.append(through.argmax(axis=0))
            best = through.max(axis=0) + row
        path = [int(best.argmax())]
        for pointers in reversed(back):
            path.append(int(pointers[path[-1]]))
        return [self.tags[i] for i in reversed(path)]


def spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(slot, first, behind last) of a row of tags; an I-slot that begins one is taken as its B."""
    found, begun = set(), None
    for i, tag in enumerate([*tags, "O"]):
        if begun is not None and tag != f"I-{begun[0]}":
            found.add((*begun, i))
            begun = None
        if tag != "O" and begun is None:
            begun = (tag[2:], i)
    return found


def _shape(word: str) -> str:
    return "0" if word.isdigit() else "a" if word.isalpha() else "a0" if word.isalnum() else "x"


def _allowed(tags: tuple[str, ...]) -> Floats:
    wrong = [[t[0] == "I" and f[1:] != t[1:] for t in tags] for f in tags]
    return np.where(wrong, np.float32(-1e4), np.float32(0))


def _allowed_first(tags: tuple[str, ...]) -> Floats:
    return np.where([t[0] == "I" for t in tags], np.float32(-1e4), np.float32(0))
