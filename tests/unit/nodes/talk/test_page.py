"""The page in a real browser: it draws what is seen, sends what is typed and spoken, and asks nobody else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.talk.conversation import Conversation
from nodes.talk.server import TalkServer
from nodes.voice.audio import RATE, Samples, write_wav
from nodes.voice.recognition import Heard
from tests.browser import CHROMIUM, Browser
from tests.unit.nodes.test_assistant import TENTH_NS, seen

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


class Ears:
    def __init__(self) -> None:
        self.heard: list[Samples] = []

    def recognise(self, samples: Samples) -> Heard:
        self.heard.append(samples)
        return Heard("周围有什么")


def until(browser: Browser, script: str, seconds: float = 60.0) -> Any:
    """The value of ``script`` once it is true."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        value = browser.call("Runtime.evaluate", expression=script)["result"].get("value")
        if value:
            return value
        browser.wait(0.1)
    raise AssertionError(f"never true: {script}")


def test_a_conversation_on_the_page(tmp_path: Path) -> None:
    tone = np.sin(np.arange(4 * RATE) * 0.2).astype("f4") * 0.5
    (tmp_path / "tone.wav").write_bytes(write_wav(tone))
    microphone = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={tmp_path / 'tone.wav'}",
        "--autoplay-policy=no-user-gesture-required",
    )
    ears, conversation = Ears(), Conversation(lambda: 17 * TENTH_NS)
    for index in range(17):
        conversation.see(seen(index))
    with TalkServer(conversation, recogniser=ears) as server, Browser(1280, 720, microphone) as browser:
        browser.open(server.url)
        assert until(browser, "document.getElementById('age')?.textContent").startswith("1 object ·")
        assert "Brake! truck ahead." in until(browser, "!alert.hidden && document.getElementById('alert').textContent")
        browser.call(
            "Runtime.evaluate",
            expression="document.getElementById('text').value = 'how far is the truck ahead?';"
            "document.getElementById('form').requestSubmit()",
        )
        assert "28 m" in until(browser, "document.querySelector('.car')?.textContent")
        browser.call("Runtime.evaluate", expression="document.getElementById('mic').click()", userGesture=True)
        until(browser, "document.getElementById('mic').getAttribute('aria-pressed') === 'true'")
        browser.wait(2.0)
        browser.call("Runtime.evaluate", expression="document.getElementById('mic').click()", userGesture=True)
        assert "卡车" in until(browser, "document.querySelectorAll('.car')[1]?.textContent")
        (tmp_path / "page.png").write_bytes(browser.screenshot())
        assert browser.messages == []
        assert {url.partition("/say")[0].partition("/state")[0] for url in browser.requests} >= {server.url[:-1]}
        assert all(url.startswith((server.url, "data:", "about:")) for url in browser.requests)
    (sound,) = ears.heard
    assert sound.shape[0] > RATE
    assert np.abs(sound).max() > 0.05  # what the microphone gave, not silence
