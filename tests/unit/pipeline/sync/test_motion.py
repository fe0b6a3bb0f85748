"""Motion compensation against a known world: a vehicle drives and turns through a room and measures its walls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from pipeline.core.messages import POINT, RADAR_POINT, C, Detections, EgoPose, PointCloud, RadarScan, Stamp
from pipeline.sync.motion import (
    PoseBuffer,
    compensate_detections,
    compensate_doppler,
    deskew,
    project_rolling_shutter,
    row_times,
)

SWEEP_NS = 100_000_000
REFERENCE_NS = 1_700_000_000_000_000_000  # today's nanoseconds: float64 seconds would not hold them
EGO_SE3_LIDAR = SE3.exp([0.9, 0.1, 1.9, 0.01, -0.02, 0.3])
ROOM = np.array([[-35.0, -28.0, -2.0], [60.0, 31.0, 8.0]])

Motion = Callable[[np.ndarray], SE3]  # seconds after REFERENCE_NS -> odom_SE3_ego


def stamp(time_ns: int, epoch: int = 0, sequence: int = 0) -> Stamp:
    return Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=sequence, epoch=epoch)


def constant_twist(seconds: np.ndarray) -> SE3:
    """20 m/s in a curve of 0.5 rad/s, with some pitch and roll."""
    return SE3.exp(seconds[..., None] * np.array([20.0, 0.4, 0.1, 0.05, -0.08, 0.5]))


def accelerated(seconds: np.ndarray) -> SE3:
    """Braking at 8 m/s2 while the yaw rate grows by 2 rad/s2."""
    yaw = 0.2 * seconds + 0.5 * 2.0 * seconds**2
    x = 20.0 * seconds - 0.5 * 8.0 * seconds**2
    zero = np.zeros_like(seconds)
    quaternion = np.stack([np.cos(yaw / 2), zero, zero, np.sin(yaw / 2)], axis=-1)
    return SE3.from_quaternion(quaternion, np.stack([x, 0.1 * x, zero], axis=-1))


def sample_poses(motion: Motion, period_ns: int) -> Trajectory:
    offsets = np.arange(-SWEEP_NS - period_ns, 2 * period_ns, period_ns)
    return Trajectory(REFERENCE_NS + offsets, motion(offsets * 1e-9))


def spin(motion: Motion, points: int = 20_000) -> tuple[PointCloud, np.ndarray]:
    """A sweep of a spinning LiDAR in the room: (cloud as measured, (N, 3) float64 truth in ego at the reference)."""
    fraction = np.linspace(0.0, 1.0, points)
    t_ns = np.round((fraction - 1.0) * SWEEP_NS).astype(np.int32)
    azimuth = -2 * np.pi * fraction
    elevation = np.tile(np.radians(np.linspace(-20.0, 8.0, 40)), points // 40)
    direction = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    odom_SE3_lidar = motion(t_ns * 1e-9) @ EGO_SE3_LIDAR
    heading = odom_SE3_lidar.rotate(direction)
    with np.errstate(divide="ignore"):
        to_walls = (np.where(heading > 0, ROOM[1], ROOM[0]) - odom_SE3_lidar.translation) / heading
    distance = to_walls.min(axis=1)[:, None]
    world = odom_SE3_lidar.translation + distance * heading
    cloud = np.zeros(points, POINT)
    cloud["x"], cloud["y"], cloud["z"] = (direction * distance).T
    cloud["t_ns"] = t_ns
    return PointCloud(points=cloud), motion(np.array(0.0)).inverse() @ world


def worst(points: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(points - truth, axis=1).max())


def test_constant_twist_is_taken_out_to_a_millimetre() -> None:
    cloud, truth = spin(constant_twist)
    points = deskew(cloud, stamp(REFERENCE_NS), EGO_SE3_LIDAR, sample_poses(constant_twist, 10_000_000))
    assert points.dtype == np.float32
    assert worst(points, truth) < 1e-3
    assert worst(EGO_SE3_LIDAR @ cloud.xyz, truth) > 1.0  # and there was something to take out


@pytest.mark.parametrize("period_ms", [2, 10, 50])
def test_acceleration_is_bounded_by_the_poses_period(period_ms: int) -> None:
    """Between poses a linear interpolation is off by at most a T^2 / 8, on the path and, times the range, in angle."""
    cloud, truth = spin(accelerated)
    points = deskew(cloud, stamp(REFERENCE_NS), EGO_SE3_LIDAR, sample_poses(accelerated, period_ms * 1_000_000))
    reach = np.linalg.norm(truth, axis=1).max()
    bound = (8.1 + 2.0 * reach) * (period_ms * 1e-3) ** 2 / 8
    assert worst(points, truth) < bound + 1e-4


def test_next_pose_instead_of_interpolation_is_far_worse() -> None:
    cloud, truth = spin(constant_twist)
    poses = sample_poses(constant_twist, 10_000_000)
    times = REFERENCE_NS + cloud.points["t_ns"].astype(np.int64)
    following = np.minimum(np.searchsorted(poses.times_ns, times), len(poses.times_ns) - 1)
    naive = poses.at(REFERENCE_NS).inverse() @ poses.poses[following] @ (EGO_SE3_LIDAR @ cloud.xyz.astype(np.float64))
    interpolated = deskew(cloud, stamp(REFERENCE_NS), EGO_SE3_LIDAR, poses)
    assert worst(naive, truth) > 100 * worst(interpolated, truth)


@pytest.mark.parametrize("order", ["shuffled", "by_beam", "backwards"])
def test_order_of_points_does_not_matter(order: str) -> None:
    cloud, _ = spin(constant_twist)
    n = len(cloud.points)
    permutation = {
        "shuffled": np.random.default_rng(1).permutation(n),
        "by_beam": np.arange(n).reshape(-1, 40).T.ravel(),
        "backwards": np.arange(n)[::-1],
    }[order]
    poses = sample_poses(constant_twist, 10_000_000)
    expected = deskew(cloud, stamp(REFERENCE_NS), EGO_SE3_LIDAR, poses)[permutation]
    reordered = PointCloud(points=np.ascontiguousarray(cloud.points[permutation]))
    np.testing.assert_allclose(deskew(reordered, stamp(REFERENCE_NS), EGO_SE3_LIDAR, poses), expected, atol=2e-5)


def test_float32_agrees_with_the_pose_of_each_point_in_float64() -> None:
    rng = np.random.default_rng(2)
    cloud = np.zeros(50_000, POINT)
    cloud["x"], cloud["y"], cloud["z"] = rng.uniform(-200, 200, (3, len(cloud)))
    cloud["t_ns"] = rng.integers(-SWEEP_NS, 1, len(cloud))
    far = SE3(np.eye(3), np.array([4.0e6, -5.0e6, 100.0]))  # an odom origin on another continent
    poses = sample_poses(constant_twist, 10_000_000)
    poses = Trajectory(poses.times_ns, far @ poses.poses)
    payload = PointCloud(points=cloud)
    points = deskew(payload, stamp(REFERENCE_NS), EGO_SE3_LIDAR, poses)
    times = REFERENCE_NS + cloud["t_ns"].astype(np.int64)
    exact = poses.relative_to(REFERENCE_NS).at(times) @ (EGO_SE3_LIDAR @ payload.xyz.astype(np.float64))
    assert worst(points, exact) < 2e-4


def test_compensated_cloud_only_changes_frame() -> None:
    cloud, _ = spin(constant_twist)
    done = PointCloud(points=cloud.points, motion_compensated=True)
    np.testing.assert_array_equal(deskew(done, stamp(REFERENCE_NS), EGO_SE3_LIDAR, None), EGO_SE3_LIDAR @ cloud.xyz)
    with pytest.raises(ValueError, match="needs poses"):
        deskew(cloud, stamp(REFERENCE_NS), EGO_SE3_LIDAR, None)


def test_points_that_are_not_finite_stay_so_and_harm_no_other() -> None:
    cloud, _ = spin(constant_twist, 400)
    poses = sample_poses(constant_twist, 10_000_000)
    clean = deskew(cloud, stamp(REFERENCE_NS), EGO_SE3_LIDAR, poses)
    broken = cloud.points.copy()
    broken["x"][7], broken["z"][100], broken["y"][399] = np.nan, np.inf, -np.inf
    points = deskew(PointCloud(points=broken), stamp(REFERENCE_NS), EGO_SE3_LIDAR, poses)
    bad = [7, 100, 399]
    assert not np.isfinite(points[bad]).any()
    np.testing.assert_array_equal(np.delete(points, bad, axis=0), np.delete(clean, bad, axis=0))


def test_empty_sweep() -> None:
    empty = PointCloud(points=np.zeros(0, POINT))
    assert deskew(empty, stamp(REFERENCE_NS), EGO_SE3_LIDAR, sample_poses(constant_twist, 10_000_000)).shape == (0, 3)


def test_input_is_left_alone() -> None:
    cloud, _ = spin(constant_twist, 400)
    before = cloud.points.copy()
    deskew(cloud, stamp(REFERENCE_NS), EGO_SE3_LIDAR, sample_poses(constant_twist, 10_000_000))
    np.testing.assert_array_equal(cloud.points, before)


def test_a_point_beyond_the_poses_is_refused() -> None:
    cloud, _ = spin(constant_twist, 400)
    late = cloud.points.copy()
    late["t_ns"][5] = 500_000_000
    with pytest.raises(ValueError, match="outside trajectory"):
        deskew(PointCloud(points=late), stamp(REFERENCE_NS), EGO_SE3_LIDAR, sample_poses(constant_twist, 10_000_000))


# --- pose buffer


def ego_pose(x: float) -> EgoPose:
    return EgoPose(position=(x, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))


def filled(times: list[int], **settings: int) -> PoseBuffer:
    buffer = PoseBuffer(**settings)
    for time in times:
        assert buffer.add(stamp(time), ego_pose(float(time))) == ""
    return buffer


def test_pose_buffer_answers_between_its_poses() -> None:
    buffer = filled([0, 100, 200])
    assert buffer.covers(0, 200)
    assert not buffer.covers(0, 201)
    assert not buffer.covers(-1, 100)
    assert not PoseBuffer().covers(0, 0)
    np.testing.assert_allclose(buffer.at([50, 100, 199]).translation[:, 0], [50, 100, 199])
    np.testing.assert_array_equal(buffer.trajectory(110, 120).times_ns, [100, 200])
    np.testing.assert_array_equal(buffer.trajectory(100, 200).times_ns, [100, 200])
    np.testing.assert_array_equal(buffer.trajectory(200, 200).times_ns, [100, 200])
    with pytest.raises(ValueError, match=r"poses reach from 0 to 200"):
        buffer.at(201)


def test_pose_buffer_extrapolates_only_as_far_as_told() -> None:
    buffer = filled([0, 100], max_extrapolation_ns=20)
    assert buffer.at(120).translation[0] == pytest.approx(120)
    assert buffer.at(-20).translation[0] == pytest.approx(-20)
    assert not buffer.covers(0, 121)


def test_pose_buffer_does_not_bridge_a_gap() -> None:
    buffer = filled([0, 100, 900, 1000], max_gap_ns=200)
    assert buffer.covers(0, 100)
    assert buffer.covers(900, 1000)
    assert not buffer.covers(50, 950)
    with pytest.raises(ValueError, match="a gap of 800 ns"):
        buffer.at(500)


def test_pose_buffer_knows_a_pose_beside_a_gap_but_carries_no_motion_out_of_one() -> None:
    buffer = filled([0, 100, 1100], max_gap_ns=300, max_extrapolation_ns=50)
    assert buffer.covers(1100, 1100)
    assert buffer.at(1100).translation[0] == 1100
    assert not buffer.covers(1100, 1130)
    assert not buffer.covers(90, 110)
    buffer.add(stamp(1200), ego_pose(1200.0))
    assert buffer.covers(1100, 1230)


def test_pose_buffer_policies() -> None:
    buffer = filled([1000, 1100], window_ns=500)
    assert buffer.add(stamp(1100), ego_pose(7.0)) == "duplicate"
    assert buffer.at(1100).translation[0] == 1100.0  # the first one stays
    assert buffer.add(stamp(599), ego_pose(0.0)) == "late"
    assert buffer.add(stamp(1050), ego_pose(1050.0)) == ""  # out of order: put in its place
    assert buffer.add(stamp(1200), ego_pose(float("nan"))) == "invalid"
    crooked = EgoPose(position=(0.0, 0.0, 0.0), rotation_wxyz=(0.5, 0.0, 0.0, 0.0))
    assert buffer.add(stamp(1200), crooked) == "invalid"
    assert len(buffer) == 3
    assert buffer.add(stamp(1700), ego_pose(1700.0)) == ""  # 1000..1199 leave the window
    assert (len(buffer), buffer.newest_ns) == (1, 1700)


def test_pose_buffer_never_mixes_epochs() -> None:
    buffer = filled([1000, 1100])
    assert buffer.add(stamp(50, epoch=1), ego_pose(50.0)) == ""
    assert (len(buffer), buffer.newest_ns) == (1, 50)
    assert buffer.add(stamp(1200), ego_pose(0.0)) == "old_epoch"


@given(st.permutations(range(8)))
def test_pose_buffer_does_not_depend_on_arrival_order(order: list[int]) -> None:
    buffer = filled([100 * index for index in order])
    times = np.arange(0, 701, 35)
    np.testing.assert_allclose(buffer.at(times).translation[:, 0], times, atol=1e-9)


# --- rolling shutter

CAMERA = CameraSensor(
    name="camera_front",
    extrinsic=Extrinsic(translation=(1.6, 0.0, 1.5), rotation_wxyz=(0.5, -0.5, 0.5, -0.5)),
    width=640,
    height=360,
    intrinsics=Pinhole(fx=420.0, fy=420.0, cx=319.5, cy=179.5, k1=-0.05),
    readout_ns=30_000_000,
)


def test_row_times_are_centred_and_span_the_readout() -> None:
    times = row_times(1_000_000_000, 36_000_000, [-0.5, 0, 179.5, 359, 359.5], 360)
    np.testing.assert_array_equal(times - 1_000_000_000, [-18_000_000, -17_950_000, 0, 17_950_000, 18_000_000])


def test_rolling_shutter_row_and_time_agree() -> None:
    """Checked without the iteration: at the row's own time the point falls on that row."""
    poses = sample_poses(constant_twist, 10_000_000)
    middle = REFERENCE_NS - 40_000_000
    rng = np.random.default_rng(3)
    points = poses.at(middle) @ np.stack([rng.uniform(4, 40, 500), *rng.uniform(-3, 3, (2, 500))], axis=-1)
    pixels, valid = project_rolling_shutter(points, CAMERA, middle, poses)
    rows = np.clip(pixels[valid, 1], -0.5, CAMERA.height - 0.5)
    camera_SE3_odom = (
        poses.at(row_times(middle, CAMERA.readout_ns, rows, CAMERA.height)) @ CAMERA.ego_SE3_sensor
    ).inverse()
    again, _ = CAMERA.intrinsics.project(camera_SE3_odom @ points[valid])
    assert valid.sum() > 300
    np.testing.assert_allclose(pixels[valid], again, atol=0.02)
    still, _ = CAMERA.intrinsics.project((poses.at(middle) @ CAMERA.ego_SE3_sensor).inverse() @ points[valid])
    assert np.abs(pixels[valid] - still).max() > 5.0  # it matters at 20 m/s


