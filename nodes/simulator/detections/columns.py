"""Columns of detections while they are drawn, and what all kinds of sensors share in drawing them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from fusion.training.clips import DETECTION_COLUMNS
from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.looks import Looks
from nodes.simulator.detections.model import GROUPS, Errors, Naming, Spread

Floats = npt.NDArray[Any]  # float32 or float64
IntArray = npt.NDArray[np.int64]

Kind = Literal["object", "extra", "ghost"]
"""Of detections: the first on an object, a further one, one of something that is no object."""
WHOLE = 0.7
"""An object counts as seen whole when at least this share of it is visible."""


class Drawn(NamedTuple):
    """Detections of one sensor: the frame of each, and those of `DETECTION_COLUMNS` that it measures, in the ego frame
    of its message."""

    frame: IntArray
    columns: dict[str, npt.NDArray[Any]]

    def pick(self, rows: IntArray | npt.NDArray[np.bool_]) -> Drawn:
        return Drawn(self.frame[rows], {name: column[rows] for name, column in self.columns.items()})

    @property
    def n(self) -> int:
        return len(self.frame)

    @staticmethod
    def joined(parts: list[Drawn]) -> Drawn:
        return Drawn(
            np.concatenate([part.frame for part in parts]),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        )

    @staticmethod
    def of(frame: IntArray, **columns: npt.ArrayLike) -> Drawn:
        """Each in the type of its column; what a sensor does not measure is left out."""
        types = {name: np.dtype(DETECTION_COLUMNS[name][0]) for name in columns}
        return Drawn(frame, {name: np.asarray(column, dtype=types[name]) for name, column in columns.items()})


def error(errors: Errors, kind: Kind, visible: Floats, latents: Latents) -> npt.NDArray[np.float32]:
    """(N,) errors of objects, whole or partly hidden, or of extra detections (``kind`` = "extra")."""
    if kind == "extra":
        return errors.extra.of(latents.normal(errors.extra.rho))
    whole, partly = errors.whole, errors.partly
    normal = latents.normal((whole.n * whole.rho + partly.n * partly.rho) / max(whole.n + partly.n, 1))
    return np.where(visible > WHOLE, whole.of(normal), partly.of(normal))


def by_group(spreads: dict[str, Spread], group: IntArray, covariate: Floats, latents: Latents) -> Floats:
    """(N,) values, each from the distribution of its group; how they persist is common to all groups."""
    total = sum(s.n for s in spreads.values())
    normal = latents.normal(sum(s.n * s.rho for s in spreads.values()) / max(total, 1))
    out = np.zeros(len(group), np.float32)
    for number, name in enumerate(GROUPS):
        of = np.flatnonzero(group == number)
        if len(of):
            out[of] = spreads[name].of(normal[of], covariate[of])
    return out


class Named(NamedTuple):
    """said: (N,) class id. class_score: (N, C)."""

    said: IntArray
    class_score: npt.NDArray[np.float32]


def name(naming: Naming, looks: Looks, latents: Latents) -> Named:
    """The class that is said of each look and its score vector, which sums to at most 1."""
    said, right = looks.said, np.zeros(looks.n, bool)
    if (said < 0).any():
        normal = latents.normal(naming.rho)
        said = said.copy()
        for number, group in enumerate(GROUPS):
            of = np.flatnonzero((looks.group == number) & (looks.said < 0))
            row = np.array(naming.row[group])
            said[of] = np.searchsorted(ndtri(np.cumsum(row)[:-1] / row.sum()), normal[of])
            right[of] = row[said[of]] >= row.max()
    score = latents.normal(naming.right.rho)
    top = np.clip(np.where(right, naming.right.of(score), naming.wrong.of(score)), 0.05, 1.0)
    others = np.array(naming.profile, np.float32)
    np.fill_diagonal(others, 0.0)
    mass = others.sum(axis=1)
    others /= np.maximum(mass, 1e-9)[:, None]
    scores = others[said] * np.minimum(top * mass[said], 1.0 - top)[:, None]
    scores[np.arange(looks.n), said] = top
    return Named(said, scores)


def logistic(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
