"""Trains the heads from a folder of records: whole tracks, frame by frame, through the recurrent unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as f
from torch import Tensor

from fusion.heads.heads import SOON_S
from fusion.heads.network import REMEMBERED, HeadsNetwork, HeadsOutput
from fusion.training.heads.records import Record, load_record, read_record
from fusion.training.loop import Run, Schedule
from pipeline.core.heads import INTENTS

TERMS = ("intent", "hazard", "collides", "time")
_LENGTH = 100  # frames of a track that are learned from at once
_DULL = 0.15  # share of the tracks that only keep or stand, and of nothing, that are learned from at each step


class HeadsTraining(Schedule, frozen=True):
    """A sample is a stretch of one track."""

    steps: int = 1500
    batch: int = 96
    rate: float = 3e-3
    decay: float = 1e-3
    average: float = 0.99
    clip: float = 1.0


class Tracks(NamedTuple):
    """K stretches of tracks, padded to L frames. features (K, L, F). there (K, L): 0 where padded. intent (K, L): -1
    unknown. hazard (K, L): -1 unknown. time (K, L): NaN unknown. row (K, L): of the record. eventful (K,)."""

    features: npt.NDArray[np.float32]
    there: npt.NDArray[np.float32]
    intent: npt.NDArray[np.int64]
    hazard: npt.NDArray[np.float32]
    time: npt.NDArray[np.float32]
    row: npt.NDArray[np.int64]
    eventful: npt.NDArray[np.bool_]


def train(
    records: Sequence[Path],
    out: Path,
    settings: HeadsTraining,
    progress: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> HeadsNetwork:
    """Train, or go on with what lies in ``out``; returns the averaged network, in evaluation mode."""
    parts = [stretches(load_record(path)) for path in records]
    tracks = Tracks(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    seen = tracks.features[tracks.there > 0]
    count = np.bincount(tracks.intent[tracks.intent >= 0], minlength=len(INTENTS)) + 50.0
    worth = torch.from_numpy((count.sum() / count) ** 0.5 / np.mean((count.sum() / count) ** 0.5)).float()

    def make() -> HeadsNetwork:
        net = HeadsNetwork()
        net.mean.copy_(torch.from_numpy(seen.mean(axis=0)))
        net.scale.copy_(torch.from_numpy(np.maximum(seen.std(axis=0), 0.05)))
        return net

    run = Run(make, out, settings)
    return run.learn(_batches(tracks, settings, run.step), lambda net, batch: losses_of(net, batch, worth), progress)


def stretches(record: Record, length: int | None = _LENGTH) -> Tracks:
    """The record's tracks, cut into stretches of ``length`` frames at most, None: not cut. A track that was not
    published for a while begins anew.
    """
    given = read_record(record).features
    frame = np.repeat(np.arange(len(record["time_ns"])), np.diff(record["first"]))
    order = np.lexsort((frame, record["track_id"]))
    track, at = record["track_id"][order], frame[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (track[1:] != track[:-1]) | (at[1:] != at[:-1] + 1)
    start = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    seat = np.arange(len(order)) - start[run]
    width = int(seat.max(initial=0)) + 1 if length is None else length
    _, stretch = np.unique(run * (1 << 20) + seat // width, return_inverse=True)
    row = np.full((int(stretch.max(initial=-1)) + 1, width), -1, np.int64)
    row[stretch, seat % width] = order
    there = row >= 0
    intent = np.where(there, record["intent"][row].astype(np.int64), -1)
    hazard = np.where(there, record["hazard"][row].astype(np.float32), -1.0).astype(np.float32)
    time = np.where(there, record["time"][row], np.nan).astype(np.float32)
    happens = (intent > INTENTS.index("stop")) | (hazard > 0) | (time < SOON_S)
    eventful: npt.NDArray[np.bool_] = np.asarray(happens.any(axis=1))
    return Tracks(given[row] * there[..., None], there.astype(np.float32), intent, hazard, time, row, eventful)


def losses_of(net: HeadsNetwork, batch: Tracks, worth: Tensor) -> dict[str, Tensor]:
    """Means over what is known. ``worth`` (I,): of each intent."""
    features, intent, hazard, time = (
        torch.from_numpy(column) for column in (batch.features, batch.intent, batch.hazard, batch.time)
    )
    said = unroll(net, features)
    known, judged, timed = intent >= 0, hazard >= 0, ~torch.isnan(time)
    soon = timed & (time < SOON_S)
    seconds = torch.log(time[soon].clamp_min(0.05))
    error = (seconds - said.log_time[soon]) * torch.exp(-said.log_sigma[soon])
    losses = {
        "intent": f.cross_entropy(said.intent[known], intent[known], weight=worth),
        "hazard": f.binary_cross_entropy_with_logits(said.hazard[judged], hazard[judged]),
        "collides": f.binary_cross_entropy_with_logits(said.collides[timed], soon[timed].float()),
        "time": (0.5 * error.clamp(-6.0, 6.0) ** 2 + said.log_sigma[soon]).sum() / soon.sum().clamp_min(1),
    }
    total = losses["intent"] + 2.0 * losses["hazard"] + losses["collides"] + 0.3 * losses["time"]
    return losses | {"total": total}


def unroll(net: HeadsNetwork, features: Tensor) -> HeadsOutput:
    """features (K, L, F) -> each output (K, L, ...), from no memory."""
    memory = torch.zeros(len(features), REMEMBERED)
    frames = []
    for step in range(features.shape[1]):
        out = net(features[:, step], memory)
        memory = out.next_memory
        frames.append(out)
    return HeadsOutput(*(torch.stack(column, dim=1) for column in zip(*frames, strict=True)))


def _batches(tracks: Tracks, settings: HeadsTraining, step: int) -> Iterator[Tracks]:
    """Stretches in which something happens, and some of the others."""
    lively, dull = np.flatnonzero(tracks.eventful), np.flatnonzero(~tracks.eventful)
    known = np.flatnonzero((tracks.intent >= 0).any(axis=1) & ~tracks.eventful)
    for number in range(step, settings.steps):
        rng = np.random.default_rng([settings.seed, number])
        few = max(round(_DULL * settings.batch), 1)
        chosen = [rng.choice(part, few) for part in (dull, known) if len(part)]
        chosen.append(rng.choice(lively if len(lively) else dull, settings.batch - sum(map(len, chosen))))
        yield Tracks(*(column[np.concatenate(chosen)] for column in tracks))
