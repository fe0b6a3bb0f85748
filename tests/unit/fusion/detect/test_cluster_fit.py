from __future__ import annotations

import numpy as np
import pytest

from fusion.detect.cluster_class import FEATURES, GROUPS, ClusterModel, classify
from fusion.detect.cluster_fit import PIECE, fit, label_clusters, prior_clusters
from fusion.detect.segment import SegmentSettings, find_clusters
from pipeline.core.messages import CLASSES

CAR = 1  # its group


def labelled(count: int = 300) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cars and walls that only length and what stands around them tell apart."""
    rng = np.random.default_rng(0)
    car = np.arange(count) % 3 == 0
    features = {name: np.full(count, 1.0) + rng.normal(0, 0.1, count) for name in FEATURES}
    features["length"] = np.where(car, rng.normal(4.2, 0.5, count), rng.normal(9.0, 2.0, count))
    features["tall_around"] = np.where(car, 0.0, rng.uniform(0.0, 0.8, count))
    return features, np.where(car, CAR, 0)


def model_of(coefficients: np.ndarray) -> ClusterModel:
    rows = tuple(tuple(float(c) for c in row) for row in coefficients)
    return ClusterModel(source="test", command="test", groups=GROUPS, features=FEATURES, coefficients=rows)


def test_a_fit_tells_apart_what_the_features_tell_apart() -> None:
    features, group = labelled()
    scores = classify(features, model_of(fit(features, group)))
    assert np.mean((scores.exists > 0.5) == (group == CAR)) > 0.95


def test_clusters_without_label_do_not_matter() -> None:
    features, group = labelled()
    doubled = {name: np.concatenate([values, values]) for name, values in features.items()}
    unlabelled = np.concatenate([group, np.full(len(group), PIECE)])
    assert fit(doubled, unlabelled) == pytest.approx(fit(features, group), abs=1e-6)


def test_drawn_clusters_look_like_their_class_and_repeat() -> None:
    features, group = labelled()
    drawn, groups = prior_clusters(features, group, 40, seed=7)
    again, _ = prior_clusters(features, group, 40, seed=7)
    assert all((drawn[name] == again[name]).all() for name in FEATURES)
    pedestrian = groups == next(k for k, names in enumerate(GROUPS) if "pedestrian" in names)
    assert pedestrian.sum() == 40
    assert (drawn["width"] <= drawn["length"]).all()
    assert 1.2 < drawn["top"][pedestrian].mean() < 1.8 > drawn["length"][pedestrian].max()
    assert CAR not in groups


def test_the_cluster_in_a_labelled_box_stands_for_it(sweep) -> None:
    cars = [(12.0, 4.0, 0.1, 4.6, 1.9, 1.6), (12.0, -9.0, 0.0, 30.0, 0.4, 1.8)]
    xyz = sweep(cars)
    found = find_clusters(xyz, np.zeros(len(xyz), np.int32), SegmentSettings())
    x, y, yaw, *size = cars[0]
    box = (np.array([[x, y, 0.8]]), np.array([size]), np.array([yaw]))
    group = label_clusters(found, xyz, *box, np.array([CLASSES.index("car")]))
    main = int(np.hypot(*(found.boxes.centre - [x, y]).T).argmin())
    assert group[main] == CAR
    assert (np.delete(group, main) <= 0).all()
    unknown = label_clusters(found, xyz, *box, np.array([-1]))
    assert unknown[main] == PIECE
