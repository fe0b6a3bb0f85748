"""`syncline evaluate-language`: how well sentences are understood, on the project's own set and on public ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from nodes.intent.language.classifier import load
from nodes.intent.language.tagger import spans
from nodes.intent.language.text import normalise
from nodes.intent.language.understand import WEIGHTS, Understanding
from nodes.intent.training.corpus import clinc, snips, snips_slots, written
from nodes.intent.training.fit import fit
from nodes.intent.training.fit_tagger import TaggerFit, fit_tagger
from nodes.intent.training.score import score_in_car
from pipeline.evaluate.language import confusion_plot, labels_score, rejection, spans_f1


def evaluate_language(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for language.json and the plots.")] = Path(
        "out/language"
    ),
    language_data: Annotated[
        Path | None, typer.Option(help="Folder with snips/ and clinc150/: trains on them and scores; minutes.")
    ] = None,
    weights: Annotated[Path, typer.Option(help="Weights for the in-car set.")] = WEIGHTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, nothing else.")] = False,
) -> None:
    """Score the in-car set of both languages (the part never trained on) and, where given, SNIPS and CLINC150.

    Of these the public test splits are not used: train is trained on, dev (SNIPS) and val (CLINC150) are scored.

    Example: syncline evaluate-language --language-data ../shared/language
    """
    out.mkdir(parents=True, exist_ok=True)
    model = Understanding(load(weights, "intent"), load(weights, "action"))
    figures: dict[str, Any] = {}
    for language in ("en", "zh"):
        score = score_in_car(model, [s for s in written(language) if s.held_out])
        figures[f"in_car_{language}"] = {k: v for k, v in msgspec.to_builtins(score).items() if k != "wrong"}
        confusion_plot(score.confusions, out / f"confusion_{language}.png", f"in-car set, {language}, held out")
    if language_data is not None:
        figures["snips_dev"] = _snips(language_data) | _snips_slots(language_data)
        figures["clinc150_val"] = _clinc(language_data)
    (out / "language.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
    if as_json:
        print(msgspec.json.encode(figures).decode())
        return
    table = Table("set", "figure", "value", title="understanding")
    for name, values in figures.items():
        for key, value in values.items():
            if key != "confusions":
                table.add_row(name, key, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)


def _snips(folder: Path) -> dict[str, float]:
    train, dev = snips(folder / "snips", "train"), snips(folder / "snips", "dev")
    model = fit([text for text, _ in train], [label for _, label in train])
    found = [model.labels[int(np.argmax(model.logits(text)))] for text, _ in dev]
    return {"accuracy": labels_score(found, [label for _, label in dev])}


def _snips_slots(folder: Path) -> dict[str, float]:
    """The tagger is told the intent that the classifier finds, not the true one."""
    train, dev = snips_slots(folder / "snips", "train"), snips_slots(folder / "snips", "dev")
    words = fit([normalise(" ".join(s.tokens)) for s in train], [s.intent for s in train])
    tagger = fit_tagger(train, TaggerFit(buckets=1 << 18))
    found = []
    for sentence in dev:
        intent = words.labels[int(np.argmax(words.logits(normalise(" ".join(sentence.tokens)))))]
        found.append(spans(tagger.tag(sentence.tokens, intent)))
    return {"slots_f1": spans_f1(found, [spans(s.tags) for s in dev])}


def _clinc(folder: Path) -> dict[str, float]:
    train, val = clinc(folder / "clinc150", "train"), clinc(folder / "clinc150", "val")
    model = fit([text for text, _ in train], [label for _, label in train])
    inside = np.stack([model.probabilities(text) for text, _ in val])
    outside = np.stack([model.probabilities(text) for text, _ in clinc(folder / "clinc150", "oos_val")])
    right = np.array([model.labels[i] for i in inside.argmax(axis=1)]) == np.array([label for _, label in val])
    return {"accuracy": float(right.mean()), **rejection(inside.max(axis=1), right, outside.max(axis=1))}
