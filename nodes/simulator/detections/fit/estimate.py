"""Observations to the error model: one function per kind of sensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor
from fusion.detect.heading import HeadingSettings
from fusion.detect.size_prior import SIZE_MEAN
from nodes.simulator.detections.columns import WHOLE
from nodes.simulator.detections.fit.ghosts import ghosts
from nodes.simulator.detections.fit.observe import RADAR_HALF_VIEW, Observed, Table, joined
from nodes.simulator.detections.fit.statistics import by_group, hits, naming, rounded, rows, spread, student_t
from nodes.simulator.detections.image import resolved
from nodes.simulator.detections.model import (
    GROUP_OF_CLASS,
    GROUPS,
    CameraModel2d,
    Errors,
    Extra,
    LidarModel,
    RadarModel,
    YawModel,
)

FloatArray = npt.NDArray[np.float64]

PIXEL_KNOTS = np.log([5.0, 8.0, 12.0, 18.0, 30.0, 60.0, 150.0])
RETURN_KNOTS = np.log1p([0.0, 2.0, 5.0, 12.0, 30.0, 100.0, 400.0, 3000.0])
RANGE_KNOTS = np.array([0.0, 15.0, 30.0, 50.0, 75.0, 100.0])
HIDDEN = -1.5
"""Assumed: at least so much is taken off the log-odds of an object that is wholly hidden from a camera or radar. The
few frames do not show it."""
RADAR_ASSUMED = {"person": -1.5, "cycle": -0.7, "small": -2.5}
"""Assumed log-odds against cars: Astyx shows hardly anything else."""


def camera_model(observed: Sequence[Observed]) -> CameraModel2d:
    looks, extra = _together(observed, "looks"), _together(observed, "extra")
    pixels = camera_covariate(observed)
    found = looks["hit"] > 0
    seen = rows(looks, found)
    logit = score_logit(seen["d_score"])
    ground = np.concatenate([_slopes(o.looks) for o in observed])
    return CameraModel2d(
        hits=hits(looks, pixels, PIXEL_KNOTS, HIDDEN),
        score=by_group(logit, seen, pixels[found]),
        naming=naming(seen),
        extra=_extra(looks, extra),
        ghosts=ghosts(list(observed), poses=True),
        sideways=_errors(BOX_ERRORS["sideways"], seen, extra),
        bottom=_errors(BOX_ERRORS["bottom"], seen, extra),
        height=_errors(BOX_ERRORS["height"], seen, extra),
        width=_errors(BOX_ERRORS["width"], seen, extra),
        slope=student_t(ground, looks),
    )


def lidar_model(observed: Sequence[Observed], thin: Observed) -> LidarModel:
    """thin: a LiDAR of fewer beams, of which only the returns on cars count."""
    looks, extra = _together(observed, "looks"), _together(observed, "extra")
    returns = np.log1p(looks["returns"])
    seen, found = rows(looks, looks["hit"] > 0), looks["hit"] > 0
    dense = observed[0]
    expected = _density(dense) * dense.looks["sr"] * dense.looks["visible"]
    open_ = (dense.looks["visible"] > 0.2) & (expected > 3.0)
    thinned = np.log(np.maximum(dense.looks["returns"], 0.3)[open_] / expected[open_])
    said = seen["d_class_score"].argmax(axis=1)
    base = SIZE_MEAN[said]
    cos, sin = np.cos(seen["d_yaw"]), np.sin(seen["d_yaw"])
    along, across = stated_sigma(seen["d_position_cov"], cos, sin)
    length = by_group(np.log(along), seen, returns[found])
    width = by_group(np.log(across), seen, returns[found])
    sizes = [spread(np.log(seen["d_size"] / base)[:, i], seen, np.log(seen["size"] / base)[:, i]) for i in range(3)]
    return LidarModel(
        hits=hits(looks, returns, RETURN_KNOTS),
        score=by_group(score_logit(seen["d_score"]), seen, returns[found]),
        naming=naming(seen),
        extra=_extra(looks, extra),
        ghosts=ghosts([dense], poses=True),
        away=_errors(lambda t: polar_error(t)[0], seen, extra),
        across=_errors(lambda t: polar_error(t)[1], seen, extra),
        up=_errors(lambda t: t["d_position"][:, 2] - t["centre"][:, 2], seen, extra),
        points=spread(np.log(np.maximum(seen["d_points"], 1.0)) - np.log(np.maximum(seen["returns"], 1.0)), seen),
        beams=(16.0, 64.0),
        returns_per_sr=(_density(thin), _density(dense)),
        thinned=spread(thinned, rows(dense.looks, open_)),
        yaw=_yaw(seen),
        yaw_share=_yaw_share(seen),
        stated={name: (length[name], width[name]) for name in GROUPS},
        size=(sizes[0], sizes[1], sizes[2]),
    )


def radar_model(observed: Observed) -> RadarModel:
    looks, extra = observed.looks, observed.extra
    seen, found = rows(looks, looks["hit"] > 0), looks["hit"] > 0
    near = np.log(looks["distance"])
    logit, moving = score_logit(seen["d_score"]), is_moving(seen)
    return RadarModel(
        hits=hits(looks, looks["distance"], RANGE_KNOTS, HIDDEN, RADAR_ASSUMED, falling=True),
        score=by_group(logit[~moving], rows(seen, ~moving), near[found][~moving]),
        score_moving=spread(logit[moving], rows(seen, moving), near[found][moving]),
        naming=naming(seen, notional=0.0),
        extra=_extra(looks, extra),
        ghosts=ghosts([observed], poses=False),
        away=_errors(lambda t: polar_error(t)[0], seen, extra),
        across=_errors(lambda t: polar_error(t)[1], seen, extra),
        points=spread(np.log(np.maximum(seen["d_points"], 1.0)), seen, near[found]),
        rate_sigma=spread(np.nan_to_num(seen["d_radial_sigma"], nan=0.3), seen),
        half_view=float(RADAR_HALF_VIEW),
    )


def camera_covariate(observed: Sequence[Observed]) -> FloatArray:
    """Log resolved pixels of height of every look."""
    out = []
    for o in observed:
        assert isinstance(o.sensor, CameraSensor)
        tall = o.looks["box2d"][:, 3] - o.looks["box2d"][:, 1]
        out.append(np.log(np.maximum(resolved(tall, o.sensor), 1.0)))
    return np.concatenate(out)


def score_logit(score: FloatArray) -> FloatArray:
    p = np.clip(score, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(p / (1 - p)))


def polar_error(t: Table) -> tuple[FloatArray, FloatArray]:
    """Errors along and across the line of sight to the object, over the 1-sigma that is stated in that direction."""
    away = (t["centre"] - t["origin"])[:, :2]
    away = away / np.linalg.norm(away, axis=1)[:, None]
    left = np.stack([-away[:, 1], away[:, 0]], axis=1)
    error, cov = (t["d_position"] - t["centre"])[:, :2], t["d_position_cov"][:, :2, :2]
    out = [(error * u).sum(axis=1) / np.sqrt(np.einsum("ni,nij,nj->n", u, cov, u)) for u in (away, left)]
    return out[0], out[1]


def stated_sigma(cov: FloatArray, cos: FloatArray, sin: FloatArray) -> tuple[FloatArray, FloatArray]:
    """1-sigma along and across a heading, m."""
    along, across = np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)
    flat = cov[:, :2, :2]
    out = [np.sqrt(np.maximum(np.einsum("ni,nij,nj->n", u, flat, u), 1e-6)) for u in (along, across)]
    return out[0], out[1]


def is_moving(t: Table) -> npt.NDArray[np.bool_]:
    """By the radar detector's own rule."""
    return np.asarray(np.abs(t["d_radial_speed"]) > np.maximum(0.7, 3 * t["d_radial_sigma"]))


