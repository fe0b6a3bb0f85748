from __future__ import annotations

from pathlib import Path

import pytest

from calibration.rig import Rig
from nodes.simulator.detections.random_traffic import random_traffic
from nodes.simulator.world.world import World
from pipeline.core.settings import load_yaml


@pytest.fixture(scope="session")
def rig() -> Rig:
    return load_yaml(Path(__file__).resolve().parents[5] / "configs" / "rigs" / "demo.yaml", Rig)


@pytest.fixture(scope="session")
def traffic() -> World:
    return random_traffic(2, 8.0)
