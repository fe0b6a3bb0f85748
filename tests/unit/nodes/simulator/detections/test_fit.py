"""The estimators find what was put in, and sober up where little was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from nodes.simulator.detections.fit.statistics import hits, persistence, spread, student_t
from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.model import GROUPS, LEVELS, load_model
from pipeline.core.errors import BadInput


def table(objects: int, messages: int) -> dict[str, np.ndarray]:
    """Every object in every message, at 10 Hz."""
    message = np.tile(np.arange(messages), objects).astype(float)
    return {"identity": np.repeat(np.arange(objects), messages).astype(float), "message": message, "time": message / 10}


def test_students_t_is_found_again() -> None:
    values = student.rvs(4.0, 0.3, 0.5, size=4000, random_state=np.random.default_rng(0))
    fit = student_t(values, table(100, 40))
    assert fit.loc == pytest.approx(0.3, abs=0.03)
    assert fit.scale == pytest.approx(0.5, rel=0.06)
    assert 3.2 < fit.dof < 5.2
    assert fit.n == 4000
    assert fit.rho < 0.1


def test_few_values_stay_near_what_all_show() -> None:
    every = student_t(np.random.default_rng(0).normal(0.0, 1.0, 1000), table(100, 10))
    few = student_t(np.full(9, 8.0) + np.linspace(-0.1, 0.1, 9), table(1, 9), every)
    assert few.loc < 4.0
    assert few.scale > 0.2


def test_persistence_is_found_again() -> None:
    looks = table(60, 50)
    z = Latents(looks["message"].astype(int), looks["identity"].astype(int), np.random.default_rng(1)).normal(0.85)
    assert persistence(z.astype(float), looks) == pytest.approx(0.85, abs=0.04)


def test_a_spread_keeps_quantiles_and_what_it_follows() -> None:
    rng = np.random.default_rng(2)
    beside = rng.normal(size=5000)
    values = np.exp(0.8 * beside + 0.6 * rng.normal(size=5000))
    fit = spread(values, table(100, 50), beside)
    assert fit.quantiles == pytest.approx(np.quantile(values, LEVELS), rel=1e-3)
    assert fit.slope == pytest.approx(0.8, abs=0.03)
    drawn = fit.of(rng.normal(size=5000), beside)
    assert np.corrcoef(np.log(drawn), beside)[0, 1] == pytest.approx(0.8, abs=0.05)


def test_detection_rises_with_its_covariate_and_persists() -> None:
    looks = table(200, 40)
    n = len(looks["identity"])
    rng = np.random.default_rng(3)
    returns = np.repeat(rng.uniform(0.0, 6.0, 200), 40)
    latent = Latents(looks["message"].astype(int), looks["identity"].astype(int), rng).normal(0.9)
    looks |= {
        "hit": (latent < returns - 2.5).astype(float),
        "visible": np.ones(n),
        "gap": np.full(n, 9.0),
        "class_id": np.zeros(n),
    }
    fit = hits(looks, returns, np.array([0.0, 1.0, 2.0, 3.0, 4.0, 6.0]))
    assert list(fit.values) == sorted(fit.values)
    none = np.zeros(1)
    p = [fit.probability(np.array([at]), none, none, np.zeros(1, np.int64))[0] for at in (0.5, 2.5, 5.0)]
    assert p[0] < 0.15
    assert p[1] == pytest.approx(0.5, abs=0.15)
    assert p[2] > 0.9
    assert fit.rho == pytest.approx(0.9, abs=0.08)


def test_the_committed_model_reads_and_says_how_much_stands_behind_it() -> None:
    model = load_model()
    assert model.command.startswith("python -m nodes.simulator.detections.fit")
    assert model.lidar.hits.n > 2000
    assert model.radar.hits.n > 200
    assert model.camera.hits.n > 1000
    for part in (model.camera, model.lidar, model.radar):
        assert set(part.score) == set(GROUPS)
        assert 0.0 <= part.ghosts.lasting <= 1.0
    assert model.lidar.density(16) < model.lidar.density(32) < model.lidar.density(64)


def test_anything_else_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    for content in (b"", b"{}", b"[1, 2"):
        path.write_bytes(content)
        load_model.cache_clear()
        with pytest.raises(BadInput, match="model"):
            load_model(path)
