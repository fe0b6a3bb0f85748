"""Paths are smooth, and lengths along them are lengths on the ground."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.simulator.scenario.path import Path, Piece

BEND = Path.of([Piece(30.0), Piece(20.0, 0.0, 0.02), Piece(60.0, 0.02, 0.02), Piece(20.0, 0.02, 0.0), Piece(30.0)])


def test_an_arc_lies_on_its_circle() -> None:
    arc = Path.of([Piece(np.pi * 25.0, 0.02, 0.02)], 3.0, -1.0, 0.0)
    np.testing.assert_allclose(np.hypot(arc.x - 3.0, arc.y - 49.0), 50.0, atol=1e-9)
    end = arc.at(arc.length)
    np.testing.assert_allclose([end.x, end.y, end.heading], [53.0, 49.0, np.pi / 2], atol=1e-9)


@pytest.mark.parametrize("path", [BEND, BEND.beside(-6.0), BEND.beside(8.0).reversed(), BEND.part(10.0, 200.0)])
def test_the_tangent_is_the_heading_and_has_unit_length(path: Path) -> None:
    s, h = np.linspace(1.0, path.length - 1.0, 333), 1e-3
    before, here, after = path.at(s - h), path.at(s), path.at(s + h)
    slope = (after.xy - before.xy) / (2 * h)
    np.testing.assert_allclose(slope, np.stack([np.cos(here.heading), np.sin(here.heading)], axis=1), atol=2e-3)
    np.testing.assert_allclose((after.heading - before.heading) / (2 * h), here.curvature, atol=1e-3)


def test_what_lies_beside_a_path_is_found_there() -> None:
    s, d = np.linspace(5.0, 150.0, 40), np.linspace(-9.0, 9.0, 40)
    place = BEND.at(s)
    found_s, found_d = BEND.project(place.xy + d[:, None] * place.left)
    np.testing.assert_allclose(found_s, s, atol=0.02)
    np.testing.assert_allclose(found_d, d, atol=0.01)


def test_a_parallel_line_inside_a_bend_has_no_place_beyond_its_centre() -> None:
    with pytest.raises(ValueError, match="beside a curve of radius 50"):
        BEND.beside(51.0)


def test_paths_joined_have_the_length_of_both() -> None:
    whole = BEND.part(0.0, 70.3).then(BEND.part(70.3, BEND.length))
    assert whole.length == pytest.approx(BEND.length)
    np.testing.assert_allclose(whole.at(120.0).xy, BEND.at(120.0).xy, atol=1e-4)
