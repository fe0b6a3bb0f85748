"""Warnings rendered ahead: every sentence that a warning can be, in both languages, before any is needed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from nodes.intent.language.ontology import Language
from nodes.voice.audio import Samples, read_wav, write_wav
from nodes.voice.speaker import Speaker, Urgency
from nodes.voice.synthesis import Synthesiser
from nodes.voice.warnings import sentences
from pipeline.core.bounded import read_bytes
from pipeline.core.errors import BadInput
from pipeline.core.speech import Alert

_QUIET = 0.02  # of full scale: what is below at the beginning is not speech yet
_LEAD = 80  # samples kept before it, 5 ms


class WarningSpeaker:
    """Speaks alerts without asking a synthesiser: they are looked up.

    Args:
        language: may be changed at any time.
        kept: folder of a cache; None: rendered anew each time. told: done, of how many.
    """

    def __init__(
        self,
        synthesiser: Synthesiser,
        speaker: Speaker,
        language: Language = "en",
        kept: Path | None = None,
        told: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.language = language
        self._speaker = speaker
        self._rendered: dict[str, Samples] = {}
        wanted = list(_all())
        for done, (text, of) in enumerate(wanted, 1):
            self._rendered[text] = _begun(_render(synthesiser, text, of, kept))
            told(done, len(wanted))

    def warn(self, alert: Alert) -> None:
        """Raises KeyError for a sentence that no warning is."""
        samples = self._rendered[alert.chinese if self.language == "zh" else alert.english]
        self._speaker.say(samples, Urgency.URGENT if alert.level == 2 else Urgency.CAUTION)


def _all() -> Iterator[tuple[str, Language]]:
    for english, chinese in sentences():
        yield english, "en"
        yield chinese, "zh"


def _render(synthesiser: Synthesiser, text: str, language: Language, kept: Path | None) -> Samples:
    if kept is None:
        return synthesiser.synthesise(text, language)
    path = kept / f"{hashlib.sha256(f'{synthesiser.name} {language} {text}'.encode()).hexdigest()[:24]}.wav"
    with contextlib.suppress(BadInput):  # not there yet, or damaged
        return read_wav(read_bytes(path, 4 << 20), str(path))
    samples = synthesiser.synthesise(text, language)
    kept.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(write_wav(samples))
    partial.replace(path)
    return samples


def _begun(samples: Samples) -> Samples:
    """Without the silence before the first sound: it would come out of the hundred milliseconds."""
    loud = np.flatnonzero(np.abs(samples) > _QUIET)
    return samples[max(int(loud[0]) - _LEAD, 0) :] if len(loud) else samples
