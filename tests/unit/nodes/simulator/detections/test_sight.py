"""What hides what, and what persists."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.sight import gap_to_neighbour, hidden, sight, solid_angle
from nodes.simulator.detections.walls import Walls
from nodes.simulator.world.mesh import Mesh, box

CAR, LORRY, PERSON = (4.5, 1.8, 1.5), (12.0, 2.5, 3.9), (0.6, 0.6, 1.75)


def share_hidden(*boxes: tuple[tuple[float, float], tuple[float, float, float]]) -> np.ndarray:
    """Hidden shares of boxes at (x, y) with these sizes, heading along x, from a sensor 1.8 m above the origin."""
    size = np.array([s for _, s in boxes])
    centre = np.column_stack([np.array([at for at, _ in boxes]), size[:, 2] / 2])
    seen = sight(centre[None], np.zeros((1, len(boxes))), size, np.array([0.0, 0.0, 1.8]))
    return hidden(seen)[0]


def test_a_lorry_hides_the_car_behind_it_and_the_car_hides_nothing_of_the_lorry() -> None:
    assert share_hidden(((15.0, 0.0), LORRY), ((40.0, 0.0), CAR)) == pytest.approx([0.0, 1.0])


def test_over_the_roof_of_a_car_the_top_of_a_lorry_is_seen() -> None:
    car, lorry = share_hidden(((15.0, 0.0), CAR), ((40.0, 0.0), LORRY))
    assert car == 0.0
    assert 0.1 < lorry < 0.6


@pytest.mark.parametrize("distance", [0.0, 1e-9, 0.5])
def test_what_touches_the_sensor_fills_half_a_sphere_at_most(distance: float) -> None:
    size = np.array([LORRY])
    seen = sight(np.array([[[distance, 0.0, 1.95]]]), np.zeros((1, 1)), size, np.array([0.0, 0.0, 1.8]))
    assert 0.0 < solid_angle(seen, size).item() <= 2 * np.pi


def test_what_stands_beside_is_not_hidden() -> None:
    assert share_hidden(((15.0, 4.0), LORRY), ((40.0, -3.0), CAR)) == pytest.approx([0.0, 0.0])


def test_half_behind_an_edge_is_hidden_in_part() -> None:
    _, person = share_hidden(((15.0, 2.0), LORRY), ((30.0, 0.0), (0.6, 3.0, 1.75)))
    assert 0.2 < person < 0.8


def test_neighbours_and_loners() -> None:
    centre = np.array([[0.0, 0.0, 1.0], [0.0, 1.2, 1.0], [50.0, 0.0, 1.0]])
    gap = gap_to_neighbour(centre, np.array([PERSON, PERSON, PERSON]))
    assert gap == pytest.approx([0.6, 0.6, 49.4], abs=0.02)


def test_a_wall_hides_and_a_low_kerb_does_not() -> None:
    path = np.array([[0.0, 0.0], [1.0, 0.0]])
    wall = box((10.0, 1.0, 6.0), "brick", (1, 2, 3), centre=(20.0, 0.0))
    kerb = box((10.0, 1.0, 0.2), "concrete", (1, 2, 3), centre=(20.0, 0.0))
    eye, behind, beside = np.zeros((1, 2)), np.array([[40.0, 0.0]]), np.array([[40.0, 25.0]])
    half = np.array([1.0])
    assert Walls(wall, path).open(eye, behind, half) == 0.0
    assert Walls(wall, path).open(eye, beside, half) == 1.0
    assert Walls(kerb, path).open(eye, behind, half) == 1.0
    assert Walls(Mesh.joined([]), path).open(eye, behind, half) == 1.0


def test_latents_are_standard_normal_and_persist_along_an_object_only() -> None:
    frames, objects = 400, 200
    key = np.repeat(np.arange(objects), frames)
    frame = np.tile(np.arange(frames), objects)
    z = Latents(frame, key, np.random.default_rng(1)).normal(0.8).reshape(objects, frames).astype(float)
    assert z.std() == pytest.approx(1.0, abs=0.05)
    assert z[:, 0].std() == pytest.approx(1.0, abs=0.2)
    assert np.mean(z[:, 1:] * z[:, :-1]) == pytest.approx(0.8, abs=0.05)
    across = np.mean(z[1:, 0] * z[:-1, -1])  # the last look at one object and the first at the next
    assert abs(across) < 0.25


def test_a_gap_starts_anew() -> None:
    frame = np.tile([0, 1, 20, 21], 4000)
    key = np.repeat(np.arange(4000), 4)
    z = Latents(frame, key, np.random.default_rng(2)).normal(0.9).reshape(-1, 4).astype(float)
    assert np.mean(z[:, 0] * z[:, 1]) == pytest.approx(0.9, abs=0.06)
    assert abs(np.mean(z[:, 1] * z[:, 2])) < 0.08
