"""Fitting the model of `cluster_class` to labelled clusters: penalised maximum likelihood.

The penalty is a ridge on the coefficients and on the second differences along each feature's knots, so that a curve is
straight where there is no data (Eilers and Marx, P-splines, 1996). Both grow with how often a group occurs, or the
rare groups would be shrunk to nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from fusion.detect.cluster_class import FEATURES, GROUPS, basis
from fusion.detect.segment import Clusters
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from pipeline.core.messages import CLASSES

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

RIDGE = 50.0
SMOOTH = 100.0
RARE = 0.75  # power of a group's frequency in its penalty
PIECE = -1  # neither an object nor background: no label


def fit(features: dict[str, Array], group: IntArray) -> Array:
    """(G, B) coefficients for `ClusterModel`.

    Args:
        features: (N,) each. group: (N,) index into GROUPS, or PIECE for clusters that say nothing.
    """
    known = group != PIECE
    values, target = basis(features)[known], np.eye(len(GROUPS))[group[known]]
    rough = _second_differences()
    frequency = np.maximum(target.sum(axis=0), 1.0)
    strength = ((frequency / frequency.max()) ** RARE)[:, None]
    free = np.ones(values.shape[1])
    free[-1] = 0.0  # the constant is not penalised

    def objective(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(len(GROUPS), -1)
        logits = values @ weights.T
        logits -= logits.max(axis=1, keepdims=True)
        probability = np.exp(logits)
        probability /= probability.sum(axis=1, keepdims=True)
        bend = weights @ rough.T
        loss = -np.log((probability * target).sum(axis=1) + 1e-12).sum()
        loss += (strength * (RIDGE * free * weights**2)).sum() / 2 + (strength * SMOOTH * bend**2).sum() / 2
        slope = (probability - target).T @ values
        slope += strength * (RIDGE * free * weights + SMOOTH * bend @ rough)
        return float(loss), slope.ravel()

    start = np.zeros(len(GROUPS) * values.shape[1])
    result = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(result.x.reshape(len(GROUPS), -1))


def prior_clusters(
    features: dict[str, Array], group: IntArray, count: int, seed: int
) -> tuple[dict[str, Array], IntArray]:
    """Clusters drawn from the size prior, ``count`` per group but cars: one scene shows hardly any other object.

    Sizes and heights come from the prior, cut to what is visible of an object; how a cluster of that length is filled
    and surrounded comes from the labelled ones most like it.
    """
    rng = np.random.default_rng(seed)
    known = group != PIECE
    length = np.log(features["length"][known] + 0.05)
    drawn: dict[str, list[Array]] = {name: [] for name in FEATURES}
    groups: list[IntArray] = []
    for number, names in enumerate(GROUPS):
        if names in ((), ("car",)):
            continue
        kind = [CLASSES.index(names[k % len(names)]) for k in range(count)]
        size = np.maximum(rng.normal(SIZE_MEAN[kind], SIZE_SIGMA[kind]), 0.1)
        sides = np.sort(size[:, :2] * rng.uniform([0.7, 0.4], 1.0, (count, 2)), axis=1)
        top = size[:, 2] * rng.uniform(0.85, 1.0, count)
        alike = [rng.choice(np.argsort(np.abs(length - np.log(side + 0.05)))[:50]) for side in sides[:, 1]]
        of_prior = {
            "length": sides[:, 1],
            "width": sides[:, 0],
            "top": top,
            "mean_height": top * rng.uniform(0.5, 0.7, count),
        }
        for name, values in features.items():
            drawn[name].append(of_prior[name] if name in of_prior else values[known][alike])
        groups.append(np.full(count, number))
    return {name: np.concatenate(values) for name, values in drawn.items()}, np.concatenate(groups)


def label_clusters(
    found: Clusters, xyz: npt.NDArray[np.float32], position: Array, size: Array, yaw: Array, class_id: IntArray
) -> IntArray:
    """(K,) group of each cluster by the labelled boxes its points lie in.

    The cluster with most of a box's points stands for its object. Other pieces, clusters that only partly lie in a box,
    and objects of classes not in GROUPS are PIECE.

    Args:
        xyz: the points that ``found`` came from. position (M, 3), size (M, 3), yaw (M,), class_id (M,) of the boxes in
            the same frame.
    """
    groups = {CLASSES.index(name): number for number, names in enumerate(GROUPS) for name in names}
    points = xyz[found.source]
    label = np.repeat(np.arange(len(found.start)), found.points)
    out = np.zeros(len(found.start), np.int64)
    for at, extent, heading, kind in zip(position, size, yaw, class_id, strict=True):
        offset = points - at
        cos, sin = np.cos(heading), np.sin(heading)
        along, across = offset[:, 0] * cos + offset[:, 1] * sin, offset[:, 1] * cos - offset[:, 0] * sin
        inside = np.abs(np.stack([along, across, offset[:, 2]], axis=1)) < extent / 2 + 0.2
        count = np.bincount(label[inside.all(axis=1)], minlength=len(out))
        share = count / found.points
        out[(share > 0.15) & (out == 0)] = PIECE
        main = int(np.where(share > 0.5, count, 0).argmax()) if len(out) else -1
        if main >= 0 and share[main] > 0.5 and count[main] > 0.3 * count.sum():
            out[main] = groups.get(int(kind), PIECE)
    return out


def _second_differences() -> Array:
    """(D, B) rows 1, -2, 1 over the knots of each feature."""
    width = 1 + sum(len(knots) for knots in FEATURES.values())
    rows, first = [], 0
    for knots in FEATURES.values():
        for knot in range(first, first + len(knots) - 2):
            rows.append(np.zeros(width))
            rows[-1][knot : knot + 3] = [1.0, -2.0, 1.0]
        first += len(knots)
    return np.array(rows)
