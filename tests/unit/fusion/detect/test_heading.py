from __future__ import annotations

import numpy as np
import pytest

from fusion.detect.box import Boxes, CompletionSettings, complete, fit_boxes
from fusion.detect.heading import HeadingSettings, settle_headings
from fusion.detect.pieces import pieces

SETTINGS = HeadingSettings()


def side(x: float, y: float, yaw: float, length: float) -> np.ndarray:
    s = np.linspace(-0.5, 0.5, 40) * length
    return np.float32(np.stack([x + s * np.cos(yaw), y + s * np.sin(yaw)], axis=1))


def boxes_of(parts: list[np.ndarray]) -> tuple[Boxes, np.ndarray, np.ndarray]:
    xy = np.concatenate(parts)
    start = np.cumsum([0] + [len(p) for p in parts[:-1]])
    return fit_boxes(xy, start), xy, start


def test_a_short_piece_turns_as_the_row_beside_it_is_parked() -> None:
    row = [side(8.0 * k, 5.0, 0.3, 4.5) for k in range(3)]
    front = side(24.0, 5.0, 0.3 + np.pi / 2, 1.8)  # across the row: a front, seen end on
    boxes, xy, start = boxes_of([*row, front])
    everyone = np.ones(4, bool)
    headed = settle_headings(boxes, xy, start, everyone, everyone, SETTINGS)
    assert np.mod(headed.boxes.yaw, np.pi) == pytest.approx(0.3, abs=0.06)
    assert (headed.boxes.high - headed.boxes.low)[3] == pytest.approx([0.0, 1.8], abs=0.1)
    assert headed.boxes.centre[3] == pytest.approx([24.0, 5.0], abs=0.05)
    assert headed.yaw_sigma[3] > headed.yaw_sigma[0]


def test_without_neighbours_the_own_heading_decides() -> None:
    boxes, xy, start = boxes_of([side(20.0, 0.0, np.pi / 2, 1.8)])
    headed = settle_headings(boxes, xy, start, np.array([True]), np.array([True]), SETTINGS)
    assert abs(np.angle(np.exp(2j * headed.boxes.yaw[0]))) < 0.05


def test_what_is_no_vehicle_keeps_its_box() -> None:
    boxes, xy, start = boxes_of([side(20.0, 0.0, 1.2, 0.8)])
    headed = settle_headings(boxes, xy, start, np.array([False]), np.array([False]), SETTINGS)
    assert headed.boxes.yaw == pytest.approx(boxes.yaw)
    assert headed.boxes.low == pytest.approx(boxes.low)


def test_a_person_inside_an_unseen_part_stays_and_a_fragment_goes() -> None:
    back = np.float32(np.stack([np.full(30, 20.0), np.linspace(-0.9, 0.9, 30)], axis=1))
    flank = side(21.5, -0.9, 0.0, 3.0)
    fragment, person = side(21.0, 0.2, 0.0, 0.6), side(23.5, 0.3, 0.0, 0.4)
    boxes, _, _ = boxes_of([np.concatenate([back, flank]), fragment, person])
    mean, sigma = np.tile([[4.6, 1.9]], (3, 1)), np.tile([[0.4, 0.2]], (3, 1))
    full = complete(boxes, np.zeros(2), mean, sigma, CompletionSettings())
    exists = np.array([0.9, 0.6, 0.6])
    assert pieces(boxes, full, exists, np.array([True, False, False]), 0.2).tolist() == [False, True, False]
    assert pieces(boxes, full, exists, np.array([True, True, True]), 0.2).tolist() == [False, True, True]
