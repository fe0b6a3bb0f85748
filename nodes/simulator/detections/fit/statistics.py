"""Estimators of the model's building blocks. Small samples are drawn towards something sober, never left alone."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata
from scipy.stats import t as student

from nodes.simulator.detections.fit.observe import Table
from nodes.simulator.detections.model import GROUP_OF_CLASS, GROUPS, LEVELS, Hits, Naming, Spread, StudentT
from pipeline.core.messages import CLASSES, C

FloatArray = npt.NDArray[np.float64]
T = TypeVar("T", bound=msgspec.Struct)
_RHO = np.linspace(0.0, 0.98, 50)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_PRIOR_RHO, _PRIOR_PAIRS = 0.7, 20.0  # before any pair is seen; worth so many


def student_t(values: FloatArray, table: Table, like: StudentT | None = None) -> StudentT:
    """Maximum likelihood with 2.5 <= dof <= 50, the scale shrunk towards that of ``like`` as if it were 20 values."""
    values = values[np.isfinite(values)] if values.ndim == 1 else values
    n = len(values)
    if n < 8 and like is not None:
        return StudentT(loc=like.loc, scale=like.scale, dof=like.dof, rho=like.rho, n=n, objects=_objects(table))
    middle = float(np.median(values)) if n else 0.0
    spread = float(1.4826 * np.median(np.abs(values - middle))) + 1e-4 if n else 0.1

    def loss(p: FloatArray) -> float:
        log_scale, log_dof = p[1], np.clip(p[2], np.log(2.5), np.log(50.0))
        fit = student.logpdf(values, np.exp(log_dof), p[0], np.exp(log_scale)).sum()
        prior = 0.5 * ((log_dof - np.log(5.0)) / 0.8) ** 2 + 1e-2 * (p[2] - log_dof) ** 2
        return float(prior - fit)

    best = minimize(loss, [middle, np.log(spread), np.log(5.0)], method="Nelder-Mead").x
    loc, scale = float(best[0]), float(np.exp(best[1]))
    if like is not None:
        weight = n / (n + 20.0)
        loc, scale = weight * loc + (1 - weight) * like.loc, scale**weight * like.scale ** (1 - weight)
    dof = float(np.exp(np.clip(best[2], np.log(2.5), np.log(50.0))))
    normal = ndtri(np.clip(student.cdf((values - loc) / scale, dof), 1e-4, 1 - 1e-4))
    rho = persistence(normal, table) if "identity" in table else 0.0
    return rounded(StudentT(loc=loc, scale=scale, dof=dof, rho=rho, n=n, objects=_objects(table)))


def spread(values: FloatArray, table: Table, covariate: FloatArray | None = None, like: Spread | None = None) -> Spread:
    """Quantiles, smoothed by those of ``like`` as if it were 20 values."""
    n = len(values)
    if n < 8 and like is not None:
        return Spread(**{f: getattr(like, f) for f in like.__struct_fields__ if f not in ("n", "objects")},
                      n=n, objects=_objects(table))  # fmt: skip
    quantiles = np.quantile(values, LEVELS) if n else np.zeros(len(LEVELS))
    if like is not None:
        weight = n / (n + 20.0)
        quantiles = weight * quantiles + (1 - weight) * np.array(like.quantiles)
    normal = _scores(values)
    slope, mean, sigma = 0.0, 0.0, 1.0
    if covariate is not None and n > 8 and np.std(values) > 1e-6 and np.std(covariate) > 1e-6:
        mean, sigma = float(np.mean(covariate)), float(np.std(covariate))
        beside = (covariate - mean) / sigma
        slope = float(np.clip(np.corrcoef(normal, beside)[0, 1] * n / (n + 10.0), -0.95, 0.95))
        normal = (normal - slope * beside) / np.sqrt(1 - slope**2)
    rho = persistence(normal, table) if "identity" in table else 0.0
    return rounded(
        Spread(
            quantiles=tuple(np.maximum.accumulate(quantiles).tolist()), slope=slope, mean=mean, sigma=sigma, rho=rho,
            n=n, objects=_objects(table),
        )
    )  # fmt: skip


def by_group(values: FloatArray, table: Table, covariate: FloatArray) -> dict[str, Spread]:
    """One per group, those with few values drawn towards all."""
    every = spread(values, table, covariate)
    group = GROUP_OF_CLASS[table["class_id"].astype(int)]
    out = {}
    for number, name in enumerate(GROUPS):
        of = group == number
        out[name] = spread(values[of], rows(table, of), covariate[of], every)
    return out


def rows(table: Table, which: npt.NDArray[np.bool_]) -> Table:
    return {name: column[which] for name, column in table.items()}


def successive(table: Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of one object in a message and in the next, less than 0.3 s apart."""
    order = np.lexsort((table["message"], table["identity"]))
    a, b = order[:-1], order[1:]
    follows = (table["identity"][a] == table["identity"][b]) & (table["message"][b] == table["message"][a] + 1)
    follows &= table["time"][b] - table["time"][a] < 0.3
    return a[follows], b[follows]


