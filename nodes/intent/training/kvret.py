"""Dialogue state on KVRET: a tagger finds what each turn says, and what was offered and taken is kept with it.

KVRET may be used for development and evaluation alone: nothing that is fitted here ships.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from nodes.intent.language.tagger import Tagger, spans
from nodes.intent.training.corpus import Tagged
from pipeline.core.bounded import read_bytes, read_json
from pipeline.core.errors import BadInput

State = dict[str, str]
"""`domain.slot` -> value, made even."""

_LIMIT = 64 << 20
_TOKEN = re.compile(r"\w+|[^\w\s]")
_YES = re.compile(
    r"\b(?:yes|yeah|yep|sure|ok|okay|please|thanks|thank|great|perfect|sounds good"
    r"|lets go|directions|navigate|gps|take me)\b"
)
_NO = re.compile(r"\b(?:no|not|other|else|another|instead|different)\b")


class _Act(msgspec.Struct, frozen=True):
    """start, end: characters of the utterance; -1 where the value is not said in it."""

    domain: str
    slot: str
    start: int = -1
    end: int = -1


class _Acts(msgspec.Struct, frozen=True):
    inform: list[_Act] = msgspec.field(name="non-categorical", default_factory=list)


class _Turn(msgspec.Struct, frozen=True):
    speaker: str
    utterance: str
    dialogue_acts: _Acts = _Acts()
    state: dict[str, dict[str, str]] = {}


class KvretDialogue(msgspec.Struct, frozen=True):
    """Turns in order, of user and system alternately; the state stands at each of the user's."""

    split: str
    turns: list[_Turn]


class _Slot(msgspec.Struct, frozen=True):
    possible_values: list[str] = []


class _Domain(msgspec.Struct, frozen=True):
    slots: dict[str, _Slot]


class _Ontology(msgspec.Struct, frozen=True):
    domains: dict[str, _Domain]


class Token(NamedTuple):
    text: str
    start: int
    end: int


def kvret(folder: Path) -> tuple[list[KvretDialogue], list[str]]:
    """All dialogues, and the names of places that the system may offer. Raises BadInput where they are not there."""
    path = folder / "train_val.json.gz"
    try:
        with gzip.open(path) as file:
            raw = file.read(_LIMIT + 1)
        found = msgspec.json.decode(raw, type=list[KvretDialogue])
    except (OSError, EOFError, msgspec.DecodeError) as error:
        read_bytes(path, _LIMIT)  # names the file where it is missing
        raise BadInput(path, "dialogues", "KVRET as JSON, compressed", error) from error
    places = read_json(folder / "ontology.json", _Ontology).domains["navigate"].slots["poi"].possible_values
    return found, [even(place) for place in places]


def tokens(text: str) -> list[Token]:
    """Words and marks of ``text`` in lower case, with where they stand."""
    return [Token(m[0].lower(), m.start(), m.end()) for m in _TOKEN.finditer(text)]


def tagged(dialogues: Sequence[KvretDialogue]) -> list[Tagged]:
    """The user's turns as sentences for a tagger; the turn before gives the domain no hint."""
    found = []
    for turn in (t for d in dialogues for t in d.turns if t.speaker == "user"):
        words = tokens(turn.utterance)
        tags = ["O"] * len(words)
        for act in turn.dialogue_acts.inform:
            inside = [i for i, w in enumerate(words) if w.start < act.end and w.end > act.start]
            for n, i in enumerate(inside):
                tags[i] = f"{'I' if n else 'B'}-{act.domain}.{act.slot}"
        if words:
            found.append(Tagged(tuple(w.text for w in words), tuple(tags), ""))
    return found


def joint_goal(tagger: Tagger, dialogues: Sequence[KvretDialogue], places: Sequence[str]) -> float:
    """Share of the user's turns at which the whole state is right."""
    right = [found == true for d in dialogues for found, true in tracked(tagger, d, places)]
    return sum(right) / max(len(right), 1)


def tracked(tagger: Tagger, dialogue: KvretDialogue, places: Sequence[str]) -> Iterator[tuple[State, State]]:
    """(found, true) state at each turn of the user's."""
    state: State = {}
    offered = ""
    for turn in dialogue.turns:
        if turn.speaker != "user":
            named = [p for p in places if re.search(rf"\b{re.escape(p)}\b", even(turn.utterance))]
            offered = max(named, key=len) if len({*named}) == 1 else ""
            continue
        words = tokens(turn.utterance)
        said: State = {}
        for slot, first, last in spans(tagger.tag([w.text for w in words])):
            said[slot] = even(turn.utterance[words[first].start : words[last - 1].end])
        state = state | said
        plain = even(turn.utterance)
        if offered and _YES.search(plain) and not _NO.search(plain) and "navigate.poi" not in said:
            state = {**state, "navigate.poi": offered}
        yield state, {f"{d}.{s}": even(v) for d, slots in turn.state.items() for s, v in slots.items()}


def even(value: str) -> str:
    """Lower case, no marks and no article at the beginning: as values are compared."""
    plain = re.sub(r"[^\w\s]", "", value.lower())
    return re.sub(r"\s+", " ", plain).strip().removeprefix("the ")
