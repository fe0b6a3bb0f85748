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
from nodes.intent.words import done, doubt, place, place_fact, request, say

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


class Turn(NamedTuple):
    """What one frame is answered from: the session as the frames before it left it, what is seen, the language. leans:
    it was an ellipsis before the session made it whole."""

    session: Session
    view: View
    language: Language
    leans: bool = False

    def said(self, english: str, chinese: str, session: Session | None = None, acted: bool = False) -> Said:
        return Said(session or self.session, say(self.language, english, chinese), acted)


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
        """Answer a sentence about the scene of ``view``. partial: it may go on: understood, nothing done or said.

        The session changes once, when the whole sentence is answered: an error on the way leaves it as it was."""
        understood = self._understanding.understand(text, partial)
        session = self.session
        frames = tuple(resolved(f, session) for f in understood.frames)
        if partial:
            return Reply("", understood.language, frames)
        view = view or View(None, 0, 0)
        texts: list[str] = []
        acted: list[str] = []
        tracks: list[int] = []
        for said_so, frame in zip(understood.frames, frames, strict=True):
            turn = Turn(session, view, understood.language, leans=said_so.intent == "fragment")
            said = self._refused(turn, frame, understood) or self._one(turn, frame)
            session = said.session
            texts.append(said.text)
            acted += [frame.intent] if said.acted else []
            tracks += said.tracks
            if session.pending is not None:
                break  # the rest waits no longer than for an answer: it must be said again
        reply = " ".join(t for t in texts if t)
        self.session = session.updated(reply=reply)
        waits = session.pending is not None or bool(session.objects)
        return Reply(reply, understood.language, frames, tuple(acted), tuple(tracks), waits)

    def _refused(self, turn: Turn, frame: Frame, understood: Understood) -> Said | None:
        """The arbiter: a driving command that was not said surely, or among others, is asked about first."""
        if frame.risk != "driving" or self._understanding.sure_of(understood, frame):
            return None
        return _asked(turn, frame)

    def _one(self, turn: Turn, frame: Frame) -> Said:
        session, intent = turn.session, frame.intent
        if intent == "confirm" and session.pending:
            return _do(turn, session.pending)
        if intent in ("deny", "cancel"):
            kept = session.updated(pending=None, objects=(), asked=None)
            return turn.said("All right, I leave it.", "好的，不做了。", kept)
        answers = turn.leans or intent in ("select", "what_is", "where_is")  # else it is a question of its own
        if session.asked and answers and (chosen := _chosen(frame, session.objects)):
            return _bound(turn, session.asked, chosen)
        last = frame if intent in LEANS_ON else session.last
        turn = turn._replace(session=session.updated(pending=None, objects=(), asked=None, last=last))
        if intent in _OF_SCENE:
            return _of_scene(turn, frame)
        if intent in ("navigate", "find_place", "place_attribute", "select", "arrival_time"):
            return self._of_places(turn, frame)
        if refused := _not_yet(turn, frame):
            return refused
        if intent in CONFIRMED:
            return _asked(turn, frame)
        if frame.risk in ("comfort", "driving") and intent not in ("undo", "set_language"):
            return _do(turn, frame)
        return _talk(turn, frame)

    def _of_places(self, turn: Turn, frame: Frame) -> Said:
        session, (x, y), s = turn.session, self._position, frame.slots
        if frame.intent == "arrival_time":
            goal = next(iter(self._places.named(session.vehicle.destination)), None)
            if goal is None:
                return turn.said("No destination is set.", "还没有设定目的地。")
            minutes = goal.distance(x, y) / 1000 / _TRAFFIC_KMH * 60
            return turn.said(f"In about {minutes:.0f} minutes.", f"大约{minutes:.0f}分钟。")
        if frame.intent == "place_attribute":
            return self._attribute(turn, s.get("attribute", ""))
        if frame.intent == "select":
            chosen = _place_chosen(s, session.places, x, y)
            if chosen is None:
                return turn.said("I have no such one to choose from.", "没有可选的这一项。")
            return self._set_out(turn, chosen)
        if s.get("place") in ("home", "work", "家", "公司"):
            return turn.said("I do not know that address yet.", "还没有设置这个地址。")
        if "place" in s:
            found = self._places.named(s["place"])
        elif "category" in s:
            found = self._places.of_kind(s["category"], x, y, s.get("order", "nearest"), s.get("attribute", ""))
        else:
            return turn.said("Where to?", "去哪里？")
        if not found:
            return turn.said("I find no such place here.", "这里找不到这个地方。")
        turn = turn._replace(session=session.updated(places=tuple(found), place=found[0]))
        if frame.intent == "navigate":
            return self._set_out(turn, found[0])
        listed = "; ".join(place(turn.language, p, x, y) for p in found)
        return turn.said(f"I found {listed}.", f"找到：{listed}。")

    def _set_out(self, turn: Turn, goal: Place) -> Said:
        frame = Frame("navigate", {"place": say(turn.language, goal.name, goal.name_zh)})
        changed = msgspec.structs.replace(turn.session.vehicle, destination=goal.name.lower())
        session = turn.session.with_vehicle(changed).updated(place=goal, last=frame)
        told = place(turn.language, goal, *self._position)
        return turn.said(f"Navigating to {told}.", f"导航到{told}。", session, acted=True)

    def _attribute(self, turn: Turn, attribute: str) -> Said:
        one = turn.session.place
        if one is None:
            return turn.said("Which place do you mean?", "您指的是哪个地方？")
        return Said(turn.session, place_fact(turn.language, one, attribute, *self._position))


