"""What a simulation adds to a rig: how wrong mounting and odometry are. All of it is drawn once per drive."""

from __future__ import annotations

from nodes.simulator.odometry import OdometrySettings
from pipeline.core.settings import Settings


class MountingSettings(Settings, frozen=True):
    """By how much a sensor sits elsewhere than its rig says, 1-sigma: m along each axis, rad about each."""

    position: float = 0.01
    angle: float = 0.0015


class SimulationSettings(Settings, frozen=True):
    odometry: OdometrySettings = OdometrySettings()
    mounting: MountingSettings = MountingSettings()
