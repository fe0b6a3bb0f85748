"""What a drive's sensors look like in numbers, measured in the same way on recorded and on simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from fusion.detect.doppler import DopplerSettings, own_velocity, wrap
from nodes.sources.drive import Drive
from pipeline.core.messages import CLASSES, CameraImage, EgoPose, Message, PointCloud, RadarScan
from pipeline.core.truth import TruthObjects
from pipeline.sync.motion import deskew

Array: TypeAlias = npt.NDArray[np.float64]

INTENSITY_EDGES = np.linspace(0.0, 1.0, 33)
RANGE_EDGES = np.concatenate([np.arange(0.0, 40.0, 4.0), np.arange(40.0, 121.0, 10.0)])
SPECTRUM_EDGES = np.geomspace(0.01, 0.5, 13)  # cycles per pixel
_CARS = CLASSES.index("car")
_RESIDUAL_MPS = 0.8  # Doppler further off than this is not of the static world
_MARGIN_M = 0.3  # labels are drawn tight, and a radar's returns scatter around them


class LidarStatistics(NamedTuple):
    """F sweeps. car_points: (n, 2) range m, returns in the box, of every labelled car with a return; and the same of
    cars' intensities: (n,) median in each. intensity: (F, 32), ranges: (F, R) shares of a sweep's returns by bin.
    returns: (F,). flatness: (F,) m, spread of the ground's height around its plane within 15 m."""

    car_points: Array
    car_intensity: Array
    intensity: Array
    ranges: Array
    returns: Array
    flatness: Array


class RadarStatistics(NamedTuple):
    """F cycles. object_points: (n, 2) range m, returns in the box, of every labelled vehicle in view. doppler: (n,)
    m/s, rates of the static world less what the own motion makes of it. ranges: (F, R) shares by bin. returns: (F,).
    snr: (n, 2) range m, strength of returns on labelled vehicles, dB over the weakest of them: radars say it against
    references of their own."""

    object_points: Array
    doppler: Array
    ranges: Array
    returns: Array
    snr: Array


class CameraStatistics(NamedTuple):
    """F images, at half size: brightness, contrast (spread of brightness), saturation: (F,) 0..1. noise: (F,) grey
    levels of 255. spectrum: (F, 12) log10 of the power by spatial frequency."""

    brightness: Array
    contrast: Array
    saturation: Array
    noise: Array
    spectrum: Array


def lidar_statistics(drive: Drive, sensor: str, every: int = 1) -> LidarStatistics:
    """Of one LiDAR, every n-th sweep; labels count where there are any at the sweep's instant."""
    mounted = drive.rig[sensor].ego_SE3_sensor
    labels, poses = _labels(drive), _poses(drive)
    cars: list[Array] = []
    car_intensity: list[float] = []
    rows: list[tuple[Array, Array, int, float]] = []
    for message in _every(drive, f"lidar/{sensor}", every):
        cloud = message.payload
        assert isinstance(cloud, PointCloud)
        xyz = _in_ego(cloud, message, mounted, poses)
        distance = np.linalg.norm(xyz - mounted.translation, axis=1)
        strength = cloud.points["intensity"].astype(np.float64)
        rows.append((_shares(strength, INTENSITY_EDGES), _shares(distance, RANGE_EDGES), len(xyz), _flatness(xyz)))
        truth = _nearest(labels, message.stamp.time_ns)
        if truth is not None:
            pose = _ego_at(poses, message.stamp.time_ns)
            for inside, away, _ in _in_boxes(xyz, truth, pose, lambda c: c == _CARS, 0.0):
                if inside.any():
                    cars.append(np.array([away, inside.sum()]))
                    car_intensity.append(float(np.median(strength[inside])))
    intensity, ranges, returns, flatness = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return LidarStatistics(_table(cars), np.array(car_intensity), intensity, ranges, returns, flatness)


