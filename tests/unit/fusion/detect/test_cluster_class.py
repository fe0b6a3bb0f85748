from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusion.detect.cluster_class import FEATURES, MODEL_PATH, basis, classify, load_model
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES


def cluster(**features: float) -> dict[str, np.ndarray]:
    car = {"length": 4.2, "width": 1.6, "top": 1.5, "mean_height": 0.8, "fill": 0.45, "closeness": 10.0}
    return {name: np.array([{**car, "tall_around": 0.0, **features}[name]]) for name in FEATURES}


def test_the_committed_model_knows_a_car_from_a_wall() -> None:
    model = load_model()
    car = classify(cluster(), model)
    wall = classify(cluster(length=12.0, width=0.3, top=4.4, mean_height=2.2, tall_around=0.8), model)
    assert CLASSES[car.class_score[0].argmax()] == "car"
    assert car.exists[0] > 0.8 > 0.1 > wall.exists[0]


def test_class_probabilities_sum_to_one_and_are_finite_for_absurd_features() -> None:
    scores = classify(cluster(length=1e9, width=-5.0, top=1e6), load_model())
    assert scores.class_score.sum() == pytest.approx(1.0)
    assert 0.0 <= scores.exists[0] <= 1.0


def test_size_decides_inside_a_group() -> None:
    def share(length: float, top: float) -> np.ndarray:
        return classify(cluster(length=length, width=2.6, top=top, mean_height=1.5), load_model()).class_score[0]

    truck, bus = CLASSES.index("truck"), CLASSES.index("bus")
    assert share(11.5, 3.4)[bus] / share(11.5, 3.4)[truck] > share(6.5, 2.6)[bus] / share(6.5, 2.6)[truck]


def test_the_basis_interpolates() -> None:
    values = basis(cluster(length=3.0))
    assert values.shape == (1, 1 + sum(map(len, FEATURES.values())))
    assert values.sum() == pytest.approx(1.0 + len(FEATURES))  # hats of each feature sum to one


def test_a_model_of_other_features_is_refused(tmp_path: Path) -> None:
    document = msgspec.json.decode(MODEL_PATH.read_bytes())
    document["features"]["length"] = [0.0, 1.0]
    path = tmp_path / "model.json"
    path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(BadInput, match="features"):
        load_model(path)