def test_global_shutter_is_plain_projection() -> None:
    poses = sample_poses(constant_twist, 10_000_000)
    points = poses.at(REFERENCE_NS) @ np.array([[10.0, 1.0, 1.0], [-5.0, 0.0, 1.0]])
    camera = CameraSensor(name="c", extrinsic=CAMERA.extrinsic, width=640, height=360, intrinsics=CAMERA.intrinsics)
    pixels, valid = project_rolling_shutter(points, camera, REFERENCE_NS, poses)
    expected, _ = CAMERA.intrinsics.project((poses.at(REFERENCE_NS) @ CAMERA.ego_SE3_sensor).inverse() @ points)
    assert valid.tolist() == [True, False]
    np.testing.assert_allclose(pixels[0], expected[0], atol=1e-9)


# --- radar


def scan(xyz: np.ndarray, range_rate: np.ndarray, ambiguity_mps: float = 0.0) -> RadarScan:
    points = np.zeros(len(xyz), RADAR_POINT)
    points["x"], points["y"], points["z"] = xyz.T
    points["range_rate"] = range_rate
    return RadarScan(points=points, ambiguity_mps=ambiguity_mps)


@pytest.mark.parametrize("ambiguity", [0.0, 10.3])
def test_doppler_of_a_turning_vehicle(ambiguity: float) -> None:
    """Range rates by finite differences of the range to points that stand, or move on their own."""
    rng = np.random.default_rng(4)
    linear, angular = np.array([15.0, 0.3, 0.0]), np.array([0.0, 0.0, 0.6])
    ego_SE3_radar = SE3.from_yaw(0.9, [3.6, 0.8, 0.5])
    xyz = np.stack([rng.uniform(5, 80, 200), *rng.uniform(-20, 20, (2, 200))], axis=-1)
    own = rng.normal(0.0, 4.0, (200, 3)) * (np.arange(200) % 2)[:, None]  # ego axes at time 0
    dt = 1e-5
    moved = SE3.exp(np.concatenate([linear, angular]) * dt)
    later = (moved @ ego_SE3_radar).inverse() @ (ego_SE3_radar @ xyz + own * dt)
    measured = (np.linalg.norm(later, axis=1) - np.linalg.norm(xyz, axis=1)) / dt
    expected = np.sum(ego_SE3_radar.inverse().rotate(own) * xyz, axis=1) / np.linalg.norm(xyz, axis=1)
    if ambiguity:
        measured = measured + ambiguity * rng.integers(-3, 4, 200)
    found = compensate_doppler(scan(xyz, measured, ambiguity), linear, angular, ego_SE3_radar)
    difference = found - expected
    if ambiguity:
        assert np.abs(found).max() <= ambiguity / 2 + 1e-5
        difference -= ambiguity * np.round(difference / ambiguity)
    np.testing.assert_allclose(difference, 0.0, atol=2e-3)
    assert np.abs(found[own[:, 0] == 0]).max() < 2e-3  # what stands has no speed over ground


