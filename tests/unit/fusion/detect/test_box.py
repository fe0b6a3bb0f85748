from __future__ import annotations

import numpy as np
import pytest

from fusion.detect.box import Boxes, CompletionSettings, complete, fit_boxes, quarter_turn


def corner(yaw: float, x: float, y: float, length: float, width: float) -> np.ndarray:
    """Two faces of a box that meet in a corner, as a LiDAR sees them."""
    along = np.stack([np.linspace(-0.5, 0.5, 60) * length, np.full(60, -width / 2)], axis=1)
    across = np.stack([np.full(25, -length / 2), np.linspace(-0.5, 0.5, 25) * width], axis=1)
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    points = np.concatenate([along, across]) @ turn.T + [x, y]
    return np.asarray(points + np.random.default_rng(1).normal(0, 0.01, points.shape), np.float32)


@pytest.mark.parametrize("yaw", np.deg2rad([0.0, 17.0, 45.0, 88.0, 131.0]))
def test_fits_two_faces_at_any_heading(yaw) -> None:
    boxes = fit_boxes(corner(yaw, 20.0, -7.0, 4.5, 1.8), np.array([0]))
    assert boxes.centre[0] == pytest.approx([20.0, -7.0], abs=0.08)
    assert (boxes.high - boxes.low)[0] == pytest.approx([4.5, 1.8], abs=0.15)
    assert abs(np.angle(np.exp(2j * (boxes.yaw[0] - yaw)))) / 2 < np.deg2rad(2.5)


def test_many_clusters_at_once_are_fitted_as_one_by_one() -> None:
    parts = [corner(0.1 * k, 5.0 * k, 3.0, 4.0 + 0.1 * k, 1.7) for k in range(7)]
    start = np.cumsum([0] + [len(p) for p in parts[:-1]])
    together = fit_boxes(np.concatenate(parts), start)
    alone = [fit_boxes(part, np.array([0])) for part in parts]
    assert together.yaw == pytest.approx([b.yaw[0] for b in alone])
    assert together.low == pytest.approx(np.concatenate([b.low for b in alone]))


def test_no_cluster_no_box() -> None:
    assert len(fit_boxes(np.zeros((0, 2), np.float32), np.zeros(0, np.int64)).yaw) == 0


def test_a_quarter_turn_leaves_the_rectangle_where_it_is() -> None:
    boxes = fit_boxes(corner(0.4, 3.0, 9.0, 4.0, 2.0), np.array([0]))
    turned = quarter_turn(boxes, np.array([True]))
    assert turned.centre == pytest.approx(boxes.centre)
    assert sorted(map(tuple, turned.corners[0].round(6))) == sorted(map(tuple, boxes.corners[0].round(6)))
    assert (turned.high - turned.low)[0] == pytest.approx((boxes.high - boxes.low)[0, ::-1])


def visible(low: tuple[float, float], high: tuple[float, float]) -> Boxes:
    return Boxes(np.zeros(1), np.array([low]), np.array([high]), np.ones(1))


MEAN, SIGMA = np.array([[4.6, 1.9]]), np.array([[0.45, 0.2]])


def test_a_back_seen_edge_to_edge_grows_away_from_the_sensor() -> None:
    settings = CompletionSettings(margin_m=0.0)
    full = complete(visible((20.0, -0.95), (20.1, 0.95)), np.zeros(2), MEAN, SIGMA, settings)
    assert full.centre[0] == pytest.approx([22.3, 0.0], abs=1e-6)
    assert full.size[0] == pytest.approx([4.6, 1.9])
    assert full.centre_sigma[0, 0] > 1.0 > 0.2 > full.centre_sigma[0, 1]


def test_a_box_seen_whole_stays() -> None:
    full = complete(visible((10.0, -6.0), (15.0, -4.0)), np.zeros(2), MEAN, SIGMA, CompletionSettings(margin_m=0.0))
    assert full.centre[0] == pytest.approx([12.5, -5.0])
    assert full.size[0] == pytest.approx([5.0, 2.0])


def test_beside_the_middle_of_a_side_it_grows_both_ways() -> None:
    full = complete(visible((-1.0, 5.0), (1.0, 5.1)), np.zeros(2), MEAN, SIGMA, CompletionSettings(margin_m=0.0))
    assert full.centre[0, 0] == pytest.approx(0.0)
    assert full.centre[0, 1] > 5.5