def persistence(normal: FloatArray, table: Table) -> float:
    """Lag-one correlation of normal scores along objects, with a prior."""
    a, b = successive(table)
    if len(a) < 3:
        return _PRIOR_RHO
    found = float((normal[a] * normal[b]).sum() / np.sqrt((normal[a] ** 2).sum() * (normal[b] ** 2).sum() + 1e-12))
    weight = len(a) / (len(a) + _PRIOR_PAIRS)
    return float(np.clip(weight * found + (1 - weight) * _PRIOR_RHO, 0.0, 0.98))


def latent_persistence(probability: FloatArray, hit: FloatArray, table: Table) -> float:
    """rho of the latent normals that decide hit or miss: maximum likelihood over pairs in succession."""
    a, b = successive(table)
    if len(a) < 10:
        return _PRIOR_RHO
    edge = ndtri(np.clip(probability, 1e-3, 1 - 1e-3))
    best, best_value = _PRIOR_RHO, -np.inf
    for rho in _RHO:
        common = np.sqrt(rho) * _NODES[:, None]
        p, q = (ndtr((edge[i] - common) / np.sqrt(1 - rho)) for i in (a, b))
        p, q = np.where(hit[a] > 0, p, 1 - p), np.where(hit[b] > 0, q, 1 - q)
        both = (_WEIGHTS[:, None] * p * q).sum(axis=0) / _WEIGHTS.sum()
        value = float(np.log(np.maximum(both, 1e-9)).sum())
        if value > best_value:
            best, best_value = float(rho), value
    return best


