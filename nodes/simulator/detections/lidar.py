"""Draw what the LiDAR detector gives: returns -> found or not -> class, heading, size, stated noise, error in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from fusion.detect.box import CompletionSettings
from fusion.detect.lidar import LidarSettings
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from fusion.training.clips import EXTRA
from nodes.simulator.detections.columns import Drawn, Kind, by_group, error, logistic, name
from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.looks import Looks
from nodes.simulator.detections.model import GROUPS, LidarModel

Floats = npt.NDArray[Any]  # float32 or float64

_SEEN_RHO = 0.9  # of which side of an object is seen; assumed
_GHOST_ERROR = 0.3  # a phantom has no true place: only its jitter counts, this share of an object's error


def returns(model: LidarModel, looks: Looks, density: Floats, latents: Latents, rng: np.random.Generator) -> Floats:
    """(N,) LiDAR returns on each object. density: (N,) returns per steradian of an open face."""
    thinned = model.thinned.of(latents.normal(model.thinned.rho))
    expected = np.exp(thinned) * density * looks.sr * looks.visible
    return np.asarray(np.floor(expected + rng.random(looks.n, dtype=np.float32)))


def found(model: LidarModel, looks: Looks, count: Floats, latents: Latents) -> npt.NDArray[np.bool_]:
    """(N,) whether each object with so many returns is detected. Without a return nothing is."""
    p = model.hits.probability(np.log1p(count), 1.0 - looks.visible, looks.crowded, looks.group)
    return np.asarray((latents.normal(model.hits.rho) < ndtri(p)) & (count > 0))


def extra(model: LidarModel, looks: Looks, latents: Latents) -> npt.NDArray[np.bool_]:
    """(N,) whether a found object is also detected a second time."""
    rate = np.minimum(np.array([model.extra.rate[group] for group in GROUPS]), 0.9)[looks.group]
    return np.asarray(latents.normal(model.extra.score.rho) < ndtri(rate))


def describe(
    model: LidarModel, looks: Looks, count: Floats, kind: Kind, sweep_ns: int, rng: np.random.Generator
) -> Drawn:
    """Detections of these looks, ego frame of the sweep's end. count: (N,) returns; of ghosts it is drawn here."""
    latents = Latents(looks.frame, looks.key, rng)
    n = looks.n
    ghost = kind == "ghost"
    near = np.log(looks.distance)
    if ghost:
        count = np.round(np.exp(model.ghosts.points.of(latents.normal(_SEEN_RHO), near)))
        logit = model.ghosts.score.of(latents.normal(_SEEN_RHO), near)
        points = count
    else:
        logit = (
            by_group(model.score, looks.group, np.log1p(count), latents)
            if kind == "object"
            else model.extra.score.of(latents.normal(model.extra.score.rho))
        )
        points = np.round(np.exp(model.points.of(latents.normal(model.points.rho))) * count)
    many = np.log1p(count)
    named = name(model.naming, looks, latents)
    yaw, yaw_sigma = _yaw(model, looks, count, latents)

    along = np.exp(_stated(model, 0, looks, many, latents))
    across = np.exp(_stated(model, 1, looks, many, latents))
    cos, sin = np.cos(yaw), np.sin(yaw)
    xx, yy = (along * cos) ** 2 + (across * sin) ** 2, (along * sin) ** 2 + (across * cos) ** 2
    xy = (along**2 - across**2) * cos * sin
    ux, uy = np.cos(looks.azimuth), np.sin(looks.azimuth)
    sigma_away = np.sqrt(ux * ux * xx + 2 * ux * uy * xy + uy * uy * yy)
    sigma_across = np.sqrt(uy * uy * xx - 2 * ux * uy * xy + ux * ux * yy)
    scale = _GHOST_ERROR if ghost else 1.0
    e_away = scale * sigma_away * error(model.away, kind, looks.visible, latents)
    e_across = scale * sigma_across * error(model.across, kind, looks.visible, latents)
    position = looks.centre.copy()
    position[:, 0] += e_away * ux - e_across * uy
    position[:, 1] += e_away * uy + e_across * ux
    position[:, 2] += scale * error(model.up, kind, looks.visible, latents)
    cov = np.zeros((n, 3, 3), np.float32)
    cov[:, 0, 0], cov[:, 1, 1], cov[:, 2, 2] = xx, yy, LidarSettings().height_sigma_m ** 2
    cov[:, 0, 1] = cov[:, 1, 0] = xy

    size, size_sigma = _size(model, looks, named.said, latents)
    return Drawn.of(
        looks.frame,
        position=position,
        position_cov=cov,
        size=size,
        size_sigma=size_sigma,
        yaw=yaw,
        yaw_sigma=yaw_sigma,
        class_score=named.class_score,
        score=logistic(np.maximum(logit, -2.94)),
        time_offset_ns=time_offset_ns(looks, sweep_ns),
        points=np.maximum(points, 1.0),
        object_id=looks.object_id,
        cause=np.full(n, EXTRA) if kind == "extra" else looks.cause,
    )


def time_offset_ns(looks: Looks, sweep_ns: int) -> Floats:
    """(N,) when the beam passed: clockwise from behind, over at the stamp."""
    return np.asarray(-0.5 * sweep_ns * (1.0 + looks.azimuth / np.pi))


def _yaw(model: LidarModel, looks: Looks, count: Floats, latents: Latents) -> tuple[Floats, Floats]:
    """Heading modulo half a turn, in [-pi/2, pi/2), and what is stated of it: clear, doubtful or not at all."""
    share = np.array([model.yaw_share[group] for group in GROUPS])
    edges = ndtri(np.cumsum(share, axis=2)[..., :2].clip(1e-6, 1 - 1e-6)).astype(np.float32)
    edges = edges[looks.group, (count >= 30).astype(np.int64)]
    normal = latents.normal(_SEEN_RHO)
    kind = (normal > edges[:, 0]).astype(np.int64) + (normal > edges[:, 1])
    quarter = ndtri(np.array([y.quarter for y in model.yaw])).astype(np.float32)[kind]
    turned = latents.normal(model.yaw[0].rho) < quarter
    normal = latents.normal(model.yaw[0].error.rho)
    off = np.select([kind == number for number in range(3)], [y.error.of(normal) for y in model.yaw])
    yaw = looks.yaw + np.clip(off, -np.pi / 4, np.pi / 4) + turned * np.float32(np.pi / 2)
    sigma = np.array([y.sigma for y in model.yaw], np.float32)[kind]
    return np.mod(yaw + np.float32(np.pi / 2), np.float32(np.pi)) - np.float32(np.pi / 2), sigma


def _stated(model: LidarModel, axis: int, looks: Looks, many: Floats, latents: Latents) -> Floats:
    return by_group({group: pair[axis] for group, pair in model.stated.items()}, looks.group, many, latents)


def _size(model: LidarModel, looks: Looks, said: npt.NDArray[np.int64], latents: Latents) -> tuple[Floats, Floats]:
    """Sizes, and the 1-sigma that the detector states: what was not seen is taken from the class."""
    base, settings = SIZE_MEAN.astype(np.float32)[said], CompletionSettings()
    beyond = np.log(looks.size / base)
    size = np.stack(
        [base[:, i] * np.exp(s.of(latents.normal(s.rho), beyond[:, i])) for i, s in enumerate(model.size)], axis=1
    )
    seen = size > 1.001 * base
    sigma = np.where(seen, 1.5 * settings.face_noise_m, np.minimum(SIZE_SIGMA[said], 0.3 * size))
    sigma[:, 2] = 2 * LidarSettings().height_sigma_m
    return size, sigma
