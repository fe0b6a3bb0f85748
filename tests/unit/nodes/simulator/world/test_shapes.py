"""Shapes fill their boxes, are closed and face outwards, so that a camera, a LiDAR and a radar meet the same body."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.simulator.world.bodies.primitives import PAINT, ellipsoid, slab, tube, wheel
from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.shapes import SHAPE_NAMES, shape
from pipeline.core.messages import CLASSES


def volume(of: Mesh) -> float:
    """Signed; positive where the triangles face outwards."""
    a, b, c = np.moveaxis(of.vertices[of.triangles.astype(np.int64)].astype(np.float64), 1, 0)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)


def open_edges(of: Mesh) -> int:
    """Edges that are not walked once in each direction, by position."""
    place = np.unique(np.rint(of.vertices * 1e5), axis=0, return_inverse=True)[1].reshape(-1)
    corner = place[of.triangles.astype(np.int64)]
    edge = np.stack([corner, np.roll(corner, -1, axis=1)], axis=-1).reshape(-1, 2)
    there = {tuple(e) for e in edge.tolist()}
    return sum((b, a) not in there for a, b in there)


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_a_shape_fills_its_box_and_stays_within_it(name: str) -> None:
    of = shape(name)
    every = np.concatenate([phase.vertices for phase in of.phases])
    length, width, height = of.size
    assert np.allclose(every.min(axis=0), [-length / 2, -width / 2, 0.0], atol=1e-3)
    assert np.allclose(every.max(axis=0), [length / 2, width / 2, height], atol=1e-3)


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_a_shape_is_of_a_class_and_of_moderate_size_and_faces_outwards(name: str) -> None:
    of = shape(name)
    assert of.kind in CLASSES
    for phase in of.phases:
        assert 100 < len(phase.triangles) < 3500
        assert volume(phase) > 0.0
        assert len(phase.material) == len(phase.colour) == len(phase.triangles)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (slab((0, 0, 0), (1, 2, 3), PAINT), 6.0),
        (slab((0, 0, 0), (1, 1, 1), PAINT, 0.1), 0.95),
        (tube((0, 0, 0), (0, 0, 2), (0.1, 0.1), PAINT, 24), 2 * np.pi * 0.01),
        (ellipsoid((0, 0, 0), (1, 1, 1), PAINT, 24, 24), 4 / 3 * np.pi),
        (wheel((0, 0, 0), 0.3, 0.2), 0.05),
    ],
)
def test_a_part_is_closed_and_holds_its_volume(part: Mesh, expected: float) -> None:
    assert open_edges(part) == 0
    assert volume(part) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", ["sedan", "hatchback", "suv", "van", "pickup", "box_truck", "lorry", "tractor", "bus"])
def test_a_vehicle_shows_lamps_in_front_and_behind_glass_and_tyres(name: str) -> None:
    body = shape(name).phases[0]
    middle = body.vertices[body.triangles.astype(np.int64)].mean(axis=1)
    assert middle[body.material == MATERIAL_ID["headlamp"], 0].min() > 0.0
    assert middle[body.material == MATERIAL_ID["tail_lamp"], 0].max() < 0.0
    assert (body.material == MATERIAL_ID["glass"]).any()
    assert middle[body.material == MATERIAL_ID["tyre"], 2].max() < 1.2


def test_legs_of_a_walker_part_and_meet_again() -> None:
    of = shape("adult")
    assert of.stride > 0.0
    spread = [float(np.ptp(phase.vertices[phase.vertices[:, 2] < 0.15][:, 0])) for phase in of.phases]
    assert max(spread) > 1.5 * min(spread)
