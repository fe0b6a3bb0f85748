"""How far each sensor's stated covariance is believed: as given, adapted to its innovations, or by intersection.

nominal: as the detectors say.

adaptive: R is estimated from what is left of each residual after the update, as v v' + H P H' (residual-based
estimation: Mohamed and Schwarz 1999), one factor per sensor, kind of object and axis (along and across the line of
sight), with a bounded memory and bounded values; an outlier's covariance is inflated until its pull is that of one on
the bound (Huber). Residuals before the update would blame whichever of two quarrelling sensors is the more exact;
those after it stay small for that one.

intersection: the sensors' errors within a frame set are taken as correlated in an unknown way (Julier and Uhlmann
1997), with the weights of Niehsen (2002).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from fusion.kalman import Innovation
from fusion.measurements import FloatArray, IntArray, Measurements
from fusion.per_sensor import PerSensor
from fusion.tracks import IS_VEHICLE
from pipeline.core.messages import FrameSet
from pipeline.core.settings import Settings

_KINDS = 2  # vehicles and the rest


class NoiseSettings(Settings, frozen=True):
    """camera, lidar, radar: share of the stated variance that differs from one detection of an object to the next; the
    rest is the same for long (the side that is seen, a cut box), moves with the object and is not averaged out.
    Half the mean square of differences over the mean square is 0.11-0.29 for PandaSet's LiDARs and 0.35-0.47 for its
    camera ahead, whose share is set higher because its errors have long tails. No labels with identities show a radar:
    its share was chosen by Astyx' fused AP, of a few.
    memory: matched detections that the adaptive factors remember; low, high: bounds of the factors, in variance.
    settled_age: frame sets after which a track teaches. robust_sigmas: from which distance on a detection counts as an
    outlier (adaptive only).
    """

    method: Literal["nominal", "adaptive", "intersection"] = "nominal"
    camera: float = 0.7
    lidar: float = 0.25
    radar: float = 0.15
    memory: float = 60.0
    low: float = 0.25
    high: float = 100.0
    settled_age: int = 5
    robust_sigmas: float = 4.0


class NoiseModel:
    """``factors`` holds (kinds, 2) per sensor: factors of its variance along and across the line of sight."""

    def __init__(self, settings: NoiseSettings) -> None:
        self.settings = settings
        self.factors = PerSensor(np.ones((_KINDS, 2)))

    def believed(self, z: Measurements, sensors: tuple[str, ...]) -> Measurements:
        """The detections with the position covariance that is believed."""
        if self.settings.method != "adaptive":
            return z
        row = self.factors.rows(sensors)[z.sensor]
        factor = self.factors.values[row, _kind(z)]  # (N, 2)
        axes = _sight_axes(z)
        stretch = np.zeros((len(z), 3, 3))
        stretch[:, :2, :2] = np.swapaxes(axes, 1, 2) @ (np.sqrt(factor)[:, :, None] * axes)
        stretch[:, 2, 2] = 1.0
        R = z.R.copy()
        R[:, :3, :3] = stretch @ R[:, :3, :3] @ np.swapaxes(stretch, 1, 2)
        return dataclasses.replace(z, R=R)

    def white(self, frames: FrameSet) -> FloatArray:
        """(S,) share of each sensor's variance that is new with every detection."""
        share = {"camera": self.settings.camera, "lidar": self.settings.lidar, "radar": self.settings.radar}
        return np.array([share[slot.modality] for slot in frames.slots])

    def trust(self, seen: Innovation, track: IntArray) -> FloatArray:
        """(N,) factor on the precision of innovation i, which goes into track[i]."""
        if self.settings.method == "adaptive":
            sigmas = np.sqrt(np.maximum(seen.distance(), 1e-12))
            return np.asarray(np.minimum(self.settings.robust_sigmas / sigmas, 1.0))
        if self.settings.method == "intersection":
            precision = 1.0 / (seen.R[:, 0, 0] + seen.R[:, 1, 1])
            return np.asarray(precision / np.bincount(track, precision)[track])
        return np.ones(len(track))

    def learn(self, z: Measurements, left: Innovation, sensors: tuple[str, ...]) -> None:
        """Move the factors of each sensor towards (v v' + H P H') / R, where v and P are those after the update."""
        if self.settings.method != "adaptive" or len(z) == 0:
            return
        axes = _sight_axes(z)
        residual = np.einsum("nai,ni->na", axes, left.residual[:, :2])
        stated = np.einsum("nai,nij,naj->na", axes, z.R[:, :2, :2], axes)
        predicted = np.einsum("nai,nij,naj->na", axes, (left.S - left.R)[:, :2, :2], axes)
        row = self.factors.rows(sensors)[z.sensor] * _KINDS + _kind(z)
        factors = self.factors.values.reshape(-1, 2)  # a view; its rows are sensor and kind
        found = _sums(row, residual**2 + predicted, len(factors))
        count = np.bincount(row, minlength=len(factors))[:, None]
        # z holds the believed R, which is factor times the stated one
        wanted = factors * found / np.maximum(_sums(row, stated, len(factors)), 1e-12)
        share = 1.0 - np.exp(-count / self.settings.memory)
        factors += np.where(count > 0, share * (wanted - factors), 0.0)
        np.clip(factors, self.settings.low, self.settings.high, out=factors)


def _sums(row: IntArray, values: FloatArray, rows: int) -> FloatArray:
    """(rows, 2) sums of the values (N, 2) that belong to each row."""
    return np.stack([np.bincount(row, values[:, axis], rows) for axis in (0, 1)], axis=1)


def _kind(z: Measurements) -> IntArray:
    return (z.class_prob @ IS_VEHICLE <= 0.5).astype(np.int64)


def _sight_axes(z: Measurements) -> FloatArray:
    """(N, 2, 2) unit vectors in the plane: along the line of sight, and across it."""
    along = z.sight / np.maximum(np.hypot(z.sight[:, 0], z.sight[:, 1]), 1e-9)[:, None]
    return np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=1)
