"""What each sensor of the rig sees of the generated street.

Simple and exact in geometry and time; no weather, no texture.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np

from calibration.rig import CameraSensor, LidarSensor, RadarSensor
from calibration.se3 import SE3, FloatArray
from nodes.sources.generated_world import World
from pipeline.core.messages import POINT, RADAR_POINT, CameraImage, PointCloud, RadarScan

_LIDAR_COLUMNS = 720
_LIDAR_LOWEST, _LIDAR_HIGHEST = np.deg2rad(-22.0), np.deg2rad(8.0)
_FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_SHADE = (0.75, 0.9, 0.8, 0.8, 0.6, 1.0)
Bgr: TypeAlias = tuple[int, int, int]

_ROAD, _GRASS, _SKY = (96, 96, 96), (92, 110, 92), (200, 190, 180)


def lidar_sweep(world: World, sensor: LidarSensor, end_s: float, rng: np.random.Generator) -> PointCloud:
    """One sweep, clockwise seen from above; every column is fired at its own instant, from where the ego then is."""
    beams = sensor.beams or 32
    fraction = (np.arange(_LIDAR_COLUMNS) + 1.0) / _LIDAR_COLUMNS
    t_column = end_s - sensor.sweep_ns * 1e-9 * (1.0 - fraction)
    azimuth = np.repeat(np.pi - 2 * np.pi * fraction, beams)
    elevation = np.tile(np.linspace(_LIDAR_LOWEST, _LIDAR_HIGHEST, beams), _LIDAR_COLUMNS)
    rays = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    t_ray = np.repeat(t_column, beams)
    odom_SE3_lidar = (world.ego(t_column) @ sensor.ego_SE3_sensor)[np.repeat(np.arange(_LIDAR_COLUMNS), beams)]
    direction = odom_SE3_lidar.rotate(rays)
    distance, hit = _cast(world, odom_SE3_lidar.translation, direction, t_column, beams)
    distance += rng.normal(0.0, 0.015, len(distance))
    keep = (distance > 1.0) & (distance < sensor.max_range_m) & (rng.random(len(distance)) > 0.01)
    points = np.zeros(int(keep.sum()), POINT)
    xyz = rays[keep] * distance[keep, None]
    points["x"], points["y"], points["z"] = xyz.T
    points["intensity"] = np.where(hit[keep] < 0, 0.15, 0.5)
    points["t_ns"] = np.rint((t_ray[keep] - end_s) * 1e9)
    points["ring"] = np.tile(np.arange(beams), _LIDAR_COLUMNS)[keep]
    return PointCloud(points=points)


def _cast(
    world: World, origin: FloatArray, direction: FloatArray, t_column: FloatArray, beams: int
) -> tuple[FloatArray, np.ndarray]:
    """Distance along each ray to the nearest surface (inf where none) and which actor it is (-1 = ground).

    Slab test against each box at the instant of each column; Kay and Kajiya, SIGGRAPH 1986.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = -origin[:, 2] / direction[:, 2]
        best = np.where(ground > 0, ground, np.inf)
        hit = np.full(len(best), -1)
        for index in range(len(world.actors)):
            box_SE3_odom = world.actor(index, t_column).inverse()[np.repeat(np.arange(len(t_column)), beams)]
            start, ray = box_SE3_odom @ origin, box_SE3_odom.rotate(direction)
            half = 0.5 * world.sizes[index]
            near, far = (-half - start) / ray, (half - start) / ray
            enter, leave = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
            closer = (enter < leave) & (enter > 0) & (enter < best)
            best[closer], hit[closer] = enter[closer], index
    return best, hit


def camera_image(world: World, sensor: CameraSensor, t: float, rng: np.random.Generator) -> CameraImage:
    """A global-shutter exposure: grey road, painted boxes from far to near, sensor noise; sent as JPEG."""
    cam_SE3_odom = (world.ego(t) @ sensor.ego_SE3_sensor).inverse()
    odom_SE3_ego = world.ego(t)
    image = np.full((sensor.height, sensor.width, 3), _SKY, np.uint8)
    ahead = np.linspace(0.0, 150.0, 60)
    for left, right, colour in ((60.0, -60.0, _GRASS), (9.5, -7.8, _ROAD), (1.9, 1.75, (230, 230, 230))):
        edge = np.concatenate(
            [np.c_[ahead, np.full(60, left), np.zeros(60)], np.c_[ahead[::-1], np.full(60, right), np.zeros(60)]]
        )
        _fill(image, sensor, cam_SE3_odom, odom_SE3_ego @ edge, colour)
    boxes = [world.actor(i, t) for i in range(len(world.actors))]
    depth = [float((cam_SE3_odom @ box.translation)[2]) for box in boxes]
    for index in np.argsort(depth)[::-1]:
        corners = boxes[index] @ (_CORNERS * world.sizes[index])
        faces = sorted(
            zip(_FACES, _SHADE, strict=True),
            key=lambda face: -float(np.linalg.norm((cam_SE3_odom @ corners[list(face[0])]).mean(axis=0))),
        )
        for face, shade in faces:
            blue, green, red = (int(c * shade) for c in world.actors[index].colour_bgr)
            _fill(image, sensor, cam_SE3_odom, corners[list(face)], (blue, green, red))
    noisy = np.clip(image + rng.normal(0.0, 3.0, image.shape), 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].reshape(-1)
    return CameraImage(height=sensor.height, width=sensor.width, encoding="jpeg", data=data)


