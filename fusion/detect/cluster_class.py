"""What a cluster is: probabilities from a small additive model over its size, height and shape.

The model is a softmax over a few groups, each logit a sum of piecewise linear functions, one per feature: a generalised
additive model (Hastie and Tibshirani, 1990), which fits in a committed table and can be read by plotting it.
Groups hold the classes that one scene's labels cannot tell apart; inside a group the size prior decides.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, C

Array = npt.NDArray[np.float64]

GROUPS: tuple[tuple[str, ...], ...] = (
    (),  # background
    ("car",),
    ("truck", "bus", "trailer", "construction_vehicle"),
    ("pedestrian",),
    ("motorcycle", "bicycle"),
    ("traffic_cone",),
)
"""Classes per group; the first is everything that is no object. Barriers look like walls and are left with those."""

# how often the classes of a group occur against each other: rounded from the nuScenes training set's box counts
_SHARE = {"truck": 0.58, "bus": 0.11, "trailer": 0.16, "construction_vehicle": 0.15, "motorcycle": 0.5, "bicycle": 0.5}

FEATURES = {
    "length": (0.2, 0.5, 1.0, 1.6, 2.4, 3.5, 4.5, 5.5, 7.0, 10.0, 14.0),
    "width": (0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0),
    "top": (0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.5, 3.2, 4.2),
    "mean_height": (0.3, 0.6, 0.9, 1.2, 1.6, 2.2),
    "fill": (0.0, 0.15, 0.3, 0.5, 0.75, 1.0),
    "closeness": (1.5, 4.0, 7.0, 10.0, 14.0, 20.0),
    "tall_around": (0.0, 0.05, 0.15, 0.4, 0.8),
}
"""Feature -> knots of its piecewise linear functions; beyond the last knots they are constant.

length, width: visible box, m. top, mean_height: of the returns, above ground, m. fill: occupied share of its cells.
closeness: of the box fit, 1/m. tall_around: share of the cells around it that hold returns as high as a building's.
How many returns there are is left out on purpose: it tells sensors apart rather than things.
"""


class ClusterModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """coefficients: group x basis function: hats at the knots of FEATURES, in order, and a constant."""

    source: str
    command: str
    groups: tuple[tuple[str, ...], ...]
    features: dict[str, tuple[float, ...]]
    coefficients: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        columns = 1 + sum(len(knots) for knots in self.features.values())
        if self.groups != GROUPS or self.features != FEATURES:
            raise ValueError("groups, features: expected those of fusion/detect/cluster_class.py")
        if len(self.coefficients) != len(GROUPS) or any(len(row) != columns for row in self.coefficients):
            raise ValueError(f"coefficients: expected {len(GROUPS)} rows of {columns}")


MODEL_PATH = Path(__file__).with_name("cluster_model.json")


@functools.cache
def load_model(path: Path = MODEL_PATH) -> ClusterModel:
    """Raises BadInput where the file is not a model of these features."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClusterModel)
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(path, "file", "a cluster model", error) from error


def basis(features: dict[str, Array]) -> Array:
    """(K, B) values of all hat functions, last column 1."""
    columns: list[Array] = []
    for name, knots in FEATURES.items():
        value = np.clip(features[name], knots[0], knots[-1])
        columns.extend(np.interp(value, knots, row) for row in np.eye(len(knots)))
    columns.append(np.ones(len(columns[0])))
    return np.stack(columns, axis=1)


class ClassScores(NamedTuple):
    exists: Array  # (K,) probability of being one of CLASSES at all
    class_score: Array  # (K, C) probability per class given that it is one


def classify(features: dict[str, Array], model: ClusterModel) -> ClassScores:
    """Probabilities of K clusters; ``features`` holds a (K,) array for each of FEATURES."""
    logits = basis(features) @ np.array(model.coefficients).T
    group = np.exp(logits - logits.max(axis=1, keepdims=True))
    group /= group.sum(axis=1, keepdims=True)
    exists = 1.0 - group[:, 0]
    score = np.zeros((len(exists), C))
    for number, names in enumerate(GROUPS[1:], start=1):
        share = _share_in_group(names, features["length"], features["top"])
        score[:, [CLASSES.index(name) for name in names]] = group[:, number, None] * share
    return ClassScores(exists, score / np.maximum(exists, 1e-9)[:, None])


def _share_in_group(names: tuple[str, ...], length: Array, height: Array) -> Array:
    """(K, len(names)): Bayes with the size prior; a visible length below the mean speaks neither for nor against."""
    index = [CLASSES.index(name) for name in names]
    mean, sigma = SIZE_MEAN[index], SIZE_SIGMA[index]
    beyond = np.maximum(length[:, None] - mean[:, 0], 0.0) / sigma[:, 0]
    off = (height[:, None] - mean[:, 2]) / sigma[:, 2]
    log = np.log([_SHARE.get(name, 1.0) for name in names]) - (beyond**2 + off**2) / 2 - np.log(sigma[:, 2])
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))
