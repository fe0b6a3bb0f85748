from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import chi2

from fusion.kalman import Groups, fuse, innovate, predict
from fusion.measurements import Measurements, measurements
from pipeline.core.messages import Detections
from tests.scenes import Sensor, Thing, detections, frame_set, slot

RNG = np.random.default_rng(5)


def random_states(n: int) -> tuple[np.ndarray, np.ndarray]:
    root = RNG.normal(size=(n, 5, 5))
    return RNG.normal(size=(n, 5)) * 10, root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(5)


def table(sensor: Sensor, things: list[Thing], seconds: float = 0.0, seed: int = 0) -> Measurements:
    seen = detections(sensor, things, seconds, np.random.default_rng(seed))
    return measurements(frame_set(0, [slot(sensor, seen)]), 0, ("camera", "lidar", "radar"))


def test_prediction_is_van_loans_integral_of_the_motion():
    mean, cov = random_states(4)
    psd, climb, dt = np.array([0.5, 1.0, 2.0, 4.0]), 0.3, 0.7
    moved, grown = predict(mean, cov, dt, psd, climb)
    for i in range(4):
        A = np.zeros((5, 5))
        A[0, 3] = A[1, 4] = 1.0
        Q = np.diag([0.0, 0.0, climb, psd[i], psd[i]])
        both = expm(np.block([[-A, Q], [np.zeros((5, 5)), A.T]]) * dt)
        F = both[5:, 5:].T
        np.testing.assert_allclose(moved[i], F @ mean[i], atol=1e-12)
        np.testing.assert_allclose(grown[i], F @ cov[i] @ F.T + F @ both[:5, 5:], atol=1e-10)


def test_fusing_all_at_once_is_fusing_one_after_another():
    """The information form against the textbook's update in Joseph's form, in two orders."""
    z = table(Sensor("radar", "radar", (0.5, 0.3, 0.4), radial_sigma=0.2), [Thing((9, 4, 1), (1, 2))] * 3)
    mean, cov = random_states(1)
    ahead, psd = np.array([-0.08, -0.03, 0.01]), np.ones(3)
    seen = innovate(mean[[0, 0, 0]], cov[[0, 0, 0]], ahead, psd, z, 3.0)
    trust = np.array([1.0, 0.5, 2.0])
    at_once, at_once_cov = fuse(mean, cov, seen, trust, Groups(np.zeros(3, np.int64), 1))
    measured = seen.residual + (seen.H @ mean[0])
    for order in ([0, 1, 2], [2, 0, 1]):
        x, P = mean[0], cov[0]
        for i in order:
            H, R = seen.H[i], seen.R[i] / trust[i]
            K = P @ H.T @ np.linalg.inv(H @ P @ H.T + R)
            x = x + K @ (measured[i] - H @ x)
            P = (np.eye(5) - K @ H) @ P @ (np.eye(5) - K @ H).T + K @ R @ K.T
        np.testing.assert_allclose(at_once[0], x, atol=1e-8)
        np.testing.assert_allclose(at_once_cov[0], P, atol=1e-8)


def test_a_detection_meets_the_state_at_its_own_instant():
    z = table(Sensor("roof", "lidar", (1e-4, 1e-4, 1e-4)), [Thing((10.0, 0.0, 1.0), (0, 0))])
    mean = np.array([[11.0, 0.0, 1.0, 20.0, 0.0]])
    seen = innovate(mean, np.eye(5)[None], np.array([-0.05]), np.zeros(1), z, 3.0)
    np.testing.assert_allclose(seen.residual[0], [0.0, 0.0, 0.0], atol=1e-3)


def test_what_was_not_measured_changes_nothing():
    radar = Sensor("radar", "radar", (0.5, 0.3, 0.4), radial_sigma=0.2)
    z = table(radar, [Thing((9, 4, 1), (1, 2))])
    bare = dataclasses.replace(z, present=z.present & [True, True, True, False, False, False])
    mean, cov = random_states(1)
    one = Groups(np.zeros(1, np.int64), 1)
    x, P = fuse(mean, cov, innovate(mean, cov, np.zeros(1), np.zeros(1), bare, 3.0), np.ones(1), one)
    both = Measurements(*[np.concatenate([a, b]) for a, b in zip(vars(z).values(), vars(bare).values(), strict=True)])
    wide = innovate(mean[[0, 0]], cov[[0, 0]], np.zeros(2), np.zeros(2), both, 3.0)
    assert wide.H.shape == (2, 4, 5)
    rows = ("residual", "H", "R", "S", "present")
    kept = wide._replace(**{name: getattr(wide, name)[1:] for name in rows})
    y, Q = fuse(mean, cov, kept, np.ones(1), one)
    np.testing.assert_allclose(x, y, atol=1e-9)
    np.testing.assert_allclose(P, Q, atol=1e-9)


