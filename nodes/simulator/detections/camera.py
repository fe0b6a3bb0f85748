"""Draw what the camera detector gives: boxes in the image with errors, then lifted by the detector's own code.

Depth errors, stated covariances and sizes are therefore not modelled here: they follow from the boxes, the ground's
slope and the wrong class, as they do in earnest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from calibration.rig import CameraSensor
from fusion.detect.camera import LiftSettings, lift_images
from fusion.detect.image_boxes import ImageBoxes
from fusion.detect.onnx_detectors import OnnxSettings
from fusion.training.clips import DETECTION_COLUMNS, EXTRA
from nodes.simulator.detections.columns import Drawn, Kind, by_group, error, logistic, name
from nodes.simulator.detections.image import box_in_image, resolved
from nodes.simulator.detections.latent import Latents
from nodes.simulator.detections.looks import Looks
from nodes.simulator.detections.model import GROUPS, CameraModel2d

Floats = npt.NDArray[Any]  # float32 or float64

_SHARED_SLOPE = 0.5  # share of the slope's variance that all objects in an image share, as when the vehicle pitches
PITCH_RHO = 0.9


def true_boxes(looks: Looks, camera: CameraSensor) -> Floats:
    """(N, 4) px, cut at the border, NaN outside."""
    return box_in_image(looks.centre, looks.yaw, looks.size, camera)


def found(
    model: CameraModel2d, looks: Looks, tall_px: Floats, camera: CameraSensor, dimmed: Floats, latents: Latents
) -> npt.NDArray[np.bool_]:
    """(N,) whether each object is found. tall_px: (N,) of its true box. dimmed: (N,) taken off the log of its height,
    for what makes an object as hard to see as a smaller one."""
    pixels = np.log(np.maximum(resolved(tall_px, camera), 1.0)) - dimmed
    p = model.hits.probability(pixels, 1.0 - looks.visible, looks.crowded, looks.group)
    return np.asarray(latents.normal(model.hits.rho) < ndtri(np.clip(p, 1e-6, 1 - 1e-6)))


def extra(model: CameraModel2d, looks: Looks, latents: Latents) -> npt.NDArray[np.bool_]:
    """(N,) whether a found object has a second box."""
    rate = np.minimum(np.array([model.extra.rate[group] for group in GROUPS]), 0.9)[looks.group]
    return np.asarray(latents.normal(model.extra.score.rho) < ndtri(rate))


def describe(
    model: CameraModel2d,
    looks: Looks,
    box: Floats,
    camera: CameraSensor,
    dimmed: Floats,
    kind: Kind,
    pitch: Floats,
    rng: np.random.Generator,
) -> Drawn:
    """Boxes of these looks; `columns` hold what the image gives, `lifted` turns them into detections.

    box: (N, 4) true ones. pitch: (T,) standard normals of what all objects of an image share.
    """
    latents = Latents(looks.frame, looks.key, rng)
    n = looks.n
    tall, wide = box[:, 3] - box[:, 1], box[:, 2] - box[:, 0]
    if kind == "ghost":
        logit = model.ghosts.score.of(latents.normal(0.5), np.log(looks.distance))
    elif kind == "extra":
        logit = model.extra.score.of(latents.normal(model.extra.score.rho))
    else:
        pixels = np.log(np.maximum(resolved(tall, camera), 1.0)) - dimmed
        logit = by_group(model.score, looks.group, pixels, latents)
    visible = np.zeros(n) if kind == "ghost" else looks.visible
    own = np.sqrt(1.0 - _SHARED_SLOPE) * latents.normal(model.slope.rho)
    slope = model.slope.of(own + np.sqrt(_SHARED_SLOPE) * pitch[looks.frame])
    middle = 0.5 * (box[:, 0] + box[:, 2]) + tall * error(model.sideways, kind, visible, latents)
    bottom = box[:, 3] + tall * error(model.bottom, kind, visible, latents) - camera.intrinsics.fy * np.tan(slope)
    tall = tall * np.exp(np.clip(error(model.height, kind, visible, latents), -2.0, 1.0))
    wide = wide * np.exp(np.clip(error(model.width, kind, visible, latents), -2.0, 1.5))
    edges = np.stack([middle - wide / 2, bottom - tall, middle + wide / 2, bottom], axis=1)
    limit = np.array([camera.width - 1.0, camera.height - 1.0] * 2)
    at_border = (box <= 0.0) & (np.arange(4) < 2) | (box >= limit) & (np.arange(4) >= 2)
    edges = np.clip(np.where(at_border, box, edges), 0.0, limit)
    named = name(model.naming, looks, latents)
    least = float(np.log(OnnxSettings().min_score / (1 - OnnxSettings().min_score)))
    return Drawn.of(
        looks.frame,
        box2d=edges,
        class_score=named.class_score,
        score=logistic(np.maximum(logit, least)),
        object_id=looks.object_id,
        cause=np.full(n, EXTRA) if kind == "extra" else looks.cause,
    )


def lifted(drawn: Drawn, camera: CameraSensor) -> Drawn:
    """The boxes of all images as detections in the ego frame of each, by the camera as the rig believes it to be."""
    drawn = drawn.pick(np.argsort(drawn.frame, kind="stable"))
    columns = drawn.columns
    boxes = ImageBoxes(columns["box2d"], columns["score"], columns["class_score"])
    found, rows = lift_images(boxes, drawn.frame, camera, LiftSettings())
    kept = drawn.pick(rows)
    given = {name: getattr(found, name) for name in DETECTION_COLUMNS if name not in ("object_id", "cause")}
    return Drawn(kept.frame, {**given, "object_id": kept.columns["object_id"], "cause": kept.columns["cause"]})
