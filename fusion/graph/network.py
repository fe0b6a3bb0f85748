"""The network: pairs, tracks and sensors exchange what they know, and say how far each detection is to be believed.

    pair -> sensor          attention over the pairs of a sensor: what its residuals have in common
    sensor, track -> pair
    pair -> track           attention over the detections of a track
    track <-> track         attention over the eight nearest, told where they are and how they move relative to it

twice; then a gated recurrent unit remembers for each track and each sensor. All neighbourhoods are padded lists and a
mask (`fusion.graph.inputs`), so that the network is made of gathers and matrix products: it exports without a scatter.
The last layers start at zero, where every detection is believed as stated: the untrained network is the filter.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fusion.graph.inputs import PAIR, SENSOR, TRACK
from fusion.graph.polar import PAIR_MOTION, TRACK_MOTION
from fusion.graph.registration import LAG_UNIT, TURN_UNIT
from fusion.graph.weigher import FAULTS
from pipeline.core.heads import WEATHERS

WIDTH = 48
"""Numbers that are remembered of a track, and of a sensor."""
ROUNDS = 2
HEADS = 4
_MOST = 5.0  # a variance is scaled by exp(-5) to exp(5) at most
_MOST_TURN = 0.12  # rad
_MOST_LAG = 0.35  # s
_MOST_BIAS = 3.0  # m


class GraphOutput(NamedTuple):
    """log_scale (N, 3): of the variances along, across and of the radial speed. bias (N, 2): along and across, m, what
    the detection is off. white (N,): added to the log-odds of the share that is new. class_trust (N,): factor.
    evidence (M,): log-odds that the track is there, added to the filter's. fault (S, len(FAULTS)): logits.
    turn (S,): rad, and lag (S,): s, by which a sensor's detections are off. weather (S, len(WEATHERS)): logits of the
    weather that each sensor votes for.
    next_track_memory (M, WIDTH), next_sensor_memory (S, WIDTH).
    """

    log_scale: Tensor
    bias: Tensor
    white: Tensor
    class_trust: Tensor
    evidence: Tensor
    fault: Tensor
    turn: Tensor
    lag: Tensor
    weather: Tensor
    next_track_memory: Tensor
    next_sensor_memory: Tensor


class Padded(NamedTuple):
    """Neighbours of each of G things among others: rows (G, K) and mask (G, K)."""

    rows: Tensor
    mask: Tensor


class Attention(nn.Module):
    """Each of G things asks its own few neighbours: softmax over a padded list, nothing where there is none."""

    def __init__(self, width: int, extra: int = 0) -> None:
        super().__init__()
        self.ask, self.offer = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.tell = nn.Linear(extra, 2 * width, bias=False) if extra else None
        self.out, self.each = nn.Linear(width, width), width // HEADS

    def forward(self, asking: Tensor, offered: Tensor, lists: Padded, extra: Tensor | None = None) -> Tensor:
        """asking (G, W), offered (N, W), extra (G, K, E) -> (G, W)."""
        g, k = lists.rows.shape
        near = nn.functional.pad(self.offer(offered), (0, 0, 0, 1))[lists.rows]  # one more, lest there be none
        if self.tell is not None and extra is not None:
            near = near + self.tell(extra)
        key, value = near.reshape(g, k, 2, HEADS, self.each).unbind(2)  # (G, K, H, W/H)
        query = self.ask(asking).reshape(g, 1, HEADS, self.each)
        match = (query * key).sum(-1) / math.sqrt(self.each) - 1e4 * (1.0 - lists.mask[..., None])
        weight = torch.softmax(match, dim=1) * lists.mask[..., None]
        heard: Tensor = self.out((weight[..., None] * value).sum(1).reshape(g, HEADS * self.each))
        return heard


class Round(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_sensor, self.to_track = Attention(width), Attention(width)
        self.between_tracks = Attention(width, extra=5)
        self.to_pair = _mlp(3 * width, width)
        self.sensor, self.track = _mlp(2 * width, width), _mlp(3 * width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])

    def forward(
        self, pair: Tensor, track: Tensor, sensor: Tensor, at: tuple[Tensor, Tensor, Padded, Padded, Padded, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        track_of, sensor_of, of_track, of_sensor, neighbours, relative = at
        common = self.to_sensor(sensor, pair, of_sensor)
        sensor = self.norms[0](sensor + self.sensor(torch.cat([sensor, common], dim=-1)))
        pair = self.norms[1](pair + self.to_pair(torch.cat([pair, sensor[sensor_of], track[track_of]], dim=-1)))
        told = [self.to_track(track, pair, of_track), self.between_tracks(track, track, neighbours, relative)]
        track = self.norms[2](track + self.track(torch.cat([track, *told], dim=-1)))
        return pair, track, sensor


class GraphNetwork(nn.Module):
    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.pair = _mlp(len(PAIR) + _PAIR_MOTION_FEATURES + 3, width)
        self.track = _mlp(len(TRACK) + len(TRACK_MOTION) + width, width)
        self.sensor = _mlp(len(SENSOR) + 3 + width, width)
        self.rounds = nn.ModuleList([Round(width) for _ in range(ROUNDS)])
        self.remember_track, self.remember_sensor = nn.GRUCell(width, width), nn.GRUCell(width, width)
        self.of_pair = _head(3 * width, 7)
        self.of_track = _head(2 * width, 1)
        self.of_shift = _head(width, 2)
        self.of_fault = _head(width, len(_LEARNED))
        self.of_weather = _head(width, len(WEATHERS))

    def forward(
        self,
        pair: Tensor,
        pair_motion: Tensor,
        track: Tensor,
        track_motion: Tensor,
        sensor: Tensor,
        modality: Tensor,
        track_of: Tensor,
        sensor_of: Tensor,
        pairs_of_track: Tensor,
        pairs_of_track_mask: Tensor,
        pairs_of_sensor: Tensor,
        pairs_of_sensor_mask: Tensor,
        neighbours: Tensor,
        neighbours_mask: Tensor,
        place: Tensor,
        velocity: Tensor,
        track_memory: Tensor,
        sensor_memory: Tensor,
    ) -> GraphOutput:
        """As in `fusion.graph.inputs.GraphInput` and `fusion.graph.polar`; velocity (M, 2); track_memory (M, WIDTH)
        and sensor_memory (S, WIDTH) are the last answer's. Several scenes at once are one graph without edges between
        them.
        """
        range_m = torch.expm1(4.0 * pair[:, 1])
        kind = modality[sensor_of]
        features = torch.cat([pair, _pair_features(pair_motion, range_m), kind], dim=-1)
        at = (
            track_of, sensor_of, Padded(pairs_of_track, pairs_of_track_mask),
            Padded(pairs_of_sensor, pairs_of_sensor_mask), Padded(neighbours, neighbours_mask),
            _relative(place, velocity, neighbours),
        )  # fmt: skip
        p = self.pair(features)
        t = self.track(torch.cat([track, torch.log(track_motion + 1e-3) / 4.0, track_memory], dim=-1))
        s = self.sensor(torch.cat([sensor, modality, sensor_memory], dim=-1))
        for layer in self.rounds:
            p, t, s = layer(p, t, s, at)
        track_memory, sensor_memory = self.remember_track(t, track_memory), self.remember_sensor(s, sensor_memory)

        fault = fault_logits(self.of_fault(sensor_memory), sensor)
        turn, lag = self._shift(sensor_memory, sensor, fault).unbind(1)
        of_pair = self.of_pair(torch.cat([p, track_memory[track_of], sensor_memory[sensor_of]], dim=-1))
        moved = lag[sensor_of, None] * pair_motion[:, -2:]  # a late sensor shows where the object was, seen from here
        turned = range_m * turn[sensor_of]
        own = _MOST_BIAS * torch.tanh(of_pair[:, 3:5] / _MOST_BIAS)
        return GraphOutput(
            log_scale=_MOST * torch.tanh(of_pair[:, :3] / _MOST),
            bias=own - moved + torch.stack([torch.zeros_like(turned), turned], dim=-1),
            white=3.0 * torch.tanh(of_pair[:, 5] / 3.0),
            class_trust=torch.exp(torch.tanh(of_pair[:, 6])),
            evidence=self.of_track(torch.cat([t, track_memory], dim=-1))[:, 0],
            fault=fault,
            turn=turn,
            lag=lag,
            weather=self.of_weather(sensor_memory),
            next_track_memory=track_memory,
            next_sensor_memory=sensor_memory,
        )

    def _shift(self, memory: Tensor, sensor: Tensor, fault: Tensor) -> Tensor:
        """(S, 2) turn and lag: what it remembers, and as measured, as far as that fault is likelier than health."""
        most = sensor.new_tensor([_MOST_TURN, _MOST_LAG])
        measured = sensor[:, _MEASURED] * sensor.new_tensor([TURN_UNIT, LAG_UNIT])
        state = torch.softmax(fault, dim=1)
        believed = torch.relu(state[:, _SHIFTS] - state[:, :1])
        return most * torch.tanh(0.1 * self.of_shift(memory) + believed * measured / most)


_MEASURED = [SENSOR.index("turn"), SENSOR.index("lag")]
_LEARNED = ("blind", "noisy")
"""Faults that only the network tells; the others are measured (`fusion.graph.registration`)."""
_SHIFTS = [FAULTS.index("misaligned"), FAULTS.index("mistimed")]
_PAIR_MOTION_FEATURES = 19


def fault_logits(learned: Tensor, sensor: Tensor) -> Tensor:
    """(S, len(FAULTS)) log-odds against health: (S, 2) of those that the network tells, the others as measured."""
    of = {name: learned[:, i] for i, name in enumerate(_LEARNED)} | {FAULTS[0]: torch.zeros_like(learned[:, 0])}
    return torch.stack([of[f] if f in of else sensor[:, SENSOR.index(f"{f}_odds")] for f in FAULTS], dim=1)


def _pair_features(motion: Tensor, range_m: Tensor) -> Tensor:
    """(N, 19) of `PAIR_MOTION`: residuals in sigmas, in metres, as an angle and as a delay; sizes of the sigmas."""
    (
        along, across, up, radial, p_along, p_across, r_along, r_across, p_radial, r_radial, v_up, v_along, v_across,
        w_along, w_across,
    ) = motion.unbind(-1)  # fmt: skip
    assert len(PAIR_MOTION) == motion.shape[-1]
    speed2, apparent2 = v_along**2 + v_across**2, w_along**2 + w_across**2
    behind = -(along * v_along + across * v_across) / (speed2 + 1.0)  # its track
    late = -(along * w_along + across * w_across) / (apparent2 + 1.0)
    columns = [
        _squash(along / torch.sqrt(p_along + r_along)),
        _squash(across / torch.sqrt(p_across + r_across)),
        _squash(up / torch.sqrt(v_up)),
        _squash(radial / torch.sqrt(p_radial + r_radial)),
        _squash(along),
        _squash(across),
        _squash(60.0 * across / (range_m + 2.0)),
        _squash(10.0 * behind),
        speed2 / (speed2 + 4.0),
        *(torch.log(v + 1e-3) / 4.0 for v in (p_along, p_across, r_along, r_across, r_radial)),
        v_along / 10.0,
        v_across / 10.0,
        _squash(10.0 * late),
        w_along / 10.0,
        w_across / 10.0,
    ]
    return torch.stack(columns, dim=-1)


def _relative(place: Tensor, velocity: Tensor, neighbours: Tensor) -> Tensor:
    """(M, K, 5) offset, distance and relative velocity of each track's neighbours, squashed."""
    offset = place[neighbours] - place[:, None]
    distance = torch.sqrt((offset * offset).sum(-1, keepdim=True) + 1e-6)
    return _squash(torch.cat([offset, distance, velocity[neighbours] - velocity[:, None]], dim=-1))


def _squash(x: Tensor) -> Tensor:
    """Odd, linear near 0 and logarithmic beyond."""
    return torch.sign(x) * torch.log1p(torch.abs(x))


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))


def _head(inputs: int, outputs: int) -> nn.Sequential:
    """Its last layer starts at zero."""
    last = nn.Linear(32, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, 32), nn.SiLU(), last)
