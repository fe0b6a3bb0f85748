"""Which form, engine and number of threads serves a network best on this machine, by measuring them in turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fusion.detect.weights import resolve, shipped
from fusion.engines.choice import EIGHT_BITS
from fusion.engines.engine import Arithmetic, Array, Engine, EngineName, EngineSettings
from fusion.engines.opened import open_engine
from fusion.engines.trial import trial_input
from fusion.quantise.parity import sqnr_db
from pipeline.core.errors import BadInput

ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino", "tensorrt", "torch")
LEAST_DB = 25.0
"""How near an engine's answer must be to ONNX Runtime's from the same file, signal over difference, dB."""
WARM_UP = 5
_HALVES: dict[EngineName, tuple[Arithmetic, ...]] = {"openvino": ("bf16",), "tensorrt": ("fp16",)}


class Candidate(NamedTuple):
    """cpu_ms, wall_ms: medians of one answer. parity_db: of the worst output against ONNX Runtime on the same file.
    refused: why it cannot be run here; empty where it can."""

    weights: str
    engine: EngineSettings
    cpu_ms: float = float("nan")
    wall_ms: float = float("nan")
    parity_db: float = float("nan")
    refused: str = ""

    @property
    def fits(self) -> bool:
        return not self.refused and self.parity_db >= LEAST_DB


def candidates(name: str, cores: int) -> Iterator[Candidate]:
    """All that may be tried for shipped weights: both forms, all engines, one thread and as many as there are cores."""
    forms = [weights for weights in (name, f"{name}{EIGHT_BITS}") if weights in shipped()]
    for weights, engine, threads in itertools.product(forms, ENGINES, sorted({1, cores})):
        yield Candidate(weights, EngineSettings(name=engine, threads=threads))
        for arithmetic in _HALVES.get(engine, ()):
            yield Candidate(weights, EngineSettings(name=engine, threads=threads, arithmetic=arithmetic))


def measured(
    tried: list[Candidate],
    rounds: int,
    path_of: Callable[[str], Path] = resolve,
    told: Callable[[int], None] = lambda done: None,
) -> list[Candidate]:
    """The candidates with what they took, all in turn, so that a busy moment hits each of them alike."""
    found: list[Candidate] = []
    running: list[tuple[int, Engine, dict[str, Array]]] = []
    expected: dict[Path, dict[str, Array]] = {}
    for number, candidate in enumerate(tried):
        path = path_of(candidate.weights)
        given = trial_input(path)
        if path not in expected:
            expected[path] = open_engine(path)(given)
        try:
            engine = open_engine(path, candidate.engine)
            parity = _parity(expected[path], engine(given))
        except BadInput as error:
            found.append(candidate._replace(refused=f"{error.field}: {error.found}"))
            continue
        found.append(candidate._replace(parity_db=parity))
        running.append((number, engine, given))
    times: dict[int, list[tuple[int, int]]] = {number: [] for number, *_ in running}
    for turn in range(WARM_UP + rounds):
        for number, engine, given in running:
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            engine(given)
            if turn >= WARM_UP:
                times[number].append((time.process_time_ns() - cpu, time.perf_counter_ns() - wall))
        told(turn + 1)
    for number, pairs in times.items():
        cpu_ms, wall_ms = (float(np.median(column)) / 1e6 for column in zip(*pairs, strict=True))
        found[number] = found[number]._replace(cpu_ms=cpu_ms, wall_ms=wall_ms)
    return found


def best(found: list[Candidate], period_ms: float) -> Candidate:
    """Of those that fit: the one that takes least of the processor among those that answer within the period; where
    none does, the quickest to answer.

    Raises:
        BadInput: none fits.
    """
    able = [candidate for candidate in found if candidate.fits]
    if not able:
        said = "; ".join(c.refused or f"{c.parity_db:.0f} dB" for c in found)
        raise BadInput(found[0].weights if found else "none", "engines", "one that runs it rightly", said)
    in_time = [candidate for candidate in able if candidate.wall_ms <= period_ms]
    return min(in_time, key=lambda c: c.cpu_ms) if in_time else min(able, key=lambda c: c.wall_ms)


def _parity(expected: dict[str, Array], answer: dict[str, Array]) -> float:
    return min(sqnr_db(expected[name], answer[name]) for name in expected)
