"""Templates: a few hundred lines of YAML that both recognise the frequent sentences and make training data.

    turn (on|off) [the] {device}      alternatives, an optional part, a slot
    <please> close {zone}             a rule of the file

The notation is that of Home Assistant's hassil. We compile to regular expressions instead of using it, since matching
is then a fraction of a millisecond for all templates together, and since the same tree is sampled with seeds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from nodes.intent.language.ontology import INTENTS, NUMBER_SLOTS, OPEN_SLOTS, Frame, Language, slots_of
from nodes.intent.language.text import normalise, with_digits
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings, load_yaml

_NUMBER = r"\d+(?:\.\d+)?"


class GrammarFile(Settings, frozen=True):
    """lexicon: slot, or `intent.slot` where the words mean something else there, -> canonical value -> phrases.
    open: example fillers of open slots. polite: what may stand before and after any sentence, or in its midst.
    joints: words between two commands. intents: intent -> "slot=value ..." (constants) -> templates."""

    lexicon: dict[str, dict[str, list[str]]]
    open: dict[str, list[str]]
    polite_before: list[str]
    polite_after: list[str]
    joints: list[str]
    rules: dict[str, str]
    intents: dict[str, dict[str, list[str]]]


class Template(NamedTuple):
    """One line of the file, compiled. groups: regular-expression group -> slot."""

    intent: str
    constants: dict[str, str]
    tree: list  # type: ignore[type-arg]  # nested, see _parse
    pattern: re.Pattern[str]
    groups: dict[str, str]
    open: bool


class Grammar:
    """One language's templates and lexicon. Raises BadInput naming the file and the template that is wrong."""

    def __init__(self, path: Path, language: Language) -> None:
        self.language = language
        self.file = load_yaml(path, GrammarFile)
        self._path = path
        self._space = "" if language == "zh" else " "
        self._phrases: dict[str, dict[str, str]] = {
            slot: {self._plain(p): value for value, phrases in values.items() for p in phrases}
            for slot, values in self.file.lexicon.items()
        }
        self.templates = list(self._compile())

    def phrases(self, intent: str, slot: str) -> dict[str, str]:
        """Phrase -> canonical value of ``slot`` within ``intent``."""
        return self._phrases.get(f"{intent}.{slot}") or self._phrases.get(slot, {})

    def match(self, text: str) -> Frame | None:
        """The frame of a normalised sentence that a template without open slots covers whole; politeness aside."""
        for core in self._ever_plainer(text):
            for template in self._closed:
                found = template.pattern.fullmatch(core)
                if found:
                    return Frame(template.intent, self._slots(template, found))
        return None

    def open_match(self, intent: str, text: str) -> Frame | None:
        """The frame of a sentence of that intent by a template with open slots, which may begin within the sentence.

        Of several the one with the least in its open slots is taken: the one that explains most words."""
        best, least = None, 1 << 30
        for core in self._ever_plainer(text):
            for template in self._with_open.get(intent, ()):
                found = template.pattern.fullmatch(core) or re.search(
                    rf"(?:^|, |{self._space}){template.pattern.pattern}$", core
                )
                if found:
                    free = sum(len(found[g] or "") for g, s in template.groups.items() if s in OPEN_SLOTS)
                    if free < least:
                        best, least = Frame(intent, self._slots(template, found)), free
        return best

    def without_politeness(self, text: str) -> str:
        """``text`` without the polite words around it, with numbers as digits."""
        return self._ever_plainer(text)[-1]

    def _ever_plainer(self, text: str) -> list[str]:
        """``text`` with numbers as digits, then with one polite phrase after the other taken off."""
        forms = [with_digits(text, self.language)]
        while True:
            for end in (self._after, self._before):
                shorter = end.sub("", forms[-1], count=1).strip(" ,")
                if shorter and shorter != forms[-1]:
                    forms.append(shorter)
                    break
            else:
                return forms

    def sample(self, template: Template, random: Random) -> tuple[str, Frame]:
        """A sentence of the template, and what it means."""
        slots = dict(template.constants)
        words = _spread(template.tree, random, lambda slot: self._fill(template.intent, slot, slots, random))
        sentence = re.sub(r" {2,}", " ", "".join(words)).strip().replace("的的", "的")
        return sentence, Frame(template.intent, slots)

    @cached_property
    def _closed(self) -> list[Template]:
        return [t for t in self.templates if not t.open]

    @cached_property
    def _with_open(self) -> dict[str, list[Template]]:
        return {i: [t for t in self.templates if t.intent == i and t.open] for i in INTENTS}

    @cached_property
    def _before(self) -> re.Pattern[str]:
        return re.compile(rf"^(?:{self._alternatives(self.file.polite_before)}),?{self._edge} *")

    @cached_property
    def _after(self) -> re.Pattern[str]:
        return re.compile(rf"{self._edge}[ ,]*(?:{self._alternatives(self.file.polite_after)})$")

    @property
    def _edge(self) -> str:
        return "" if self.language == "zh" else r"\b"

    def _alternatives(self, phrases: list[str]) -> str:
        return "|".join(re.escape(normalise(p)) for p in sorted(phrases, key=len, reverse=True))

    def _plain(self, phrase: str) -> str:
        return with_digits(normalise(phrase), self.language)

    def _slots(self, template: Template, found: re.Match[str]) -> dict[str, str]:
        slots = dict(template.constants)
        for group, slot in template.groups.items():
            if found[group] is not None:
                word = found[group].strip(" ,")
                slots[slot] = self.phrases(template.intent, slot).get(word, word)
        return slots

    def _fill(self, intent: str, slot: str, slots: dict[str, str], random: Random) -> str:
        if slot in OPEN_SLOTS:
            slots[slot] = random.choice(self.file.open[slot])
            return slots[slot]
        phrases = self.phrases(intent, slot)
        if slot in NUMBER_SLOTS:
            slots[slot] = str(random.choice(_LIKELY[slot]))
            return slots[slot]
        word = random.choice(sorted(phrases))
        slots[slot] = phrases[word]
        return word

    def _compile(self) -> Iterator[Template]:
        for intent, by_constants in self.file.intents.items():
            if intent not in INTENTS:
                raise BadInput(self._path, f"intents.{intent}", "an intent of the ontology", intent)
            for constants, lines in by_constants.items():
                fixed = dict(part.split("=") for part in constants.split() if part != "-")
                for line in lines:
                    yield self._template(intent, fixed, line)

    def _template(self, intent: str, constants: dict[str, str], line: str) -> Template:
        text = line
        while "<" in text:  # a rule may use rules
            text = re.sub(r"<(\w+)>", lambda m: f"({self.file.rules[m[1]]})", text)
        tree = _parse(text)
        groups: dict[str, str] = {}
        pattern = self._pattern(intent, tree, groups)
        wrong = (set(groups.values()) | set(constants)) - set(slots_of(intent)) - set(OPEN_SLOTS)
        if wrong:
            raise BadInput(self._path, f"intents.{intent}: {line}", f"slots of {slots_of(intent)}", sorted(wrong))
        compiled = re.compile(pattern)
        return Template(intent, constants, tree, compiled, groups, bool(set(groups.values()) & set(OPEN_SLOTS)))

    def _pattern(self, intent: str, tree: list, groups: dict[str, str]) -> str:  # type: ignore[type-arg]
        """Regular expression over normalised text. Spaces in a template may be missing or be commas in the text."""
        out = []
        for kind, value in tree:
            if kind == "text":
                body = re.escape(normalise(value) or "")
                space = r"[ ,]*" if self.language == "zh" else r"(?:\b[ ,]*\b|[ ,]*$)"
                left = space if value[:1] in " ," else ""
                right = space if value[-1:] in " ," and value.strip(" ,") else ""
                out.append(left + space.join(re.split(r"(?:\\ |,)+", body.strip("\\ ,"))) + right)
            elif kind == "any":
                optional = any(not branch for branch in value)
                inner = "|".join(self._pattern(intent, branch, groups) for branch in value if branch)
                out.append(f"(?:{inner}){'?' if optional else ''}")
            else:
                group = f"{value}_{len(groups)}"
                groups[group] = value
                out.append(f"(?P<{group}>{self._slot_pattern(intent, value)})")
        return "".join(out)

    def _slot_pattern(self, intent: str, slot: str) -> str:
        if slot in OPEN_SLOTS:
            return ".{1,80}?"
        phrases = sorted(self.phrases(intent, slot), key=len, reverse=True)
        alternatives = [re.escape(p) for p in phrases]
        if slot in (*NUMBER_SLOTS, "level"):
            alternatives.append(_NUMBER)
        if not alternatives:
            raise BadInput(self._path, f"lexicon.{slot}", f"phrases for {intent}", "none")
        return "|".join(alternatives)


