"""Draw what the radar detector gives: found or not -> rate over ground -> score, place in its stated noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from fusion.detect.doppler import wrap
from fusion.detect.radar import RadarSettings
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from fusion.training.clips import EXTRA
from nodes.simulator.detections.columns import Drawn, Kind, by_group, error, logistic, name
from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.looks import Looks
from nodes.simulator.detections.model import GROUPS, RadarModel

Floats = npt.NDArray[Any]  # float32 or float64

_GHOST_ERROR = 0.3
_GHOST_RHO = 0.5  # of what a phantom looks like; assumed
_BODY_RATE = np.array([0.15, 0.2, 0.5, 0.3, 0.0])  # 1-sigma of turning wheels, swinging limbs, per group, m/s; assumed


def found(model: RadarModel, looks: Looks, weaker: Floats, latents: Latents) -> npt.NDArray[np.bool_]:
    """(N,) whether each object is detected. weaker: (N,) taken off the log-odds."""
    p = model.hits.probability(looks.distance, 1.0 - looks.visible, looks.crowded, looks.group)
    return np.asarray(latents.normal(model.hits.rho) < ndtri(p) - 0.6 * weaker)  # a logit is some .6 of a normal score


def extra(model: RadarModel, looks: Looks, latents: Latents) -> npt.NDArray[np.bool_]:
    """(N,) whether a found object is also detected a second time."""
    rate = np.minimum(np.array([model.extra.rate[group] for group in GROUPS]), 0.9)[looks.group]
    return np.asarray(latents.normal(model.extra.score.rho) < ndtri(rate))


def describe(model: RadarModel, looks: Looks, ambiguity: float, kind: Kind, rng: np.random.Generator) -> Drawn:
    """Detections of these looks, ego frame of the cycle."""
    settings = RadarSettings()
    latents = Latents(looks.frame, looks.key, rng)
    n, near = looks.n, np.log(looks.distance)
    rate: Floats
    logit: Floats
    ghost = kind == "ghost"
    ux, uy = np.cos(looks.azimuth), np.sin(looks.azimuth)

    sigma = model.rate_sigma.of(latents.normal(model.rate_sigma.rho))
    if ghost:
        assert model.ghosts.speed is not None
        sign = np.where(rng.random(n, dtype=np.float32) < 0.5, np.float32(-1.0), np.float32(1.0))
        rate = sign * model.ghosts.speed.of(latents.normal(_GHOST_RHO))
        logit = model.ghosts.score.of(latents.normal(_GHOST_RHO), near)
        points = model.ghosts.points.of(latents.normal(_GHOST_RHO), near)
    else:
        rate = looks.velocity[:, 0] * ux + looks.velocity[:, 1] * uy
        speed = np.hypot(looks.velocity[:, 0], looks.velocity[:, 1])
        rate = rate + np.where(speed > 0.3, _BODY_RATE.astype(np.float32)[looks.group], 0.0) * latents.normal(0.0)
        points = model.points.of(latents.normal(model.points.rho), near)
        logit = model.extra.score.of(latents.normal(model.extra.score.rho))
    rate = wrap(rate + sigma * latents.normal(0.0), ambiguity)
    if kind == "object":
        moving = np.abs(rate) > np.maximum(settings.moving_mps, 3 * sigma)
        still = by_group(model.score, looks.group, near, latents)
        logit = np.where(moving, model.score_moving.of(latents.normal(model.score_moving.rho), near), still)

    scale = _GHOST_ERROR if ghost else 1.0
    sigma_away = np.float32(np.hypot(settings.range_sigma_m, settings.object_sigma_m))
    sigma_across = np.hypot(settings.azimuth_sigma * looks.distance, settings.object_sigma_m)
    e_away = scale * sigma_away * error(model.away, kind, looks.visible, latents)
    e_across = scale * sigma_across * error(model.across, kind, looks.visible, latents)
    position = looks.centre.copy()
    position[:, 0] += e_away * ux - e_across * uy
    position[:, 1] += e_away * uy + e_across * ux
    position[:, 2] = settings.height_m
    cov = np.zeros((n, 3, 3), np.float32)
    cov[:, 0, 0] = (sigma_away * ux) ** 2 + (sigma_across * uy) ** 2
    cov[:, 1, 1] = (sigma_away * uy) ** 2 + (sigma_across * ux) ** 2
    cov[:, 0, 1] = cov[:, 1, 0] = (sigma_away**2 - sigma_across**2) * ux * uy
    cov[:, 2, 2] = 1.0

    class_score = name(model.naming, looks, latents).class_score
    size = class_score @ SIZE_MEAN.astype(np.float32)
    size_var = class_score @ (SIZE_SIGMA**2 + SIZE_MEAN**2).astype(np.float32) - size**2
    return Drawn.of(
        looks.frame,
        position=position,
        position_cov=cov,
        size=size,
        size_sigma=np.sqrt(np.maximum(size_var, 1e-4)),
        yaw=np.zeros(n),
        yaw_sigma=np.full(n, np.pi),
        radial_speed=rate,
        radial_sigma=sigma,
        class_score=class_score,
        time_offset_ns=np.zeros(n),
        score=logistic(np.maximum(logit, -2.94)),
        points=np.maximum(np.round(np.exp(points)), 1.0),
        object_id=looks.object_id,
        cause=np.full(n, EXTRA) if kind == "extra" else looks.cause,
    )
