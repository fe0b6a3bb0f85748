from __future__ import annotations

import msgspec
import numpy as np
import pytest

from calibration.camera import KannalaBrandt, Pinhole
from calibration.rig import CameraSensor, Extrinsic
from fusion.detect.camera import LiftSettings, lift, lift_images
from fusion.detect.image_boxes import ImageBoxes
from fusion.detect.size_prior import SIZE_MEAN, SIZE_SIGMA
from pipeline.core.messages import CLASSES, C

LOOKING_FORWARD = (0.5, -0.5, 0.5, -0.5)  # camera axes (right, down, forward) in ego axes
CAR, PEDESTRIAN = CLASSES.index("car"), CLASSES.index("pedestrian")
HEIGHT = 1.6
SETTINGS = LiftSettings()

CAMERA = CameraSensor(
    name="front",
    extrinsic=Extrinsic(translation=(1.5, 0.0, HEIGHT), rotation_wxyz=LOOKING_FORWARD),
    width=1920,
    height=1080,
    intrinsics=Pinhole(fx=1000.0, fy=1000.0, cx=960.0, cy=540.0),
)


def boxes(edges: np.ndarray, kind: int = CAR) -> ImageBoxes:
    edges = np.atleast_2d(np.float32(edges))
    scores = np.zeros((len(edges), C), np.float32)
    scores[:, kind] = 0.9
    return ImageBoxes(edges, np.full(len(edges), 0.7, np.float32), scores)


def box_at(distance: float, y: float, tall: float, wide: float = 2.0) -> np.ndarray:
    """Edges of an upright rectangle that stands on flat ground ``distance`` in front of the camera."""
    corners = np.array([[distance + 1.5, y + wide / 2, tall], [distance + 1.5, y - wide / 2, 0.0]])
    pixels, _ = CAMERA.intrinsics.project(CAMERA.ego_SE3_sensor.inverse() @ corners)
    return pixels.reshape(-1)


@pytest.mark.parametrize("distance", [8.0, 20.0, 45.0])
def test_flat_ground_and_known_height_give_the_distance(distance) -> None:
    found = lift(boxes(box_at(distance, 3.0, float(SIZE_MEAN[CAR, 2]))), CAMERA, SETTINGS)
    rho = np.hypot(*(found.position[0, :2] - np.array(found.origin[:2])))
    seen = np.hypot(distance, 3.0)
    assert seen < rho < seen + 2.5  # the centre lies behind the face that is seen
    azimuth = np.arctan2(found.position[0, 1], found.position[0, 0] - 1.5)
    assert azimuth == pytest.approx(np.arctan2(3.0, distance), abs=0.01)
    assert found.size[0] == pytest.approx(SIZE_MEAN[CAR], rel=1e-5)
    assert found.yaw_sigma[0] >= np.pi - 1e-6
    assert np.isnan(found.velocity).all()


@pytest.mark.parametrize("distance", [15.0, 30.0])
def test_the_stated_covariance_is_that_of_a_monte_carlo(distance) -> None:
    """Draw what the model says is random: edges, pitch and slope, height, where the centre lies."""
    rng = np.random.default_rng(4)
    draws = 4000
    tall = rng.normal(SIZE_MEAN[CAR, 2], SIZE_SIGMA[CAR, 2], draws)
    exact = box_at(distance, 0.0, float(SIZE_MEAN[CAR, 2]))
    pixels_tall = exact[3] - exact[1]
    edge = np.hypot(SETTINGS.edge_px, SETTINGS.edge_share * pixels_tall)
    tilt = rng.normal(0.0, SETTINGS.slope_sigma, draws) * 1000.0
    top = exact[3] - pixels_tall * tall / SIZE_MEAN[CAR, 2] + tilt + rng.normal(0.0, edge, draws)
    bottom = exact[3] + tilt + rng.normal(0.0, edge, draws)
    side = rng.normal(0.0, np.hypot(SETTINGS.edge_px, 0.06 * (exact[2] - exact[0])), draws)
    edges = np.stack([exact[0] + side, top, exact[2] + side, bottom], axis=1)
    found = lift(boxes(edges), CAMERA, SETTINGS)
    stated = lift(boxes(exact), CAMERA, SETTINGS)
    spread = np.std(found.position, axis=0)
    half_depth_sigma = 0.4 * 0.35 * SIZE_MEAN[CAR, 0]
    expected = np.sqrt(np.diag(stated.position_cov[0]))
    assert np.hypot(spread[0], half_depth_sigma) == pytest.approx(expected[0], rel=0.2)
    assert spread[1] < expected[1] < 3.0 * spread[1] + 0.3


def test_range_variance_grows_much_faster_than_cross_range() -> None:
    edges = np.stack([box_at(d, 0.0, float(SIZE_MEAN[CAR, 2])) for d in (10.0, 40.0)])
    cov = lift(boxes(edges), CAMERA, SETTINGS).position_cov
    along, across = cov[:, 0, 0], cov[:, 1, 1]
    assert along[1] / along[0] > 10.0
    assert (along > 4.0 * across).all()