def hits(
    table: Table,
    covariate: FloatArray,
    knots: FloatArray,
    hidden_at_most: float = 0.0,
    assumed: dict[str, float] | None = None,
    falling: bool = False,
) -> Hits:
    """Logistic regression with a ridge: values at the knots are smooth, groups and terms stay near 0, or what is
    ``assumed`` of them, without evidence. hidden_at_most: bound of the weight of what is hidden."""
    hat = np.stack([np.interp(covariate, knots, row) for row in np.eye(len(knots))], axis=1)
    group = np.eye(len(GROUPS))[GROUP_OF_CLASS[table["class_id"].astype(int)]]
    terms = np.column_stack([1.0 - table["visible"], table["gap"] < 1.0, group])
    x, y = np.column_stack([hat, terms]), table["hit"]
    k = len(knots)
    smooth = np.diff(np.eye(x.shape[1])[:k], n=2, axis=0) if k > 2 else np.zeros((0, x.shape[1]))
    objects = max(_objects(table), 1)
    weight = min(1.0, 6.0 * objects / max(len(y), 1))  # looks at one object are worth some six independent ones

    prior = np.array([hidden_at_most, 0.0, *((assumed or {}).get(name, 0.0) for name in GROUPS)])

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        z = x @ w
        bend = smooth @ w
        gradient = weight * x.T @ (1 / (1 + np.exp(-z)) - y) + 4.0 * smooth.T @ bend
        gradient[:k] += 0.02 * w[:k]
        gradient[k:] += w[k:] - prior
        value = weight * (np.logaddexp(0, z) - y * z).sum() + 2.0 * (bend**2).sum()
        return float(value + 0.01 * (w[:k] ** 2).sum() + 0.5 * ((w[k:] - prior) ** 2).sum()), gradient

    bounds = [(-8.0, 8.0)] * k + [(-6.0, hidden_at_most), (-2.0, 0.0)] + [(-3.0, 3.0)] * len(GROUPS)
    start = np.zeros(x.shape[1])
    start[k] = hidden_at_most
    w = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    values = -_rising(-w[:k], hat.sum(axis=0)) if falling else _rising(w[:k], hat.sum(axis=0))
    out = Hits(
        knots=tuple(knots.tolist()), values=tuple(values.tolist()), hidden=float(w[k]), crowded=float(w[k + 1]),
        groups=dict(zip(GROUPS, w[k + 2 :].tolist(), strict=True)), rho=0.0, n=len(y), objects=objects,
    )  # fmt: skip
    probability = out.probability(
        covariate, 1 - table["visible"], (table["gap"] < 1.0).astype(float), group.argmax(axis=1)
    )
    return rounded(msgspec.structs.replace(out, rho=latent_persistence(probability, y, table)))


def naming(table: Table, notional: float = 2.0) -> Naming:
    """Classes said of hits; each group's row starts from so many notional hits that were right."""
    scores = table["d_class_score"]
    said, true = scores.argmax(axis=1), table["class_id"].astype(int)
    row = {}
    for name, names in GROUPS.items():
        prior = np.bincount(said, minlength=C) / max(len(said), 1)
        own = np.array([1.0 if c in names else 0.0 for c in CLASSES])
        count = np.bincount(said[own[true] > 0], minlength=C) + prior + notional * own / own.sum()
        row[name] = tuple((count / count.sum()).tolist())
    top = scores[np.arange(len(said)), said]
    profile = np.eye(C)
    for c in range(C):
        if (said == c).sum() >= 5:
            profile[c] = (scores[said == c] / top[said == c, None]).mean(axis=0)
    right = GROUP_OF_CLASS[said] == GROUP_OF_CLASS[true]
    every = spread(top, table)
    a, b = successive(table)
    same = float((said[a] == said[b]).mean()) if len(a) else 0.9
    return rounded(
        Naming(
            row=row, profile=tuple(map(tuple, profile.tolist())), n=len(said), rho=float(np.clip(same, 0.0, 0.98)),
            right=spread(top[right], rows(table, right), None, every),
            wrong=spread(top[~right], rows(table, ~right), None, every),
        )
    )  # fmt: skip


def _rising(values: FloatArray, weight: FloatArray) -> FloatArray:
    """The nearest values that never fall: neighbours that do are pooled (isotonic regression)."""
    blocks: list[tuple[float, float, int]] = []  # value, weight, length
    for value, w in zip(values.tolist(), (weight + 1e-6).tolist(), strict=True):
        blocks.append((value, w, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, wa, na), (b, wb, nb) = blocks[-2:]
            blocks[-2:] = [((a * wa + b * wb) / (wa + wb), wa + wb, na + nb)]
    return np.concatenate([np.full(n, value) for value, _, n in blocks])


def _scores(values: FloatArray) -> FloatArray:
    return np.asarray(ndtri((rankdata(values) - 0.5) / max(len(values), 1)))


def _objects(table: Table) -> int:
    return len(np.unique(table["identity"])) if "identity" in table else 0


def rounded(settings: T) -> T:
    """Four significant digits are more than any of these numbers has."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.4g}")
        if isinstance(value, dict):
            return {k: short(v) for k, v in value.items()}
        return [short(v) for v in value] if isinstance(value, list | tuple) else value

    return msgspec.convert(short(msgspec.to_builtins(settings)), type(settings))
