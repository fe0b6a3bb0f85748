from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fusion.kalman import Innovation, innovate
from fusion.measurements import Measurements, measurements
from fusion.noise import NoiseModel, NoiseSettings
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


def left(z: Measurements, residual: np.ndarray, P: float = 0.0) -> Innovation:
    """What is left of the residual (N, 2) after an update that left the variance P."""
    cov = np.tile(np.eye(5) * P, (len(z), 1, 1))
    seen = innovate(np.zeros((len(z), 5)), cov, np.zeros(len(z)), np.zeros(len(z)), z, 3.0)
    full = np.zeros((len(z), 3))
    full[:, :2] = residual
    return seen._replace(residual=full)


def test_factors_find_the_true_noise_per_sensor_and_axis():
    model = NoiseModel(NoiseSettings(method="adaptive", memory=200.0))
    rng = np.random.default_rng(1)
    for seed in range(200):
        stated = table(10, seed)
        believed = model.believed(stated, NAMES)
        sigma = np.where(stated.sensor[:, None] == 0, [0.2, 0.2], [0.6, 1.0])
        model.learn(believed, left(believed, rng.normal(size=(20, 2)) * sigma), NAMES)
    roof, front = model.factors.values[model.factors.rows(NAMES), 0]
    np.testing.assert_allclose(roof, [1.0, 1.0], rtol=0.25)
    np.testing.assert_allclose(front, [9.0, 25.0], rtol=0.25)
    believed = model.believed(table(1), NAMES)
    np.testing.assert_allclose(believed.R[1, :2, :2], np.diag([0.36, 1.0]), rtol=0.3, atol=0.02)
    np.testing.assert_allclose(believed.R[1, 2, 2], 0.04, rtol=0.01)


def test_kinds_of_objects_learn_apart():
    model = NoiseModel(NoiseSettings(method="adaptive"))
    z = table(10, kind="pedestrian")
    model.learn(z, left(z, np.full((20, 2), 2.0)), NAMES)
    vehicles, rest = model.factors.values[0]
    np.testing.assert_allclose(vehicles, 1.0)
    assert (rest > 1.5).all()


def test_factors_stay_within_their_bounds():
    settings = NoiseSettings(method="adaptive", memory=1.0, low=0.5, high=4.0)
    model = NoiseModel(settings)
    z = table(20)
    model.learn(z, left(z, np.full((40, 2), 100.0)), NAMES)
    assert model.factors.values[:, 0].max() == settings.high
    for _ in range(5):
        model.learn(z, left(z, np.zeros((40, 2))), NAMES)
    assert model.factors.values[:, 0].min() == settings.low


def test_an_outlier_pulls_no_more_than_one_on_the_bound():
    model = NoiseModel(NoiseSettings(method="adaptive", robust_sigmas=3.0))
    z = table(1).take(np.array([0, 0]))
    seen = left(z, np.array([[0.2, 0.0], [2.0, 0.0]]))
    trust = model.trust(seen, np.zeros(2, np.int64))
    sigmas = np.sqrt(seen.distance())
    np.testing.assert_allclose(trust, [1.0, 3.0 / sigmas[1]])
    assert trust[1] * sigmas[1] == pytest.approx(3.0)


def test_weights_of_the_intersection_sum_to_one_per_track():
    model = NoiseModel(NoiseSettings(method="intersection"))
    z = table(2)
    R = z.R.copy()
    R[2:] *= 4.0  # the camera's
    seen = left(dataclasses.replace(z, R=R), np.zeros((4, 2)))
    trust = model.trust(seen, np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(trust, [0.8, 0.8, 0.2, 0.2], atol=1e-6)


def test_nominal_believes_what_is_stated():
    model = NoiseModel(NoiseSettings())
    z = table(2)
    assert model.believed(z, NAMES) is z
    np.testing.assert_array_equal(model.trust(left(z, np.ones((4, 2))), np.arange(4)), 1.0)


def test_each_modality_has_its_share_of_new_errors():
    model = NoiseModel(NoiseSettings(camera=0.5, lidar=0.2))
    frames = frame_set(0, [slot(s, None) for s in SENSORS])
    np.testing.assert_allclose(model.white(frames), [0.2, 0.5])
