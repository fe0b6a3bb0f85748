"""Every format gives back the camera that was written in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational
from calibration.formats.autoware import read_autoware, write_autoware
from calibration.formats.cam_lidar_csv import read_cam_lidar_csv
from calibration.formats.camera_file import CameraFile
from calibration.formats.foxglove import read_foxglove, write_foxglove
from calibration.formats.kalibr import ChainCamera, read_kalibr, write_kalibr
from calibration.formats.kitti import (
    lines_of,
    lines_of_camera,
    read_kitti,
    rectified_camera,
    transform_of,
    write_kitti,
)
from calibration.formats.nuscenes import CalibratedSensor, read_nuscenes, write_nuscenes
from calibration.formats.opencv import read_opencv, write_opencv
from calibration.formats.ros import read_ros, write_ros
from calibration.formats.transform_file import TransformFile, extrinsic, read_transform, write_transform
from calibration.se3 import SE3

FOCAL = st.floats(10.0, 1e5)
CENTRE = st.floats(-1e4, 1e4)
SMALL = st.floats(-2.0, 2.0)


def cameras() -> st.SearchStrategy[CameraModel]:
    placed = {"fx": FOCAL, "fy": FOCAL, "cx": CENTRE, "cy": CENTRE}
    brown = {**placed, **dict.fromkeys(("k1", "k2", "p1", "p2", "k3"), SMALL)}
    return st.one_of(
        st.builds(Pinhole, **brown),
        st.builds(Rational, **brown, **dict.fromkeys(("k4", "k5", "k6"), SMALL)),
        st.builds(KannalaBrandt, **placed, **dict.fromkeys(("k1", "k2", "k3", "k4"), SMALL)),
    )


FILES = st.builds(
    CameraFile, st.sampled_from(["camera", "front_left"]), st.integers(1, 10_000), st.integers(1, 10_000), cameras()
)


@settings(max_examples=40, deadline=None)
@given(FILES)
def test_ros(of: CameraFile) -> None:
    assert read_ros(write_ros(of)) == of


@settings(max_examples=40, deadline=None)
@given(FILES)
def test_opencv(of: CameraFile) -> None:
    assert read_opencv(write_opencv(of)) == of


@settings(max_examples=40, deadline=None)
@given(FILES, st.integers(0, 2**62))
def test_foxglove(of: CameraFile, time_ns: int) -> None:
    text = write_foxglove(of, time_ns)
    assert read_foxglove(text) == of
    assert json.loads(text)["timestamp"]["sec"] == time_ns // 10**9


TWIST = st.tuples(*[st.floats(-100, 100)] * 3, *[st.floats(-1.7, 1.7)] * 3)
POSES = st.builds(lambda twist: SE3.exp(np.array(twist)), TWIST)
STRAIGHT = st.builds(Pinhole, fx=FOCAL, fy=FOCAL, cx=CENTRE, cy=CENTRE)
RADTAN = st.builds(Pinhole, fx=FOCAL, fy=FOCAL, cx=CENTRE, cy=CENTRE, k1=SMALL, k2=SMALL, p1=SMALL, p2=SMALL)
FISHEYE = st.builds(KannalaBrandt, fx=FOCAL, fy=FOCAL, cx=CENTRE, cy=CENTRE, k1=SMALL, k2=SMALL, k3=SMALL, k4=SMALL)


def same(a: SE3 | None, b: SE3 | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.allclose(a.rotation, b.rotation, atol=1e-9) and np.allclose(a.translation, b.translation, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(POSES)
def test_kitti_transform(pose: SE3) -> None:
    assert same(transform_of(read_kitti("calib_time: 09-Jan-2012\n" + write_kitti(lines_of(pose)))), pose)


@settings(max_examples=40, deadline=None)
@given(STRAIGHT, st.integers(1, 5000), st.integers(0, 3), st.floats(-2, 2))
def test_kitti_camera(camera: Pinhole, size: int, number: int, baseline: float) -> None:
    of = CameraFile(f"image_{number:02d}", size, 2 * size, camera)
    lines = lines_of_camera(of, number, np.array([baseline, 0.0, 0.0]))
    found, origin = rectified_camera(read_kitti(write_kitti(lines)), number)
    assert found == of
    assert origin == pytest.approx([baseline, 0.0, 0.0], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(POSES, st.none() | STRAIGHT), max_size=4))
def test_nuscenes(sensors: list[tuple[SE3, Pinhole | None]]) -> None:
    given_ = [CalibratedSensor(f"t{i}", f"s{i}", pose, camera) for i, (pose, camera) in enumerate(sensors)]
    found = read_nuscenes(write_nuscenes(given_))
    assert [(f.token, f.sensor_token, f.camera) for f in found] == [(g.token, g.sensor_token, g.camera) for g in given_]
    assert all(same(f.ego_SE3_sensor, g.ego_SE3_sensor) for f, g in zip(found, given_, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            ChainCamera,
            st.builds(CameraFile, st.just("/cam/image"), st.integers(1, 9999), st.integers(1, 9999), RADTAN | FISHEYE),
            st.none() | POSES,
            POSES,
            st.floats(-1, 1),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_kalibr(chain: list[ChainCamera]) -> None:
    found = read_kalibr(write_kalibr(chain))
    assert [(f.file, f.shift_s) for f in found] == [(g.file, g.shift_s) for g in chain]
    assert all(same(f.before, g.before) and same(f.imu, g.imu) for f, g in zip(found, chain, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["camera", "lidar", "radar"]), POSES, min_size=1))
def test_autoware(poses: dict[str, SE3]) -> None:
    frames = {("sensor_kit_base_link", child): pose for child, pose in poses.items()}
    found = read_autoware(write_autoware(frames))
    assert found.keys() == frames.keys()
    assert all(same(found[key], frames[key]) for key in frames)


@pytest.mark.parametrize("pitch", [np.pi / 2, -np.pi / 2])
def test_autoware_at_a_right_angle_of_pitch(pitch: float) -> None:
    pose = SE3(SE3.exp([0, 0, 0, 0, 0, 0.4]).rotation @ SE3.exp([0, 0, 0, 0, pitch, 0]).rotation, np.zeros(3))
    assert same(read_autoware(write_autoware({("a", "b"): pose}))["a", "b"], pose)


@settings(max_examples=40, deadline=None)
@given(POSES, st.lists(st.floats(-1, 1), min_size=36, max_size=36))
def test_transform_file(pose: SE3, numbers: list[float]) -> None:
    A = np.array(numbers).reshape(6, 6)
    known = extrinsic(pose, A @ A.T, method="board", date="2026-01-31", data_sha256="00")
    of = TransformFile(destination="camera", source="lidar", pose=known)
    assert read_transform(write_transform(of)) == of


@pytest.mark.drives
def test_real_files_are_read(drives_folder: Path) -> None:
    day = drives_folder / "kitti_raw_0002/2011_09_26"
    cameras = read_kitti((day / "calib_cam_to_cam.txt").read_text())
    of, origin = rectified_camera(cameras, 2)
    assert (of.width, of.height) == (1242, 375)
    assert origin[0] == pytest.approx(0.06, abs=0.01)
    again = read_kitti(write_kitti(lines_of_camera(of, 2, origin)))
    assert again["P_rect_02"] == pytest.approx(cameras["P_rect_02"], rel=1e-12)
    cam_SE3_velo = transform_of(read_kitti((day / "calib_velo_to_cam.txt").read_text()))
    assert cam_SE3_velo.rotate([1.0, 0.0, 0.0])[2] > 0.99
    acfr = drives_folder / "acfr"
    assert read_ros((acfr / "camera_info.yaml").read_text()).width == 1920
    assert abs(read_cam_lidar_csv((acfr / "calibration_quickstart.csv").read_text()).translation[1] + 0.19) < 0.05
    assert read_opencv((drives_folder / "opencv_chess/left_intrinsics.yml").read_text()).width == 640


READERS = [read_ros, read_opencv, read_foxglove, read_kalibr, read_nuscenes, read_autoware, read_transform]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "text", ["", "hello", "a: 1", "[1, 2", "K: [1]\nD: []\ndistortion_model: x\nwidth: 1\nheight: 1"]
)
def test_what_is_no_camera_is_refused(read: object, text: str) -> None:
    assert callable(read)
    with pytest.raises(ValueError, match=r"\w+: "):
        read(text)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200))
@example("\r0")
def test_no_text_does_more_than_be_refused(text: str) -> None:
    for read in (*READERS, read_cam_lidar_csv):
        with pytest.raises(ValueError, match=r"\w+: "):
            read(text)
