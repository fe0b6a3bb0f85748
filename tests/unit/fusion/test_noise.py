from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fusion.existence import Looks
from fusion.kalman import Innovation, innovate
from fusion.measurements import Measurements, measurements
from fusion.noise import (
    Adaptive,
    AdaptiveSettings,
    Intersection,
    IntersectionSettings,
    Nominal,
    NominalSettings,
)
from fusion.tracks import born
from fusion.weigher import Encounter
from tests.scenes import Sensor, Thing, detections, frame_set, slot

SENSORS = (Sensor("roof", "lidar", (0.2, 0.2, 0.2)), Sensor("front", "camera", (0.2, 0.2, 0.2)))
NAMES = ("roof", "front")


def table(n: int, seed: int = 0, kind: str = "car") -> Measurements:
    """n detections of each sensor, of objects straight ahead: along is x, across is y."""
    things = [Thing((1000.0 + i, 0.0, 0.0), (0.0, 0.0), kind) for i in range(n)]
    rng = np.random.default_rng(seed)
    return measurements(
        frame_set(0, [slot(s, detections(s, things, 0.0, rng)) for s in SENSORS]), 0, ("lidar", "camera")
    )


FRAMES = frame_set(0, [slot(s, None) for s in SENSORS])


def met(z: Measurements, seen: Innovation, row: np.ndarray | None = None, age: int = 100) -> Encounter:
    """Each detection of its own old track, unless ``row`` says which."""
    tracks = born(z, 1)
    tracks.age[:] = age
    nothing = np.zeros((len(z), 2))
    looks = Looks(np.ones(2, bool), nothing > 0, nothing, nothing == 0, nothing[:, 0], nothing)
    row = np.arange(len(z)) if row is None else row
    unpaired = np.zeros(2, np.int64)
    return Encounter(FRAMES, 0, 0.1, tracks, row, z, seen, looks, nothing[:, 0], unpaired, np.zeros(3), unpaired)


def left(z: Measurements, residual: np.ndarray, P: float = 0.0) -> Innovation:
    """What is left of the residual (N, 2) after an update that left the variance P."""
    cov = np.tile(np.eye(5) * P, (len(z), 1, 1))
    seen = innovate(np.zeros((len(z), 5)), cov, np.zeros(len(z)), np.zeros(len(z)), z, 3.0)
    full = np.zeros((len(z), 3))
    full[:, :2] = residual
    return seen._replace(residual=full)


def test_factors_find_the_true_noise_per_sensor_and_axis():
    model = Adaptive(AdaptiveSettings(memory=200.0))
    rng = np.random.default_rng(1)
    for seed in range(200):
        stated = table(10, seed)
        believed = model.expect(stated, FRAMES)
        sigma = np.where(stated.sensor[:, None] == 0, [0.2, 0.2], [0.6, 1.0])
        after = left(believed, rng.normal(size=(20, 2)) * sigma)
        model.learn(met(believed, after), lambda after=after: after)
    roof, front = model.sensors.values[model.sensors.rows(NAMES), 0]
    np.testing.assert_allclose(roof, [1.0, 1.0], rtol=0.25)
    np.testing.assert_allclose(front, [9.0, 25.0], rtol=0.25)
    believed = model.expect(table(1), FRAMES)
    np.testing.assert_allclose(believed.R[1, :2, :2], np.diag([0.36, 1.0]), rtol=0.3, atol=0.02)
    np.testing.assert_allclose(believed.R[1, 2, 2], 0.04, rtol=0.01)


def test_kinds_of_objects_learn_apart():
    model = Adaptive(AdaptiveSettings())
    z = table(10, kind="pedestrian")
    model.learn(met(z, left(z, np.full((20, 2), 2.0))), lambda: left(z, np.full((20, 2), 2.0)))
    vehicles, rest = model.sensors.values[0]
    np.testing.assert_allclose(vehicles, 1.0)
    assert (rest > 1.5).all()


def test_factors_stay_within_their_bounds():
    settings = AdaptiveSettings(memory=1.0, low=0.5, high=4.0)
    model = Adaptive(settings)
    z = table(20)
    model.learn(met(z, left(z, np.full((40, 2), 100.0))), lambda: left(z, np.full((40, 2), 100.0)))
    assert model.sensors.values[:, 0].max() == settings.high
    for _ in range(5):
        model.learn(met(z, left(z, np.zeros((40, 2)))), lambda: left(z, np.zeros((40, 2))))
    assert model.sensors.values[:, 0].min() == settings.low


def test_an_outlier_pulls_no_more_than_one_on_the_bound():
    model = Adaptive(AdaptiveSettings(robust_sigmas=3.0))
    z = table(1).take(np.array([0, 0]))
    seen = left(z, np.array([[0.2, 0.0], [2.0, 0.0]]))
    trust = model.weigh(met(z, seen)).trust
    sigmas = np.sqrt(seen.distance())
    np.testing.assert_allclose(trust, [1.0, 3.0 / sigmas[1]])
    assert trust[1] * sigmas[1] == pytest.approx(3.0)


def test_weights_of_the_intersection_sum_to_one_per_track():
    model = Intersection(IntersectionSettings())
    z = table(2)
    R = z.R.copy()
    R[2:] *= 4.0  # the camera's
    seen = left(dataclasses.replace(z, R=R), np.zeros((4, 2)))
    trust = model.weigh(met(z, seen, np.array([0, 1, 0, 1]))).trust
    np.testing.assert_allclose(trust, [0.8, 0.8, 0.2, 0.2], atol=1e-6)


def test_nominal_believes_what_is_stated():
    model = Nominal(NominalSettings())
    z = table(2)
    assert model.expect(z, FRAMES) is z
    np.testing.assert_array_equal(model.weigh(met(z, left(z, np.ones((4, 2))))).trust, 1.0)


def test_each_modality_has_its_share_of_new_errors():
    np.testing.assert_allclose(NominalSettings(camera=0.5, lidar=0.2).of(FRAMES), [0.2, 0.5])


def test_young_tracks_teach_nothing():
    model = Adaptive(AdaptiveSettings(settled_age=5))
    z = table(10)
    model.expect(z, FRAMES)
    model.learn(met(z, left(z, np.full((20, 2), 2.0)), age=4), lambda: left(z, np.full((20, 2), 2.0)))
    np.testing.assert_array_equal(model.sensors.values, 1.0)
