"""A batch of windows played through filter and network, frame by frame, with the loss of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as f
from torch import Tensor

from fusion.graph.inputs import TRACK, nearest, padded
from fusion.graph.network import WIDTH, GraphNetwork, GraphOutput
from fusion.graph.polar import pair_motion, track_motion
from fusion.graph.weigher import FAULTS
from fusion.training.graph import filter as kalman
from fusion.training.graph.windows import Window

_CLIMB_PSD, _RESOLVE_SIGMAS = 0.05, 3.0  # of the tracker
_TAIL = 20.0  # degrees of freedom of the loss: wrong pairs must not rule it
_SHARES = torch.tensor([0.7, 0.25, 0.15])  # camera, lidar, radar: `fusion.weigher.Shares`
_SOFT = [TRACK.index("group_2"), TRACK.index("group_3")]  # people and cycles: few, hard to see, and the most at risk
_SOFT_WORTH = 2.0
_FALSE_KEPT = 0.25  # share of the tracks of nothing that are trained on; each counts as many times more


class Frame(NamedTuple):
    """One instant of all windows of a batch, as one graph without edges between windows; names as in `Window`."""

    given: dict[str, Tensor]  # what the network reads, but motion and memory
    slot: Tensor  # (M,) row of the batch's table of tracks
    fresh: Tensor  # (M,) bool: not seen before in the window, so it starts from the tracker's own prediction
    dt: Tensor  # (M,)
    columns: dict[str, Tensor]
    fault: Tensor  # (S,)
    weather: Tensor  # (S,)


@dataclasses.dataclass(frozen=True)
class Batch:
    frames: list[Frame]
    tracks: int
    sensors: int


@dataclasses.dataclass(frozen=True)
class Losses:
    """Means. state: negative log-likelihood of the fused x, y, vx, vy. detection: of what each pair's detection is
    believed to say, against where its object was. existence, fault, weather: cross-entropies.
    """

    state: Tensor
    detection: Tensor
    existence: Tensor
    fault: Tensor
    weather: Tensor

    def total(self) -> Tensor:
        return self.state + 0.2 * self.detection + 4.0 * self.existence + self.fault + 0.1 * self.weather


def batch_of(windows: Sequence[Window], rng: np.random.Generator) -> Batch:
    """Windows of equal length side by side. Of the tracks of nothing only some are kept; ``worth`` makes up for it."""
    length = len(windows[0]["dt"])
    kept = [_kept(w, rng) for w in windows]
    tracks = np.cumsum([0, *(int(w["slot"].max(initial=-1)) + 1 for w in windows)])
    sensors = np.cumsum([0, *(len(w["modality"]) for w in windows)])
    seen = np.zeros(int(tracks[-1]), bool)
    frames = []
    for t in range(length):
        parts = [
            _part(w, t, keep, int(tracks[i]), int(sensors[i]))
            for i, (w, keep) in enumerate(zip(windows, kept, strict=True))
        ]
        frames.append(_frame(parts, seen, int(sensors[-1])))
    return Batch(frames, int(tracks[-1]), int(sensors[-1]))


def unroll(network: GraphNetwork, batch: Batch) -> Iterator[tuple[Losses, GraphOutput, Tensor, Tensor, Frame]]:
    """Losses, output, fused mean (M, 5) and whole covariance (M, 5, 5) of each frame."""
    mean, cov = torch.zeros(batch.tracks, 5), torch.eye(5).repeat(batch.tracks, 1, 1)
    bias, memory = torch.zeros(batch.tracks, 2, 2), torch.zeros(batch.tracks, WIDTH)
    sensor_memory = torch.zeros(batch.sensors, WIDTH)
    for frame in batch.frames:
        c, slot, fresh = frame.columns, frame.slot, frame.fresh[:, None]
        m, P = kalman.predict(mean[slot], cov[slot], frame.dt, c["accel_psd"], _CLIMB_PSD)
        m = torch.where(fresh, c["mean"], m)
        P = torch.where(fresh[..., None], c["cov"], P)
        b = torch.where(fresh[..., None], c["bias"], bias[slot])
        m, P, b, out, pairs = _step(network, frame, m, P, b, memory[slot], sensor_memory)
        mean, cov, bias = mean.index_copy(0, slot, m), cov.index_copy(0, slot, P), bias.index_copy(0, slot, b)
        memory, sensor_memory = memory.index_copy(0, slot, out.next_track_memory), out.next_sensor_memory
        whole = P + f.pad(b, (0, 3, 0, 3))
        yield _losses(frame, out, m, whole, pairs), out, m, whole, frame


class _Pairs(NamedTuple):
    """value (N, 2): where each detection says its object is, bias taken off. R (N, 2, 2): as believed."""

    value: Tensor
    R: Tensor


def _step(
    network: GraphNetwork, frame: Frame, m: Tensor, P: Tensor, b: Tensor, memory: Tensor, sensor_memory: Tensor
) -> tuple[Tensor, Tensor, Tensor, GraphOutput, _Pairs]:
    c, row = frame.columns, frame.given["track_of"]
    seen = kalman.innovate(
        m[row], P[row], c["value"], c["R"], c["radial"], c["ambiguity"], c["ahead"], c["sight"], c["accel_psd"][row],
        _RESOLVE_SIGMAS,
    )  # fmt: skip
    unit = c["sight"] / c["sight"].norm(dim=-1, keepdim=True).clamp_min(1e-9)
    motion = torch.stack(pair_motion(seen.residual, seen.predicted, seen.R, m[row, 3:], c["carried"], unit), dim=-1)
    out = network(
        **frame.given, pair_motion=motion, track_motion=torch.stack(track_motion(m, P, b), dim=-1), velocity=m[:, 3:],
        track_memory=memory, sensor_memory=sensor_memory,
    )  # fmt: skip
    residual, R = kalman.believed(seen, out.log_scale, out.bias, c["sight"])
    share = frame.given["modality"][frame.given["sensor_of"]] @ _SHARES
    white = torch.sigmoid(torch.logit(share) + out.white)
    before = P[:, 0, 0] + P[:, 1, 1]
    m2, P2 = kalman.fuse(m, P, residual, seen.H, R, 1.0 / white, row)
    gain = 1.0 - (P2[:, 0, 0] + P2[:, 1, 1]) / before
    b2 = kalman.shared_bias(b, R[:, :2, :2] * (1.0 - white)[:, None, None], gain, row)
    taken_off = seen.residual[:, :2] - residual[:, :2]
    return m2, P2, b2, out, _Pairs(c["value"][:, :2] - taken_off, R[:, :2, :2])


def _losses(frame: Frame, out: GraphOutput, m: Tensor, whole: Tensor, pairs: _Pairs) -> Losses:
    c = frame.columns
    known = torch.isfinite(c["truth"][:, 0]) & (c["exists"] > 0)
    at = [0, 1, 3, 4]
    state = _tailed(c["truth"][known] - m[known][:, at], whole[known][:, at][:, :, at])
    of_object = torch.isfinite(c["truth_at"][:, 0])
    detection = _tailed(c["truth_at"][of_object] - pairs.value[of_object], pairs.R[of_object])
    existence = f.binary_cross_entropy_with_logits(c["evidence"] + out.evidence, c["exists"], reduction="none")
    return Losses(
        state=_mean(state),
        detection=_mean(detection),
        existence=(existence * c["worth"]).sum() / c["worth"].sum().clamp_min(1.0),
        fault=f.cross_entropy(out.fault, frame.fault, weight=FAULT_WORTH),
        weather=f.cross_entropy(out.weather, frame.weather),
    )


FAULT_WORTH = torch.tensor([0.5, *[1.0] * (len(FAULTS) - 1)])


def _tailed(error: Tensor, cov: Tensor) -> Tensor:
    """(N,) negative log-likelihood of a Gaussian, but with the tail of Student's t."""
    eye = 1e-4 * torch.eye(error.shape[-1])
    L = torch.linalg.cholesky(cov + eye)
    white = torch.linalg.solve_triangular(L, error[..., None], upper=False)[..., 0]
    distance = (white * white).sum(-1)
    half = 0.5 * _TAIL * torch.log1p(distance / _TAIL)
    return half + torch.log(torch.diagonal(L, dim1=-2, dim2=-1)).sum(-1)