def test_doppler_is_nan_where_it_is_not_known() -> None:
    found = compensate_doppler(
        scan(np.array([[0.0, 0, 0], [5, 0, 0], [np.nan, 0, 0], [5, 0, 0]]), np.array([1.0, np.nan, 1.0, -2.0])),
        np.array([3.0, 0, 0]),
        np.zeros(3),
        SE3.identity(),
    )
    np.testing.assert_allclose(found, [np.nan, np.nan, np.nan, 1.0])


# --- detections


def detections(n: int = 3) -> Detections:
    rng = np.random.default_rng(5)
    root, root2 = rng.normal(size=(n, 3, 3)), rng.normal(size=(n, 2, 2))
    f4 = np.float32
    velocity = rng.normal(size=(n, 2)).astype(f4)
    velocity[-1:] = np.nan
    return Detections(
        sensor="lidar_top",
        modality="lidar",
        origin=(1.0, 0.5, 2.0),
        position=rng.uniform(-50, 50, (n, 3)).astype(f4),
        position_cov=(root @ root.swapaxes(1, 2)).astype(f4),
        size=np.ones((n, 3), f4),
        size_sigma=np.ones((n, 3), f4),
        yaw=np.linspace(-3.1, 3.1, n, dtype=f4),
        yaw_sigma=np.full(n, 0.1, f4),
        velocity=velocity,
        velocity_cov=(root2 @ root2.swapaxes(1, 2)).astype(f4),
        radial_speed=np.full(n, 2.0, f4),
        radial_sigma=np.full(n, 0.1, f4),
        class_score=np.full((n, C), 0.1, f4),
        score=np.full(n, 0.5, f4),
        box2d=np.zeros((n, 4), f4),
        time_offset_ns=np.full(n, -5_000_000, np.int32),
        points=np.full(n, 10, np.int32),
        embedding=np.zeros((n, 0), f4),
    )