def _fill(image: np.ndarray, sensor: CameraSensor, cam_SE3_odom: SE3, polygon: FloatArray, colour: Bgr) -> None:
    """Fill a polygon given in the odom frame, clipped at the camera's near plane."""
    points = cam_SE3_odom @ polygon
    clipped = _clip_near(points, 0.3)
    if len(clipped) < 3:
        return
    k = sensor.intrinsics
    pixels = np.c_[k.fx * clipped[:, 0] / clipped[:, 2] + k.cx, k.fy * clipped[:, 1] / clipped[:, 2] + k.cy]
    pixels = np.clip(pixels, -4.0 * sensor.width, 5.0 * sensor.width)
    cv2.fillPoly(image, [np.rint(pixels * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def _clip_near(points: FloatArray, near: float) -> FloatArray:
    """Sutherland-Hodgman against z >= near."""
    out = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        if a[2] >= near:
            out.append(a)
        if (a[2] >= near) != (b[2] >= near):
            out.append(a + (b - a) * (near - a[2]) / (b[2] - a[2]))
    return np.array(out).reshape(-1, 3)


def radar_scan(world: World, sensor: RadarSensor, t: float, rng: np.random.Generator) -> RadarScan:
    """Up to four returns per visible object, a little static clutter; range rates wrap at the radar's ambiguity."""
    radar_SE3_odom = (world.ego(t) @ sensor.ego_SE3_sensor).inverse()
    speed, yaw_rate = world.ego_velocity()
    lever = sensor.ego_SE3_sensor.translation
    ego_velocity = np.array([speed - yaw_rate * lever[1], yaw_rate * lever[0], 0.0])
    own_velocity = sensor.ego_SE3_sensor.inverse().rotate(ego_velocity)  # of the radar over ground, radar axes
    rows: list[tuple[float, ...]] = []
    velocities = world.velocities(t)
    for index, actor in enumerate(world.actors):
        pose = world.actor(index, t)
        offsets = rng.uniform(-0.5, 0.5, (int(rng.integers(1, 5)), 3)) * world.sizes[index] * [1.0, 1.0, 0.3]
        velocity = radar_SE3_odom.rotate([*velocities[index], 0.0])
        for point in radar_SE3_odom @ (pose @ offsets):
            rows += _return(point, velocity - own_velocity, actor.rcs_dbsm, sensor, rng)
    for point in rng.uniform([5.0, -40.0, 0.0], [80.0, 40.0, 2.0], (6, 3)):
        rows += _return(point - [0, 0, float(lever[2])], -own_velocity, -5.0, sensor, rng)
    points = np.array(rows, dtype=RADAR_POINT) if rows else np.zeros(0, RADAR_POINT)
    return RadarScan(points=points, ambiguity_mps=sensor.ambiguity_mps)


def _return(
    point: FloatArray, relative_velocity: FloatArray, rcs: float, sensor: RadarSensor, rng: np.random.Generator
) -> list[tuple[float, ...]]:
    """One detection in polar noise, or none where it is outside the field of view or too weak (fourth-power law)."""
    distance = float(np.linalg.norm(point))
    azimuth, elevation = np.arctan2(point[1], point[0]), np.arcsin(point[2] / distance)
    snr = 60.0 + rcs - 40.0 * np.log10(distance / 10.0) + rng.normal(0.0, 3.0)
    if abs(azimuth) > np.deg2rad(60.0) or distance > sensor.max_range_m or snr < 15.0:
        return []
    rate = float(relative_velocity @ point) / distance + rng.normal(0.0, 0.1)
    if sensor.ambiguity_mps:
        rate = (rate + 0.5 * sensor.ambiguity_mps) % sensor.ambiguity_mps - 0.5 * sensor.ambiguity_mps
    distance += rng.normal(0.0, 0.1)
    azimuth += rng.normal(0.0, np.deg2rad(0.7))
    flat = distance * np.cos(elevation)
    x, y, z = flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)
    return [(x, y, z, rate, rcs + float(rng.normal(0.0, 2.0)), snr)]