def radar_statistics(drive: Drive, sensor: str, every: int = 1) -> RadarStatistics:
    """Of one radar, every n-th cycle."""
    mounted = drive.rig[sensor].ego_SE3_sensor
    labels, poses = _labels(drive), _poses(drive)
    objects: list[Array] = []
    snr: list[Array] = []
    doppler: list[Array] = []
    rows: list[tuple[Array, int]] = []
    for message in _every(drive, f"radar/{sensor}", every):
        scan = message.payload
        assert isinstance(scan, RadarScan)
        xyz = scan.xyz.astype(np.float64)
        distance = np.maximum(np.linalg.norm(xyz, axis=1), 1e-6)
        rows.append((_shares(distance, RANGE_EDGES), len(xyz)))
        rate = scan.points["range_rate"].astype(np.float64)
        own = own_velocity(xyz / distance[:, None], rate, scan.ambiguity_mps, DopplerSettings())
        if own is not None:
            left = wrap(rate + (xyz[:, :2] / distance[:, None]) @ own.velocity, scan.ambiguity_mps)
            doppler.append(left[np.abs(left) < _RESIDUAL_MPS])
        truth = _nearest(labels, message.stamp.time_ns)
        if truth is not None:
            pose = _ego_at(poses, message.stamp.time_ns)
            in_view = _field_of_view(xyz)
            for inside, away, azimuth in _in_boxes(
                mounted @ xyz, truth, pose, lambda c: 0 <= c < 5, _MARGIN_M, mounted
            ):
                if in_view[0] < azimuth < in_view[1]:
                    objects.append(np.array([away, inside.sum()]))
                    snr += list(np.c_[distance[inside], scan.points["snr"][inside]])
    ranges, returns = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    none = np.zeros(0)
    strength = _table(snr)
    strength[:, 1] -= strength[:, 1].min(initial=np.inf)
    return RadarStatistics(_table(objects), np.concatenate(doppler or [none]), ranges, returns, strength)


def camera_statistics(drive: Drive, sensor: str, every: int = 1) -> CameraStatistics:
    """Of one camera, every n-th image."""
    rows = []
    for message in _every(drive, f"camera/{sensor}", every):
        image = message.payload
        assert isinstance(image, CameraImage)
        pixels = image.data.reshape(image.height, image.width, 3) if image.encoding == "bgr8" else None
        full = np.asarray(cv2.imdecode(image.data, cv2.IMREAD_COLOR)) if pixels is None else pixels
        half = cv2.resize(full, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(half, cv2.COLOR_BGR2GRAY).astype(np.float64)
        saturation = cv2.cvtColor(half, cv2.COLOR_BGR2HSV)[..., 1]
        levels = (grey.mean() / 255, grey.std() / 255, saturation.mean() / 255)
        rows.append((*levels, _noise(cv2.cvtColor(full, cv2.COLOR_BGR2GRAY)), _spectrum(grey)))
    return CameraStatistics(*(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)))


# --- inside


def _every(drive: Drive, topic: str, every: int) -> list[Message]:
    return [message for i, message in enumerate(drive.messages([topic])) if i % every == 0]


def _labels(drive: Drive) -> dict[int, TruthObjects]:
    if "truth/objects" not in drive.topics:
        return {}
    found = drive.messages(["truth/objects"])
    return {m.stamp.time_ns: m.payload for m in found if isinstance(m.payload, TruthObjects)}


def _nearest(labels: dict[int, TruthObjects], time_ns: int) -> TruthObjects | None:
    """The labels of that instant, to 40 ms: within it a car in a street moves less than the margin around its box."""
    key = min(labels, key=lambda t: abs(t - time_ns), default=None)
    return labels[key] if key is not None and abs(key - time_ns) <= 40_000_000 else None


def _poses(drive: Drive) -> Trajectory | None:
    if "pose/ego" not in drive.topics:
        return None
    found = [(m.stamp.time_ns, m.payload) for m in drive.messages(["pose/ego"]) if isinstance(m.payload, EgoPose)]
    times_ns, first = np.unique([t for t, _ in found], return_index=True)
    poses = SE3.stack([pose.odom_SE3_ego for _, pose in found])
    return Trajectory(times_ns, poses[first], max_extrapolation_ns=200_000_000)


def _ego_at(poses: Trajectory | None, time_ns: int) -> SE3:
    return SE3.identity() if poses is None else poses.at(time_ns)


