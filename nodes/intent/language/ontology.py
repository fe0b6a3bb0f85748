"""What a person can mean: every intent, its slots and what acting on it would risk.

A frame is one intent with its slots; an utterance is one or several frames. Slot values are canonical strings, the
same in both languages ("left", "ac", "21"), except open slots, which keep the words that were said.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import msgspec

Language: TypeAlias = Literal["en", "zh"]
Risk: TypeAlias = Literal["none", "comfort", "outward", "driving"]


class Intent(NamedTuple):
    """risk: `none` only answers; `comfort` is undone at a word; `outward` reaches other people; `driving` moves the
    vehicle. slots: that it may carry."""

    risk: Risk
    slots: tuple[str, ...]
    doc: str


_PLACE = ("place", "category", "order", "attribute")

INTENTS: dict[str, Intent] = {
    "navigate": Intent("comfort", (*_PLACE, "avoid"), "go to a place, or to the best place of a kind"),
    "find_place": Intent("none", _PLACE, "where is a place of that kind; looks, does not set out"),
    "place_attribute": Intent("none", ("attribute", "place", "category"), "something about a place just spoken of"),
    "reroute": Intent("comfort", ("avoid", "order"), "another route to the same destination"),
    "arrival_time": Intent("none", ("place", "category"), "when, or how long or far, until the destination"),
    "stop_navigation": Intent("comfort", (), "end route guidance"),
    "set_climate": Intent("comfort", ("action", "device", "temperature", "level", "zone"), "temperature, fan, defrost"),
    "set_window": Intent("comfort", ("action", "device", "zone", "level"), "windows and sunroof"),
    "set_seat": Intent("comfort", ("action", "device", "level", "zone"), "seat heating, cooling, massage, position"),
    "set_lights": Intent("comfort", ("action", "device"), "lights outside and inside"),
    "set_wipers": Intent("comfort", ("action", "level", "zone"), "wipers"),
    "call": Intent("outward", ("contact",), "telephone somebody"),
    "message": Intent("outward", ("contact", "content"), "send somebody a message"),
    "play_media": Intent("comfort", ("query",), "play music or something to listen to"),
    "media_control": Intent("comfort", ("action",), "pause, resume, next, previous"),
    "set_volume": Intent("comfort", ("action", "level"), "loudness"),
    "play_radio": Intent("comfort", ("station",), "radio"),
    "energy_status": Intent("none", (), "charge, fuel, range"),
    "tyre_pressure": Intent("none", (), "tyre pressure"),
    "trip_data": Intent("none", (), "distance driven, consumption, average speed"),
    "follow_vehicle": Intent("driving", (), "follow the vehicle ahead"),
    "set_distance": Intent("driving", ("action", "distance"), "distance kept to the vehicle ahead"),
    "set_speed": Intent("driving", ("action", "speed"), "speed of the cruise control"),
    "change_lane": Intent("driving", ("direction",), "change lane"),
    "park": Intent("driving", (), "park the vehicle"),
    "stop_assistance": Intent("driving", (), "hand driving back to the person"),
    "what_is": Intent("none", ("object", "direction"), "what something seen is"),
    "where_is": Intent("none", ("object", "direction"), "where something seen is"),
    "how_far": Intent("none", ("object", "direction"), "how far away something seen is"),
    "how_fast": Intent("none", ("object", "direction"), "how fast something seen moves"),
    "is_safe": Intent("none", ("manoeuvre", "direction"), "may I do that now; never answered with yes"),
    "describe_scene": Intent("none", ("direction",), "what is around"),
    "last_warning": Intent("none", (), "what was just warned of, and why"),
    "sensor_status": Intent("none", ("sensor",), "which sensors work"),
    "mute_warnings": Intent("comfort", ("minutes",), "no spoken warnings except of collisions"),
    "unmute_warnings": Intent("comfort", (), "spoken warnings again"),
    "repeat_warning": Intent("none", (), "say the last warning again"),
    "set_language": Intent("comfort", ("language",), "speak another language"),
    "confirm": Intent("none", (), "yes"),
    "deny": Intent("none", (), "no"),
    "cancel": Intent("none", (), "drop what is being asked or done"),
    "undo": Intent("comfort", (), "put back what the last action changed"),
    "repeat": Intent("none", (), "say the last answer again"),
    "help": Intent("none", (), "what can be asked"),
    "select": Intent("none", ("ordinal", "order"), "one of those just listed"),
    "fragment": Intent("none", (), "an ellipsis: new slots for what was meant before; may carry any slot"),
    "small_talk": Intent("none", (), "greeting, thanks, how are you"),
    "out_of_scope": Intent("none", (), "anything else"),
}
"""In the order of the classifier's outputs."""

CONFIRMED = ("change_lane", "park", "call", "message")
"""What cannot be taken back at a word, and therefore always waits for a yes."""

OPEN_SLOTS = ("place", "contact", "content", "query", "station")
"""Slots that hold a person's own words."""

NUMBER_SLOTS = ("temperature", "speed", "distance", "minutes", "number")
"""Slots that hold a number, as digits."""

FRAGMENT_SLOTS = (*dict.fromkeys(s for i in INTENTS.values() for s in i.slots if s not in OPEN_SLOTS), "number")
"""`number` is one that was said without its unit; the conversation knows what it is of."""


def slots_of(intent: str) -> tuple[str, ...]:
    """The slots that ``intent`` may carry; a fragment may carry any that is not open."""
    return FRAGMENT_SLOTS if intent == "fragment" else INTENTS[intent].slots


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing meant. confidence: calibrated probability that the intent is right; 1 = a template matched whole."""

    intent: str
    slots: dict[str, str] = {}
    confidence: float = 1.0

    @property
    def risk(self) -> Risk:
        return INTENTS[self.intent].risk
