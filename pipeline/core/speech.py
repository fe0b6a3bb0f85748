"""What travels between a person and the vehicle: what was said, what it meant, what is answered, what is warned of.

Words are on the bus only: the topics table does not record them. Warnings come from perception and are recorded.
"""

from __future__ import annotations

from typing import Literal

from pipeline.core.arrays import Payload

MAX_TEXT = 2000
"""Characters of an utterance; who publishes cuts what is longer."""


class Utterance(Payload, frozen=True, kw_only=True):
    """Something said or typed. id: of the sender's choice, to know the answer by. partial: it may go on, and nothing is
    done. The stamp's time_ns is when it was said, vehicle time; 0: now, for senders that do not know the vehicle's."""

    id: str
    text: str
    partial: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.text) > MAX_TEXT or len(self.id) > 64:
            raise ValueError(f"text, id: expected at most {MAX_TEXT} and 64 characters")


class Meaning(Payload, frozen=True, kw_only=True):
    """One thing meant. slots: canonical values, or a person's own words. confidence: calibrated, 0..1."""

    intent: str
    slots: dict[str, str] = {}
    confidence: float = 1.0


class Intent(Payload, frozen=True, kw_only=True):
    """What an utterance meant, in the order said; ellipses made whole."""

    id: str
    language: Literal["en", "zh"]
    meanings: tuple[Meaning, ...]
    partial: bool = False


class Answer(Payload, frozen=True, kw_only=True):
    """The reply to an utterance. acted: intents that changed something. tracks: ids of what it speaks of. waits: it is
    a question. scene_age_s: how old the scene was that it speaks from, NaN where none had come."""

    id: str
    language: Literal["en", "zh"]
    text: str
    acted: tuple[str, ...] = ()
    tracks: tuple[int, ...] = ()
    waits: bool = False
    scene_age_s: float = float("nan")


class Alert(Payload, frozen=True, kw_only=True):
    """A warning to speak now. level: 2 urgent, cuts off other speech; 1 caution. seconds: to collision. The stamp's
    time_ns is that of the scene which shows it."""

    level: Literal[1, 2]
    track_id: int
    seconds: float
    english: str
    chinese: str