def test_at_the_lower_border_neither_cue_holds_and_nothing_is_claimed() -> None:
    cut = box_at(5.0, 0.0, 1.7)
    cut[3] = CAMERA.height - 1
    assert len(lift(boxes(cut), CAMERA, SETTINGS)) == 0


def test_cut_off_above_the_ground_alone_counts() -> None:
    whole = box_at(6.0, 0.0, 3.4)
    cut = whole.copy()
    cut[1] = 0.0
    narrow = lift(boxes(cut), CAMERA, SETTINGS)
    assert narrow.position[0, 0] == pytest.approx(6.0 + 1.5 + 0.35 * SIZE_MEAN[CAR, 0], abs=0.3)


def test_cut_off_at_the_side_the_azimuth_is_less_sure() -> None:
    whole = box_at(12.0, 8.0, 1.7)
    cut = whole - [whole[0], 0, whole[0], 0]
    found = lift(boxes(np.stack([whole, cut])), CAMERA, SETTINGS)
    across = [np.linalg.eigvalsh(c[:2, :2])[0] for c in found.position_cov.astype(np.float64)]
    assert across[1] > 2.0 * across[0]


def test_above_the_horizon_only_size_tells() -> None:
    """On a hill ahead: the lower edge never meets the plane."""
    edges = np.array([900.0, 440.0, 1000.0, 530.0])
    found = lift(boxes(edges), CAMERA, SETTINGS)
    assert np.hypot(*(found.position[0, :2] - [1.5, 0.0])) == pytest.approx(
        1000.0 * SIZE_MEAN[CAR, 2] / 90.0 + 0.35 * SIZE_MEAN[CAR, 0], rel=0.05
    )
    assert found.position[0, 2] > HEIGHT


def test_class_decides_the_size_and_so_the_distance() -> None:
    edges = np.array([900.0, 450.0, 960.0, 535.0])
    person, car = (lift(boxes(edges, kind), CAMERA, SETTINGS) for kind in (PEDESTRIAN, CAR))
    assert person.size[0] == pytest.approx(SIZE_MEAN[PEDESTRIAN], rel=1e-5)
    assert person.position_cov[0, 0, 0] != car.position_cov[0, 0, 0]


def test_a_fisheye_is_only_another_camera_model() -> None:
    model = KannalaBrandt(fx=600.0, fy=600.0, cx=960.0, cy=540.0, k1=0.02)
    fisheye = msgspec.structs.replace(CAMERA, intrinsics=model)
    corners = np.array([[14.5, 11.0, 1.74], [14.5, 9.0, 0.0]])
    pixels, _ = model.project(CAMERA.ego_SE3_sensor.inverse() @ corners)
    found = lift(boxes(np.array([*pixels[0], *pixels[1]])), fisheye, SETTINGS)
    rho = np.hypot(found.position[0, 0] - 1.5, found.position[0, 1])
    assert rho == pytest.approx(np.hypot(13.0, 10.0) + 0.35 * SIZE_MEAN[CAR, 0], rel=0.1)


def test_no_boxes_and_tiny_boxes() -> None:
    assert len(lift(boxes(np.zeros((0, 4))), CAMERA, SETTINGS)) == 0
    assert len(lift(boxes(np.array([10.0, 600.0, 12.0, 604.0])), CAMERA, SETTINGS)) == 0


def test_a_box_behind_another_is_less_sure() -> None:
    """Its lower edge is not where the object stands but where the nearer one begins."""
    behind, free, nearer = [500, 500, 600, 570], [1200, 500, 1300, 570], [450, 520, 650, 640]
    found = lift(boxes(np.array([behind, free, nearer])), CAMERA, SETTINGS)
    along = [np.linalg.eigvalsh(c[:2, :2])[1] for c in found.position_cov.astype(np.float64)]
    across = [np.linalg.eigvalsh(c[:2, :2])[0] for c in found.position_cov.astype(np.float64)]
    assert along[0] > 1.3 * along[1]
    assert across[0] > 1.5 * across[1]


def test_many_images_at_once_are_as_each_by_itself() -> None:
    """Also what covers what: only boxes of one image do."""
    one = boxes(np.stack([box_at(12.0, 0.5, 1.5), box_at(25.0, 0.0, 1.5), box_at(40.0, 6.0, 1.5)]))
    two = boxes(np.stack([box_at(25.0, 0.0, 1.5), box_at(0.0001, 0.0, 1e-6)]))
    both = ImageBoxes(*(np.concatenate(pair) for pair in zip(one, two, strict=True)))
    found, rows = lift_images(both, np.array([0, 0, 0, 1, 1]), CAMERA, LiftSettings())
    apart = [lift(each, CAMERA, LiftSettings()) for each in (one, two)]
    assert rows.tolist() == [0, 1, 2, 3]
    assert np.array_equal(found.position, np.concatenate([d.position for d in apart]))
    assert np.array_equal(found.position_cov, np.concatenate([d.position_cov for d in apart]))
    assert found.position_cov[1, 0, 0] > found.position_cov[3, 0, 0]
