"""Everything of a scenario that stands still: one mesh, and the lamps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nodes.simulator.scenario.road import Road
from nodes.simulator.scenario.road_surface import road_surface
from nodes.simulator.scenario.settings import Scenario
from nodes.simulator.scenario.surface import GRASS, PAVING, ground
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.world import Lamp


class Scenery(NamedTuple):
    mesh: Mesh
    lamps: tuple[Lamp, ...]


def scenery(scenario: Scenario, road: Road, rng: np.random.Generator) -> Scenery:
    """The static part of a world."""
    paved = scenario.surroundings.paved
    below = ground([road.middle], "pavement" if paved else "grass", PAVING if paved else GRASS)
    return Scenery(Mesh.joined([below, road_surface(road)]), ())
