"""The measures measure what they say, and a drive held against itself lies within its own spread."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nodes.simulator.realism import measure
from nodes.simulator.realism.compare import camera_curves, lidar_curves, radar_curves
from nodes.simulator.realism.report import as_json, draw
from nodes.sources.drive import Drive
from nodes.sources.indexed import IndexedDrive, Stream
from pipeline.core.messages import RADAR_POINT, EgoPose, RadarScan
from tests.simulated import street_drive
from tests.small_drive import START_NS, small_rig


@pytest.fixture(scope="module")
def drive() -> Drive:
    return street_drive()


def test_noise_of_an_image_is_found() -> None:
    rng = np.random.default_rng(0)
    smooth = np.linspace(60.0, 180.0, 320)[None] + np.zeros((240, 1))
    for sigma in (2.0, 5.0):
        noisy = np.clip(smooth + rng.normal(0.0, sigma, smooth.shape), 0, 255).astype(np.uint8)
        assert measure._noise(noisy) == pytest.approx(sigma, rel=0.15)


def test_a_pattern_stands_at_its_frequency_in_the_spectrum() -> None:
    x = np.arange(256)
    grey = 128 + 50 * np.sin(2 * np.pi * 0.115 * x)[None] + np.zeros((256, 1))
    peak = int(measure._spectrum(grey).argmax())
    assert measure.SPECTRUM_EDGES[peak] <= 0.115 <= measure.SPECTRUM_EDGES[peak + 1]


def test_the_ground_of_the_street_is_flat_to_its_range_noise(drive: Drive) -> None:
    found = measure.lidar_statistics(drive, "lidar_top")
    assert 0.0 < float(np.nanmedian(found.flatness)) < 0.015
    assert len(found.car_points) > 20
    near, far = (found.car_points[lo, 1].mean() for lo in (found.car_points[:, 0] < 15, found.car_points[:, 0] > 40))
    assert near > 5 * far
    np.testing.assert_allclose(found.ranges.sum(axis=1), 1.0, atol=1e-9)


def test_doppler_noise_is_found_again() -> None:
    """Posts at the roadside, passed at 10 m/s."""
    times_ns = START_NS + 100_000_000 * np.arange(10)

    def scan(i: int) -> RadarScan:
        rng = np.random.default_rng(i)
        points = np.zeros(60, RADAR_POINT)
        azimuth, away = rng.uniform(-0.8, 0.8, 60), rng.uniform(5.0, 60.0, 60)
        points["x"], points["y"] = away * np.cos(azimuth), away * np.sin(azimuth)
        points["range_rate"] = -10.0 * np.cos(azimuth) + rng.normal(0.0, 0.1, 60)
        return RadarScan(points=points)

    def pose(i: int) -> EgoPose:
        return EgoPose(position=(float(i), 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0), linear_velocity=(10.0, 0, 0))

    streams = [Stream("radar/bumper", times_ns, scan, "memory"), Stream("pose/ego", times_ns, pose, "memory")]
    found = measure.radar_statistics(IndexedDrive("posts", small_rig(), streams), "bumper")
    assert 1.4826 * np.median(np.abs(found.doppler)) == pytest.approx(0.1, rel=0.15)


def test_vehicles_in_view_send_returns(drive: Drive) -> None:
    found = measure.radar_statistics(drive, "radar_front").object_points
    assert len(found) > 20
    assert (found[:, 1] > 0).mean() > 0.3


def test_a_drive_lies_within_its_own_spread(drive: Drive, tmp_path: Path) -> None:
    lidar = measure.lidar_statistics(drive, "lidar_top")
    radar = measure.radar_statistics(drive, "radar_front")
    camera = measure.camera_statistics(drive, "camera_front", every=3)
    curves = {
        "lidar": lidar_curves(lidar, lidar),
        "radar": radar_curves(radar, radar),
        "camera": camera_curves(camera, camera),
    }
    assert all(np.isnan(c.within) or c.within == 1.0 for of in curves.values() for c in of)
    assert sum(c.within == 1.0 for of in curves.values() for c in of) >= 12
    brighter = camera._replace(brightness=camera.brightness + 0.3, saturation=camera.saturation + 0.3)
    assert camera_curves(camera, brighter)[0].within == pytest.approx(1 / 3)
    for name, of in curves.items():
        draw(name, of, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert json.loads(as_json(curves))["lidar"]["range"]["within"] == 1.0
