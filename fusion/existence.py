"""Whether a track is there: evidence for and against, and where each sensor can see at all.

Evidence is a log-odds. Successive frames are not independent (a pole that looks like a person does so again a tenth of
a second later, a hidden car stays hidden), so it is low-passed instead of summed: within the time constant it follows
``gain`` times the evidence of one frame set, over all sensors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from calibration.se3 import SE3
from fusion.measurements import BoolArray, FloatArray, IntArray
from fusion.per_sensor import PerSensor
from fusion.tracks import Tracks
from pipeline.core.settings import Settings

_AZIMUTHS = 36
_RANGES = np.array([25.0, 50.0])  # m, borders between near, middle and far
_CELLS = _AZIMUTHS * (len(_RANGES) + 1)
_FEW = 4.0  # detections that the prior detection probability is worth


class ExistenceSettings(Settings, frozen=True):
    """detection: probability that an object in view of a sensor is detected, before the sensor has shown its own.

    birth_score: weakest detection that starts a track. publish, death: existence from which a track is published, and
    below which it ends; max_coast_s: it also ends after so long without a detection.
    time_constant_s, gain: see the module. miss_weight: how much a sensor's miss counts where another sees the object.
    memory_s: how long a sensor's detection probabilities remember; teacher: evidence from which a track's detections
    and misses count for them. shadow: share of the detection probability that a nearer object in the line of sight
    takes away.
    """

    detection: float = 0.3
    birth_score: float = 0.2
    publish: float = 0.1
    death: float = 0.03
    max_coast_s: float = 2.0
    time_constant_s: float = 0.5
    gain: float = 1.5
    miss_weight: float = 0.4
    memory_s: float = 5.0
    teacher: float = 1.0
    shadow: float = 0.8


class Looks(NamedTuple):
    """Who looked at M tracks with S sensors, and saw what.

    looked (S,): the sensor's detections are there. hit (M, S): it detected the track; odds (M, S): with these log-odds,
    0 elsewhere. visible (M, S): in its field of view. hidden (M,): behind a nearer track, 0..1. detection (M, S):
    probability that a sensor that looked would have detected the track, were it there.
    """

    looked: BoolArray
    hit: BoolArray
    odds: FloatArray
    visible: BoolArray
    hidden: FloatArray
    detection: FloatArray


class Visibility:
    """Learned probability that a sensor detects an object, by azimuth and range in the ego frame.

    Nobody has to tell the fields of view, and a sensor that dies soon counts as one that sees nothing.
    ``counts`` holds (cells, 2) per sensor: how often it detected there, and how often it looked, decayed.
    """

    def __init__(self, settings: ExistenceSettings) -> None:
        self._settings = settings
        self.counts = PerSensor(np.zeros((_CELLS, 2)))

    def detection(self, sensors: tuple[str, ...], cell: IntArray) -> FloatArray:
        """(M, S) probability for tracks in these cells (`cells`)."""
        row = self.counts.rows(sensors)
        seen = self.counts.values[row[None, :], cell[:, None]]
        return np.asarray((seen[..., 0] + _FEW * self._settings.detection) / (seen[..., 1] + _FEW))

    def learn(
        self, sensors: tuple[str, ...], cell: IntArray, detected: BoolArray, visible: BoolArray, dt: float
    ) -> None:
        """Count tracks that are known to be there; detected (M, S), visible (M, S) = in the field of view."""
        row = self.counts.rows(sensors)
        at = row[None, :] * _CELLS + cell[:, None]
        counts = self.counts.values.reshape(-1, 2)
        counts *= np.exp(-dt / self._settings.memory_s)
        counts[:, 0] += np.bincount(at[detected], minlength=len(counts))
        counts[:, 1] += np.bincount(at[visible | detected], minlength=len(counts))


def frame_evidence(looks: Looks, settings: ExistenceSettings) -> FloatArray:
    """(M,) log-odds that one frame set brings, over all sensors."""
    return np.asarray(evidence_by_sensor(looks, settings)[:, looks.looked].sum(axis=1))


def evidence_by_sensor(looks: Looks, settings: ExistenceSettings) -> FloatArray:
    """(M, S) log-odds that each sensor brings, of which those that looked count."""
    outvoted = np.where(looks.hit.any(axis=1), settings.miss_weight, 1.0)[:, None]
    missed = outvoted * np.log1p(-np.minimum(looks.detection, 0.99))
    return np.where(looks.hit, looks.odds, missed)


def attention(looks: Looks) -> FloatArray:
    """(M,) probability that any sensor would have seen the track."""
    in_view = (looks.visible & looks.looked).any(axis=1)
    return np.where(looks.hit.any(axis=1), 1.0, in_view * (1.0 - looks.hidden))


def cells(position: FloatArray) -> IntArray:
    """(M,) cell of `Visibility` for positions (M, 3) in the ego frame."""
    turn = np.arctan2(position[:, 1], position[:, 0]) / (2.0 * np.pi) + 0.5
    azimuth = np.minimum((turn * _AZIMUTHS).astype(np.int64), _AZIMUTHS - 1)
    return azimuth * (len(_RANGES) + 1) + np.searchsorted(_RANGES, np.hypot(position[:, 0], position[:, 1]))


def in_ego(tracks: Tracks, odom_SE3_ego: SE3) -> FloatArray:
    """(M, 3) positions in the ego frame."""
    return (tracks.mean[:, :3] - odom_SE3_ego.translation) @ odom_SE3_ego.rotation


def shadowed(position: FloatArray, size: FloatArray, solid: BoolArray) -> FloatArray:
    """(M,) share of each object's width, seen from the ego, that lies behind a nearer ``solid`` one, 0..1.

    position (M, 3) in the ego frame, size (M, 3).
    """
    azimuth = np.arctan2(position[:, 1], position[:, 0])
    distance = np.maximum(np.hypot(position[:, 0], position[:, 1]), 1.0)
    half = 0.35 * (size[:, 0] + size[:, 1]) / distance / 2.0 + 1e-3
    apart = azimuth[:, None] - azimuth[solid]
    apart = np.abs((apart + np.pi) % (2.0 * np.pi) - np.pi)
    behind = distance[:, None] > distance[solid] + 1.0
    overlap = np.clip((half[:, None] + half[solid] - apart) / (2.0 * half[:, None]), 0.0, 1.0)
    return np.asarray(np.max(overlap * behind, axis=1, initial=0.0))


def follow(
    evidence: FloatArray, frame_evidence: FloatArray, looked: FloatArray, dt: float, settings: ExistenceSettings
) -> FloatArray:
    """Low-pass of the evidence; arrays (M,). looked: probability that any sensor would have seen the object."""
    share = looked * news(dt, settings)
    return np.asarray(evidence + share * (settings.gain * frame_evidence - evidence))


def news(dt: float, settings: ExistenceSettings) -> float:
    """Share of the evidence that a frame set replaces after ``dt`` seconds, where something was to be seen."""
    return float(1.0 - np.exp(-dt / settings.time_constant_s))


def probability(evidence: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-evidence)))


def log_odds(probability: float) -> float:
    return float(np.log(probability / (1.0 - probability)))