_LIKELY: dict[str, list[int]] = {
    "temperature": list(range(16, 31)),
    "speed": [30, 40, 50, 60, 70, 80, 90, 100, 110, 120],
    "distance": [20, 30, 40, 50, 60, 80, 100],
    "minutes": [5, 10, 15, 20, 30],
    "number": [18, 20, 22, 23, 50, 60, 90, 100],
}


def _parse(text: str) -> list:  # type: ignore[type-arg]
    """Tree of ("text", words), ("slot", name), ("any", branches); an empty branch stands for nothing."""
    tokens = re.findall(r"[()\[\]|]|\{\w+\}|[^()\[\]|{}]+", text)
    place = 0

    def branches(end: str) -> list:  # type: ignore[type-arg]
        nonlocal place
        found: list[list] = []  # type: ignore[type-arg]
        branch: list = []  # type: ignore[type-arg]
        while place < len(tokens) and tokens[place] != end:
            token = tokens[place]
            place += 1
            if token == "|":
                found.append(branch)
                branch = []
            elif token == "(":
                branch.append(("any", branches(")")))
            elif token == "[":
                branch.append(("any", [*branches("]"), []]))
            elif token.startswith("{"):
                branch.append(("slot", token[1:-1]))
            else:
                branch.append(("text", token))
        place += 1
        return [*found, branch]

    tree = branches("")
    return tree[0] if len(tree) == 1 else [("any", tree)]


def _spread(tree, random: Random, fill) -> Iterator[str]:  # type: ignore[no-untyped-def]
    for kind, value in tree:
        if kind == "text":
            yield value
        elif kind == "slot":
            yield fill(value)
        else:
            yield from _spread(random.choice(value), random, fill)


_FOLDER = Path(__file__).parent


@lru_cache(maxsize=2)
def grammar(language: Language) -> Grammar:
    """The grammar that ships for ``language``."""
    return Grammar(_FOLDER / f"{language}.yaml", language)