@pytest.mark.parametrize(("speed", "believed"), [(14.0, 13.0), (14.0, 15.5), (-7.0, -8.0), (31.0, 30.0)])
def test_an_aliased_radial_speed_is_taken_in_the_interval_that_is_predicted(speed, believed):
    radar = Sensor("radar", "radar", (0.1, 0.1, 0.1), radial_sigma=0.05, ambiguity=10.3)
    z = table(radar, [Thing((30.0, 0.0, 0.0), (speed, 0.0))])
    mean = np.array([[30.0, 0.0, 0.0, believed, 0.0]])
    certain = innovate(mean, np.eye(5)[None], np.zeros(1), np.zeros(1), z, 3.0)
    assert certain.residual[0, 3] == pytest.approx(speed - believed, abs=0.2)
    vague = innovate(mean, np.diag([1.0, 1, 1, 9, 9])[None], np.zeros(1), np.zeros(1), z, 3.0)
    assert vague.residual[0, 3] == 0.0
    assert not vague.H[0, 3].any()
    assert not vague.present[0, 3]


def test_the_filter_is_consistent_when_the_noise_is_what_it_says():
    """NEES (Bar-Shalom 5.4.2) of 400 simulated tracks after 25 steps, within the 99.9 % bounds of its mean."""
    n, steps, dt, psd = 400, 25, 0.1, 2.0
    rng = np.random.default_rng(11)
    truth = rng.normal(size=(n, 5)) * [20, 20, 1, 5, 5]
    truth_psd, R = np.full(n, psd), np.diag([0.3, 0.2, 0.1]) ** 2
    mean, cov = np.zeros((n, 5)), np.tile(np.diag([20.0, 20, 1, 5, 5]) ** 2, (n, 1, 1))
    prototype = table(Sensor("roof", "lidar", (0.3, 0.2, 0.1)), [Thing((1, 1, 1), (0, 0))]).take(np.zeros(n, np.int64))
    _, q = predict(np.zeros((1, 5)), np.zeros((1, 5, 5)), dt, np.array([psd]), 0.05)
    root = np.linalg.cholesky(q[0])
    for _ in range(steps):
        truth, _ = predict(truth, cov, dt, truth_psd, 0.05)
        truth += rng.normal(size=(n, 5)) @ root.T
        mean, cov = predict(mean, cov, dt, truth_psd, 0.05)
        value = np.zeros((n, 6))
        value[:, :3] = truth[:, :3] + rng.normal(size=(n, 3)) @ np.sqrt(R)
        full = prototype.R.copy()
        full[:, :3, :3] = R
        z = dataclasses.replace(prototype, value=value, R=full)
        seen = innovate(mean, cov, np.zeros(n), truth_psd, z, 3.0)
        mean, cov = fuse(mean, cov, seen, np.ones(n), Groups(np.arange(n), n))
    error = truth - mean
    nees = np.einsum("ni,nij,nj->n", error, np.linalg.inv(cov), error)
    low, high = chi2.ppf([0.0005, 0.9995], 5 * n) / n
    assert low < nees.mean() < high
    inside = (nees < chi2.ppf(0.9, 5)).mean()
    assert 0.86 < inside < 0.94


def test_groups_sum_rows_in_place():
    row = np.array([3, 0, 3, 1, 3])
    values = RNG.normal(size=(5, 2, 2))
    wanted = np.zeros((5, 2, 2))
    np.add.at(wanted, row, values)
    np.testing.assert_allclose(Groups(row, 5).sum(values), wanted)
    assert Groups(np.zeros(0, np.int64), 2).sum(np.zeros((0, 3))).tolist() == [[0.0] * 3] * 2


def test_measured_velocity_enters_the_state():
    seen: Detections = detections(Sensor("roof", "lidar"), [Thing((9, 4, 1), (1, 2))], 0.0, np.random.default_rng(0))
    seen.velocity[:] = [3.0, -1.0]
    seen.velocity_cov[:] = np.eye(2) * 0.01
    z = measurements(frame_set(0, [slot(Sensor("roof", "lidar"), seen)]), 0, ("lidar",))
    mean, cov = np.zeros((1, 5)), np.eye(5)[None] * 100.0
    compared = innovate(mean, cov, np.zeros(1), np.zeros(1), z, 3.0)
    x, P = fuse(mean, cov, compared, np.ones(1), Groups(np.zeros(1, np.int64), 1))
    np.testing.assert_allclose(x[0, 3:], [3.0, -1.0], atol=0.01)
    assert P[0, 3, 3] < 0.011
