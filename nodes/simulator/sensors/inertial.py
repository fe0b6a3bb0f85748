"""IMU, wheel speed and GNSS of a whole drive, made at once.

Their errors are paths in time (biases walk, satellites' errors drift), so the values of all messages are computed
together: whoever reads a part of a drive finds there what a reader of all of it finds.

IMU: IEEE Std 952 noise model: white noise by its density, a bias at switch-on, and a random walk of it.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3, FloatArray
from nodes.simulator.world.world import World
from pipeline.core.messages import GnssFix, ImuSample, WheelSpeed
from pipeline.core.settings import Settings

GRAVITY = 9.80665
_H = 2e-3  # s, over which motion is differentiated
_EARTH_A, _EARTH_E2 = 6_378_137.0, 6.694_379_990_14e-3  # WGS-84
Geodetic: TypeAlias = tuple[float, float, float]


class ImuSettings(Settings, frozen=True):
    """Of a good automotive MEMS unit. Densities in rad/s/sqrt(Hz) and m/s2/sqrt(Hz); walks of the biases per sqrt(s).

    gyro_bias, accel_bias: 1-sigma at switch-on, rad/s and m/s2. gyro_range, accel_range: where it saturates.
    vibration: of the body by road and engine, m/s2 at 20 m/s.
    """

    gyro_density: float = 1.2e-4
    accel_density: float = 1.2e-3
    gyro_bias: float = 1.5e-3
    accel_bias: float = 0.04
    gyro_walk: float = 2e-5
    accel_walk: float = 2e-4
    gyro_range: float = math.radians(300.0)
    accel_range: float = 40.0
    vibration: float = 0.05


class WheelSettings(Settings, frozen=True):
    """resolution: of the reported speed, m/s. scale_sigma: 1-sigma of the tyres' radius, relative. slip: relative speed
    lost per m/s2 of acceleration. standstill: below it a wheel's pulses no longer come and zero is reported, m/s.
    wheelbase: m. steering_sigma: rad."""

    resolution: float = 0.0156
    scale_sigma: float = 0.008
    slip: float = 0.0015
    noise: float = 0.01
    standstill: float = 0.12
    wheelbase: float = 2.8
    steering_sigma: float = 0.002


class GnssSettings(Settings, frozen=True):
    """origin: WGS-84 degrees and height of odom's origin, with odom x towards the east. drift_sigma: of the slow error,
    horizontal, m, which changes within drift_s; vertical errors are twice as large. noise: white, m.
    reacquire_s: after a roof, until satellites are found again.
    """

    origin: Geodetic = (48.1374, 11.5755, 520.0)
    drift_sigma: float = 0.9
    drift_s: float = 60.0
    noise: float = 0.06
    reacquire_s: float = 1.5


def imu_samples(
    world: World, ego_SE3_imu: SE3, times: npt.ArrayLike, settings: ImuSettings, rng: np.random.Generator
) -> list[ImuSample]:
    """What the IMU says at ``times`` (N,), s, increasing: rates and specific force where it sits, in its own axes."""
    t = np.asarray(times, dtype=np.float64)
    turn, force = true_inertial(world, ego_SE3_imu, t)
    s = settings
    period = np.diff(t, prepend=t[:1] - (np.median(np.diff(t)) if len(t) > 1 else 0.01))
    root = np.sqrt(np.maximum(period, 1e-6))[:, None]
    speed = np.linalg.norm(world.ego.velocity(t), axis=-1)[:, None]
    gyro_bias = _walk(s.gyro_bias, s.gyro_walk * root, rng)
    accel_bias = _walk(s.accel_bias, s.accel_walk * root, rng)
    gyro = turn + gyro_bias + s.gyro_density / root * rng.standard_normal((len(t), 3))
    shake = s.vibration * speed / 20.0 * rng.standard_normal((len(t), 3))
    accel = force + accel_bias + shake + s.accel_density / root * rng.standard_normal((len(t), 3))
    gyro, accel = np.clip(gyro, -s.gyro_range, s.gyro_range), np.clip(accel, -s.accel_range, s.accel_range)
    return [
        ImuSample(angular_velocity=(gx, gy, gz), linear_acceleration=(ax, ay, az))
        for (gx, gy, gz), (ax, ay, az) in zip(gyro.tolist(), accel.tolist(), strict=True)
    ]


def true_inertial(world: World, ego_SE3_imu: SE3, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Angular velocity (N, 3) rad/s and specific force (N, 3) m/s2 without errors, IMU axes.

    From the path of the IMU itself, so that a lever arm's accelerations are in it.
    """
    before, now, after = (world.ego.pose(t + step) @ ego_SE3_imu for step in (-_H, 0.0, _H))
    acceleration = (before.translation - 2.0 * now.translation + after.translation) / _H**2
    into = np.swapaxes(now.rotation, -1, -2)
    force = np.einsum("nij,nj->ni", into, acceleration + np.array([0.0, 0.0, GRAVITY]))
    turned = SE3(np.swapaxes(before.rotation, -1, -2) @ after.rotation, np.zeros((len(t), 3)))
    return turned.rotation_vector / (2 * _H), force


