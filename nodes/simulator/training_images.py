"""Labelled images of random worlds, for training the camera network.

Labels are as a person would draw them: the box around the whole silhouette, hidden parts included, and the share of it
that can be seen. What fog or night swallows cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from calibration.camera import CameraModel
from calibration.rig import CameraSensor
from calibration.se3 import SE3
from fusion.detect.image_boxes import Image
from fusion.training.images import LabelledImage, write_part
from nodes.simulator.instruments import along_ray
from nodes.simulator.sensors.camera import CameraRenderer, Exposure, camera_image
from nodes.simulator.sensors.render.scene import Scene
from nodes.simulator.training_worlds import drawn_camera, training_world, variant
from nodes.simulator.world.environment import Weather
from nodes.simulator.world.gait import phase
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor, World
from nodes.weather.camera import Exposure as Shot
from nodes.weather.camera import weathered_image

_NEAR_M = 0.3
_MIN_HEIGHT_PX = 5.0
_MIN_CONTRAST = 2.5  # grey levels, 1 sigma in and around the box; of less nobody makes anything
VARIANTS = 4
CAMERAS = 2
PER_CAMERA = 8
PER_WORLD = VARIANTS * CAMERAS * PER_CAMERA
"""Images of each placed world: so many variants, cameras in each, random moments of each."""


def write_images(out: Path, worlds: int, first_seed: int, progress: Callable[[int], None] = lambda done: None) -> None:
    """Fill ``out`` with the images of ``worlds`` random worlds, those from ``first_seed`` on; one part for each.

    Parts that are there already are kept: a stopped run goes on where it was.
    """
    out.mkdir(parents=True, exist_ok=True)
    for number in range(worlds):
        path = out / f"{first_seed + number:09}.npz"
        if not path.is_file():
            write_part(path, world_images(training_world(first_seed + number)))
        progress(number + 1)


def world_images(world: World) -> list[LabelledImage]:
    """`PER_WORLD` images of one world; the same world gives the same images."""
    images: list[LabelledImage] = []
    scene: Scene | None = None
    for number in range(VARIANTS):
        rng = np.random.default_rng([world.seed, number, 6])
        seen = variant(world, number)
        scene = Scene(seen, scene)
        for k in range(CAMERAS):
            camera = drawn_camera(f"camera_{k}", rng)
            renderer = CameraRenderer(seen, camera, scene)
            moments = np.sort(rng.uniform(0.0, seen.duration, PER_CAMERA)).tolist()
            images += [labelled_image(seen, renderer, camera, t, rng) for t in moments]
    if scene is not None:
        scene.close()
    return images


def labelled_image(
    world: World, renderer: CameraRenderer, camera: CameraSensor, t: float, rng: np.random.Generator
) -> LabelledImage:
    """One exposure at ``t``, in the world's weather, with its labels."""
    clear = renderer.frame(t)
    shot = Shot(camera.intrinsics.fx, clear.seconds, float(np.linalg.norm(world.ego.velocity(t))))
    through = weathered_image(clear.image_bgr, along_ray(clear, camera), world.weather, rng, shot)
    exposure = clear._replace(image_bgr=through)
    grey = np.asarray(cv2.cvtColor(through, cv2.COLOR_BGR2GRAY), np.uint8)
    cam_SE3_odom = (world.ego.pose(t) @ camera.ego_SE3_sensor).inverse()
    rows = []
    for actor in world.actors:
        found = _silhouette(actor, t, cam_SE3_odom, camera.intrinsics, camera.width, camera.height)
        if found is not None:
            edges, area = found
            share = _share(exposure, actor.object_id, edges, area) if _stands_out(grey, edges) else 0.0
            rows.append((edges, actor.class_id, share))
    return LabelledImage(
        camera_image(exposure, rng).data,
        np.array([row[0] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], dtype=np.int32),
        np.array([row[2] for row in rows], dtype=np.float32),
        _conditions(world),
    )


def _silhouette(
    actor: Actor, t: float, cam_SE3_odom: SE3, model: CameraModel, width: int, height: int
) -> tuple[npt.NDArray[np.float32], float] | None:
    """(4,) edges cut at the image's borders, and area, px2, of the hull of an actor's vertices; None out of view."""
    middle = cam_SE3_odom @ actor.motion.position(t)
    if middle[2] < -0.5 * actor.size[0] or middle[2] > 200.0:
        return None
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


def _stands_out(grey: Image, edges: npt.NDArray[np.float32]) -> bool:
    """Whether anything can be told apart in and right around a box."""
    left, top, right, bottom = edges
    rim = 2.0 + 0.1 * (bottom - top)
    low = np.maximum(np.floor([left - rim, top - rim]), 0).astype(int)
    part = grey[low[1] : int(bottom + rim) + 1, low[0] : int(right + rim) + 1]
    return float(part.std()) >= _MIN_CONTRAST


def _conditions(world: World) -> str:
    """The one word that says most about how well one sees."""
    if world.light.is_night:
        return "night"
    weather: Weather = world.weather
    if weather.rain_mm_h > 0:
        return "rain"
    if weather.snow_mm_h > 0:
        return "snow"
    return "fog" if np.isfinite(weather.visibility_m) else "clear"
