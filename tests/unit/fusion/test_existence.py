from __future__ import annotations

import numpy as np
import pytest

from fusion import existence
from fusion.existence import ExistenceSettings, Visibility

SETTINGS = ExistenceSettings()
AHEAD = existence.cells(np.array([[20.0, 0.0, 1.0]]))
BEHIND = existence.cells(np.array([[-20.0, 1.0, 1.0]]))
YES, NO = np.array([[True]]), np.array([[False]])
EVERY = np.ones(1)


def test_a_sensors_field_of_view_is_learned_from_what_it_detects():
    visibility = Visibility(SETTINGS)
    assert visibility.detection(("front",), AHEAD)[0, 0] == pytest.approx(SETTINGS.detection)
    for _ in range(30):
        visibility.learn(("front",), AHEAD, YES, YES, 0.1)
        visibility.learn(("front",), BEHIND, NO, YES, 0.1)
    assert visibility.detection(("front",), AHEAD)[0, 0] > 0.8
    assert visibility.detection(("front",), BEHIND)[0, 0] < 0.25
    assert visibility.detection(("other",), BEHIND)[0, 0] == pytest.approx(SETTINGS.detection)


def test_a_sensor_that_dies_soon_counts_as_one_that_sees_nothing():
    visibility = Visibility(SETTINGS)
    for _ in range(100):
        visibility.learn(("roof",), AHEAD, YES, YES, 0.1)
    for _ in range(100):
        visibility.learn(("roof",), AHEAD, NO, YES, 0.1)
    assert visibility.detection(("roof",), AHEAD)[0, 0] < 0.25


def test_what_is_out_of_view_teaches_nothing():
    visibility = Visibility(SETTINGS)
    for _ in range(30):
        visibility.learn(("front",), BEHIND, NO, NO, 0.1)
    assert visibility.detection(("front",), BEHIND)[0, 0] == pytest.approx(SETTINGS.detection)


def test_cells_cover_the_circle_and_every_range():
    angle = np.linspace(-np.pi, np.pi, 721)
    for distance in (0.0, 10.0, 30.0, 1e4):
        cell = existence.cells(np.stack([distance * np.cos(angle), distance * np.sin(angle), angle * 0], axis=1))
        assert cell.min() >= 0
        assert cell.max() < 108


def test_only_what_stands_behind_something_nearer_is_shadowed():
    position = np.array([[10.0, 0, 0], [30.0, 0, 0], [30.0, 20.0, 0], [5.0, 0.0, 0.0]])
    size = np.tile([4.5, 1.9, 1.6], (4, 1))
    hidden = existence.shadowed(position, size, np.array([True, True, True, False]))
    assert hidden[0] == 0.0  # the one in front of it is not solid
    assert hidden[1] == 1.0
    assert hidden[2] == 0.0


def test_evidence_follows_what_is_seen_within_its_time_constant():
    evidence = np.array([0.0])
    for _ in range(50):
        evidence = existence.follow(evidence, np.array([2.0]), EVERY, 0.1, SETTINGS)
    assert evidence[0] == pytest.approx(2.0 * SETTINGS.gain, rel=1e-3)
    after = existence.follow(evidence, np.array([-1.0]), EVERY, SETTINGS.time_constant_s, SETTINGS)
    assert after[0] == pytest.approx(-SETTINGS.gain + 3.0 * SETTINGS.gain * np.exp(-1.0), rel=1e-3)
    unseen = existence.follow(evidence, np.array([-1.0]), np.zeros(1), 0.1, SETTINGS)
    assert unseen[0] == evidence[0]  # nobody looked
    assert existence.probability(np.array([existence.log_odds(0.3)]))[0] == pytest.approx(0.3)
