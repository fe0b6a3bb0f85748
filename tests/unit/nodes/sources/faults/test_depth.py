from __future__ import annotations

import numpy as np
import pytest

from nodes.sources.faults.depth import FAR_M, DepthOf, Sweeps, guessed_depth, upward
from nodes.sources.faults.drive import FaultyDrive
from pipeline.core.messages import CameraImage
from tests.small_drive import START_NS, small_drive, small_rig

CAMERA = small_rig().cameras[0]
UP = upward(CAMERA)


def panel(distance: float, bottom: float, top: float) -> np.ndarray:
    """Points on a plane across the road, ``distance`` m ahead of the camera, ego frame."""
    y, z = np.meshgrid(np.arange(-2.0, 2.0, 0.05), np.arange(bottom, top, 0.05))
    return np.stack([np.full(y.size, 1.5 + distance), y.ravel(), z.ravel()], axis=1)


def at(depth: np.ndarray, x: float, y: float, z: float) -> float:
    """Depth in the pixel in which a point of the ego frame is seen."""
    pixel = CAMERA.intrinsics.project(CAMERA.ego_SE3_sensor.inverse() @ np.array([[x, y, z]]))[0][0]
    return float(depth[round(pixel[1]), round(pixel[0])])


def test_without_a_lidar_it_is_ground_and_sky() -> None:
    depth = guessed_depth(CAMERA, UP, None)
    assert at(depth, 11.5, 0.0, 0.0) == pytest.approx(10.1, rel=0.1)
    assert depth[0].min() == FAR_M


def test_a_car_hides_the_ground_and_not_the_sky_above_it() -> None:
    depth = guessed_depth(CAMERA, UP, panel(10.0, 0.2, 1.8))
    assert at(depth, 11.5, 0.0, 1.0) == pytest.approx(10.0, rel=0.1)
    assert at(depth, 11.5, 0.0, 5.5) > 300.0
    assert at(depth, 8.0, 0.0, 0.0) < 8.5, "the road before it is nearer"


def test_a_house_goes_on_above_what_the_lidar_sees() -> None:
    depth = guessed_depth(CAMERA, UP, panel(20.0, 0.2, 4.8))
    assert at(depth, 21.5, 0.0, 8.0) == pytest.approx(20.8, rel=0.1)


def test_between_the_beams_of_a_sparse_lidar_a_wall_has_no_holes() -> None:
    points = panel(15.0, 0.0, 6.0)
    sparse = points[np.isin(np.round(points[:, 2] / 0.05) % 40, [0])]
    depth = guessed_depth(CAMERA, UP, sparse)
    assert max(at(depth, 16.5, 0.0, z) for z in np.arange(2.1, 4.0, 0.3)) < 18.0


def test_a_drive_that_knows_is_asked() -> None:
    class Knowing(type(small_drive())):  # type: ignore[misc]
        def depth(self, camera: str, time_ns: int) -> np.ndarray:
            assert (camera, time_ns) == ("front", START_NS)
            return np.full((2, 2), 7.0, np.float32)

    drive = small_drive()
    drive.__class__ = Knowing
    assert DepthOf(drive, CAMERA, Sweeps(drive)).at(START_NS).max() == 7.0


def test_the_nearest_sweep_is_taken_and_none_that_is_far() -> None:
    sweeps = Sweeps(small_drive())
    assert sweeps.near(START_NS + 10_000_000) is not None
    assert sweeps.near(START_NS - 2_000_000_000) is None


def test_an_image_that_cannot_be_decoded_stays_as_it_is() -> None:
    faulty = FaultyDrive(small_drive(), ["front.fog:1"])
    broken = CameraImage(height=36, width=64, encoding="jpeg", data=np.zeros(10, np.uint8))
    drive = small_drive()
    drive._streams["camera/front"] = type(drive._streams["camera/front"])(
        "camera/front", drive._streams["camera/front"].times_ns, lambda i: broken, "memory"
    )
    faulty = FaultyDrive(drive, ["front.fog:1"])
    assert next(iter(faulty.messages(["camera/front"]))).payload is broken
