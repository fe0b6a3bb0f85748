"""Boxes as wires, their projection, and the bars of weights."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.camera import KannalaBrandt, Pinhole
from calibration.se3 import SE3
from nodes.view_geometry import height_colors, project_wires, weight_bars, wire_points

LENS = Pinhole(fx=100.0, fy=100.0, cx=99.5, cy=49.5)
FORWARD = SE3(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.zeros(3))  # camera_SE3_ego of a camera looking ahead


def one(x: float, y: float = 0.0, size: tuple[float, float, float] = (4.0, 2.0, 1.5), yaw: float = 0.0) -> np.ndarray:
    return wire_points([[x, y, 0.0]], [size], [yaw])


def test_wire_goes_along_every_edge_of_the_box() -> None:
    wire = one(10.0, 5.0, yaw=0.3)[0]
    local = (SE3.from_yaw(0.3, (10.0, 5.0, 0.0)).inverse() @ wire) / [4.0, 2.0, 1.5]
    np.testing.assert_allclose(np.abs(local).max(axis=0), 0.5)
    on_face = np.isclose(np.abs(local), 0.5).sum(axis=1)
    front = np.isclose(local[:, 0], 0.5)
    assert (on_face[~front] >= 2).all(), "everything but the cross on the front lies on edges"
    assert (on_face[front] == 1).any(), "the front has a cross"
    middles = {
        tuple(np.round(p, 3)) for p in local[np.isclose(np.abs(local), 0.5).sum(axis=1) == 2] if 0 in np.round(p, 3)
    }
    assert len(middles) == 12, "each of the twelve edges has its middle on the line"


def test_projection_is_that_of_the_camera() -> None:
    wire = one(10.0)
    [[strip]] = project_wires(wire, FORWARD, LENS, 200, 100)
    pixels, _ = LENS.project(FORWARD @ wire[0])
    np.testing.assert_allclose(strip, pixels, atol=1e-3)
    assert strip[:, 0].mean() == pytest.approx(99.5, abs=2.0)


def test_what_is_not_in_the_image_is_not_drawn() -> None:
    behind, aside, ahead = one(-10.0), one(10.0, 100.0), one(10.0)
    drawn = project_wires(np.concatenate([behind, aside, ahead]), FORWARD, LENS, 200, 100)
    assert [len(box) for box in drawn] == [0, 0, 1]
    assert project_wires(np.zeros((0, 5, 3)), FORWARD, LENS, 200, 100) == []


@pytest.mark.parametrize("lens", [LENS, KannalaBrandt(fx=60.0, fy=60.0, cx=99.5, cy=49.5)])
def test_box_around_the_camera_is_cut_not_wrapped(lens: Pinhole | KannalaBrandt) -> None:
    [strips] = project_wires(one(3.0, 0.0, (12.0, 2.0, 1.5)), FORWARD, lens, 200, 100)
    assert strips
    assert all(np.isfinite(strip).all() and len(strip) >= 2 for strip in strips)
    assert all(np.abs(strip).max() < 2000 for strip in strips)


def test_bars_stack_to_their_length() -> None:
    weight = np.array([[0.5, 0.0, 0.5], [0.0, 0.0, 0.0], [0.005, 0.995, 0.0]], np.float32)
    base = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    bars = weight_bars(base, np.array([0.0, 0.0, 1.0]), np.full(3, 2.0), weight)
    assert [(bar.object, bar.sensor) for bar in bars] == [(0, 0), (0, 2), (2, 1)]
    np.testing.assert_allclose(bars[0].segment, [[0, 0, 1], [0, 0, 2]])
    np.testing.assert_allclose(bars[1].segment, [[0, 0, 2], [0, 0, 3]])


def test_heights_have_colours_also_far_outside() -> None:
    colors = height_colors(np.array([-100.0, 0.0, 1.0, 1000.0]))
    assert colors.dtype == np.uint8
    assert len({tuple(c) for c in colors}) == 4
