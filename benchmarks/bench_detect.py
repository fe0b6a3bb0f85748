"""The baseline detectors on one core: milliseconds per sweep, image and radar cycle.

Recorded frames where they lie beside the checkout, since clutter decides the time; a simulated one always.
Limits: sorting the points by grid cell (every clustering must look at each once), the bare network, one k-d tree.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from calibration.rig import CameraSensor, LidarSensor, RadarSensor
from fusion.detect import lidar, radar
from fusion.detect.camera import LiftSettings, lift
from fusion.detect.pillars import PillarDetector, PillarSettings
from fusion.detect.weights import resolve
from nodes.detect_camera import OnnxDetector, decode_image, open_detector
from nodes.simulator.named import open_simulated
from nodes.sources.astyx import AstyxDrive
from nodes.sources.drive import Drive
from nodes.sources.pandaset import PandaSetDrive
from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage, PointCloud, RadarScan

ROOT = Path(__file__).resolve().parents[1]
DRIVES = ROOT.parent / "shared" / "drives"
REPEATS = 15


def run() -> list[dict[str, Any]]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        rows = _simulated()
        if (DRIVES / "pandaset_002").is_dir():
            rows += _pandaset()
        if (DRIVES / "astyx").is_dir():
            rows += _astyx()
        return rows
    finally:
        cv2.setNumThreads(threads)


def _simulated() -> list[dict[str, Any]]:
    drive = open_simulated("simulated:urban_pedestrian")
    cloud = _cloud(drive, drive.rig.lidars[0])
    return [
        _sweep_row("simulated", [cloud]),
        _pillar_row("simulated", [cloud]),
        _cycle_row("simulated", drive, drive.rig.radars[0]),
        *(
            row
            for name, of in _networks()
            for row in _image_rows(f"simulated, {name}", drive, drive.rig.cameras[0], of)
        ),
    ]


def _pandaset() -> list[dict[str, Any]]:
    drive = PandaSetDrive(DRIVES / "pandaset_002")
    clouds = [_cloud(drive, sensor) for sensor in drive.rig.lidars]
    rows = [_sweep_row("PandaSet, both LiDARs", clouds), _sweep_row("PandaSet, Pandar64", clouds[:1])]
    rows.append(_pillar_row("PandaSet, both LiDARs", clouds))
    front = drive.rig["front"]
    assert isinstance(front, CameraSensor)
    return rows + [row for name, of in _networks() for row in _image_rows(f"PandaSet, {name}", drive, front, of)]


def _networks() -> list[tuple[str, OnnxDetector]]:
    """Our camera network; beside it the peer, where its weights are on this machine (`syncline models fetch`)."""
    ours = OnnxDetector(weights="camera_simulated", layout="centre", band=None)
    try:
        resolve("fastestdet")
    except BadInput:
        return [("CentreNet", ours)]
    peer = OnnxDetector(band=None)
    return [("CentreNet", ours), ("FastestDet, whole image", peer), ("FastestDet, image and band", OnnxDetector())]


def _astyx() -> list[dict[str, Any]]:
    drive = AstyxDrive(DRIVES / "astyx")
    return [
        _sweep_row("Astyx, VLP-16", [_cloud(drive, drive.rig.lidars[0])]),
        _pillar_row("Astyx, VLP-16", [_cloud(drive, drive.rig.lidars[0])]),
        _cycle_row("Astyx", drive, drive.rig.radars[0]),
    ]


def _cloud(drive: Drive, sensor: LidarSensor) -> tuple[np.ndarray, np.ndarray]:
    """Points of the first sweep in the ego frame, and where the sensor is."""
    payload = next(iter(drive.messages([f"lidar/{sensor.name}"]))).payload
    assert isinstance(payload, PointCloud)
    return np.asarray(sensor.ego_SE3_sensor @ payload.xyz), sensor.ego_SE3_sensor.translation


def _sweep_row(name: str, clouds: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    xyz, origin = np.concatenate([xyz for xyz, _ in clouds]), clouds[0][1]
    t_ns = np.zeros(len(xyz), np.int32)
    cell = ((xyz[:, :2] + 500.0) / 0.2).astype(np.int64)
    key = cell[:, 0] * 5000 + cell[:, 1]
    settings = lidar.LidarSettings()
    ours, limit = _medians(lambda: lidar.detect(xyz, t_ns, origin, settings, "top"), lambda: np.sort(key))
    return _row(f"sweep of {len(xyz) / 1000:.0f}k points ({name})", ours, limit, "sorting the points by cell")


def _pillar_row(name: str, clouds: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """As it is run by default, without an earlier sweep."""
    xyz, origin = np.concatenate([xyz for xyz, _ in clouds]), clouds[0][1]
    t_ns, found = np.zeros(len(xyz), np.int32), PillarDetector(PillarSettings())
    clusters = lidar.LidarSettings()
    ours, limit = _medians(
        lambda: found(xyz, t_ns, origin, "top"),
        lambda: lidar.detect(xyz, t_ns, origin, clusters, "top"),
        clock=time.process_time,
    )
    return _row(
        f"sweep of {len(xyz) / 1000:.0f}k points, pillar network, processor time ({name})", ours, limit, "clustering"
    )


def _cycle_row(name: str, drive: Drive, sensor: RadarSensor) -> dict[str, Any]:
    scan = next(iter(drive.messages([f"radar/{sensor.name}"]))).payload
    assert isinstance(scan, RadarScan)
    settings, place = radar.RadarSettings(), sensor.ego_SE3_sensor
    xyz = scan.xyz.astype(np.float64)
    ours, limit = _medians(
        lambda: radar.detect(scan, place, None, settings, "front"),
        lambda: cKDTree(xyz).query_pairs(settings.link_m, output_type="ndarray"),
    )
    return _row(f"radar cycle of {len(xyz)} returns ({name})", ours, limit, "one k-d tree and its pairs")


def _image_rows(name: str, drive: Drive, sensor: CameraSensor, settings: OnnxDetector) -> list[dict[str, Any]]:
    image = next(iter(drive.messages([f"camera/{sensor.name}"]))).payload
    assert isinstance(image, CameraImage)
    detector = open_detector(settings)
    bgr = decode_image(image, sensor, "benchmark")
    small = np.ascontiguousarray(bgr[:352, :352])
    ours, limit = _medians(
        lambda: lift(detector(decode_image(image, sensor, "benchmark")), sensor, LiftSettings()),
        lambda: decode_image(image, sensor, "benchmark"),
    )
    rows = [_row(f"image {image.width}x{image.height}, decoding included ({name})", ours, limit, "decoding alone")]
    if settings.band is None and settings.layout == "fastestdet":
        once, _ = _medians(lambda: detector(small), lambda: None)
        rows.append(_row("image 352x352: the network, one run", once, 4.7, "model card, one core"))
    return rows


def _medians(*calls: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Milliseconds of each, taken in turn so that a busy moment hits all of them."""
    for call in calls:
        call()
    taken = [[_timed(call, clock) for call in calls] for _ in range(REPEATS)]
    return [float(np.median(column)) * 1e3 for column in zip(*taken, strict=True)]


def _timed(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def _row(name: str, value: float, limit: float, limit_name: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": "ms",
        "limit": round(limit, 2),
        "limit_name": limit_name,
        "ratio": round(value / limit, 1) if limit else None,
    }


if __name__ == "__main__":
    from rich.console import Console

    from benchmarks.__main__ import table

    Console().print(table([{"subject": "detect", **row} for row in run()]))