def _mean(values: Tensor) -> Tensor:
    return values.mean() if len(values) else values.sum()


def _kept(w: Window, rng: np.random.Generator) -> np.ndarray:
    """(K,) which tracks take part: all that ever follow an object, and a share of the others."""
    tracks = int(w["slot"].max(initial=-1)) + 1
    real = np.zeros(tracks, bool)
    real[w["slot"][np.isfinite(w["truth"][:, 0])]] = True
    return real | (rng.random(tracks) < _FALSE_KEPT)


def _part(w: Window, t: int, kept: np.ndarray, first_track: int, first_sensor: int) -> dict[str, Any]:
    pairs = slice(int(w["pair_first"][t]), int(w["pair_first"][t + 1]))
    rows = slice(int(w["track_first"][t]), int(w["track_first"][t + 1]))
    stays = kept[w["slot"][rows]]
    number = np.cumsum(stays) - 1
    track_of = w["track_of"][pairs]
    of = stays[track_of]
    part = {name: w[name][pairs][of] for name in _PAIR_COLUMNS}
    part |= {name: w[name][rows][stays] for name in _TRACK_COLUMNS}
    part["track_of"] = number[track_of[of]]
    part["sensor_of"] = w["sensor_of"][pairs][of] + first_sensor
    real = np.isfinite(w["truth"][rows][stays][:, 0])
    soft = part["track"][:, _SOFT].sum(axis=1) > 0.5
    part["worth"] = (np.where(real, 1.0, 1.0 / _FALSE_KEPT) * np.where(soft, _SOFT_WORTH, 1.0)).astype(np.float32)
    part["slot"] = part["slot"] + first_track
    part["dt"] = np.full(int(stays.sum()), w["dt"][t], np.float32)
    part["neighbours"], part["neighbours_mask"] = nearest(part["place"].astype(np.float64))
    sensors = len(w["modality"])
    part |= {"sensor": w["sensor"][t], "modality": w["modality"], "fault": w["fault"][t]}
    part["weather"] = np.full(sensors, int(w["weather"]))
    return part


