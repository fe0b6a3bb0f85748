"""WAVs of many kinds give the same sound; what is none is refused within bounds."""

from __future__ import annotations

import contextlib
import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.voice.audio import MAX_SECONDS, RATE, read_wav, write_wav
from pipeline.core.errors import BadInput


def wav(samples: np.ndarray, rate: int, width: int, channels: int) -> bytes:
    kinds = {1: ("u1", 127.0, 128.0), 2: ("<i2", 32767.0, 0.0), 4: ("<i4", 2147483000.0, 0.0)}
    kind, full, zero = kinds[width]
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((np.repeat(samples, channels) * full + zero).astype(kind).tobytes())
    return out.getvalue()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_keeps_its_length_loudness_and_pitch(rate: int, width: int, channels: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    found = read_wav(wav(tone, rate, width, channels))
    assert found.dtype == np.float32
    assert abs(len(found) - RATE) <= 2
    assert np.sqrt(np.mean(found**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert abs(int(np.abs(np.fft.rfft(found)).argmax()) - 440) <= 1


def test_what_is_written_is_read_back() -> None:
    samples = np.linspace(-1, 1, 1000, dtype="f4")
    assert read_wav(write_wav(samples)) == pytest.approx(samples, abs=1e-4)


def test_no_samples_are_no_sound() -> None:
    assert read_wav(write_wav(np.zeros(0, "f4"))).shape == (0,)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", "RIFF"),
        (b"RIFF" + bytes(100), "RIFF"),
        (wav(np.zeros(100), 4_000, 2, 1), "kHz"),
        (wav(np.zeros(round((MAX_SECONDS + 1) * 8_000)), 8_000, 1, 1), "30 s"),
    ],
)
def test_what_is_no_such_sound_is_refused(data: bytes, names: str) -> None:
    with pytest.raises(BadInput, match=names):
        read_wav(data)


def test_a_header_that_lies_about_its_length_does_not_cost_memory() -> None:
    good = bytearray(write_wav(np.zeros(100, "f4")))
    good[40:44] = struct.pack("<I", 0xFFFFFFF0)
    assert len(read_wav(bytes(good))) == 100


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    data = bytearray(write_wav(np.zeros(50, "f4")))
    data[at : at + len(noise)] = noise
    with contextlib.suppress(BadInput):
        assert np.isfinite(read_wav(bytes(data))).all()
