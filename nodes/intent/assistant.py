"""The assistant: one sentence in, what is done and said out.

    understood -> made whole by the session -> arbiter: may it act? -> policy: do it, answer it -> next session

A partial sentence never acts. A driving command acts only on a whole, confident sentence, alone in it, and lane
changes, parking, calls and messages wait for a yes. "Is it safe?" is never answered with yes (`answers.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from nodes.intent.answers import about, answer
from nodes.intent.language.ontology import CONFIRMED, Frame, Language
from nodes.intent.language.understand import Understanding, Understood, shipped
from nodes.intent.places import Place, Places
from nodes.intent.scene import Found, Seen, View, Which
from nodes.intent.session import LEANS_ON, Session, resolved
from nodes.intent.vehicle import applied
from nodes.intent.words import ATTRIBUTE, REQUEST, done, doubt, place, say

_OF_SCENE = ("what_is", "where_is", "how_far", "how_fast", "is_safe", "describe_scene", "sensor_status")
_TRAFFIC_KMH = 40.0


class Reply(NamedTuple):
    """acted: intents that changed something. tracks: ids of what was spoken of. waits: a question was asked."""

    text: str
    language: Language
    frames: tuple[Frame, ...]
    acted: tuple[str, ...] = ()
    tracks: tuple[int, ...] = ()
    waits: bool = False


class Said(NamedTuple):
    """What one frame led to."""

    session: Session
    text: str
    acted: bool = False
    tracks: tuple[int, ...] = ()


class Assistant:
    """Keeps one conversation. position: of the vehicle in the town's frame, m."""

    def __init__(
        self,
        understanding: Understanding | None = None,
        places: Places | None = None,
        position: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self._understanding = understanding or shipped()
        self._places = places or Places()
        self._position = position
        self.session = Session()

    def hear(self, text: str, view: View | None = None, partial: bool = False) -> Reply:
        """Answer a sentence about the scene of ``view``. partial: it may go on: understood, nothing done or said."""
        understood = self._understanding.understand(text, partial)
        frames = tuple(resolved(f, self.session) for f in understood.frames)
        if partial:
            return Reply("", understood.language, frames)
        view = view or View(None, 0, 0)
        texts: list[str] = []
        acted: list[str] = []
        tracks: list[int] = []
        for frame in frames:
            said = self._refused(frame, understood) or self._one(frame, view, understood.language)
            self.session = said.session
            texts.append(said.text)
            acted += [frame.intent] if said.acted else []
            tracks += said.tracks
            if self.session.pending is not None:
                break  # the rest waits no longer than for an answer: it must be said again
        reply = " ".join(t for t in texts if t)
        self.session = self.session.updated(reply=reply)
        waits = self.session.pending is not None or bool(self.session.objects)
        return Reply(reply, understood.language, frames, tuple(acted), tuple(tracks), waits)

    def _refused(self, frame: Frame, understood: Understood) -> Said | None:
        """The arbiter: a driving command that was not said surely, or among others, is asked about first."""
        if frame.risk != "driving" or self._understanding.sure_of(understood, frame):
            return None
        return self._asked(frame, understood.language)

    def _asked(self, frame: Frame, language: Language) -> Said:
        english, chinese = REQUEST.get(frame.intent, (frame.intent.replace("_", " "), frame.intent))
        more = " ".join(
            v for k, v in frame.slots.items() if k in ("direction", "contact", "content", "speed", "distance")
        )
        text = say(language, f"Shall I {english} {more}".strip() + "?", f"要我{chinese}{more}吗？")
        return Said(self.session.updated(pending=frame, objects=(), asked=None), text)

    def _one(self, frame: Frame, view: View, language: Language) -> Said:
        session = self.session
        intent = frame.intent
        if intent == "confirm" and session.pending:
            return self._do(session.pending, language)
        if intent in ("deny", "cancel"):
            kept = session.updated(pending=None, objects=(), asked=None)
            return Said(kept, say(language, "All right, I leave it.", "好的，不做了。"))
        if session.objects and session.asked and (chosen := _chosen(frame, session.objects)):
            said = about(session.asked.intent, chosen, view, language)
            bound = session.updated(objects=(), asked=None, object_id=chosen.track_id, last=session.asked)
            return Said(bound, said.text, tracks=said.tracks)
        self.session = session = session.updated(
            pending=None, objects=(), asked=None, last=frame if intent in LEANS_ON else session.last
        )
        if intent in _OF_SCENE:
            told = answer(frame, view, language)
            asked = frame if told.candidates else None
            return Said(session.updated(objects=told.candidates, asked=asked), told.text, tracks=told.tracks)
        if intent in ("navigate", "find_place", "place_attribute", "select", "arrival_time"):
            return self._of_places(frame, language)
        if intent == "change_lane" and "direction" not in frame.slots:
            return Said(session, say(language, "To the left or to the right?", "向左还是向右？"))
        if intent in ("call", "message") and "contact" not in frame.slots:
            return Said(session, say(language, "To whom?", "给谁？"))
        if intent == "follow_vehicle" and not isinstance(ahead := view.ask("vehicle", "ahead"), Found):
            told = answer(Frame("where_is", {"object": "vehicle", "direction": "ahead"}), view, language)
            return Said(session, told.text, tracks=told.tracks if isinstance(ahead, Which) else ())
        if intent == "change_lane" and view.doubt:
            return Said(session, doubt(language, view.doubt))
        if intent in CONFIRMED:
            return self._asked(frame, language)
        if frame.risk in ("comfort", "driving") and intent not in ("undo", "set_language"):
            return self._do(frame, language)
        return self._talk(frame, language)

    def _do(self, frame: Frame, language: Language) -> Said:
        before = self.session.vehicle
        after = self.session.with_vehicle(applied(before, frame)).updated(pending=None)
        return Said(after, done(language, frame, before), True)

    def _of_places(self, frame: Frame, language: Language) -> Said:
        session, (x, y), s = self.session, self._position, frame.slots
        if frame.intent == "arrival_time":
            goal = next(iter(self._places.named(session.vehicle.destination)), None)
            if goal is None:
                return Said(session, say(language, "No destination is set.", "还没有设定目的地。"))
            minutes = goal.distance(x, y) / 1000 / _TRAFFIC_KMH * 60
            return Said(session, say(language, f"In about {minutes:.0f} minutes.", f"大约{minutes:.0f}分钟。"))
        if frame.intent == "place_attribute":
            return self._attribute(s.get("attribute", ""), language)
        if frame.intent == "select":
            chosen = _place_chosen(s, session.places, x, y)
            if chosen is None:
                return Said(session, say(language, "I have no such one to choose from.", "没有可选的这一项。"))
            return self._set_out(chosen, language)
        if s.get("place") in ("home", "work", "家", "公司"):
            return Said(session, say(language, "I do not know that address yet.", "还没有设置这个地址。"))
        if "place" in s:
            found = self._places.named(s["place"])
        elif "category" in s:
            found = self._places.of_kind(s["category"], x, y, s.get("order", "nearest"), s.get("attribute", ""))
        else:
            return Said(session, say(language, "Where to?", "去哪里？"))
        if not found:
            return Said(session, say(language, "I find no such place here.", "这里找不到这个地方。"))
        self.session = session.updated(places=tuple(found), place=found[0])
        if frame.intent == "navigate":
            return self._set_out(found[0], language)
        listed = "; ".join(place(language, p, x, y) for p in found)
        return Said(self.session, say(language, f"I found {listed}.", f"找到：{listed}。"))

    def _set_out(self, goal: Place, language: Language) -> Said:
        name = say(language, goal.name, goal.name_zh)
        frame = Frame("navigate", {"place": name})
        changed = msgspec.structs.replace(self.session.vehicle, destination=goal.name.lower())
        session = self.session.with_vehicle(changed).updated(place=goal, last=frame)
        told = place(language, goal, *self._position)
        return Said(session, say(language, f"Navigating to {told}.", f"导航到{told}。"), True)

    def _attribute(self, attribute: str, language: Language) -> Said:
        session, one = self.session, self.session.place
        if one is None:
            return Said(session, say(language, "Which place do you mean?", "您指的是哪个地方？"))
        name = say(language, one.name, one.name_zh)
        if attribute in ATTRIBUTE:
            what, has = say(language, *ATTRIBUTE[attribute]), attribute in one.has
            english = f"Yes, {name} has {what}." if has else f"No, {name} does not have {what}."
            return Said(session, say(language, english, f"{name}{'有' if has else '没有'}{what}。"))
        price = [say(language, *p) for p in (("cheap", "便宜"), ("average", "中等"), ("expensive", "偏贵"))][
            one.price - 1
        ]
        km = f"{one.distance(*self._position) / 1000:.1f}"
        hours = f"{one.opens}:00-{one.closes}:00"
        facts = {
            "open": say(language, f"{name} is open {hours}", f"{name}营业时间{hours}"),
            "hours": say(language, f"{name} is open {hours}", f"{name}营业时间{hours}"),
            "phone": say(language, f"The number of {name} is {one.phone}", f"{name}的电话是{one.phone}"),
            "price": say(language, f"{name} is {price}", f"{name}价格{price}"),
            "address": say(language, f"{name} is at {one.address}", f"{name}在{one.address}"),
            "distance": say(language, f"{name} is {km} km away", f"{name}距离{km}公里"),
            "rating": say(language, f"{name} is rated {one.rating} of 5", f"{name}评分{one.rating}"),
        }
        told = facts.get(attribute, say(language, f"I do not know that of {name}", f"不清楚{name}的这一点"))
        return Said(session, told + say(language, ".", "。"))

    def _talk(self, frame: Frame, language: Language) -> Said:
        session = self.session
        if frame.intent == "undo":
            if not session.earlier:
                return Said(session, say(language, "There is nothing to undo.", "没有可以撤销的操作。"))
            back = session.updated(vehicle=session.earlier[-1], earlier=session.earlier[:-1])
            return Said(back, say(language, "Put back as it was.", "已恢复原样。"), True)
        if frame.intent == "repeat":
            return Said(session, session.reply or say(language, "I said nothing yet.", "我还没说什么。"))
        if frame.intent in ("last_warning", "repeat_warning"):
            told = say(language, *session.warning)
            return Said(session, told or say(language, "I have not warned of anything.", "还没有发出过警告。"))
        texts = {
            "help": (
                "Ask what is around us, set the climate, or say where to go.",
                "可以问周围情况、调空调，或说去哪里。",
            ),
            "small_talk": ("Glad to be of help.", "很高兴为您服务。"),
            "set_language": ("Speak as you like, I answer in your language.", "您说哪种语言，我就用哪种回答。"),
            "confirm": ("Good.", "好的。"),
            "fragment": ("What do you mean by that?", "您指的是什么？"),
            "out_of_scope": ("I cannot help with that.", "这个我帮不了您。"),
        }
        unknown = ("The vehicle does not tell me that yet.", "车辆还没有提供这项数据。")
        return Said(session, say(language, *texts.get(frame.intent, unknown)))


def _chosen(frame: Frame, objects: tuple[Seen, ...]) -> Seen | None:
    """Which of the objects asked about is meant; None where the answer does not say."""
    s = frame.slots
    if frame.intent == "select":
        if s.get("order") == "nearest":
            return objects[0]
        number = _number_said(s, len(objects))
        return objects[number - 1] if number else None
    fits = [
        o for o in objects if s.get("direction", o.side) == o.side and s.get("object", o.kind) in (o.kind, "vehicle")
    ]
    named = "direction" in s or "object" in s
    return fits[0] if named and len(fits) == 1 else None


def _place_chosen(slots: dict[str, str], places: tuple[Place, ...], x: float, y: float) -> Place | None:
    if not places:
        return None
    if "order" in slots:
        keys = {"cheapest": lambda p: p.price, "best": lambda p: -p.rating}
        return min(places, key=keys.get(slots["order"], lambda p: p.distance(x, y)))
    number = _number_said(slots, len(places))
    return places[number - 1] if number else None


def _number_said(slots: dict[str, str], count: int) -> int:
    """Which of ``count`` listed things, from 1; 0 where none of them is said."""
    ordinal = slots.get("ordinal", "")
    number = {"last": count, "other": 2}.get(ordinal, int(ordinal) if ordinal.isdecimal() else 0)
    return number if number <= count else 0