_PAIR_COLUMNS = ("pair", "value", "R", "radial", "ambiguity", "ahead", "sight", "carried", "truth_at")
_TRACK_COLUMNS = ("track", "place", "slot", "mean", "cov", "bias", "accel_psd", "evidence", "truth", "exists")
_GIVEN = ("pair", "track", "sensor", "modality", "track_of", "sensor_of", "neighbours", "neighbours_mask", "place")


def _frame(parts: list[dict[str, Any]], seen: np.ndarray, sensors: int) -> Frame:
    first = np.cumsum([0, *(len(p["slot"]) for p in parts)])
    for start, part in zip(first[:-1].tolist(), parts, strict=True):
        part["track_of"] = part["track_of"] + start
        part["neighbours"] = part["neighbours"] + start * (part["neighbours_mask"] > 0)
    whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    given = {name: torch.from_numpy(whole[name]) for name in _GIVEN}
    for name, group, groups in (("track", "track_of", int(first[-1])), ("sensor", "sensor_of", sensors)):
        index, mask = padded(whole[group], groups)
        given[f"pairs_of_{name}"], given[f"pairs_of_{name}_mask"] = torch.from_numpy(index), torch.from_numpy(mask)
    slot = whole["slot"]
    fresh = ~seen[slot]
    seen[slot] = True
    columns = {name: torch.from_numpy(whole[name]) for name in (*_PAIR_COLUMNS[1:], *_TRACK_COLUMNS[3:], "worth")}
    return Frame(
        given, torch.from_numpy(slot), torch.from_numpy(fresh), torch.from_numpy(whole["dt"]), columns,
        torch.from_numpy(whole["fault"]), torch.from_numpy(whole["weather"]),
    )  # fmt: skip
