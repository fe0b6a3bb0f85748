"""From sound to words: what a recogniser gives, whichever engine does it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from nodes.voice.audio import Samples


class Heard(NamedTuple):
    """text: as recognised, empty where nothing was said. language: the engine's guess, such as "en"; may be empty."""

    text: str
    language: str = ""


class Recogniser(Protocol):
    def recognise(self, samples: Samples) -> Heard:
        """One utterance, offline."""
        ...
