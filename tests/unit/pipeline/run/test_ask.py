"""Asking a run that goes on: the question reaches its assistant and the reply comes back."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from nodes.assistant import Listen
from pipeline.core.errors import BadInput
from pipeline.run import ask
from pipeline.run.ask import asking
from pipeline.run.process import run_name
from pipeline.transport.shared_memory import SharedMemoryBus


def _listen(folder: Path, ready: threading.Event, done: threading.Event) -> None:
    with contextlib.closing(SharedMemoryBus(run_name(folder), "assistant")) as bus:
        node, heard = Listen(), bus.subscribe(["text"])
        ready.set()
        while not done.is_set():
            message = heard.receive(0.05)
            for reply in node.step(message, 0) if message is not None else ():
                bus.publish(reply)


def test_a_conversation_over_the_bus(tmp_path: Path) -> None:
    ready, done = threading.Event(), threading.Event()
    node = threading.Thread(target=_listen, args=(tmp_path, ready, done))
    node.start()
    try:
        assert ready.wait(30)
        with asking(tmp_path) as asker:
            meant, reply = asker.ask("导航到最近的加油站")
            assert [m.intent for m in meant.meanings] == ["navigate"]
            assert reply.acted == ("navigate",)
            assert asker.ask("那家有充电桩吗?")[0].meanings[0].intent == "place_attribute"
    finally:
        done.set()
        node.join()


def test_where_nobody_listens_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "_FIND_S", 0.1)
    with pytest.raises(BadInput, match="nobody listens"), asking(tmp_path):
        raise AssertionError("there is no one to ask")
