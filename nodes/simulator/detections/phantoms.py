"""What a sensor takes for objects though there are none: things that stay where they are, and flickers of a moment."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from calibration.se3 import SE3
from fusion.detect.size_prior import SIZE_MEAN
from fusion.training.clips import CLUTTER, GHOST
from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.looks import Looks
from nodes.simulator.detections.model import GROUP_OF_CLASS, Ghosts

FloatArray = npt.NDArray[Any]  # float32 or float64

_BLOCK = 40  # frames
_FREE_M = 2.0  # the lane that the vehicle itself drives is free of them
_KEYS = 10_000_000
_FAR_M = 100.0  # no false alarms were counted beyond


class View(NamedTuple):
    """What a sensor can see of the ground: from ``origin`` (2,), ego frame, m; ``facing`` and ``half`` of its sector,
    rad; ``reach`` m."""

    origin: FloatArray
    facing: float
    half: float
    reach: float

    def contains(self, looks: Looks) -> npt.NDArray[np.bool_]:
        """(N,)"""
        off = np.abs(np.mod(looks.azimuth - self.facing + np.pi, 2 * np.pi) - np.pi)
        return np.asarray((off < self.half) & (looks.distance < self.reach))


class Field(NamedTuple):
    """P things in the world that one kind of sensor takes for objects, odom frame. place: (P, 2) m. said: class id."""

    place: FloatArray
    heading: FloatArray
    said: npt.NDArray[np.int64]

    @staticmethod
    def drawn(ghosts: Ghosts, path: FloatArray, rng: np.random.Generator) -> Field:
        """A Poisson field around the path (T, 2) of the vehicle, as dense as false alarms are at their densest."""
        low, high = path.min(axis=0) - _FAR_M, path.max(axis=0) + _FAR_M
        density = max(ghosts.per_m2) * ghosts.lasting / ghosts.seen
        n = int(rng.poisson(density * float(np.prod(high - low))))
        place = rng.uniform(low, high, (n, 2))
        away = _squared(path[:: max(1, len(path) // 100)], place).min(axis=1, initial=np.inf)
        said = rng.choice(len(ghosts.classes), n, p=np.array(ghosts.classes) / sum(ghosts.classes))
        kept = away > _FREE_M**2
        return Field(place[kept], rng.uniform(-np.pi, np.pi, n)[kept], said[kept])


def lasting(ghosts: Ghosts, field: Field, odom_SE3_ego: SE3, view: View, rng: np.random.Generator) -> Looks:
    """Looks at things of the field that are detected: each found or not by a latent that persists, the more seldom the
    fewer false alarms there are at its range."""
    eye = (odom_SE3_ego @ np.broadcast_to(np.append(view.origin, 0.0), (len(odom_SE3_ego.translation), 3)))[:, :2]
    key, frame, squared = _in_view(field, eye, odom_SE3_ego.yaw + view.facing, view)
    rate = np.interp(np.arange(_FAR_M + 1), ghosts.range_m, ghosts.per_m2) / max(ghosts.per_m2) * ghosts.seen
    edge = ndtri(np.minimum(rate, 0.999)).astype(np.float32)
    distance = np.sqrt(squared).astype(np.int32)
    found = np.flatnonzero(Latents(frame, key, rng).normal(ghosts.rho) < edge.take(distance))
    key, frame = key[found], frame[found]
    offset = field.place[key] - odom_SE3_ego.translation[frame, :2]
    place = np.einsum("nji,nj->ni", odom_SE3_ego.rotation[frame, :2, :2], offset)
    yaw = field.heading[key] - odom_SE3_ego.yaw[frame]
    return _phantoms(GHOST, frame, key, place, yaw, field.said[key], view.origin)


def _in_view(
    field: Field, eye: FloatArray, facing: FloatArray, view: View
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """Number of each thing in view, at which frame, and its squared distance, m2; sorted by thing, then frame.

    Eyes (T, 2) that face (T,) rad, odom frame. A block of frames at a time: most things are far from most of the path.
    """
    reach = min(view.reach, _FAR_M)
    keys, frames, distances = [], [], []
    for start in range(0, len(eye), _BLOCK):
        block = eye[start : start + _BLOCK]
        middle = block.mean(axis=0)
        spread = float(np.linalg.norm(block - middle, axis=1).max())
        near = np.flatnonzero(((field.place - middle) ** 2).sum(axis=1) < (reach + spread) ** 2)
        squared = _squared(block, field.place[near])
        in_view = squared < np.float32(reach**2)
        if view.half < np.pi / 2:  # a sector: along its middle no less than the cosine of its edge
            turn = facing[start : start + _BLOCK]
            ahead = np.stack([np.cos(turn), np.sin(turn)], axis=1)
            along = (field.place[near] - middle).astype(np.float32) @ ahead.T.astype(np.float32)
            along -= (ahead * (block - middle)).sum(axis=1).astype(np.float32)
            np.maximum(along, 0.0, out=along)
            in_view &= along * along > squared * np.float32(np.cos(view.half) ** 2)
        flat = np.flatnonzero(in_view)
        row = flat // len(block)
        keys.append(near[row])
        frames.append(flat - row * len(block) + start)
        distances.append(squared.reshape(-1).take(flat))
    key, frame = np.concatenate(keys), np.concatenate(frames)
    order = np.argsort(key * len(eye) + frame, kind="stable")
    return key[order], frame[order], np.concatenate(distances)[order]


def flickers(ghosts: Ghosts, frames: int, view: View, rng: np.random.Generator) -> Looks:
    """False alarms that do not come back: uniform in azimuth, in range as they were counted."""
    edges = np.linspace(0.0, min(view.reach, _FAR_M), 41)
    middle = 0.5 * (edges[1:] + edges[:-1])
    ring = np.interp(middle, ghosts.range_m, ghosts.per_m2) * view.half * np.diff(edges**2) * (1.0 - ghosts.lasting)
    return scattered(ghosts, rng.poisson(ring.sum(), frames), ring / max(ring.sum(), 1e-12), edges, view, rng, 1)


def scattered(
    ghosts: Ghosts,
    count: npt.NDArray[np.int64],
    ring: FloatArray,
    edges: FloatArray,
    view: View,
    rng: np.random.Generator,
    series: int,
) -> Looks:
    """``count`` (T,) false alarms a frame, ``ring`` (R,) the share in each ring between ``edges`` (R + 1,), m.

    series: keeps the keys of one call apart from those of another.
    """
    frame = np.repeat(np.arange(len(count)), count)
    n = len(frame)
    which = rng.choice(len(ring), n, p=ring) if n else np.zeros(0, np.int64)
    distance = rng.uniform(edges[which], edges[which + 1])
    azimuth = view.facing + rng.uniform(-view.half, view.half, n)
    said = rng.choice(len(ghosts.classes), n, p=np.array(ghosts.classes) / sum(ghosts.classes))
    place = view.origin + distance[:, None] * np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    key = series * _KEYS + np.arange(n)
    return _phantoms(CLUTTER, frame, key, place, rng.uniform(-np.pi, np.pi, n), said, view.origin)


def _phantoms(
    cause: int,
    frame: npt.NDArray[np.int64],
    key: npt.NDArray[np.int64],
    place: FloatArray,
    yaw: FloatArray,
    said: npt.NDArray[np.int64],
    origin: FloatArray,
) -> Looks:
    size, n = SIZE_MEAN[said].astype(np.float32), len(frame)
    away = (place - origin).astype(np.float32)
    none = np.zeros(n, np.float32)
    return Looks(
        frame=frame,
        key=key,
        object_id=np.full(n, -1),
        cause=np.full(n, cause, np.uint8),
        centre=np.column_stack([place, 0.5 * size[:, 2]]).astype(np.float32),
        yaw=yaw.astype(np.float32),
        size=size,
        velocity=np.zeros((n, 2), np.float32),
        group=GROUP_OF_CLASS[said],
        said=said,
        distance=np.maximum(np.hypot(away[:, 0], away[:, 1]), 0.5),
        azimuth=np.arctan2(away[:, 1], away[:, 0]),
        visible=np.ones(n, np.float32),
        sr=none,
        crowded=none,
    )


def _squared(eye: FloatArray, place: FloatArray) -> npt.NDArray[np.float32]:
    """(P, T) squared distances, m2, of places (P, 2) from each of (T, 2)."""
    middle = eye.mean(axis=0)
    p, e = (place - middle).astype(np.float32), (eye - middle).astype(np.float32)
    squared = p @ (-2 * e.T)
    squared += (e * e).sum(axis=1)
    squared += (p * p).sum(axis=1)[:, None]
    return np.asarray(np.maximum(squared, 0.0, out=squared))
