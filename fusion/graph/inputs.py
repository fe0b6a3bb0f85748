"""An encounter as the arrays that the network reads: what does not depend on how the pairs were weighed before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.beliefs import MODALITIES
from fusion.graph.registration import SIGNS, signs
from fusion.measurements import FloatArray, IntArray, seconds
from fusion.weigher import Encounter
from pipeline.core.messages import FrameSet

Floats = npt.NDArray[np.float32]

NEIGHBOURS = 8
_GROUPS = np.array([0, 1, 1, 1, 1, 2, 3, 3, 4, 4])  # of CLASSES: cars, large vehicles, people, cycles, small things
_GROUP_OF = np.eye(5)[_GROUPS]  # (C, 5)
_BELIEVED = 1.0  # log-odds from which a track says whether a sensor misses things


class GraphInput(NamedTuple):
    """N pairs, M tracks, S sensors; lists are padded with 0 where their mask is 0.

    pair (N, len(PAIR)), track (M, len(TRACK)), sensor (S, len(SENSOR)), modality (S, 3) one-hot; float32.
    track_of, sensor_of (N,). pairs_of_track (M, K), pairs_of_sensor (S, L): pairs of each. neighbours (M, 8): the
    nearest tracks. place (M, 2): of the tracks, m, relative to the vehicle, axes of the odom frame.
    """

    pair: Floats
    track: Floats
    sensor: Floats
    modality: Floats
    track_of: IntArray
    sensor_of: IntArray
    pairs_of_track: IntArray
    pairs_of_track_mask: Floats
    pairs_of_sensor: IntArray
    pairs_of_sensor_mask: Floats
    neighbours: IntArray
    neighbours_mask: Floats
    place: Floats


# Columns, all divided so that they come to about one. odds and evidence are log-odds; log_range is that of m; ahead is
# how long after the reference instant, in tenths of a second, offset the same of a sensor's message; age and coasted
# count frame sets; seen, expected and odds are over the sensors of a kind. Those of a sensor but for the first two are
# logarithms of counts.
PAIR = (
    "odds", "log_range", "ahead", "has_radial", "ambiguity", "agreement", "has_size", "size_ratio",
    *(f"group_{i}" for i in range(5)),
)  # fmt: skip
TRACK = (
    "evidence", "frame_evidence", "coasted", "age", "newborn", "hidden", "log_range",
    *(f"group_{i}" for i in range(5)),
    *(f"{what}_{kind}" for kind in MODALITIES for what in ("seen", "expected", "odds")),
)  # fmt: skip
SENSOR = ("looked", "offset", "pairs", "unpaired", "expected", "met", "newborn", *SIGNS)


def graph_input(met: Encounter, remembered: FloatArray) -> GraphInput:
    """What the network is told of an encounter. remembered (S, REMEMBERED): of each sensor, with it
    (`fusion.graph.registration`).
    """
    modality = modalities(met.frames)
    sensors = len(modality)
    track_of, sensor_of = met.row, met.z.sensor
    pairs_of_track, track_mask = padded(track_of, len(met.tracks))
    pairs_of_sensor, sensor_mask = padded(sensor_of, sensors)
    place = met.tracks.mean[:, :2] - np.array(met.frames.position[:2])
    neighbours, neighbours_mask = nearest(place)
    return GraphInput(
        pair=_pairs(met),
        track=_tracks(met, modality, np.hypot(place[:, 0], place[:, 1])),
        sensor=np.concatenate([_sensors(met, sensors), signs(remembered)], axis=1),
        modality=modality,
        track_of=track_of,
        sensor_of=sensor_of,
        pairs_of_track=pairs_of_track,
        pairs_of_track_mask=track_mask,
        pairs_of_sensor=pairs_of_sensor,
        pairs_of_sensor_mask=sensor_mask,
        neighbours=neighbours,
        neighbours_mask=neighbours_mask,
        place=place.astype(np.float32),
    )


def modalities(frames: FrameSet) -> Floats:
    """(S, 3) one-hot."""
    out = np.zeros((len(frames.slots), 3), np.float32)
    for row, slot in enumerate(frames.slots):
        out[row, MODALITIES.index(slot.modality)] = 1.0
    return out


def padded(group: IntArray, groups: int) -> tuple[IntArray, Floats]:
    """(groups, K) members of each group in rising order, and (groups, K) 1 where there is one; K is at least 1."""
    count = np.bincount(group, minlength=groups)
    width = max(int(count.max(initial=0)), 1)
    order = np.argsort(group, kind="stable")
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    members, mask = np.zeros((groups, width), np.int64), np.zeros((groups, width), np.float32)
    seat = np.arange(len(group)) - first[group[order]]
    members[group[order], seat], mask[group[order], seat] = order, 1.0
    return members, mask


def nearest(place: FloatArray) -> tuple[IntArray, Floats]:
    """(M, 8) the nearest other tracks, and where there are fewer, 0 in the mask."""
    m, k = len(place), min(NEIGHBOURS, max(len(place) - 1, 0))
    neighbours, mask = np.zeros((m, NEIGHBOURS), np.int64), np.zeros((m, NEIGHBOURS), np.float32)
    if k:
        square = (place * place).sum(axis=1)
        apart = square[:, None] + square[None, :] - 2.0 * place @ place.T
        apart[np.arange(m), np.arange(m)] = np.inf
        close = np.argpartition(apart, k - 1, axis=1)[:, :k]
        neighbours[:, :k], mask[:, :k] = np.sort(close, axis=1), 1.0
    return neighbours, mask


def _pairs(met: Encounter) -> Floats:
    z, tracks = met.z, met.tracks
    ego = np.array(met.frames.position[:2])
    distance = np.hypot(*(z.value[:, :2] - ego).T)
    has_size = np.isfinite(z.size_var[:, 0])
    length = np.where(has_size, z.size[:, 0], 1.0) / np.maximum(tracks.size[met.row, 0], 0.1)
    return _columns(
        z.odds / 4.0,
        np.log1p(distance) / 4.0,
        10.0 * seconds(z.time_ns - met.time_ns),
        z.present[:, 5],
        z.ambiguity > 0.0,
        np.einsum("nc,nc->n", tracks.class_prob[met.row], z.class_prob),
        has_size,
        np.where(has_size, np.clip(np.log(np.maximum(length, 1e-3)), -2.0, 2.0), 0.0),
        *(z.class_prob @ _GROUP_OF).T,
    )


def _tracks(met: Encounter, modality: Floats, distance: FloatArray) -> Floats:
    tracks, looks = met.tracks, met.looks
    kinds = modality * looks.looked[:, None]
    each = np.stack([looks.hit @ kinds, looks.detection @ kinds, looks.odds @ kinds], axis=2)  # (M, 3 kinds, 3)
    return _columns(
        tracks.evidence / 4.0,
        _soft(met.evidence / 4.0),
        tracks.coasted / 5.0,
        np.log1p(tracks.age + 1) / 3.0,
        tracks.age < 0,
        looks.hidden,
        np.log1p(distance) / 4.0,
        *(tracks.class_prob @ _GROUP_OF).T,
        *(each.reshape(len(tracks), 9) * np.tile([1.0, 1.0, 0.25], 3)).T,
    )


def _sensors(met: Encounter, sensors: int) -> Floats:
    looks = met.looks
    believed = (met.tracks.evidence > _BELIEVED) & (met.tracks.age >= 0)
    offset = np.array([slot.offset_ns if slot.detections is not None else 0 for slot in met.frames.slots]) * 1e-8
    newborn = met.tracks.age[met.row] < 0
    return _columns(
        looks.looked,
        np.clip(offset, -3.0, 3.0),
        np.log1p(np.bincount(met.z.sensor, minlength=sensors)) / 3.0,
        np.log1p(met.unpaired) / 3.0,
        np.log1p(looks.detection[believed].sum(axis=0)) / 3.0,
        np.log1p(looks.hit[believed].sum(axis=0)) / 3.0,
        np.log1p(np.bincount(met.z.sensor[newborn], minlength=sensors)) / 3.0,
    )


def _soft(values: FloatArray) -> FloatArray:
    return np.asarray(np.tanh(values / 4.0) * 4.0)


def _columns(*columns: npt.NDArray[np.generic]) -> Floats:
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)