def test_detections_move_as_rigid_bodies() -> None:
    d = detections()
    ego_SE3_ego_then = SE3.from_yaw(0.4, [-2.0, 0.3, 0.05])
    moved = compensate_detections(d, ego_SE3_ego_then, shift_ns=-30_000_000)
    R = ego_SE3_ego_then.rotation
    np.testing.assert_allclose(moved.position, d.position @ R.T + ego_SE3_ego_then.translation, atol=1e-5)
    np.testing.assert_allclose(moved.position_cov, R @ d.position_cov @ R.T, atol=1e-5)
    np.testing.assert_allclose(moved.velocity, d.velocity @ R[:2, :2].T, atol=1e-6)
    np.testing.assert_allclose(moved.velocity_cov, R[:2, :2] @ d.velocity_cov @ R[:2, :2].T, atol=1e-6)
    np.testing.assert_allclose(np.exp(1j * moved.yaw), np.exp(1j * (d.yaw + 0.4)), atol=1e-6)
    assert np.abs(moved.yaw).max() <= np.float32(np.pi)
    np.testing.assert_allclose(moved.origin, ego_SE3_ego_then @ np.array(d.origin))
    np.testing.assert_array_equal(moved.time_offset_ns, -35_000_000)
    np.testing.assert_array_equal(moved.radial_speed, d.radial_speed)
    assert np.isnan(moved.velocity[-1]).all()


def test_detections_there_and_back_are_the_same() -> None:
    d = detections()
    there = SE3.exp([2.0, 0.1, 0.02, 0.004, -0.003, 0.2])
    back = compensate_detections(compensate_detections(d, there, 40_000_000), there.inverse(), -40_000_000)
    for field in ("position", "position_cov", "yaw", "origin", "time_offset_ns"):
        np.testing.assert_allclose(getattr(back, field), getattr(d, field), atol=2e-5, err_msg=field)
    # velocities lose the square of the tilt: they have no vertical part to turn back
    np.testing.assert_allclose(back.velocity, d.velocity, atol=2e-4)


def test_no_detections_and_an_absurd_shift() -> None:
    assert len(compensate_detections(detections(0), SE3.from_yaw(0.1), 5)) == 0
    with pytest.raises(ValueError, match="shift_ns"):
        compensate_detections(detections(), SE3.identity(), 2_000_000_000)
