"""Urgent warnings cut everything off within a block, cautions wait their turn, and what is rendered begins at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.intent.language.ontology import Language
from nodes.voice.audio import RATE, Samples
from nodes.voice.rendered import WarningSpeaker
from nodes.voice.speaker import Speaker, Urgency
from nodes.voice.warnings import sentences
from pipeline.core.speech import Alert

BLOCK = RATE // 100


def level(value: float, seconds: float = 1.0) -> Samples:
    return np.full(round(seconds * RATE), value, np.float32)


def test_silence_where_there_is_nothing_to_say() -> None:
    assert not Speaker().read(BLOCK).any()


def test_replies_come_one_after_the_other_without_a_gap() -> None:
    speaker = Speaker()
    speaker.say(level(0.1, 0.015))
    speaker.say(level(0.2, 0.015))
    assert speaker.read(3 * BLOCK).tolist() == pytest.approx([0.1] * 240 + [0.2] * 240)
    assert not speaker.is_speaking


def test_an_urgent_warning_is_in_the_next_block_and_ends_what_was_said() -> None:
    speaker = Speaker()
    speaker.say(level(0.1))
    speaker.say(level(0.2))
    speaker.read(BLOCK)
    speaker.say(level(0.9, 0.02), Urgency.URGENT)
    block = speaker.read(BLOCK)
    assert block[BLOCK // 2 :] == pytest.approx(0.9)
    assert block[0] == pytest.approx(1.0)  # the cut-off reply fades under it
    assert not speaker.read(4 * BLOCK)[BLOCK:].any()  # and neither it nor what waited comes back
    assert (speaker.cut_off, speaker.dropped) == (1, 1)


def test_a_caution_waits_for_the_sentence_and_goes_before_the_next() -> None:
    speaker = Speaker()
    for value in (0.1, 0.2):
        speaker.say(level(value, 0.01))
    speaker.read(BLOCK // 2)
    speaker.say(level(0.4, 0.01), Urgency.CAUTION)
    speaker.say(level(0.5, 0.01), Urgency.CAUTION)  # newer: takes the place of the one that waits
    heard = speaker.read(3 * BLOCK)
    assert heard[[0, BLOCK, 2 * BLOCK]].tolist() == pytest.approx([0.1, 0.5, 0.2])


def test_who_is_spoken_to_is_silent_unless_it_is_urgent() -> None:
    speaker = Speaker()
    speaker.say(level(0.1))
    speaker.read(BLOCK)
    speaker.stop()
    assert not speaker.read(2 * BLOCK)[BLOCK:].any()
    speaker.say(level(0.9), Urgency.URGENT)
    speaker.stop()
    assert speaker.read(BLOCK) == pytest.approx(0.9)


@given(st.lists(st.tuples(st.sampled_from(list(Urgency)), st.integers(0, 700)), max_size=30), st.integers(1, 500))
def test_it_always_gives_as_many_samples_as_are_asked_for(said: list[tuple[Urgency, int]], count: int) -> None:
    speaker = Speaker()
    for urgency, length in said:
        speaker.say(np.full(length, 0.5, np.float32), urgency)
        assert len(speaker.read(count)) == count
    for _ in range(200):
        speaker.read(500)
    assert not speaker.is_speaking


class Beeps:
    """Silence and then a beep whose height tells the text."""

    name = "beeps"

    def __init__(self) -> None:
        self.asked = 0

    def synthesise(self, text: str, language: Language) -> Samples:
        self.asked += 1
        return np.concatenate([level(0.0, 0.3), level(0.1 + len(text) / 1000, 0.2)])


def alert(urgent: bool) -> Alert:
    english, chinese = sentences()[-1 if urgent else 0]
    return Alert(level=2 if urgent else 1, track_id=1, seconds=1.0, english=english, chinese=chinese)


def test_every_warning_is_rendered_ahead_and_begins_at_once() -> None:
    beeps, speaker = Beeps(), Speaker()
    warnings = WarningSpeaker(beeps, speaker)
    assert beeps.asked == 2 * len(sentences()) == 160
    for urgent in (True, False):
        for language in ("en", "zh"):
            warnings.language = language  # type: ignore[assignment]
            warnings.warn(alert(urgent))
            heard = speaker.read(BLOCK)
            text = alert(urgent).chinese if language == "zh" else alert(urgent).english
            assert heard[-1] == pytest.approx(0.1 + len(text) / 1000)
            speaker.read(RATE)
    assert beeps.asked == 160  # nothing was asked of the synthesiser since


def test_what_was_rendered_is_kept_and_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    WarningSpeaker(Beeps(), Speaker(), kept=tmp_path)
    files = sorted(tmp_path.glob("*.wav"))
    assert len(files) == 160
    files[0].write_bytes(b"torn")
    again = Beeps()
    WarningSpeaker(again, Speaker(), kept=tmp_path)
    assert again.asked == 1
