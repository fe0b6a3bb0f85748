"""`syncline evaluate-language`: how well sentences are understood, on the project's own set and on public ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nodes.intent.language.encoder import installed
from nodes.intent.language.fused import fused
from nodes.intent.language.tagger import spans
from nodes.intent.language.understand import WEIGHTS, understanding
from nodes.intent.training.corpus import clinc, snips, snips_slots, written
from nodes.intent.training.fit import fit
from nodes.intent.training.fit_head import fit_head, shared
from nodes.intent.training.fit_tagger import TaggerFit, fit_tagger
from nodes.intent.training.kvret import joint_goal, kvret, tagged
from nodes.intent.training.score import score_in_car
from nodes.intent.training.vectors import Vectors
from pipeline.evaluate.language import confusion_plot, labels_score, rejection, spans_f1


def evaluate_language(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for language.json and the plots.")] = Path(
        "out/language"
    ),
    language_data: Annotated[
        Path | None, typer.Option(help="Folder with snips/, clinc150/ and kvret/: fits on train and scores; minutes.")
    ] = None,
    weights: Annotated[Path, typer.Option(help="Folder of weights for the in-car set.")] = WEIGHTS.parent,
    encoder: Annotated[bool, typer.Option(help="With the sentence encoder, where one is installed.")] = True,
    kept: Annotated[
        Path | None,
        typer.Option("--vectors", help="File that keeps the encoder's vectors, .npz; to make them takes long."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, nothing else.")] = False,
) -> None:
    """Score the in-car set of both languages (the part never trained on) and, where given, SNIPS and CLINC150.

    Of these the public test splits are not used: train is trained on, dev (SNIPS) and val (CLINC150) are scored.

    Example: syncline evaluate-language --language-data ../shared/language
    """
    out.mkdir(parents=True, exist_ok=True)
    known = installed() if encoder else None
    model = understanding(weights, known)
    figures: dict[str, Any] = {}
    for language in ("en", "zh"):
        score = score_in_car(model, [s for s in written(language) if s.held_out])
        figures[f"in_car_{language}"] = {k: v for k, v in msgspec.to_builtins(score).items() if k != "wrong"}
        confusion_plot(score.confusions, out / f"confusion_{language}.png", f"in-car set, {language}, held out")
    if language_data is not None:
        vectors = Vectors(known, kept) if known is not None else None
        figures["snips_dev"] = _snips(language_data, vectors) | _snips_slots(language_data)
        figures["clinc150_val"] = _clinc(language_data, vectors)
        if vectors is not None:
            vectors.save()
        figures["kvret_val"] = _kvret(language_data)
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


def _snips(folder: Path, vectors: Vectors | None) -> dict[str, float]:
    train, dev = snips(folder / "snips", "train"), snips(folder / "snips", "dev")
    labels, log_odds = _fitted(train, vectors)
    found = [labels[i] for i in log_odds([text for text, _ in dev]).argmax(axis=1)]
    return {"accuracy": labels_score(found, [label for _, label in dev])}


def _snips_slots(folder: Path) -> dict[str, float]:
    """The tagger is told the true intent of each sentence."""
    train, dev = snips_slots(folder / "snips", "train"), snips_slots(folder / "snips", "dev")
    tagger = fit_tagger(train, TaggerFit(epochs=4, dropped=0.2))
    found = [spans(tagger.tag(sentence.tokens, sentence.intent)) for sentence in dev]
    return {"slots_f1": spans_f1(found, [spans(s.tags) for s in dev])}


def _kvret(folder: Path) -> dict[str, float]:
    """Nothing of this is kept: the tagger is fitted on train, for this figure alone."""
    dialogues, places = kvret(folder / "kvret")
    parts = {part: [d for d in dialogues if (d.split == "train") == (part == "train")] for part in ("train", "val")}
    return {"joint_goal": joint_goal(fit_tagger(tagged(parts["train"])), parts["val"], places)}


def _clinc(folder: Path, vectors: Vectors | None) -> dict[str, float]:
    train, val = clinc(folder / "clinc150", "train"), clinc(folder / "clinc150", "val")
    labels, log_odds = _fitted(train, vectors)
    inside = log_odds([text for text, _ in val])
    outside = log_odds([text for text, _ in clinc(folder / "clinc150", "oos_val")])
    right = np.array([labels[i] for i in inside.argmax(axis=1)]) == np.array([label for _, label in val])
    return {"accuracy": float(right.mean()), **rejection(_surest(inside), right, _surest(outside))}


def _fitted(
    train: list[tuple[str, str]], vectors: Vectors | None
) -> tuple[tuple[str, ...], Callable[[list[str]], NDArray[np.float32]]]:
    """The labels, and what gives (n, labels) log-odds of sentences: n-grams alone, or with a head on the encoder.

    The shares of the two are fitted on every tenth sentence of ``train``, with models that had not seen it."""
    texts, truth = [text for text, _ in train], [label for _, label in train]
    ngrams = fit(texts, truth)
    if vectors is None:
        return ngrams.labels, lambda asked: np.stack([ngrams.logits(text) for text in asked])
    known, name = vectors, vectors.encoder.name
    kept, aside = [row for i, row in enumerate(train) if i % 10], train[::10]
    probe = fit([text for text, _ in kept], [label for _, label in kept])
    probe_head = fit_head(known.of([t for t, _ in kept]), [label for _, label in kept], probe.labels, name)
    seen = [text for text, _ in aside]
    indices = np.array([probe.labels.index(label) for _, label in aside])
    share = shared(np.stack([probe.logits(t) for t in seen]), probe_head.logits(known.of(seen)), indices)
    head = fit_head(known.of(texts), truth, ngrams.labels, name)
    return ngrams.labels, lambda asked: fused(
        np.stack([ngrams.logits(text) for text in asked]), head.logits(known.of(asked)), share
    )


def _surest(log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) probability of the best label."""
    odds = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
    return np.asarray(1 / odds.sum(axis=1), np.float32)