def _tall(t: Table, prefix: str = "") -> FloatArray:
    return np.asarray(t[f"{prefix}box2d"][:, 3] - t[f"{prefix}box2d"][:, 1])


def _wide(t: Table, prefix: str = "") -> FloatArray:
    return np.asarray(t[f"{prefix}box2d"][:, 2] - t[f"{prefix}box2d"][:, 0])


def _middle(t: Table, prefix: str = "") -> FloatArray:
    return np.asarray(0.5 * (t[f"{prefix}box2d"][:, 0] + t[f"{prefix}box2d"][:, 2]))


BOX_ERRORS: dict[str, Callable[[Table], FloatArray]] = {
    "sideways": lambda t: (_middle(t, "d_") - _middle(t)) / _tall(t),
    "bottom": lambda t: (t["d_box2d"][:, 3] - t["box2d"][:, 3]) / _tall(t),
    "height": lambda t: np.log(np.maximum(_tall(t, "d_"), 1.0) / _tall(t)),
    "width": lambda t: np.log(np.maximum(_wide(t, "d_"), 1.0) / _wide(t)),
}


def _errors(error: Callable[[Table], FloatArray], seen: Table, extra: Table) -> Errors:
    values, whole = error(seen), seen["visible"] > WHOLE
    every = student_t(values, seen)
    return rounded(
        Errors(
            whole=student_t(values[whole], rows(seen, whole), every),
            partly=student_t(values[~whole], rows(seen, ~whole), every),
            extra=student_t(error(extra), extra, every),
        )
    )