def _asked(turn: Turn, frame: Frame) -> Said:
    """Asks whether to do it; the frame waits for the answer."""
    english, chinese = request(frame)
    waiting = turn.session.updated(pending=frame, objects=(), asked=None)
    return turn.said(f"Shall I {english}?", f"要我{chinese}吗？", waiting)


def _do(turn: Turn, frame: Frame) -> Said:
    before = turn.session.vehicle
    after = turn.session.with_vehicle(applied(before, frame)).updated(pending=None)
    return Said(after, done(turn.language, frame, before), True)


def _bound(turn: Turn, asked: Frame, chosen: Seen) -> Said:
    """The question answered about the object chosen, as it is seen now."""
    bound = turn.session.updated(objects=(), asked=None, object_id=chosen.track_id, last=asked)
    now = next((one for one in turn.view.seen if one.track_id == chosen.track_id), None)
    if turn.view.doubt in ("no_scene", "stale"):
        return Said(bound, doubt(turn.language, turn.view.doubt))
    if now is None:
        return turn.said("I no longer see it.", "已经看不到了。", bound)
    told = about(asked.intent, now, turn.view, turn.language)
    return Said(bound, told.text, tracks=told.tracks)


def _of_scene(turn: Turn, frame: Frame) -> Said:
    told = answer(frame, turn.view, turn.language)
    session = turn.session.updated(objects=told.candidates, asked=frame if told.candidates else None)
    return Said(session, told.text, tracks=told.tracks)


def _not_yet(turn: Turn, frame: Frame) -> Said | None:
    """What is missing before the command can be asked about or done; None: nothing."""
    intent, view = frame.intent, turn.view
    if intent == "change_lane" and "direction" not in frame.slots:
        return turn.said("To the left or to the right?", "向左还是向右？")
    if intent in ("call", "message") and "contact" not in frame.slots:
        return turn.said("To whom?", "给谁？")
    if intent == "follow_vehicle" and not isinstance(ahead := view.ask("vehicle", "ahead"), Found):
        told = answer(Frame("where_is", {"object": "vehicle", "direction": "ahead"}), view, turn.language)
        return Said(turn.session, told.text, tracks=told.tracks if isinstance(ahead, Which) else ())
    if intent == "change_lane" and view.doubt:
        return Said(turn.session, doubt(turn.language, view.doubt))
    return None


def _talk(turn: Turn, frame: Frame) -> Said:
    session = turn.session
    if frame.intent == "undo":
        if not session.earlier:
            return turn.said("There is nothing to undo.", "没有可以撤销的操作。")
        back = session.updated(vehicle=session.earlier[-1], earlier=session.earlier[:-1])
        return turn.said("Put back as it was.", "已恢复原样。", back, acted=True)
    if frame.intent == "repeat":
        nothing = say(turn.language, "I said nothing yet.", "我还没说什么。")
        return Said(session, session.reply or nothing)
    if frame.intent in ("last_warning", "repeat_warning"):
        nothing = say(turn.language, "I have not warned of anything.", "还没有发出过警告。")
        return Said(session, say(turn.language, *session.warning) or nothing)
    return turn.said(*_TALK.get(frame.intent, _UNKNOWN))


_TALK = {
    "help": ("Ask what is around us, set the climate, or say where to go.", "可以问周围情况、调空调，或说去哪里。"),
    "small_talk": ("Glad to be of help.", "很高兴为您服务。"),
    "set_language": ("Speak as you like, I answer in your language.", "您说哪种语言，我就用哪种回答。"),
    "confirm": ("Good.", "好的。"),
    "fragment": ("What do you mean by that?", "您指的是什么？"),
    "out_of_scope": ("I cannot help with that.", "这个我帮不了您。"),
}
_UNKNOWN = ("The vehicle does not tell me that yet.", "车辆还没有提供这项数据。")


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
