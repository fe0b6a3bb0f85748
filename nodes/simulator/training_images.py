"""Labelled images of random worlds, for training the camera network.

Labels are as a person would draw them: the box around the whole silhouette, hidden parts included, and the share of it
that can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel
from calibration.rig import CameraSensor
from calibration.se3 import SE3
from fusion.training.images import LabelledImage, write_part
from nodes.simulator.sensors.camera import CameraRenderer, Exposure, camera_image
from nodes.simulator.world.gait import phase
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor, World

_NEAR_M = 0.3
_MIN_HEIGHT_PX = 5.0


def labelled_image(
    world: World, renderer: CameraRenderer, camera: CameraSensor, t: float, rng: np.random.Generator
) -> LabelledImage:
    """One exposure at ``t`` with its labels."""
    exposure = renderer.frame(t)
    cam_SE3_odom = (world.ego.pose(t) @ camera.ego_SE3_sensor).inverse()
    rows = []
    for actor in world.actors:
        found = _silhouette(actor, t, cam_SE3_odom, camera.intrinsics, camera.width, camera.height)
        if found is not None:
            edges, area = found
            rows.append((edges, actor.class_id, _share(exposure, actor.object_id, edges, area)))
    return LabelledImage(
        camera_image(exposure, rng).data,
        np.array([row[0] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], dtype=np.int32),
        np.array([row[2] for row in rows], dtype=np.float32),
    )


def write_images(
    worlds: Iterator[World],
    cameras: tuple[CameraSensor, ...],
    out: Path,
    count: int,
    per_world: int = 16,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Fill ``out`` with ``count`` images, ``per_world`` from each world at random times, cameras in turn.

    Parts that are there already are kept, and their worlds passed over: a stopped run goes on where it was.
    """
    out.mkdir(parents=True, exist_ok=True)
    for part in range((count + per_world - 1) // per_world):
        world = next(worlds)
        path = out / f"{part:05}.npz"
        if not path.is_file():
            rng = np.random.default_rng([seed, part])
            renderers = [CameraRenderer(world, camera) for camera in cameras]
            images = []
            for i, t in enumerate(np.sort(rng.uniform(0.0, world.duration, per_world))):
                k = i % len(cameras)
                images.append(labelled_image(world, renderers[k], cameras[k], float(t), rng))
            write_part(path, images)
        progress(min((part + 1) * per_world, count))


def _silhouette(
    actor: Actor, t: float, cam_SE3_odom: SE3, model: CameraModel, width: int, height: int
) -> tuple[npt.NDArray[np.float32], float] | None:
    """(4,) edges cut at the image's borders, and area, px2, of the hull of an actor's vertices; None out of view."""
    mesh = shape(actor.shape).phases[int(phase(actor, t))]
    points = cam_SE3_odom @ (actor.motion.pose(t) @ mesh.vertices.astype(np.float64))
    points = points[points[:, 2] > _NEAR_M]
    if len(points) < 4:
        return None
    pixels, valid = model.project(points)
    pixels = pixels[valid]
    if len(pixels) < 4:
        return None
    low = np.clip(pixels.min(axis=0), 0.0, [width, height])
    high = np.clip(pixels.max(axis=0), 0.0, [width, height])
    if high[1] - low[1] < _MIN_HEIGHT_PX or high[0] - low[0] < 2.0:
        return None
    hull = cv2.convexHull(pixels.astype(np.float32).clip(-4 * width, 5 * width))
    return np.array([*low, *high], np.float32), float(cv2.contourArea(hull))


def _share(exposure: Exposure, number: int, edges: npt.NDArray[np.float32], area: float) -> float:
    """Pixels that show the object over those of its hull, of which a typical shape fills four fifths."""
    left, top, right, bottom = np.rint(edges).astype(int)
    seen = int((exposure.object_id[top:bottom, left:right] == number).sum())
    return min(seen / max(0.8 * area, 1.0), 1.0)
