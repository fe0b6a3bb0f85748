"""The service: a sentence or a WAV in, meaning and objects out; bounds hold, and other sites' pages get nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nodes.talk.conversation import Conversation
from nodes.talk.server import MAX_JSON, MAX_WAV, TalkServer
from nodes.voice.audio import RATE, Samples, write_wav
from nodes.voice.recognition import Heard
from pipeline.core.errors import BadInput
from tests.unit.nodes.test_assistant import TENTH_NS, seen

JSON = {"Content-Type": "application/json"}


class Loud:
    """Recognises one sentence where there is sound, nothing where there is none."""

    def recognise(self, samples: Samples) -> Heard:
        return Heard("how far is the truck ahead" if np.abs(samples).max(initial=0.0) > 0.01 else "")


@pytest.fixture
def server() -> Iterator[TalkServer]:
    conversation = Conversation(lambda: 2 * TENTH_NS)
    conversation.see(seen(1))
    with TalkServer(conversation, recogniser=Loud()) as server:
        yield server


def ask(server: TalkServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    link.request(method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = link.getresponse()
    data = reply.read()
    link.close()
    plain = reply.headers.get_content_type() == "application/json"
    return reply.status, json.loads(data) if plain else data


def say(server: TalkServer, text: object) -> tuple[int, Any]:
    return ask(server, "POST", "/say", json.dumps({"text": text}).encode(), Content_Type="application/json")


def test_a_sentence_gets_intent_slots_objects_and_reply(server: TalkServer) -> None:
    status, found = say(server, "how far is the truck ahead?")
    assert status == 200
    assert [(f["intent"], f["slots"]) for f in found["frames"]] == [
        ("how_far", {"object": "truck", "direction": "ahead"})
    ]
    (truck,) = found["objects"]
    assert (truck["id"], truck["kind"], truck["side"]) == (7, "truck", "ahead")
    assert truck["distance_m"] == pytest.approx(58.0)
    assert "58 m" in found["reply"]
    assert found["scene_age_s"] == pytest.approx(0.1)


def test_it_is_one_conversation(server: TalkServer) -> None:
    say(server, "导航到最近的加油站")
    assert say(server, "那家有充电桩吗?")[1]["frames"][0]["intent"] == "place_attribute"


def test_sound_is_recognised_and_answered(server: TalkServer) -> None:
    tone = np.sin(np.arange(RATE) * 0.1).astype("f4") * 0.3
    status, found = ask(server, "POST", "/say", write_wav(tone), Content_Type="audio/wav")
    assert (status, found["text"], found["tracks"]) == (200, "how far is the truck ahead", [7])


def test_silence_is_answered_with_nothing(server: TalkServer) -> None:
    status, found = ask(server, "POST", "/say", write_wav(np.zeros(RATE, "f4")), Content_Type="audio/wav")
    assert (status, found["text"], found["reply"]) == (200, "", "")


def test_without_a_recogniser_sound_is_refused_with_a_reason() -> None:
    with TalkServer(Conversation(lambda: 0)) as server:
        status, found = ask(server, "POST", "/say", write_wav(np.zeros(9, "f4")), Content_Type="audio/wav")
        assert status == 501
        assert "recognition" in found["error"]
        assert ask(server, "GET", "/state")[1]["listens"] is False


def test_the_state_is_what_the_page_draws(server: TalkServer) -> None:
    status, state = ask(server, "GET", "/state")
    assert status == 200
    (truck,) = state["tracks"]
    assert (truck["id"], truck["kind"], truck["x"], truck["y"]) == (7, "truck", 58.0, 0.0)
    assert (state["age_s"], state["doubt"]) == (0.1, "")


@pytest.mark.parametrize("path", ["/", "/page.js", "/recorder.js", "/page.css"])
def test_the_page_is_there(server: TalkServer, path: str) -> None:
    status, body = ask(server, "GET", path)
    assert status == 200
    assert len(body) > 300


@pytest.mark.parametrize("path", ["/nothing", "/../server.py", "/%2e%2e/server.py", "//etc/passwd", "/page.html"])
def test_nothing_else_is(server: TalkServer, path: str) -> None:
    assert ask(server, "GET", path)[0] == 404


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"not json", JSON, 400),
        (b"[" * 10_000, JSON, 400),
        (b'{"text": 7}', JSON, 400),
        (b'{"other": "x"}', JSON, 400),
        (b"text=hello", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"text": "hello"}', {"Content-Type": "text/plain"}, 415),
        (b"RIFFnothing", {"Content-Type": "audio/wav"}, 400),
    ],
)
def test_wrong_bodies_are_refused(server: TalkServer, body: bytes, headers: dict[str, str], status: int) -> None:
    found = ask(server, "POST", "/say", body, **{k.replace("-", "_"): v for k, v in headers.items()})
    assert found[0] == status
    assert found[1]["error"]


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        ("application/json", MAX_JSON + 1),
        ("audio/wav", MAX_WAV + 1),
        ("audio/wav", 10**30),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_read(server: TalkServer, kind: str, length: int) -> None:
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    link.putrequest("POST", "/say")
    link.putheader("Content-Type", kind)
    link.putheader("Content-Length", str(length))
    link.endheaders()  # and no body ever comes
    assert link.getresponse().status == 413
    link.close()


@pytest.mark.parametrize("length", ["-1", "x", "²"])
def test_a_length_that_is_none_is_refused(server: TalkServer, length: str) -> None:
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    link.putrequest("POST", "/say")
    link.putheader("Content-Type", "application/json")
    link.putheader("Content-Length", length.encode("latin-1"))
    link.endheaders()
    assert link.getresponse().status == 411
    link.close()


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
@pytest.mark.parametrize(("method", "path"), [("GET", "/state"), ("GET", "/"), ("POST", "/say")])
def test_other_sites_get_nothing(server: TalkServer, method: str, path: str, headers: dict[str, str]) -> None:
    assert ask(server, method, path, b'{"text": "hello"}', **headers, Content_Type="application/json")[0] == 403


def test_a_long_text_is_out_of_scope_and_bounded(server: TalkServer) -> None:
    status, found = say(server, "park the car " * 800)
    assert status == 200
    assert [f["intent"] for f in found["frames"]] == ["out_of_scope"]
    assert found["acted"] == []


def test_a_port_that_is_taken_is_named(server: TalkServer) -> None:
    with pytest.raises(BadInput, match=str(server.port)):
        TalkServer(Conversation(lambda: 0), port=server.port)


def test_it_listens_on_loopback_alone(server: TalkServer) -> None:
    assert server._http.server_address[0] == "127.0.0.1"
