"""`syncline train intent`: sentences from the grammar, by hand and from licensed sets; the classifiers; their card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from nodes.intent.language.classifier import LinearClassifier
from nodes.intent.language.encoder import installed
from nodes.intent.language.fused import EncoderHead
from nodes.intent.language.understand import HEADS, NGRAMS
from nodes.intent.training.corpus import Example, by_grammar, by_hand, licensed
from nodes.intent.training.fit import Fit, calibrated, fit
from nodes.intent.training.fit_head import fit_head, shared
from nodes.intent.training.vectors import Vectors
from pipeline.cli.training_run import bar, bars, write_card


def intent(
    out: Annotated[Path, typer.Argument(help="Folder for intent.npz, intent_heads.npz and their card.")],
    language_data: Annotated[
        Path | None, typer.Option(help="Folder with snips/ and clinc150/; without, only the project's own sentences.")
    ] = None,
    per_template: Annotated[int, typer.Option(help="Sentences made of each template.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of sentences and of their order.", min=0)] = 0,
    vectors: Annotated[
        Path | None, typer.Option(help="File that keeps the encoder's vectors between trainings, .npz.")
    ] = None,
) -> None:
    """Train the understanding of sentences, English and Chinese, from nothing to the weights; minutes.

    The heads on the sentence encoder are trained where one is installed (extra `encoder`).

    Example: syncline train intent out/intent --language-data ../shared/language
    """
    settings = Fit(seed=seed)
    hand = by_hand()
    more = by_grammar(per_template, seed) + (licensed(language_data, seed) if language_data else [])
    encoder = installed()
    known = Vectors(encoder, vectors) if encoder is not None else None
    ngrams: dict[str, NDArray[Any]] = {}
    heads: dict[str, NDArray[Any]] = {}
    temperature, share = {}, {}
    with bars() as shown:
        if known is not None:
            told = bar(shown, "vectors", len(hand) + len(more))
            known.of([e.text for e in hand + more], lambda done, total: told(done))
            known.save()
        for name in ("intent", "action"):
            told = bar(shown, name, 2 * settings.epochs)
            model, head = _fitted(hand, more, name, settings, told, known)
            ngrams |= model.arrays(name)
            temperature[name] = round(model.temperature, 4)
            if head is not None:
                heads |= head.arrays(name)
                share[name] = [round(float(part), 3) for part in head.share]
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / NGRAMS, **ngrams)  # type: ignore[arg-type]
    if heads:
        np.savez_compressed(out / HEADS, **heads)  # type: ignore[arg-type]
    written = [out / NGRAMS, *([out / HEADS] if heads else [])]
    write_card(out / "intent.json", {
        "name": "intent",
        "what": "intent of a sentence, and the value of its slot action; English and Chinese",
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written},
        "data": f"{len(hand)} sentences of nodes/intent/data written for the project, {len(more)} others: its own "
        "grammar's" + ("; SNIPS (CC0); CLINC150 (CC-BY-3.0, Larson et al. 2019)" if language_data else ""),
        "test": "sentences of nodes/intent/data marked held_out; syncline evaluate-language",
        "command": f"syncline train intent OUT --per-template {per_template} --seed {seed}"
        + (" --language-data FOLDER" if language_data else ""),
        "settings": msgspec.to_builtins(settings),
        "temperature": temperature,
        "encoder": encoder.name if encoder is not None else "",
        "share": share,
    })  # fmt: skip
    for path in written:
        Console().print(f"weights  {path}, {path.stat().st_size / 1e6:.2f} MB")
    Console().print(f"card     {out / 'intent.json'}")


def _fitted(
    hand: list[Example],
    more: list[Example],
    field: str,
    settings: Fit,
    told: Callable[..., None],
    vectors: Vectors | None,
) -> tuple[LinearClassifier, EncoderHead | None]:
    """Fitted on all; temperature and shares on every fifth sentence by hand, with models that had not seen it."""
    if field == "action":
        hand, more = ([e for e in part if e.action != "none"] for part in (hand, more))
    kept, aside = [e for i, e in enumerate(hand) if i % 5], hand[::5]

    def model_of(examples: list[Example], first: int) -> LinearClassifier:
        labels = [getattr(e, field) for e in examples]
        weights = [e.weight for e in examples]
        return fit([e.text for e in examples], labels, weights, settings, lambda epoch: told(first + epoch))

    def head_of(examples: list[Example], names: tuple[str, ...]) -> EncoderHead | None:
        if vectors is None:
            return None
        labels, weights = [getattr(e, field) for e in examples], [e.weight for e in examples]
        return fit_head(vectors.of([e.text for e in examples]), labels, names, vectors.encoder.name, weights)

    probe = model_of(kept + more, 0)
    probe_head = head_of(kept + more, probe.labels)
    known = [e for e in aside if getattr(e, field) in probe.labels]
    texts, truth = [e.text for e in known], [getattr(e, field) for e in known]
    whole = model_of(hand + more, settings.epochs)
    head = head_of(hand + more, whole.labels)
    if vectors is not None and probe_head is not None and head is not None:
        logits = np.stack([probe.logits(text) for text in texts])
        indices = np.array([probe.labels.index(label) for label in truth])
        head.share = shared(logits, probe_head.logits(vectors.of(texts)), indices)
    warm = calibrated(probe, texts, truth).temperature
    return LinearClassifier(whole.labels, whole.weight, whole.scale, whole.idf, whole.bias, warm), head
