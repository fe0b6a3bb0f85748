"""From words to sound: what a synthesiser gives, and the adapter for espeak-ng, the floor that every Debian has."""

from __future__ import annotations

import shutil
import subprocess
from typing import Protocol

from nodes.intent.language.ontology import Language
from nodes.voice.audio import Samples, read_wav
from pipeline.core.errors import BadInput

MAX_TEXT = 400
_TIMEOUT_S = 20.0
_VOICES: dict[Language, str] = {"en": "en-gb", "zh": "cmn"}


class Synthesiser(Protocol):
    name: str

    def synthesise(self, text: str, language: Language) -> Samples:
        """The text spoken, offline."""
        ...


class Espeak:
    """espeak-ng as a process: English is intelligible, its Chinese hardly.

    Raises:
        BadInput: it is not installed.
    """

    def __init__(self, words_per_minute: int = 175) -> None:
        found = shutil.which("espeak-ng")
        if found is None:
            raise BadInput("espeak-ng", "program", "installed: apt-get install espeak-ng", "none")
        self._command, self._pace = found, words_per_minute
        self.name = f"espeak-ng-{words_per_minute}"

    def synthesise(self, text: str, language: Language) -> Samples:
        """Raises BadInput: too long a text, or it fails."""
        if len(text) > MAX_TEXT:
            raise BadInput("espeak-ng", "text", f"at most {MAX_TEXT} characters", len(text))
        command = [self._command, "-v", _VOICES[language], "-s", str(self._pace), "--stdin", "--stdout"]
        try:
            ran = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, check=True)
        except (subprocess.SubprocessError, OSError) as error:
            raise BadInput("espeak-ng", "text", "to be spoken", type(error).__name__) from error
        return read_wav(_with_length(ran.stdout), "espeak-ng")


def _with_length(wav: bytes) -> bytes:
    """espeak-ng writes to a pipe before it knows how long it speaks: the header says 2 GB."""
    data = wav.find(b"data", 12)
    if data < 0:
        return wav
    size = len(wav) - data - 8
    return (
        wav[:4]
        + (len(wav) - 8).to_bytes(4, "little")
        + wav[8 : data + 4]
        + size.to_bytes(4, "little")
        + wav[data + 8 :]
    )
