"""False alarms: how many, where, and whether they come back at the same place in the world."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from nodes.simulator.detections.fit.observe import Observed, Table
from nodes.simulator.detections.fit.statistics import rounded, spread
from nodes.simulator.detections.model import Ghosts
from pipeline.core.messages import C

FloatArray = npt.NDArray[np.float64]

_EDGES = np.array([0.0, 10.0, 20.0, 30.0, 45.0, 60.0, 80.0, 100.0])
_LAGS = (1, 2, 3, 5)
_STEPS_M = np.arange(0.0, 3.01, 0.1)  # of the vehicle between two messages, where no poses say it


def ghosts(observed: list[Observed], poses: bool) -> Ghosts:
    """Of one kind of sensor. poses: the odom frame stands still, so that places can be compared."""
    count, area, messages = np.zeros(len(_EDGES) - 1), np.zeros(len(_EDGES) - 1), 0
    for o in observed:
        away = o.false["position"][:, :2] - o.false["origin"][:, :2]
        count += np.histogram(np.hypot(*away.T), _EDGES)[0]
        area += o.messages * 0.5 * o.sector * np.diff(_EDGES**2)
        messages += o.messages
    false: Table = {k: np.concatenate([o.false[k] for o in observed]) for k in observed[0].false}
    distance = np.linalg.norm((false["position"] - false["origin"])[:, :2], axis=1)
    near = np.log(np.maximum(distance, 1.0))
    lasting, seen, rho = _persistence(observed, poses)
    said = np.bincount(false["class_score"].argmax(axis=1), minlength=C) + 0.1
    speed = np.abs(false["radial_speed"])
    known = np.isfinite(speed)
    return rounded(
        Ghosts(
            range_m=tuple((0.5 * (_EDGES[1:] + _EDGES[:-1])).tolist()),
            per_m2=tuple(((count + 0.5) / area).tolist()),
            lasting=lasting,
            seen=seen,
            rho=rho,
            classes=tuple((said / said.sum()).tolist()),
            score=spread(_logit(false["score"]), {}, near),
            points=spread(np.log(np.maximum(false["points"], 1.0)), {}, near),
            speed=spread(speed[known], {}) if known.any() else None,
            n=len(distance),
            messages=messages,
        )
    )


def _persistence(observed: list[Observed], poses: bool) -> tuple[float, float, float]:
    """lasting, seen, rho that best explain how often a false alarm has a partner in place some messages later."""
    rate = np.array([_partners(observed, lag, poses) for lag in _LAGS])
    best, best_value = (0.5, 0.5, 0.8), np.inf
    for seen in np.arange(0.5, 0.96, 0.05):
        edge = ndtri(seen)
        for rho in (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98):
            again = np.array(
                [multivariate_normal.cdf([edge, edge], cov=[[1, rho**k], [rho**k, 1]]) / seen for k in _LAGS]
            )
            lasting = float(np.clip((again @ rate) / (again @ again), 0.0, 1.0))
            value = float(((lasting * again - rate) ** 2).sum()) + 1e-3 * (seen - 0.5) ** 2
            if value < best_value:
                best, best_value = (lasting, float(seen), float(rho)), value
    return best


def _partners(observed: list[Observed], lag: int, poses: bool) -> float:
    """Share of false alarms with one less than 1 m (or 5 % of the range) away ``lag`` messages later, less chance."""
    found = chance = total = 0.0
    for o in observed:
        message, time = o.false["message"], o.false["time"]
        for number in np.unique(message):
            now, then = message == number, message == number + lag
            if not then.any() or time[then][0] - time[now][0] > 0.15 * lag:
                continue
            a, b = o.false["odom"][now, :2], o.false["odom"][then, :2]
            reach = np.maximum(1.0, 0.05 * np.hypot(*a.T))[:, None]
            steps = [0.0] if poses else (lag * _STEPS_M).tolist()
            shares = [
                (np.linalg.norm(a[:, None] - [step, 0.0] - b[None], axis=2) < reach).any(axis=1).sum() for step in steps
            ]
            beside = np.linalg.norm(a[:, None] + [0.0, 6.0] - b[None], axis=2) < reach
            found += max(shares)
            chance += beside.any(axis=1).sum()
            total += len(a)
    by_chance = chance / max(total, 1.0)
    return float(np.clip((found / max(total, 1.0) - by_chance) / max(1.0 - by_chance, 0.1), 0.0, 1.0))


def _logit(score: FloatArray) -> FloatArray:
    p = np.clip(score, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(p / (1 - p)))
