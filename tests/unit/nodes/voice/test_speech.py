"""Voice activity and turns, on sounds made here; and each adapter on real speech, where its package is installed."""

from __future__ import annotations

import importlib.util
import shutil

import numpy as np
import pytest

from nodes.voice.activity import BLOCK, Loudness, Silero, Turns, TurnSettings, VoiceActivity
from nodes.voice.audio import RATE, Samples
from nodes.voice.synthesis import MAX_TEXT, Espeak
from pipeline.core.errors import BadInput

espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
silero = pytest.mark.skipif(importlib.util.find_spec("silero_vad") is None, reason="silero-vad is not installed")


def noise(seconds: float, loud: float, seed: int = 0) -> Samples:
    return (np.random.default_rng(seed).normal(size=round(seconds * RATE)) * loud).astype(np.float32)


def spoken(text: str = "take me to the nearest gas station") -> Samples:
    return Espeak().synthesise(text, "en")


def turns(activity: VoiceActivity, sound: Samples, piece: int = 1000) -> list[Samples]:
    cut = Turns(activity)
    return [turn for at in range(0, len(sound), piece) for turn in cut.hear(sound[at : at + piece])]


@pytest.mark.parametrize("piece", [1, 100, 512, 5000, 10**6])
def test_two_sounds_between_silences_are_two_turns(piece: int) -> None:
    sound = np.concatenate([noise(1, 0.001), noise(1, 0.2), noise(1, 0.001), noise(0.5, 0.2), noise(1, 0.001)])
    if piece == 1:
        sound = sound[: round(2.7 * RATE)]
    found = turns(Loudness(), sound, piece)
    lengths = [len(turn) / RATE for turn in found]
    assert lengths == pytest.approx([1.9, 1.4][: len(lengths)], abs=0.1)  # 0.3 s before, 0.6 s after
    assert len(found) == (1 if piece == 1 else 2)


def test_silence_and_a_steady_noise_are_no_turns() -> None:
    for sound in (noise(5, 0.0), noise(5, 0.0005), noise(5, 0.1)):
        assert turns(Loudness(), sound) == []


def test_a_click_is_no_turn() -> None:
    sound = noise(4, 0.001)
    sound[RATE : RATE + BLOCK] = 0.9
    assert turns(Loudness(), sound) == []


def test_endless_sound_is_cut() -> None:
    cut = Turns(Loudness(), TurnSettings(most_s=2.0))
    sound = np.concatenate([noise(0.5, 0.0001), noise(9, 0.3)])
    lengths = [len(turn) for turn in cut.hear(sound)]
    assert lengths
    assert max(lengths) <= 2.0 * RATE + BLOCK


@espeak
@pytest.mark.parametrize(
    ("text", "language"), [("brake", "en"), ("前方卡车", "zh"), ("a — ‘quoted’ $(text); rm -rf", "en")]
)
def test_espeak_speaks(text: str, language: str) -> None:
    sound = Espeak().synthesise(text, language)  # type: ignore[arg-type]
    assert 0.2 * RATE < len(sound) < 10 * RATE
    assert np.abs(sound).max() > 0.05


@espeak
def test_espeak_is_given_no_book() -> None:
    with pytest.raises(BadInput, match="characters"):
        Espeak().synthesise("a" * (MAX_TEXT + 1), "en")


@espeak
@silero
def test_silero_hears_speech_and_no_noise() -> None:
    speech = spoken()
    sound = np.concatenate([noise(1, 0.01), speech + noise(len(speech) / RATE, 0.01)[: len(speech)], noise(1.5, 0.01)])
    (turn,) = turns(Silero(), sound.astype(np.float32))
    assert len(turn) == pytest.approx(len(speech) + 0.9 * RATE, abs=0.5 * RATE)
    assert turns(Silero(), noise(5, 0.1)) == []


@silero
def test_silero_takes_any_sound() -> None:
    ears = Silero()
    for block in (noise(0.032, 0.0), np.ones(BLOCK, np.float32), noise(0.032, 1.0)):
        assert 0 <= ears.probability(block) <= 1
