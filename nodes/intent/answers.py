"""Answers about the scene: what is there, where, how far, how fast, and never that something is safe."""

from __future__ import annotations

from typing import NamedTuple

from nodes.intent.language.ontology import Frame, Language
from nodes.intent.scene import CannotTell, Nothing, Seen, View, Which
from nodes.intent.words import doubt, kind, say, seen, side


class SceneAnswer(NamedTuple):
    """text; the tracks it speaks of; candidates where it asks which one is meant."""

    text: str
    tracks: tuple[int, ...] = ()
    candidates: tuple[Seen, ...] = ()


def answer(frame: Frame, view: View, language: Language) -> SceneAnswer:
    """Answer a frame of what_is, where_is, how_far, how_fast, is_safe, describe_scene or sensor_status."""
    if frame.intent == "sensor_status":
        return SceneAnswer(_sensors(frame, view, language))
    if frame.intent == "is_safe":
        return _safety(frame, view, language)
    if frame.intent == "describe_scene":
        return _overview(frame, view, language)
    wanted, direction = frame.slots.get("object"), frame.slots.get("direction")
    if frame.intent == "what_is" and wanted:
        wanted = None  # "is that a truck?" is answered with what it is
    if wanted is None and direction is None:
        direction = "ahead"
    found = view.ask(wanted, direction)
    if isinstance(found, CannotTell):
        return SceneAnswer(doubt(language, found.reason))
    if isinstance(found, Nothing):
        where = side(language, direction) if direction else say(language, "around us", "周围")
        what = kind(language, wanted)
        return SceneAnswer(say(language, f"I see no {what} {where}.", f"{where}没有看到{what}。"))
    if isinstance(found, Which):
        return _which(found, language)
    return about(frame.intent, found.seen, view, language)


def about(intent: str, one: Seen, view: View, language: Language) -> SceneAnswer:
    """The answer of that intent about one object."""
    name = kind(language, one.kind)
    where = side(language, one.side)
    if intent == "how_far":
        give = max(one.sigma, 0.5)
        text = say(
            language,
            f"The {name} {where} is {one.distance:.0f} m away, give or take {give:.1f} m.",
            f"{where}的{name}距离{one.distance:.0f}米，误差约{give:.1f}米。",
        )
    elif intent == "how_fast":
        kmh = one.speed * 3.6
        text = say(
            language,
            f"The {name} {where} moves at about {kmh:.0f} km/h." if kmh > 3 else f"The {name} {where} stands still.",
            f"{where}的{name}时速约{kmh:.0f}公里。" if kmh > 3 else f"{where}的{name}停着。",
        )
    else:
        text = say(language, f"That is {seen(language, one)}.", f"那是{seen(language, one)}。")
    return SceneAnswer(text + _aged(view, one, language), (one.track_id,))


def _aged(view: View, one: Seen, language: Language) -> str:
    """A word on how old it is, where it is not what was measured just now."""
    if one.unseen == 0 and view.age_s < 0.3:
        return ""
    old = view.age_s + 0.1 * one.unseen
    return say(language, f" Last measured {old:.1f} s ago.", f"{old:.1f}秒前测得。")


def _which(found: Which, language: Language) -> SceneAnswer:
    listed = say(language, " or ", "，还是").join(seen(language, one) for one in found.candidates)
    text = say(language, f"Which one: {listed}?", f"您指哪一个：{listed}？")
    return SceneAnswer(text, tuple(one.track_id for one in found.candidates), found.candidates)


def _safety(frame: Frame, view: View, language: Language) -> SceneAnswer:
    if view.doubt:
        return SceneAnswer(doubt(language, view.doubt))
    direction = frame.slots.get("direction")
    lateral = frame.slots.get("manoeuvre") in ("change_lane", "overtake", "turn")
    near = [
        one
        for one in view.seen
        if one.distance < 60
        and (direction not in ("left", "right") or not lateral or one.left * (1 if direction == "left" else -1) > 0.5)
    ][:3]
    listed = ", ".join(seen(language, one) for one in near) if near else say(language, "nothing near", "附近没有物体")
    where = side(language, direction) if direction else say(language, "around us", "周围")
    text = say(
        language,
        f"That is yours to judge. {where.capitalize()} I see {listed}, {view.age_s:.1f} s ago. Check your mirrors.",
        f"请您自行判断。{where}我看到：{listed}，{view.age_s:.1f}秒前。请观察后视镜。",
    )
    return SceneAnswer(text, tuple(one.track_id for one in near))


def _overview(frame: Frame, view: View, language: Language) -> SceneAnswer:
    if view.doubt in ("no_scene", "stale"):
        return SceneAnswer(doubt(language, view.doubt))
    near = view.all_of(None, frame.slots.get("direction"))[:4]
    listed = ", ".join(seen(language, one) for one in near)
    text = (
        say(language, f"I see {listed}.", f"我看到{listed}。")
        if near
        else say(language, "I see nothing near.", "附近没有看到物体。")
    )
    if view.doubt:
        text += " " + say(language, "But not everything: ", "但不完整：") + doubt(language, view.doubt)
    return SceneAnswer(text, tuple(one.track_id for one in near))


def _sensors(frame: Frame, view: View, language: Language) -> str:
    if view.doubt == "no_scene":
        return doubt(language, view.doubt)
    ails = {name: what for name, what in view.sensors().items() if what}
    if not ails:
        return say(language, "I know of no fault in any sensor.", "未发现传感器故障。")
    listed = ", ".join(f"{name}: {what}" for name, what in ails.items())
    return say(language, f"Not all sensors work. {listed}.", f"有传感器异常。{listed}。")