def _extra(looks: Table, extra: Table) -> Extra:
    of_found = GROUP_OF_CLASS[looks["class_id"].astype(int)][looks["hit"] > 0]
    of_extra = GROUP_OF_CLASS[extra["class_id"].astype(int)]
    every = len(of_extra) / max(len(of_found), 1)
    rate = {
        name: float(((of_extra == i).sum() + 10 * every) / ((of_found == i).sum() + 10.0))
        for i, name in enumerate(GROUPS)
    }
    return rounded(Extra(rate=rate, score=spread(score_logit(extra["d_score"]), extra), n=len(of_extra)))


def _slopes(looks: Table) -> FloatArray:
    """Of the ground under each object, against the ego's plane, seen from the vehicle."""
    return np.asarray(np.arctan2(looks["centre"][:, 2] - looks["size"][:, 2] / 2, looks["distance"]))


def _density(o: Observed) -> float:
    """Returns per steradian on cars that are seen whole: total over total."""
    whole = (o.looks["visible"] > WHOLE) & (o.looks["class_id"] == 0) & (o.looks["distance"] > 8.0)
    return float(o.looks["returns"][whole].sum() / o.looks["sr"][whole].sum())


def _kind(t: Table) -> npt.NDArray[np.int64]:
    """0 clear, 1 doubtful, 2 not said, by the stated sigma."""
    settings = HeadingSettings()
    edges = [0.5 * (settings.clear_sigma + settings.doubtful_sigma), 1.0]
    return np.asarray(np.searchsorted(edges, t["d_yaw_sigma"]))


def yaw_error(t: Table) -> FloatArray:
    """Modulo half a turn, in (-pi/2, pi/2]."""
    return np.asarray(np.angle(np.exp(2j * (t["d_yaw"] - t["yaw"]))) / 2)


def _yaw(t: Table) -> tuple[YawModel, YawModel, YawModel]:
    error, kind, out = yaw_error(t), _kind(t), []
    quarter = np.abs(error) > np.pi / 4
    every = student_t(error[~quarter], rows(t, ~quarter))
    for number, sigma in enumerate((HeadingSettings().clear_sigma, HeadingSettings().doubtful_sigma, np.pi)):
        of = kind == number
        share = (quarter[of].sum() + 1.0) / (of.sum() + 4.0)
        fit = student_t(error[of & ~quarter], rows(t, of & ~quarter), every)
        out.append(rounded(YawModel(sigma=float(sigma), quarter=float(share), rho=0.9, error=fit)))
    return out[0], out[1], out[2]


def _yaw_share(t: Table) -> dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]:
    kind, many = _kind(t), t["returns"] >= 30
    group = GROUP_OF_CLASS[t["class_id"].astype(int)]
    out = {}
    for number, name in enumerate(GROUPS):
        halves = []
        for half in (~many, many):
            of = half & (group == number)
            every = np.bincount(kind[half], minlength=3) / max(half.sum(), 1)
            share = (np.bincount(kind[of], minlength=3) + 5 * every) / (of.sum() + 5)
            share = share / share.sum()
            halves.append((float(share[0]), float(share[1]), float(share[2])))
        out[name] = (halves[0], halves[1])
    return out


def _together(observed: Sequence[Observed], which: str) -> Table:
    """All sensors of a kind; the identities of each kept apart."""
    tables = []
    for number, o in enumerate(observed):
        table = dict(getattr(o, which))
        table["identity"] = table["identity"] + 1e15 * number
        tables.append(table)
    return joined(tables)
