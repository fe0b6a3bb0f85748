"""Levels of detail: fewer triangles, nothing outside of what was there, and no thinner people."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nodes.simulator.sensors.camera import CameraRenderer
from nodes.simulator.sensors.render.detail import CELLS, level, simplified
from nodes.simulator.world.environment import Light
from nodes.simulator.world.shapes import SHAPE_NAMES, shape
from tests.simulated import actor, straight, street_world
from tests.unit.nodes.simulator.sensors.test_camera import camera


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_a_coarser_mesh_has_fewer_triangles_and_lies_within_the_old_one(name: str) -> None:
    mesh = shape(name).phases[0]
    coarse = [simplified(mesh, cell) for cell in CELLS]
    assert coarse[0] is mesh
    counts = [len(of.triangles) for of in coarse]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 0.7 * counts[0]
    for of in coarse:
        assert (of.vertices.min(axis=0) >= mesh.vertices.min(axis=0) - 1e-5).all()
        assert (of.vertices.max(axis=0) <= mesh.vertices.max(axis=0) + 1e-5).all()
        assert set(of.material.tolist()) <= set(mesh.material.tolist())


def test_detail_goes_with_distance_and_not_before_a_pixel_is_wider() -> None:
    chosen = [level(d, 380.0) for d in np.linspace(0.0, 300.0, 100)]
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert chosen[-1] == len(CELLS) - 1
    assert level(-1.0, 380.0) == 0


def test_a_lamp_that_shines_into_the_lens_glows_around_itself() -> None:
    oncoming = actor(3, "sedan", straight((60.0, 2.0), np.pi, 10.0))
    night = Light(sun_elevation=-0.35)
    glowing = dataclasses.replace(street_world(actors=(oncoming,)), light=night)
    dark = dataclasses.replace(street_world(actors=()), light=night)
    lit, unlit = (CameraRenderer(world, camera()).frame(0.5) for world in (glowing, dark))
    v, u = np.nonzero(lit.object_id == 3)
    above = slice(v.min() - 8, v.min() - 1), slice(u.min(), u.max() + 1)
    assert (lit.object_id[above] != 3).all()
    assert lit.image_bgr[above].mean() > unlit.image_bgr[above].mean() + 15.0
