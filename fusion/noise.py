"""Weighers without training: covariances as stated, adapted to the innovations, or intersected.

`Nominal`: as the detectors say.

`Adaptive`: R is estimated from what is left of each residual after the update, as v v' + H P H' (residual-based
estimation: Mohamed and Schwarz 1999), one factor per sensor, kind of object and axis (along and across the line of
sight), with a bounded memory and bounded values; an outlier's covariance is inflated until its pull is that of one on
the bound (Huber). Residuals before the update would blame whichever of two quarrelling sensors is the more exact;
those after it stay small for that one.

`Intersection`: the sensors' errors within a frame set are taken as correlated in an unknown way (Julier and Uhlmann
1997), with the weights of Niehsen (2002).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np

from fusion.beliefs import Expected, as_learned, belief_table, stretched
from fusion.kalman import Innovation
from fusion.measurements import FloatArray, IntArray, Measurements
from fusion.per_sensor import PerSensor
from fusion.sight import sight_axes
from fusion.tracks import IS_VEHICLE
from fusion.weigher import Encounter, Shares, Verdict, as_stated
from pipeline.core.messages import FrameSet

_KINDS = 2  # vehicles and the rest


class NominalSettings(Shares, frozen=True, tag_field="method", tag="nominal"):
    """Nothing to set but the shares."""


class AdaptiveSettings(Shares, frozen=True, tag_field="method", tag="adaptive"):
    """start: the factors are those of the covariance as stated, or as learned once for all (`fusion.beliefs`).
    memory: matched detections that the factors remember; low, high: bounds of the factors, in variance.
    settled_age: frame sets after which a track teaches. robust_sigmas: from which distance on a detection counts as an
    outlier.
    """

    start: Literal["stated", "learned"] = "stated"
    memory: float = 60.0
    low: float = 0.25
    high: float = 100.0
    settled_age: int = 5
    robust_sigmas: float = 4.0


class IntersectionSettings(Shares, frozen=True, tag_field="method", tag="intersection"):
    """Nothing to set but the shares."""


class Nominal:
    """A `Weigher` that believes what it is told."""

    memory = 0

    def __init__(self, settings: Shares) -> None:
        self._shares = settings
        self.sensors = PerSensor(np.zeros(0))

    def expect(self, z: Measurements, frames: FrameSet) -> Measurements:
        return z

    def weigh(self, met: Encounter) -> Verdict:
        return as_stated(met, self._shares)

    def learn(self, met: Encounter, left: Callable[[], Innovation]) -> None:
        """Nothing."""


class Intersection(Nominal):
    def weigh(self, met: Encounter) -> Verdict:
        precision = 1.0 / (met.seen.R[:, 0, 0] + met.seen.R[:, 1, 1])
        return as_stated(met, self._shares, np.asarray(precision / np.bincount(met.row, precision)[met.row]))


class Adaptive:
    """``sensors`` holds (kinds, 2) each: factors of its variance along and across the line of sight."""

    memory = 0

    def __init__(self, settings: AdaptiveSettings) -> None:
        self._settings = settings
        self._learned = belief_table() if settings.start == "learned" else None
        self.sensors = PerSensor(np.ones((_KINDS, 2)))

    def expect(self, z: Measurements, frames: FrameSet) -> Measurements:
        if self._learned is not None:
            z = as_learned(z, Expected(self._learned, z, frames))
        row = self.sensors.rows(tuple(slot.sensor for slot in frames.slots))[z.sensor]
        return dataclasses.replace(z, R=stretched(z, self.sensors.values[row, _kind(z)]))

    def weigh(self, met: Encounter) -> Verdict:
        sigmas = np.sqrt(np.maximum(met.seen.distance(), 1e-12))
        verdict = as_stated(met, self._settings, np.asarray(np.minimum(self._settings.robust_sigmas / sigmas, 1.0)))
        if self._learned is None:
            return verdict
        return dataclasses.replace(verdict, white=Expected(self._learned, met.z, met.frames).white)

    def learn(self, met: Encounter, left: Callable[[], Innovation]) -> None:
        """Move the factors of each sensor towards (v v' + H P H') / R, where v and P are those after the update.

        Young tracks do not teach: their velocity still holds whatever their first detections disagreed on.
        """
        settled = met.tracks.age[met.row] >= self._settings.settled_age
        if not settled.any():
            return
        z, after = met.z.take(settled), left().take(settled)
        axes = sight_axes(z.sight)
        residual = np.einsum("nai,ni->na", axes, after.residual[:, :2])
        stated = np.einsum("nai,nij,naj->na", axes, z.R[:, :2, :2], axes)
        predicted = np.einsum("nai,nij,naj->na", axes, (after.S - after.R)[:, :2, :2], axes)
        row = self.sensors.rows(tuple(s.sensor for s in met.frames.slots))[z.sensor] * _KINDS + _kind(z)
        factors = self.sensors.values.reshape(-1, 2)  # a view; its rows are sensor and kind
        found = _sums(row, residual**2 + predicted, len(factors))
        count = np.bincount(row, minlength=len(factors))[:, None]
        # z holds the believed R, which is factor times the stated one
        wanted = factors * found / np.maximum(_sums(row, stated, len(factors)), 1e-12)
        share = 1.0 - np.exp(-count / self._settings.memory)
        factors += np.where(count > 0, share * (wanted - factors), 0.0)
        np.clip(factors, self._settings.low, self._settings.high, out=factors)


def _sums(row: IntArray, values: FloatArray, rows: int) -> FloatArray:
    """(rows, 2) sums of the values (N, 2) that belong to each row."""
    return np.stack([np.bincount(row, values[:, axis], rows) for axis in (0, 1)], axis=1)


def _kind(z: Measurements) -> IntArray:
    return (z.class_prob @ IS_VEHICLE <= 0.5).astype(np.int64)
