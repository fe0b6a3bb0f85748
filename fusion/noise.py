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
import numpy.typing as npt

from fusion.kalman import FloatArray, Innovation
from fusion.measurements import IntArray, Measurements
from fusion.tracks import IS_VEHICLE
from pipeline.core.settings import Settings

_KINDS = 2  # vehicles and the rest


class NoiseSettings(Settings, frozen=True):
    """memory: matched detections that the adaptive factors remember; low, high: bounds of the factors, in variance.

    robust_sigmas: from which distance on a detection counts as an outlier (adaptive only).
    """

    method: Literal["nominal", "adaptive", "intersection"] = "nominal"
    memory: float = 60.0
    low: float = 0.25
    high: float = 100.0
    robust_sigmas: float = 2.5


class NoiseModel:
    """The adaptive factors of all sensors seen so far: ``factors[sensor]`` is (kinds, 2) for along and across."""

    def __init__(self, settings: NoiseSettings) -> None:
        self.settings = settings
        self.factors: dict[str, FloatArray] = {}

    def believed(self, z: Measurements, sensors: tuple[str, ...]) -> Measurements:
        """The detections with the position covariance that is believed."""
        if self.settings.method != "adaptive" or len(z) == 0:
            return z
        factor = np.stack([self._of(name) for name in sensors])[z.sensor, _kind(z)]  # (N, 2)
        axes = _sight_axes(z)
        stretch = np.zeros((len(z), 3, 3))
        stretch[:, :2, :2] = np.einsum("nai,na,naj->nij", axes, np.sqrt(factor), axes)
        stretch[:, 2, 2] = 1.0
        return dataclasses.replace(z, position_cov=stretch @ z.position_cov @ np.swapaxes(stretch, 1, 2))

    def shared(self, z: Measurements, track: IntArray) -> Measurements:
        """Matched detections, row i of track track[i], with covariances such that those of one track may be summed."""
        if self.settings.method != "intersection" or len(z) == 0:
            return z
        precision = 1.0 / np.trace(z.position_cov[:, :2, :2], axis1=1, axis2=2)
        total = np.zeros(int(track.max()) + 1)
        np.add.at(total, track, precision)
        inflation = total[track] / precision  # 1 / omega
        return dataclasses.replace(
            z,
            position_cov=z.position_cov * inflation[:, None, None],
            velocity_cov=z.velocity_cov * inflation[:, None, None],
            radial_sigma=z.radial_sigma * np.sqrt(inflation),
        )

    def robust(self, seen: Innovation) -> Innovation:
        """Inflate what lies beyond `robust_sigmas` so that its influence stays that of the gate."""
        if self.settings.method != "adaptive":
            return seen
        distance, _ = seen.whitened()
        excess = np.maximum(np.sqrt(distance) / self.settings.robust_sigmas, 1.0)[:, None, None]
        R = np.where(_both(seen.present), seen.R * excess, seen.R)
        return seen._replace(R=R, S=seen.S + (R - seen.R))

    def learn(self, z: Measurements, left: Innovation, sensors: tuple[str, ...]) -> None:
        """Move the factors of each sensor towards (v v' + H P H') / R, where v and P are those after the update."""
        if self.settings.method != "adaptive" or len(z) == 0:
            return
        axes = _sight_axes(z)
        residual = np.einsum("nai,ni->na", axes, left.residual[:, :2])
        stated = np.einsum("nai,nij,naj->na", axes, z.position_cov[:, :2, :2], axes)
        predicted = np.einsum("nai,nij,naj->na", axes, (left.S - left.R)[:, :2, :2], axes)
        found = residual**2 + predicted
        kind = _kind(z)
        for index, name in enumerate(sensors):
            factor = self._of(name)
            for k in range(_KINDS):
                mine = (z.sensor == index) & (kind == k)
                count = int(mine.sum())
                if count == 0:
                    continue
                share = 1.0 - np.exp(-count / self.settings.memory)
                # believed R is factor * stated, and z holds the believed one
                wanted = factor[k] * (found[mine].sum(axis=0) / stated[mine].sum(axis=0))
                factor[k] = np.clip((1 - share) * factor[k] + share * wanted, self.settings.low, self.settings.high)

    def _of(self, sensor: str) -> FloatArray:
        return self.factors.setdefault(sensor, np.ones((_KINDS, 2)))


def _kind(z: Measurements) -> npt.NDArray[np.int64]:
    return (z.class_prob @ IS_VEHICLE <= 0.5).astype(np.int64)


def _sight_axes(z: Measurements) -> FloatArray:
    """(N, 2, 2) unit vectors in the plane: along the line of sight, and across it."""
    along = z.line_of_sight / np.maximum(np.linalg.norm(z.line_of_sight, axis=1), 1e-9)[:, None]
    return np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=1)


def _both(present: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return np.asarray(present[:, :, None] & present[:, None, :])
