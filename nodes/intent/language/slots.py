"""Slots of a sentence whose intent is known: words of the lexicon, numbers by their units, open slots by templates."""

from __future__ import annotations

import re
from functools import lru_cache

from nodes.intent.language.grammar import Grammar, grammar
from nodes.intent.language.ontology import NUMBER_SLOTS, OPEN_SLOTS, Frame, Language, slots_of

_WITH = re.compile(r"\b(?:with|has|have|having|offers)\b|有|带")
_NUMBER = r"(\d+(?:\.\d+)?)\s*"
_UNIT = {
    "temperature": r"(?:degrees?|celsius|°|度)",
    "speed": r"(?:kph|kmh|km|kilomet|mph|miles|公里|迈|码)",
    "distance": r"(?:m\b|met|米)",
    "minutes": r"(?:min|分钟)",
    "level": r"(?:%|percent|档|级)",
}
_BARE = {  # which slot a number without a unit fills
    "set_climate": "temperature", "set_speed": "speed", "set_distance": "distance", "set_seat": "level",
    "set_volume": "level", "set_wipers": "level", "set_window": "level", "mute_warnings": "minutes",
    "fragment": "number",
}  # fmt: skip


def slots_in(text: str, intent: str, language: Language) -> dict[str, str]:
    """Slots of a normalised sentence; both lexicons are tried, the sentence's own language first, so that
    "把 AC 打开" is understood. The slot ``action`` may be missing: it is often not said."""
    mine = grammar(language)
    other = grammar("zh" if language == "en" else "en")
    wanted = slots_of(intent)
    by_template = mine.open_match(intent, text)
    slots = _checked(by_template, mine) if by_template else {}
    rest = mine.without_politeness(text)
    for value in (slots[s] for s in OPEN_SLOTS if s in slots):
        rest = rest.replace(value, " ")  # a street called Left Lane is no direction
    for slot in wanted:
        if slot in slots or slot in OPEN_SLOTS:
            continue
        if slot == "attribute" and intent in ("navigate", "find_place") and not _WITH.search(rest):
            continue  # "a parking space" asks for none beside it
        found = _number(rest, intent, slot) if slot in (*NUMBER_SLOTS, "level", "number") else None
        for lexicon in (mine, other):
            found = found or _word(rest, intent, slot, lexicon)
        if found:
            slots[slot] = found
    if intent == "change_lane" and slots.get("direction") in ("ahead", "behind"):
        del slots["direction"]  # where the vehicle is that is overtaken
    if intent in ("fragment", "place_attribute") and "category" in slots and "attribute" in slots:
        del slots["category"]  # "and a toilet?" asks about the place at hand
    return slots


def _checked(frame: Frame, words: Grammar) -> dict[str, str]:
    """A place that is only a kind of place ("the nearest gas station") is a category and an order."""
    slots = dict(frame.slots)
    place = slots.get("place", "")
    if place:
        bare = re.sub(r"^(?:a|an|the|some|any|my|一个|一家|个|家)\s*", "", place)
        kinds = words.phrases(frame.intent, "category")
        orders = words.phrases(frame.intent, "order")
        for phrase in sorted(orders, key=len, reverse=True):
            bare = re.sub(rf"(?<![a-z]){re.escape(phrase)}(?![a-z])", "", bare)
        if bare.strip(" 的") in kinds or not bare.strip(" 的"):
            del slots["place"]
    return slots


def _word(text: str, intent: str, slot: str, words: Grammar) -> str | None:
    """The value of the longest phrase; of equals the last, since people correct themselves that way."""
    phrases = words.phrases(intent, slot)
    best = ""
    for found in _pattern(words.language, intent, slot).finditer(text):
        if len(found[0]) >= len(best):
            best = found[0]
    return phrases.get(best)


@lru_cache(maxsize=512)
def _pattern(language: Language, intent: str, slot: str) -> re.Pattern[str]:
    phrases = sorted(grammar(language).phrases(intent, slot), key=len, reverse=True)
    edge = ("", "") if language == "zh" else (r"(?<!\w)", r"(?!\w)")
    return re.compile(edge[0] + "(?:" + ("|".join(map(re.escape, phrases)) or "(?!)") + ")" + edge[1])


def _number(text: str, intent: str, slot: str) -> str | None:
    """The last number with the slot's unit; without any where the intent has only this number."""
    if slot == "level" and (named := re.findall(r"level (\d+)", text)):
        return str(named[-1])
    found = re.findall(_NUMBER + _UNIT[slot], text) if slot in _UNIT else []
    if not found and _BARE.get(intent) == slot and not any(re.search(_NUMBER + u, text) for u in _UNIT.values()):
        found = re.findall(rf"(?<![\w.]){_NUMBER}", text)
    return str(found[-1]) if found else None
