"""Scripted conversations: each turn with what it must be understood as, ellipsis made whole, and whether it acts."""

from __future__ import annotations

import msgspec

from nodes.intent.assistant import Assistant
from nodes.intent.language.ontology import Frame, Language
from nodes.intent.language.understand import Understanding
from nodes.intent.training.corpus import DATA
from nodes.intent.training.score import comparable
from pipeline.core.bounded import read_text
from pipeline.core.errors import BadInput


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """say: the person. frame: what it means at that point. acts: a command is carried out rather than asked about."""

    say: str
    frame: Frame
    acts: bool = False


class Dialogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    language: Language
    turns: tuple[Turn, ...]


class DialogueScore(msgspec.Struct, frozen=True):
    """right: share of dialogues of which every turn is; turns_right: of turns. wrong: what differed."""

    dialogues: int
    right: float
    turns_right: float
    wrong: list[str]


def dialogues(language: Language) -> list[Dialogue]:
    """Those of the repository. Raises BadInput naming the line that is wrong."""
    path = DATA / f"dialogues_{language}.jsonl"
    try:
        return [msgspec.json.decode(line, type=Dialogue) for line in read_text(path).splitlines()]
    except msgspec.DecodeError as error:
        raise BadInput(path, "dialogue", "language and turns of say, frame, acts", error) from error


def score_dialogues(model: Understanding, scripts: list[Dialogue]) -> DialogueScore:
    """Play each with a new assistant that sees nothing."""
    right = turns = good = 0
    wrong = []
    for script in scripts:
        assistant, whole = Assistant(model), True
        for turn in script.turns:
            reply = assistant.hear(turn.say)
            first = reply.frames[0]
            fits = first.intent == turn.frame.intent and comparable(first) == comparable(turn.frame)
            ok = fits and bool(reply.acted) == turn.acts
            turns, good, whole = turns + 1, good + ok, whole and ok
            if not ok:
                wrong.append(f"{turn.say}: {first.intent} {first.slots}, acted {list(reply.acted)}")
        right += whole
    n = max(len(scripts), 1)
    return DialogueScore(len(scripts), right / n, good / max(turns, 1), wrong)
