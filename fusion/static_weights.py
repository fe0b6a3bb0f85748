"""Weighers whose weights do not follow what happens: learned once for all, or set by hand."""

from __future__ import annotations

import dataclasses

import numpy as np

from fusion.beliefs import Expected, as_learned, belief_table
from fusion.measurements import FloatArray, Measurements
from fusion.noise import Nominal
from fusion.weigher import Encounter, Shares, Verdict, as_stated
from pipeline.core.messages import FrameSet
from pipeline.core.settings import Settings


class StaticSettings(Settings, frozen=True, tag_field="method", tag="static"):
    """Nothing to set: all of it is fitted (`fusion.beliefs`)."""


class ConstantSettings(Shares, frozen=True, tag_field="method", tag="constants"):
    """Hard-coded trust, as Apollo has it. camera_trust, lidar_trust, radar_trust: factors on the precision of a place
    known to ``sigma_m``, whatever the detector states, and on what is said of the class.
    """

    camera_trust: float = 0.8
    lidar_trust: float = 0.9
    radar_trust: float = 0.6
    sigma_m: float = 0.6


class Static(Nominal):
    """Learned weights per kind of sensor and class said; a sensor that fails keeps its weight."""

    def __init__(self, settings: StaticSettings) -> None:
        super().__init__(Shares())
        self._table = belief_table()

    def expect(self, z: Measurements, frames: FrameSet) -> Measurements:
        return as_learned(z, Expected(self._table, z, frames))

    def weigh(self, met: Encounter) -> Verdict:
        white = Expected(self._table, met.z, met.frames).white
        return dataclasses.replace(as_stated(met, self._shares), white=white)


class Constants(Nominal):
    def __init__(self, settings: ConstantSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def expect(self, z: Measurements, frames: FrameSet) -> Measurements:
        R = z.R.copy()
        R[:, :2, :2] = (self._settings.sigma_m**2 / self._trust(z, frames))[:, None, None] * np.eye(2)
        return dataclasses.replace(z, R=R)

    def weigh(self, met: Encounter) -> Verdict:
        return dataclasses.replace(as_stated(met, self._shares), class_trust=self._trust(met.z, met.frames))

    def _trust(self, z: Measurements, frames: FrameSet) -> FloatArray:
        s = self._settings
        trust = {"camera": s.camera_trust, "lidar": s.lidar_trust, "radar": s.radar_trust}
        return np.array([trust[slot.modality] for slot in frames.slots])[z.sensor]