def _in_ego(cloud: PointCloud, message: Message, ego_SE3_lidar: SE3, poses: Trajectory | None) -> Array:
    try:
        return deskew(cloud, message.stamp, ego_SE3_lidar, poses).astype(np.float64)
    except ValueError:  # the drive's first sweep begins before its poses
        return ego_SE3_lidar @ cloud.xyz.astype(np.float64)


def _in_boxes(
    ego_xyz: Array,
    truth: TruthObjects,
    odom_SE3_ego: SE3,
    wanted: Callable[[int], bool],
    margin: float,
    ego_SE3_sensor: SE3 | None = None,
) -> list[tuple[npt.NDArray[np.bool_], float, float]]:
    """For each label of a wanted class: which points lie in its box, its range and its azimuth from the sensor."""
    xyz = odom_SE3_ego @ ego_xyz
    sensor_SE3_odom = (odom_SE3_ego @ (ego_SE3_sensor or SE3.identity())).inverse()
    out = []
    for i in np.flatnonzero([wanted(int(c)) for c in truth.class_id]):
        box = SE3.from_yaw(float(truth.yaw[i]), truth.position[i]).inverse() @ xyz
        inside = (np.abs(box) <= 0.5 * truth.size[i] + margin).all(axis=1)
        seen_from = sensor_SE3_odom @ truth.position[i]
        azimuth = float(np.arctan2(seen_from[1], seen_from[0]))
        out.append((inside, float(np.linalg.norm(truth.position[i] - odom_SE3_ego.translation)), azimuth))
    return out


def _field_of_view(xyz: Array) -> tuple[float, float]:
    """The azimuths between which nearly all returns lie, rad."""
    if len(xyz) < 20:
        return -0.5, 0.5
    low, high = np.quantile(np.arctan2(xyz[:, 1], xyz[:, 0]), [0.01, 0.99])
    return float(low), float(high)


def _flatness(xyz: Array) -> float:
    """Height of the ground around its plane, robust 1-sigma, m; NaN where hardly any is seen."""
    near = xyz[(np.hypot(xyz[:, 0], xyz[:, 1]) < 15.0) & (np.abs(xyz[:, 2]) < 0.5)]
    if len(near) < 100:
        return float("nan")
    basis = np.c_[near[:, :2], np.ones(len(near))]
    for _ in range(3):
        plane = np.linalg.lstsq(basis, near[:, 2], rcond=None)[0]
        off = near[:, 2] - basis @ plane
        keep = np.abs(off) < 3 * 1.4826 * np.median(np.abs(off)) + 1e-6
        near, basis = near[keep], basis[keep]
    return float(1.4826 * np.median(np.abs(near[:, 2] - basis @ plane)))


def _noise(grey: npt.NDArray[Any]) -> float:
    """1-sigma of white noise, grey levels, on the smoothest half: Immerkaer, Fast noise variance estimation, 1996."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)
    response = np.abs(cv2.filter2D(grey.astype(np.float64), -1, kernel))[1:-1, 1:-1]
    blocks = response[: response.shape[0] // 8 * 8, : response.shape[1] // 8 * 8]
    means = blocks.reshape(blocks.shape[0] // 8, 8, -1, 8).mean(axis=(1, 3))
    return float(np.sqrt(np.pi / 2) / 6 * np.median(means[means <= np.median(means)]))


def _spectrum(grey: Array) -> Array:
    """(12,) log10 of the mean power at each spatial frequency, cycles per pixel."""
    size = min(grey.shape)
    window = np.outer(np.hanning(size), np.hanning(size))
    middle = grey[:size, (grey.shape[1] - size) // 2 :][:, :size]
    power = np.abs(np.fft.fft2((middle - middle.mean()) * window)) ** 2 / size**2
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    place = np.digitize(np.hypot(fx, fy).ravel(), SPECTRUM_EDGES)
    sums = np.bincount(place, power.ravel(), len(SPECTRUM_EDGES) + 1)[1:-1]
    counts = np.bincount(place, minlength=len(SPECTRUM_EDGES) + 1)[1:-1]
    return np.asarray(np.log10(np.maximum(sums / np.maximum(counts, 1), 1e-9)))


def _shares(values: Array, edges: Array) -> Array:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return np.asarray(counts / max(len(values), 1))


def _table(rows: list[Array]) -> Array:
    return np.array(rows, dtype=np.float64).reshape(-1, 2)
