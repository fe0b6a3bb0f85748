"""`syncline train intent`: sentences from the grammar, by hand and from licensed sets; the classifiers; their card."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console

from nodes.intent.language.classifier import LinearClassifier
from nodes.intent.training.corpus import Example, by_grammar, by_hand, licensed
from nodes.intent.training.fit import Fit, calibrated, fit
from pipeline.cli.training_run import bar, bars, write_card


def intent(
    out: Annotated[Path, typer.Argument(help="Folder for intent.npz and its card.")],
    language_data: Annotated[
        Path | None, typer.Option(help="Folder with snips/ and clinc150/; without, only the project's own sentences.")
    ] = None,
    per_template: Annotated[int, typer.Option(help="Sentences made of each template.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of sentences and of their order.", min=0)] = 0,
) -> None:
    """Train the understanding of sentences, English and Chinese, from nothing to one file of weights; minutes.

    Example: syncline train intent out/intent --language-data ../shared/language
    """
    settings = Fit(seed=seed)
    hand = by_hand()
    more = by_grammar(per_template, seed) + (licensed(language_data, seed) if language_data else [])
    with bars() as shown:
        models = {
            "intent": _fitted(hand, more, "intent", settings, bar(shown, "intents", 2 * settings.epochs)),
            "action": _fitted(hand, more, "action", settings, bar(shown, "actions", 2 * settings.epochs)),
        }
    out.mkdir(parents=True, exist_ok=True)
    path = out / "intent.npz"
    arrays = {k: v for name, model in models.items() for k, v in model.arrays(name).items()}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    write_card(out / "intent.json", {
        "name": "intent",
        "what": "intent of a sentence, and the value of its slot action; English and Chinese",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "data": f"{len(hand)} sentences of nodes/intent/data written for the project, {len(more)} others: its own "
        "grammar's" + ("; SNIPS (CC0); CLINC150 (CC-BY-3.0, Larson et al. 2019)" if language_data else ""),
        "test": "sentences of nodes/intent/data marked held_out; syncline evaluate-language",
        "command": f"syncline train intent OUT --per-template {per_template} --seed {seed}"
        + (" --language-data FOLDER" if language_data else ""),
        "settings": msgspec.to_builtins(settings),
        "temperature": {name: round(model.temperature, 4) for name, model in models.items()},
    })  # fmt: skip
    Console().print(f"weights  {path}, {path.stat().st_size / 1e6:.2f} MB\ncard     {out / 'intent.json'}")


def _fitted(hand: list[Example], more: list[Example], field: str, settings: Fit, told) -> LinearClassifier:  # type: ignore[no-untyped-def]
    """Fitted on all; its temperature on every fifth sentence written by hand, with a model that did not have them."""
    if field == "action":
        hand, more = ([e for e in part if e.action != "none"] for part in (hand, more))
    kept, aside = [e for i, e in enumerate(hand) if i % 5], hand[::5]

    def model_of(examples: list[Example], first: int) -> LinearClassifier:
        labels = [getattr(e, field) for e in examples]
        weights = [e.weight for e in examples]
        return fit([e.text for e in examples], labels, weights, settings, lambda epoch: told(first + epoch))

    probe = model_of(kept + more, 0)
    known = [e for e in aside if getattr(e, field) in probe.labels]
    probe = calibrated(probe, [e.text for e in known], [getattr(e, field) for e in known])
    whole = model_of(hand + more, settings.epochs)
    return LinearClassifier(whole.labels, whole.weight, whole.scale, whole.idf, whole.bias, probe.temperature)