def wheel_speeds(
    world: World, times: npt.ArrayLike, settings: WheelSettings, rng: np.random.Generator
) -> list[WheelSpeed]:
    """Speed of the rear axle by its wheels' pulses, and the steering angle, at ``times`` (N,), s."""
    t = np.asarray(times, dtype=np.float64)
    s = settings
    pose = world.ego.pose(t)
    forward = pose.rotation[:, :, 0]
    speed = np.einsum("nj,nj->n", world.ego.velocity(t), forward)
    pull = np.einsum("nj,nj->n", world.ego.acceleration(t), forward)
    scale = 1.0 + s.scale_sigma * rng.standard_normal()
    turned = speed * scale * (1.0 + s.slip * pull) + s.noise * rng.standard_normal(len(t))
    steps = np.round(turned / s.resolution) * s.resolution
    shown = np.where(np.abs(speed) < s.standstill, 0.0, steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.arctan(s.wheelbase * world.ego.yaw_rate(t) / speed)
    angle = np.where(np.abs(speed) < 0.5, 0.0, angle) + s.steering_sigma * rng.standard_normal(len(t))
    return [WheelSpeed(speed=v, steering_angle=a) for v, a in zip(shown.tolist(), angle.tolist(), strict=True)]


def gnss_fixes(
    world: World, ego_SE3_gnss: SE3, times: npt.ArrayLike, settings: GnssSettings, rng: np.random.Generator
) -> list[GnssFix | None]:
    """Fixes of the antenna at ``times`` (N,), s; None under a roof and until satellites are found again."""
    t = np.asarray(times, dtype=np.float64)
    s = settings
    antenna = (world.ego.pose(t) @ ego_SE3_gnss).translation
    drift = np.zeros((len(t), 3))
    keep = np.exp(-np.diff(t, prepend=t[:1]) / s.drift_s)  # Gauss-Markov of first order
    kicks = rng.standard_normal((len(t), 3)) * s.drift_sigma * np.sqrt(1.0 - keep**2)[:, None]
    drift[:1] = s.drift_sigma * rng.standard_normal((1, 3))
    for i in range(1, len(t)):
        drift[i] = keep[i] * drift[i - 1] + kicks[i]
    error = (drift + s.noise * rng.standard_normal((len(t), 3))) * [1.0, 1.0, 2.0]
    degrees = geodetic(antenna + error, s.origin)
    roofed = np.zeros(len(t), bool)
    for start, end in world.roofed:
        roofed |= (t >= start) & (t < end + s.reacquire_s)
    accuracy = math.hypot(s.drift_sigma, s.noise) * math.sqrt(2.0)
    return [
        None if dark else GnssFix(latitude=lat, longitude=lon, height=height, accuracy=accuracy)
        for dark, (lat, lon, height) in zip(roofed.tolist(), degrees.tolist(), strict=True)
    ]


def geodetic(east_north_up: FloatArray, origin: Geodetic) -> FloatArray:
    """(N, 3) latitude, longitude (degrees), height (m) of (N, 3) metres around ``origin``.

    By way of the radii of curvature there: 1 cm off at 5 km.
    """
    latitude, longitude, height = origin
    sine = math.sin(math.radians(latitude))
    w = math.sqrt(1.0 - _EARTH_E2 * sine**2)
    meridian, vertical = _EARTH_A * (1.0 - _EARTH_E2) / w**3, _EARTH_A / w
    east, north, up = east_north_up.T
    lat = latitude + np.degrees(north / (meridian + height))
    lon = longitude + np.degrees(east / ((vertical + height) * math.cos(math.radians(latitude))))
    return np.stack([lat, lon, height + up], axis=1)


def _walk(start_sigma: float, step_sigma: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(N, 3) a bias at switch-on and its random walk; step_sigma: (N, 1)."""
    start = start_sigma * rng.standard_normal(3)
    return np.asarray(start + np.cumsum(step_sigma * rng.standard_normal((len(step_sigma), 3)), axis=0))
