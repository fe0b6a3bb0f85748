"""Sentences with their meaning: those written by hand for the project, those the grammar makes, and licensed sets.

Licensed sets lie outside the repository: `snips` (CC0) and `clinc150` (CC-BY-3.0) may train shipped weights.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from nodes.intent.language.grammar import grammar
from nodes.intent.language.ontology import INTENTS, Frame, Language
from nodes.intent.language.text import normalise
from pipeline.core.bounded import read_json, read_text
from pipeline.core.errors import BadInput

DATA = Path(__file__).parents[1] / "data"


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sentence of the in-car set. held_out: never trained on, nor looked at while the model was made."""

    text: str
    language: Language
    frames: tuple[Frame, ...]
    held_out: bool = False


class Tagged(NamedTuple):
    """One sentence: its tokens, their BIO tags and what the whole means."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str


class Example(NamedTuple):
    """One training sentence, normalised. action: value of that slot, "none" without. weight: how much it counts."""

    text: str
    intent: str
    action: str
    weight: float = 1.0


def written(language: Language) -> list[Written]:
    """The in-car set of the repository. Raises BadInput naming the line that is wrong."""
    path = DATA / f"in_car_{language}.jsonl"
    found = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            sentence = msgspec.json.decode(line, type=Written)
        except msgspec.DecodeError as error:
            raise BadInput(path, "sentence", "text, language, frames, held_out", error, number) from error
        unknown = [f.intent for f in sentence.frames if f.intent not in INTENTS]
        if unknown:
            raise BadInput(path, "frames.intent", "an intent of the ontology", unknown, number)
        found.append(sentence)
    return found


def by_hand() -> list[Example]:
    """Those of the in-car set that may be trained on and say one thing."""
    sentences = [s for language in ("en", "zh") for s in written(language)]
    return [
        Example(normalise(s.text), s.frames[0].intent, s.frames[0].slots.get("action", "none"), 4.0)
        for s in sentences
        if not s.held_out and len(s.frames) == 1
    ]


def by_grammar(per_template: int, seed: int) -> list[Example]:
    """Sentences of every template, more of those with much in them, often with polite words around."""
    random, found = Random(seed), {}
    for language in ("en", "zh"):
        words = grammar(language)
        gap = "" if language == "zh" else " "
        for template in words.templates:
            for _ in range(per_template):
                text, frame = words.sample(template, random)
                for polite, chance, first in (
                    (words.file.polite_before, 0.4, True),
                    (words.file.polite_after, 0.25, False),
                ):
                    if random.random() < chance:
                        more = random.choice(polite)
                        text = more + gap + text if first else text + gap + more
                line = normalise(text)
                found[line] = Example(line, frame.intent, frame.slots.get("action", "none"), 0.5)
    return list(found.values())


def snips(folder: Path, split: str) -> list[tuple[str, str]]:
    """(sentence, label) of SNIPS. Raises BadInput where it is not there."""
    lines = zip(
        read_text(folder / split / "seq.in").splitlines(), read_text(folder / split / "label").splitlines(), strict=True
    )
    return [(normalise(text), label.strip()) for text, label in lines]


def snips_slots(folder: Path, split: str) -> list[Tagged]:
    """Sentences of SNIPS with the BIO tag of each token, lower case. Raises BadInput where it is not there."""
    rows = (read_text(folder / split / name).splitlines() for name in ("seq.in", "seq.out", "label"))
    return [
        Tagged(tuple(words.lower().split()), tuple(tags.split()), label.strip())
        for words, tags, label in zip(*rows, strict=True)
    ]


def clinc(folder: Path, split: str) -> list[tuple[str, str]]:
    """(sentence, label) of CLINC150; out-of-scope sentences, of the splits `oos_*`, have the label `oos`."""
    table = read_json(folder / "data_train_val.json", dict[str, list[tuple[str, str]]])
    return [(normalise(text), label) for text, label in table[split]]


_CLINC_IS = {
    "yes": "confirm",
    "no": "deny",
    "cancel": "cancel",
    "repeat": "repeat",
    "greeting": "small_talk",
    "thank_you": "small_talk",
    "goodbye": "small_talk",
    "tell_joke": "small_talk",
    "are_you_a_bot": "small_talk",
    "what_is_your_name": "small_talk",
    "how_old_are_you": "small_talk",
    "where_are_you_from": "small_talk",
    "what_are_your_hobbies": "small_talk",
    "do_you_have_pets": "small_talk",
    "who_made_you": "small_talk",
    "tire_pressure": "tyre_pressure",
    "what_can_i_ask_you": "help",
    "text": "message",
    "make_call": "call",
    "play_music": "play_media",
    "next_song": "media_control",
    "gas": "energy_status",
    "mpg": "trip_data",
}
_CLINC_NEAR = {
    "maybe",
    "directions",
    "distance",
    "traffic",
    "change_volume",
    "change_language",
    "gas_type",
    "tire_change",
    "change_speed",
    "whisper_mode",
    "user_name",
    "change_user_name",
    "change_ai_name",
    "what_song",
    "restaurant_suggestion",
    "travel_suggestion",
    "jump_start",
    "uber",
    "smart_home",
    "current_location",
    "share_location",
    "find_phone",
    "who_do_you_work_for",
    "fun_fact",
    "sync_device",
    "reset_settings",
    "oil_change_when",
    "oil_change_how",
    "schedule_maintenance",
    "update_playlist",
    "meaning_of_life",
    "flip_coin",
    "roll_dice",
    "last_maintenance",
    "car_rental",
    "restaurant_reviews",
    "timer",
}
"""Labels of CLINC150 too near to what the car does to serve as out of scope."""


def licensed(folder: Path, seed: int, most: int = 4000) -> list[Example]:
    """People's own sentences from licensed sets: what maps to an intent of ours, and out-of-scope ones."""
    random = Random(seed)
    inside: list[Example] = []
    outside = [text for text, _ in clinc(folder / "clinc150", "oos_train")]
    for text, label in clinc(folder / "clinc150", "train"):
        if label in _CLINC_IS:
            action = "next" if label == "next_song" else "none"
            inside.append(Example(text, _CLINC_IS[label], action, 0.5))
        elif label not in _CLINC_NEAR:
            outside.append(text)
    outside += [text for text, label in snips(folder / "snips", "train") if label not in ("PlayMusic",)]
    music = [text for text, label in snips(folder / "snips", "train") if label == "PlayMusic"]
    inside += [Example(text, "play_media", "none", 0.5) for text in random.sample(music, 400)]
    return inside + [Example(t, "out_of_scope", "none", 0.5) for t in random.sample(outside, min(most, len(outside)))]
