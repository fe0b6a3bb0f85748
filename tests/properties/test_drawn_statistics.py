"""What is drawn has the statistics of the fitted model: errors, finds, scores, classes, false alarms, persistence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, kstest
from scipy.stats import t as student

from calibration.se3 import SE3
from nodes.simulator.detections import lidar, radar
from nodes.simulator.detections.fit.estimate import polar_error
from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.looks import Looks
from nodes.simulator.detections.model import GROUPS, LEVELS, load_model
from nodes.simulator.detections.phantoms import Field, View, flickers, lasting

MODEL = load_model()
SEEDS = (0, 1, 2)


def independent_looks(n: int, group: int = 0, distance: float = 30.0, visible: float = 1.0) -> Looks:
    """n objects, each seen once, ahead; cars 4.6 m long with random headings."""
    rng = np.random.default_rng(9)
    f4 = np.float32
    azimuth = rng.uniform(-0.8, 0.8, n).astype(f4)
    size = np.tile(np.array([4.6, 1.9, 1.7], f4), (n, 1))
    centre = np.stack([distance * np.cos(azimuth), distance * np.sin(azimuth), np.full(n, 0.85)], axis=1).astype(f4)
    return Looks(
        frame=np.zeros(n, np.int64), key=np.arange(n), object_id=np.arange(n), cause=np.zeros(n, np.uint8),
        centre=centre,
        yaw=rng.uniform(-np.pi, np.pi, n).astype(f4), size=size, velocity=np.zeros((n, 2), f4),
        group=np.full(n, group), said=np.full(n, -1), distance=np.full(n, distance, f4), azimuth=azimuth,
        visible=np.full(n, visible, f4), sr=np.full(n, 0.005, f4), crowded=np.zeros(n, f4),
    )  # fmt: skip


def table(drawn: lidar.Drawn, looks: Looks) -> dict[str, np.ndarray]:
    return {
        "centre": looks.centre.astype(float),
        "origin": np.zeros((looks.n, 3)),
        "d_position": drawn.columns["position"].astype(float),
        "d_position_cov": drawn.columns["position_cov"].astype(float),
    }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("visible", "part"), [(1.0, "whole"), (0.4, "partly")])
def test_position_errors_of_the_lidar_follow_their_students_t(seed: int, visible: float, part: str) -> None:
    looks = independent_looks(3000, visible=visible)
    count = np.full(looks.n, 200.0)
    drawn = lidar.describe(MODEL.lidar, looks, count, "object", 100_000_000, np.random.default_rng(seed))
    for error, of in zip(polar_error(table(drawn, looks)), (MODEL.lidar.away, MODEL.lidar.across), strict=True):
        fit = getattr(of, part)
        assert kstest(error, student(fit.dof, fit.loc, fit.scale).cdf).pvalue > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_position_errors_of_the_radar_follow_their_students_t(seed: int) -> None:
    looks = independent_looks(3000)
    drawn = radar.describe(MODEL.radar, looks, 60.0, "object", np.random.default_rng(seed))
    for error, of in zip(polar_error(table(drawn, looks)), (MODEL.radar.away, MODEL.radar.across), strict=True):
        fit = of.whole
        assert kstest(error, student(fit.dof, fit.loc, fit.scale).cdf).pvalue > 1e-3


@pytest.mark.parametrize("returns", [0.0, 2.0, 8.0, 60.0, 1000.0])
def test_objects_are_found_as_often_as_the_model_says(returns: float) -> None:
    looks = independent_looks(5000)
    count = np.full(looks.n, returns)
    hit = lidar.found(MODEL.lidar, looks, count, Latents(looks.frame, looks.key, np.random.default_rng(3)))
    p = MODEL.lidar.hits.probability(np.log1p(count), np.zeros(looks.n), looks.crowded, looks.group)[0] * (returns > 0)
    assert hit.mean() == pytest.approx(p, abs=4 * np.sqrt(max(p * (1 - p), 1e-6) / looks.n))


@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_classes_are_confused_as_the_model_says(group: int) -> None:
    looks = independent_looks(5000, group)
    count = np.full(looks.n, 200.0)
    drawn = lidar.describe(MODEL.lidar, looks, count, "object", 100_000_000, np.random.default_rng(4))
    said = np.bincount(drawn.columns["class_score"].argmax(axis=1), minlength=10)
    row = np.array(MODEL.lidar.naming.row[list(GROUPS)[group]])
    expected = row / row.sum() * looks.n
    often = expected > 10  # argmax may differ from the class said where scores are near each other
    assert np.abs(said - expected)[often].max() < 0.06 * looks.n
    if often.sum() > 1 and (said[often] > 0).all() and row.max() < 0.9:
        share = expected[often] / expected[often].sum() * said[often].sum()
        assert chisquare(said[often], share).statistic < 0.05 * looks.n


def test_scores_have_the_fitted_quantiles() -> None:
    spread = MODEL.lidar.score["car"]
    rng = np.random.default_rng(5)
    drawn = spread.of(rng.standard_normal(40_000), rng.normal(spread.mean, spread.sigma, 40_000))
    inner = slice(2, -2)
    assert np.quantile(drawn, LEVELS[inner]) == pytest.approx(np.array(spread.quantiles)[inner], abs=0.12)


def test_errors_of_one_object_persist_and_those_of_two_do_not() -> None:
    looks = independent_looks(4000)
    frames = np.tile(np.arange(40), 100)
    looks = looks._replace(frame=frames, key=np.repeat(np.arange(100), 40))
    drawn = radar.describe(MODEL.radar, looks, 60.0, "object", np.random.default_rng(6))
    whole = MODEL.radar.away.whole
    error = student(whole.dof, whole.loc, whole.scale).cdf(polar_error(table(drawn, looks))[0])
    z = (error - 0.5).reshape(100, 40)
    along = np.mean(z[:, 1:] * z[:, :-1]) / z.var()
    across = np.mean(z[1:] * z[:-1]) / z.var()
    partly = MODEL.radar.away.partly
    rho = (whole.n * whole.rho + partly.n * partly.rho) / (whole.n + partly.n)
    assert along == pytest.approx(rho, abs=0.08)
    assert abs(across) < 0.1


@pytest.mark.parametrize("kind", ["camera", "lidar", "radar"])
def test_there_are_as_many_false_alarms_as_were_counted(kind: str) -> None:
    """Lasting ones and flickers together, over rings of range; a vehicle that moves on so that they are many."""
    ghosts = getattr(MODEL, kind).ghosts
    frames = 400
    odom_SE3_ego = SE3(np.tile(np.eye(3), (frames, 1, 1)), np.outer(np.arange(frames) * 3.0, [1.0, 0.0, 0.0]))
    view = View(np.zeros(2), 0.0, 0.7, 100.0)
    rng = np.random.default_rng(7)
    field = Field.drawn(ghosts, odom_SE3_ego.translation[:, :2], rng)
    seen = np.concatenate(
        [
            lasting(ghosts, field, odom_SE3_ego, view, rng).distance,
            flickers(ghosts, frames, view, rng).distance,
        ]
    )
    edges = np.array([10.0, 30.0, 50.0, 75.0, 100.0])
    fine = np.arange(10.0, 100.0, 0.25) + 0.125
    expected = np.histogram(fine, edges, weights=np.interp(fine, ghosts.range_m, ghosts.per_m2) * 1.4 * fine * 0.25)[0]
    assert np.histogram(seen, edges)[0] / frames == pytest.approx(expected, rel=0.2)
