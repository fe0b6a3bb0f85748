"""From a sentence to what it means: templates first, then the classifier; several commands in one sentence; prefixes.

The result says what was meant and how surely; it never acts. Start with `Understanding.understand`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from nodes.intent.language.classifier import Classifier, load
from nodes.intent.language.encoder import SentenceEncoder, installed
from nodes.intent.language.fused import FusedClassifier, load_head
from nodes.intent.language.grammar import grammar
from nodes.intent.language.ontology import INTENTS, Frame, Language
from nodes.intent.language.slots import slots_in
from nodes.intent.language.text import MAX_CHARACTERS, language_of, normalise

NGRAMS, HEADS = "intent.npz", "intent_heads.npz"
WEIGHTS = Path(__file__).parents[1] / "weights" / NGRAMS

_REPAIR = {
    "en": re.compile(
        r"(?:, | )(?:no(?: wait)?|sorry|i mean|i meant|rather|make that|scratch that|wait)(?:, | )"
        r"(?:i meant |i mean |make that |make it )?"
    ),
    "zh": re.compile(r"(?:, )?(?:不对|不是|错了|我是说|哦不|说错了)(?:, )?(?:我是说|应该是|是)?"),
}


class UnderstandingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """in_scope: probability under which a sentence is out of scope. sure: that a driving command needs to be obeyed at
    once; at 1 only where a template covers it whole, and what a classifier alone understood is asked about. part: that
    each of several commands in a sentence needs."""

    in_scope: float = 0.3
    sure: float = 1.0
    part: float = 0.45


class Understood(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """frames: in the order said, at least one. partial: of a sentence that may go on; such never acts."""

    text: str
    language: Language
    frames: tuple[Frame, ...]
    partial: bool = False


class Understanding:
    """Args: intents, actions: classifiers whose labels are intents, and values of the slot ``action`` or "none"."""

    def __init__(self, intents: Classifier, actions: Classifier, settings: UnderstandingSettings | None = None) -> None:
        self._intents, self._actions = intents, actions
        self.settings = settings or UnderstandingSettings()

    def understand(self, text: str, partial: bool = False) -> Understood:
        """What ``text``, of any length and content, means. partial: the beginning of a sentence still being said."""
        language = language_of(text)
        line = normalise(text)
        if not line or len(line) > MAX_CHARACTERS:
            return Understood(text[:MAX_CHARACTERS], language, (Frame("out_of_scope"),), partial)
        return Understood(text, language, tuple(self._frames(line, language)), partial)

    def sure_of(self, understood: Understood, frame: Frame) -> bool:
        """Whether a driving command of the sentence may be obeyed without a question: said surely, and nothing else."""
        return not understood.partial and len(understood.frames) == 1 and frame.confidence >= self.settings.sure

    def _frames(self, line: str, language: Language) -> list[Frame]:
        whole = self._frame(line, language)
        if whole.confidence == 1.0:
            return [whole]
        repaired = self._repaired(line, language)
        if repaired:
            return [repaired]
        parts = self._parts(line, language)
        if len(parts) < 2 or (whole.intent in ("message", "call", "play_media") and "content" in whole.slots):
            return [whole]
        frames = [self._frame(part, language) for part in parts]
        if (
            any(f.intent == whole.intent and f.slots.items() <= whole.slots.items() for f in frames)
            and len(_joined(frames)) > 1
        ):
            needed = [f for f in frames if f.intent != whole.intent]
            if any(f.confidence < 0.8 for f in needed):
                return [whole]  # one part says it all, the others only why
        if any(
            f.intent in ("out_of_scope", "small_talk", "fragment") or f.confidence < self.settings.part for f in frames
        ):
            return self._merged(frames, parts, whole)
        return _joined(frames)

    def _merged(self, frames: list[Frame], parts: list[str], whole: Frame) -> list[Frame]:
        """Of parts of which some say nothing: the others, where they are commands and the whole is none of its own."""
        idle = ("small_talk", "confirm", "deny", "out_of_scope")
        kept = [f for f in frames if f.intent not in idle and f.confidence >= self.settings.part]
        if len(kept) == 1 and whole.intent != kept[0].intent and kept[0].confidence > whole.confidence + 0.1:
            return kept
        return [whole]

    def _frame(self, line: str, language: Language) -> Frame:
        matched = grammar(language).match(line)
        if matched:
            return matched
        probability = self._intents.probabilities(line)
        best = int(np.argmax(probability))
        intent, confidence = self._intents.labels[best], float(probability[best])
        if confidence < self.settings.in_scope:
            return Frame("out_of_scope", {}, 1 - confidence)
        slots = slots_in(line, intent, language)
        if "action" in INTENTS[intent].slots:
            slots["action"] = self._action(line, intent, slots)
        return Frame(intent, slots, min(confidence, 0.999))

    def _action(self, line: str, intent: str, slots: dict[str, str]) -> str:
        allowed = _ACTIONS[intent]
        numeric = [s for s in ("temperature", "speed", "distance") if s in slots] or slots.get("level", "").isdigit()
        if numeric and "set" in allowed:
            return "set"
        probability = self._actions.probabilities(line)
        weights = {a: float(probability[self._actions.labels.index(a)]) for a in allowed if a in self._actions.labels}
        best = max(weights, key=lambda a: weights[a])
        said = slots.get("action")
        return said if said and weights.get(said, 0.0) > 0.02 * weights[best] else best

    def _repaired(self, line: str, language: Language) -> Frame | None:
        """ "To the left, no, right": the slots after the repair take the place of those before."""
        found = list(_REPAIR[language].finditer(line))
        if not found or not found[-1].start() or found[-1].end() == len(line):
            return None
        before = self._frame(line[: found[-1].start()], language)
        after = line[found[-1].end() :]
        if before.intent in ("out_of_scope", "small_talk", "fragment", "deny", "message") or not before.slots:
            return None
        anew = self._frame(after, language)
        if anew.intent == before.intent or (anew.intent not in ("fragment", "out_of_scope") and anew.confidence > 0.8):
            return Frame(
                anew.intent,
                {**before.slots, **anew.slots} if anew.intent == before.intent else anew.slots,
                anew.confidence,
            )
        changed = {
            k: v for k, v in slots_in(after, before.intent, language).items() if k in before.slots and k != "action"
        }
        return Frame(before.intent, {**before.slots, **changed}, before.confidence) if changed else None

    def _parts(self, line: str, language: Language) -> list[str]:
        joints = "|".join(re.escape(j) for j in sorted(grammar(language).file.joints, key=len, reverse=True))
        pattern = rf",? \b(?:{joints})\b,? |, " if language == "en" else rf"(?:, )?(?:{joints})|, "
        return [part.strip(" ,") for part in re.split(pattern, line) if part.strip(" ,")][:4]


_ACTIONS = {
    "set_climate": ("on", "off", "up", "down", "set"),
    "set_window": ("open", "close"),
    "set_seat": ("on", "off", "up", "down", "forward", "back", "set"),
    "set_lights": ("on", "off", "up", "down"),
    "set_wipers": ("on", "off", "up", "down", "set"),
    "media_control": ("pause", "resume", "next", "previous"),
    "set_volume": ("up", "down", "mute", "unmute", "set"),
    "set_distance": ("up", "down", "set"),
    "set_speed": ("up", "down", "set"),
}
"""What can be done with each of them."""


def _joined(frames: list[Frame]) -> list[Frame]:
    """Neighbours that say one thing in two ways ("I'm cold, turn on the heating") become one; the later words count."""
    out: list[Frame] = []
    for frame in frames:
        if (
            out
            and out[-1].intent == frame.intent
            and all(out[-1].slots.get(k, v) == v for k, v in frame.slots.items() if k != "action")
            and out[-1].slots.get("action") == frame.slots.get("action")
        ):
            out[-1] = Frame(frame.intent, {**out[-1].slots, **frame.slots}, min(out[-1].confidence, frame.confidence))
        else:
            out.append(frame)
    return out


@lru_cache(maxsize=1)
def shipped() -> Understanding:
    """With the weights that ship, and with the sentence encoder where one is installed. Raises BadInput where the
    weights are missing."""
    return understanding(WEIGHTS.parent, installed())


def understanding(folder: Path, encoder: SentenceEncoder | None) -> Understanding:
    """Of a folder of weights. Where there is no encoder, or no heads for it, the n-grams decide alone.

    Raises:
        BadInput: weights are missing, or the heads belong to another encoder.
    """
    used = encoder if (folder / HEADS).exists() else None

    def classifier(name: str) -> Classifier:
        ngrams = load(folder / NGRAMS, name)
        return ngrams if used is None else FusedClassifier(ngrams, load_head(folder / HEADS, name), used)

    return Understanding(classifier("intent"), classifier("action"))
