from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.evaluate.config import load_config
from pipeline.evaluate.evidence import evidence, pooled
from pipeline.evaluate.judge import Evaluation
from pipeline.evaluate.run_log import load_run

CONFIG = load_config(Path(__file__).parents[4] / "configs" / "eval" / "nuscenes.yaml")
SAME = (
    "detection/fused/mAP",
    "detection/fused/car/AP@1",
    "tracking/AMOTA",
    "tracking/IDF1",
    "uncertainty/position_rmse_m",
    "uncertainty/position_nll",
    "uncertainty/existence_ece",
    "weights/spearman",
    "weights/pairs",
)


def test_one_run_alone_scores_as_the_judge_says(good: Evaluation) -> None:
    found = pooled([evidence(good.run, CONFIG, 0)], CONFIG)
    assert {key: found[key] for key in SAME} == pytest.approx({key: good.metrics.values[key] for key in SAME})
    assert found["streaming/predicted/mAP"] == found["detection/fused/mAP"], "what is out at once is not late"


def test_two_runs_are_judged_as_one_without_mixing_their_identities(write_run: Callable[..., Path]) -> None:
    parts = [evidence(load_run(write_run(f"run{seed}", seed=seed)), CONFIG, 100_000_000) for seed in (0, 1)]
    one, both = pooled(parts[:1], CONFIG), pooled(parts, CONFIG)
    assert both["uncertainty/pairs"] == sum(len(part.uncertainty.error) for part in parts)
    assert both["tracking/switches"] == 2 * one["tracking/switches"], (
        "object 11 of the one run is not that of the other"
    )
    assert both["detection/fused/car/truth"] == 2 * one["detection/fused/car/truth"]
    assert 0.0 < both["streaming/predicted/mAP"] < 1.0
