"""What a conversation remembers: what was meant last, what was spoken of, what waits for an answer.

A session is a value; each turn makes the next one. Language may change from turn to turn, the session stays.
"""

from __future__ import annotations

import msgspec

from nodes.intent.language.ontology import INTENTS, Frame, slots_of
from nodes.intent.places import Place
from nodes.intent.scene import Seen
from nodes.intent.vehicle import VehicleState


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """last: newest frame that a fragment can lean on. places, place: those listed, and the one in focus. objects:
    candidates that were asked about, for question `asked`. pending: frame that waits for yes or no. earlier: vehicle
    states before each change, newest last. reply: the last one."""

    vehicle: VehicleState = VehicleState()
    earlier: tuple[VehicleState, ...] = ()
    last: Frame | None = None
    places: tuple[Place, ...] = ()
    place: Place | None = None
    objects: tuple[Seen, ...] = ()
    asked: Frame | None = None
    object_id: int = -1
    pending: Frame | None = None
    reply: str = ""
    warning: tuple[str, str] = ("", "")  # English, Chinese

    def updated(self, **changes: object) -> Session:
        return msgspec.structs.replace(self, **changes)

    def with_vehicle(self, state: VehicleState) -> Session:
        """The same with another state of the vehicle; what it was before is kept for undo."""
        if state == self.vehicle:
            return self
        return self.updated(vehicle=state, earlier=(*self.earlier[-19:], self.vehicle))


_NUMBER_OF = {"set_climate": "temperature", "set_speed": "speed", "set_distance": "distance", "set_volume": "level"}


def resolved(frame: Frame, session: Session) -> Frame:
    """An ellipsis made whole from what was meant before: "and the bus?" after "how far is the truck?".

    A frame that cannot be made whole is given back as it is, a fragment."""
    if frame.intent != "fragment":
        return frame
    slots, last = dict(frame.slots), session.last
    if "attribute" in slots and (session.place or (last and last.intent == "place_attribute")):
        return Frame("place_attribute", {"attribute": slots["attribute"]}, frame.confidence)
    if "category" in slots and (last is None or last.intent in ("navigate", "find_place", "place_attribute")):
        intent = last.intent if last and last.intent in ("navigate", "find_place") else "find_place"
        return Frame(intent, {k: v for k, v in slots.items() if k in slots_of(intent)}, frame.confidence)
    if last is None:
        return frame
    if "number" in slots and last.intent in _NUMBER_OF:
        slots[_NUMBER_OF[last.intent]] = slots.pop("number")
        slots["action"] = "set"
    taken = {k: v for k, v in slots.items() if k in slots_of(last.intent)}
    if not taken:
        return frame
    kept = dict(last.slots)
    if "object" in taken and "direction" not in taken:
        kept.pop("direction", None)
    if taken.get("action") in ("up", "down"):  # "a bit more" after "22 degrees"
        for number in ("temperature", "speed", "distance"):
            kept.pop(number, None)
        if kept.get("level", "").isdigit():
            kept.pop("level")
    return Frame(last.intent, {**kept, **taken}, frame.confidence)


LEANS_ON = tuple(i for i, row in INTENTS.items() if row.slots and i not in ("select", "mute_warnings", "set_language"))
"""Intents that a later fragment can lean on."""
