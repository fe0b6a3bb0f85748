"""The assistant on the bus: answers from the newest scene, says how old it was, warns from the scene alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from nodes.assistant import AssistantSettings, Listen
from nodes.intent.scene import SceneSettings
from pipeline.core.messages import CLASSES, C, Message, Scene, Stamp
from pipeline.core.speech import MAX_TEXT, Alert, Answer, Intent, Utterance
from pipeline.core.topics import topic_row
from pipeline.core.wire import decode, encode_bytes

TENTH_NS = 100_000_000


def seen(index: int, gap_m: float = 60.0, speed_mps: float = 20.0) -> Message:
    """The ego drives along x towards a truck that stands; the scene is number ``index`` at 10 Hz."""
    score = np.zeros((1, C), "<f4")
    score[0, CLASSES.index("truck")] = 0.9
    scene = Scene(
        index=index,
        position=(speed_mps * index / 10, 0.0, 0.0),
        rotation_wxyz=(1.0, 0.0, 0.0, 0.0),
        sensors=(),
        missing=(),
        track_id=np.array([7], "<i8"),
        track_position=np.array([[gap_m, 0.0, 1.0]], "<f8"),
        track_velocity=np.zeros((1, 2), "<f8"),
        track_size=np.full((1, 3), 4.0, "<f4"),
        track_yaw=np.zeros(1, "<f8"),
        state_cov=np.tile(0.01 * np.eye(5), (1, 1, 1)).astype("<f4"),
        class_score=score,
        existence=np.ones(1, "<f4"),
        weight=np.zeros((1, 0), "<f4"),
        age=np.full(1, 9, "<i4"),
        coasted=np.zeros(1, "<i4"),
    )
    return Message("scene", stamped(index * TENTH_NS, index), scene)


def stamped(time_ns: int, sequence: int = 0) -> Stamp:
    return Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=sequence)


def said(text: str, time_ns: int = 0, partial: bool = False) -> Message:
    return Message("text", stamped(time_ns), Utterance(id="a", text=text, partial=partial))


def reply_to(node: Listen, message: Message, now_ns: int = 0) -> Answer:
    meant, reply = (m.payload for m in node.step(message, now_ns))
    assert isinstance(meant, Intent)
    assert isinstance(reply, Answer)
    assert meant.id == reply.id == "a"
    return reply


def test_before_any_scene_it_cannot_tell() -> None:
    reply = reply_to(Listen(), said("how far is the truck ahead"))
    assert "cannot tell" in reply.text
    assert math.isnan(reply.scene_age_s)


@pytest.mark.parametrize(
    ("said_ns", "now_ns", "age_s"),
    [
        (5 * TENTH_NS + 50_000_000, 0, 0.05),  # its own time
        (0, 7 * TENTH_NS, 0.2),  # that of the runner
        (0, 0, 0.0),  # a replay without a clock: the newest scene is now
    ],
)
def test_the_reply_says_how_old_the_scene_was(said_ns: int, now_ns: int, age_s: float) -> None:
    node = Listen()
    list(node.step(seen(5), 5 * TENTH_NS))
    reply = reply_to(node, said("how far is the truck ahead", said_ns), now_ns)
    assert reply.scene_age_s == pytest.approx(age_s)
    assert reply.tracks == (7,)


def test_a_scene_older_than_the_setting_is_not_spoken_from() -> None:
    node = Listen(AssistantSettings(scene=SceneSettings(fresh_s=0.1)))
    list(node.step(seen(0), 0))
    reply = reply_to(node, said("how far is the truck ahead", 2 * TENTH_NS))
    assert "too old" in reply.text
    assert reply.tracks == ()


def test_a_partial_utterance_is_understood_and_neither_answered_nor_done() -> None:
    node = Listen()
    (only,) = node.step(said("turn on the ac", partial=True), 0)
    assert isinstance(only.payload, Intent)
    assert only.payload.partial
    assert node.assistant.session.vehicle.on == {}


def test_the_scene_warns_without_a_word_and_the_warning_is_recalled() -> None:
    node = Listen()
    alerts = [m for i in range(18) for m in node.step(seen(i), i * TENTH_NS)]
    assert [m.topic for m in alerts] == ["alert", "alert"]
    first, second = (m.payload for m in alerts)
    assert isinstance(first, Alert)
    assert isinstance(second, Alert)
    assert (first.level, second.level) == (1, 2)
    assert alerts[1].stamp.time_ns % TENTH_NS == 0  # that of the scene
    assert reply_to(node, said("what did you just warn me of")).text == second.english


def test_muted_only_the_urgent_warning_comes() -> None:
    node = Listen()
    reply_to(node, said("mute the warnings"))
    alerts = [m.payload for i in range(18) for m in node.step(seen(i), i * TENTH_NS)]
    assert [a.level for a in alerts if isinstance(a, Alert)] == [2]


def test_what_it_says_crosses_the_bus_as_it_is() -> None:
    node = Listen()
    list(node.step(seen(5), 0))
    for message in node.step(said("导航到最近的加油站"), 0):
        again = decode(message.topic, encode_bytes(message))
        for field in message.payload.__struct_fields__:
            assert repr(getattr(again.payload, field)) == repr(getattr(message.payload, field))


def test_words_are_never_recorded_and_warnings_are() -> None:
    assert {t: topic_row(t).recorded for t in ("text", "intent", "reply", "alert")} == {
        "text": False,
        "intent": False,
        "reply": False,
        "alert": True,
    }


def test_an_utterance_has_its_bounds() -> None:
    with pytest.raises(ValueError, match="at most"):
        Utterance(id="a", text="x" * (MAX_TEXT + 1))


def test_a_failing_answer_leaves_the_session_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Listen()
    reply_to(node, said("open the window"))
    before = node.assistant.session
    monkeypatch.setattr("nodes.intent.assistant._do", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(node.step(said("what is ahead of us and then turn on the ac"), 0))
    assert node.assistant.session is before


def test_no_word_is_kept_unless_it_was_asked_for(tmp_path: Path) -> None:
    odd = "paint the window of Rosebank Crescent"
    reply_to(Listen(), said(odd))
    assert list(tmp_path.iterdir()) == []
    reply_to(Listen(AssistantSettings(pool=str(tmp_path / "odd.jsonl"))), said(odd))
    assert "window" in (tmp_path / "odd.jsonl").read_text()
    assert "rosebank" not in (tmp_path / "odd.jsonl").read_text().lower()
