"""Sound as the voice modules take it: mono, 16 kHz, float32; WAV read within bounds."""

from __future__ import annotations

import io
import math
import wave

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from pipeline.core.errors import BadInput

RATE = 16_000
MAX_SECONDS = 30.0
"""Longer than anyone speaks in one breath; what is longer is refused."""

Samples = npt.NDArray[np.float32]
"""(n,) float32, -1..1, `RATE` a second."""

_WIDTHS: dict[int, tuple[str, float]] = {1: ("u1", 128.0), 2: ("<i2", 32768.0), 4: ("<i4", 2147483648.0)}


def read_wav(data: bytes, name: str = "audio") -> Samples:
    """PCM WAV of 8, 16 or 32 bits, any rate of 8..96 kHz, one to eight channels, at most `MAX_SECONDS`.

    Raises:
        BadInput: it is not that.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate, count = file.getparams()[:4]
            raw = file.readframes(min(count, math.ceil(MAX_SECONDS * 96_000) + 1))
    except (wave.Error, EOFError, RuntimeError) as error:
        raise BadInput(name, "wav", "PCM in a RIFF file", error) from error
    if width not in _WIDTHS or not 8_000 <= rate <= 96_000 or not 1 <= channels <= 8:
        raise BadInput(name, "wav", "8, 16 or 32 bits, 8..96 kHz, 1..8 channels", f"{8 * width}, {rate}, {channels}")
    kind, full = _WIDTHS[width]
    whole = len(raw) // (width * channels)
    if whole > MAX_SECONDS * rate:
        raise BadInput(name, "wav", f"at most {MAX_SECONDS:.0f} s", f"{whole / rate:.1f} s")
    samples = np.frombuffer(raw[: whole * width * channels], kind).reshape(whole, channels).astype(np.float32)
    mono = (samples.mean(axis=1) - (full if width == 1 else 0.0)) / full
    if rate == RATE or not whole:
        return np.asarray(mono, np.float32)
    common = math.gcd(rate, RATE)
    return np.asarray(resample_poly(mono, RATE // common, rate // common), np.float32)


def write_wav(samples: Samples) -> bytes:
    """16-bit mono WAV of `RATE`; what is beyond full scale is clipped."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()
