"""Fit the softmax gate: the weighted mean of each object's detections is to lie where the object is.

python -m fusion.training.softmax_gate clips/
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from fusion.beliefs import MODALITIES, Modality
from fusion.measurements import FloatArray, IntArray, measurements, seconds
from fusion.softmax_gate import FEATURES, FILE, HIDDEN, Mlp, gate_features
from fusion.training.clips import Clip, load_clip
from pipeline.core.errors import BadInput

_STEPS, _RATE = 1500, 1e-2
_FAR_M = 3.0  # an error beyond pulls no harder: such a detection would not be paired


class Lessons(NamedTuple):
    """N detections of objects. group (N,): those of one object at one instant, 0..G-1. error (N, 2): m, odom axes."""

    features: FloatArray
    modality: IntArray
    group: IntArray
    error: FloatArray


def lessons(clip: Clip) -> Lessons:
    """All detections of objects in a clip."""
    parts: list[Lessons] = []
    for frame, (frames, time_ns) in enumerate(clip.frames()):
        z = measurements(frames, time_ns, MODALITIES)
        first = clip.first.reshape(-1)[frame * len(clip.sensors) + z.sensor]
        of = clip.detections["object_id"][first + z.detection]
        rows = slice(int(clip.truth_first[frame]), int(clip.truth_first[frame + 1]))
        ids = clip.truth["object_id"][rows]
        order = np.argsort(ids)
        at = order[np.minimum(np.searchsorted(ids, of, sorter=order), max(len(ids) - 1, 0))] if len(ids) else of
        known = (of >= 0) & (ids[at] == of) if len(ids) else np.zeros(len(of), dtype=bool)
        z, at = z.take(known), at[known]
        moved = clip.truth["velocity"][rows][at] * seconds(z.time_ns - time_ns)[:, None]
        error = z.value[:, :2] - clip.truth["position"][rows][at, :2] - moved
        modality = np.array([MODALITIES.index(slot.modality) for slot in frames.slots], dtype=np.int64)[z.sensor]
        parts.append(Lessons(gate_features(z, frames), modality, frame * 100_000 + ids[at], error))
    features, modality, key, error = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Lessons(features, modality, np.unique(key, return_inverse=True)[1], error)


def fit(clips: Iterable[Clip], seed: int = 0) -> dict[Modality, Mlp]:
    """The gate that these clips ask for."""
    found = [lessons(clip) for clip in clips]
    groups = np.cumsum([0, *(int(part.group.max(initial=-1)) + 1 for part in found)])
    group = torch.from_numpy(np.concatenate([p.group + g for p, g in zip(found, groups[:-1], strict=True)]))
    features, modality, error = (
        torch.from_numpy(np.concatenate([getattr(part, name) for part in found])).float()
        for name in ("features", "modality", "error")
    )
    torch.manual_seed(seed)
    hidden = nn.Parameter(0.5 * torch.randn(len(MODALITIES), HIDDEN, len(FEATURES)))
    out = nn.Parameter(torch.zeros(len(MODALITIES), HIDDEN))
    optimizer = torch.optim.Adam([hidden, out], lr=_RATE)
    kind, count = modality.long(), int(groups[-1])
    for _ in range(_STEPS):
        score = torch.zeros(len(kind))
        for number in range(len(MODALITIES)):
            rows = kind == number
            score = score.masked_scatter(rows, torch.tanh(features[rows] @ hidden[number].T) @ out[number])
        mean = _weighted(score, group, error, count)
        loss = nn.functional.huber_loss(mean, torch.zeros_like(mean), delta=_FAR_M)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {
        name: Mlp(hidden=np.round(hidden[i].tolist(), 4).tolist(), out=np.round(out[i].tolist(), 4).tolist())
        for i, name in enumerate(MODALITIES)
    }


def _weighted(score: Tensor, group: Tensor, error: Tensor, groups: int) -> Tensor:
    """(G, 2) mean error of each object's detections, weighted by the softmax of their scores."""
    grown = torch.exp(score.clamp(-20.0, 20.0))
    total = torch.zeros(groups).index_add(0, group, grown)
    return torch.zeros(groups, 2).index_add(0, group, grown[:, None] * error) / total[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of .npz clips")
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    paths = sorted(args.clips.glob("*.npz"))
    if not paths:
        raise BadInput(args.clips, "clips", "at least one .npz", "none")
    args.out.write_bytes(msgspec.json.encode(fit(load_clip(path) for path in paths)) + b"\n")


if __name__ == "__main__":
    main()
