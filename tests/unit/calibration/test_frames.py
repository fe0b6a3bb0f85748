from __future__ import annotations

import numpy as np
import pytest

from calibration.frames import Edge, FrameTree
from calibration.rig import Extrinsic, ImuSensor, Rig
from calibration.se3 import SE3
from calibration.trajectory import Trajectory

EGO_SE3_LIDAR = SE3.exp([1.2, 0.0, 1.8, 0.0, 0.02, 0.1])
LIDAR_SE3_CAMERA = SE3.exp([0.4, 0.1, -0.3, -1.5, 0.1, -1.4])
EGO_SE3_RADAR = SE3.from_yaw(0.8, [3.5, 0.8, 0.5])
MOTION = Trajectory([0, 1_000, 3_000], SE3.exp(np.array([[0.0] * 6, [1, 0, 0, 0, 0, 0.1], [3, 1, 0, 0, 0, 0.5]])))
EDGES = (  # on purpose not from the root downwards
    Edge("lidar_top", "camera_front", LIDAR_SE3_CAMERA),
    Edge("ego", "lidar_top", EGO_SE3_LIDAR),
    Edge("odom", "ego", MOTION),
    Edge("ego", "radar_front", EGO_SE3_RADAR),
)
TREE = FrameTree(EDGES)


def test_up_the_tree_through_a_moving_edge() -> None:
    found = TREE.transform("odom", "camera_front", 700)
    expected = MOTION.at(700) @ EGO_SE3_LIDAR @ LIDAR_SE3_CAMERA
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-12)


def test_between_branches_only_the_edges_between_count() -> None:
    """Camera and radar sit on the same vehicle: the transform is known even when the vehicle's place is not."""
    found = TREE.transform("radar_front", "camera_front", 1_000_000)
    expected = EGO_SE3_RADAR.inverse() @ EGO_SE3_LIDAR @ LIDAR_SE3_CAMERA
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-12)


def test_batch_of_times() -> None:
    times = np.array([[0, 500], [1_500, 3_000]])
    assert TREE.transform("odom", "lidar_top", times).shape == (2, 2)
    assert TREE.transform("ego", "lidar_top", times).shape == (2, 2)
    np.testing.assert_allclose(
        TREE.transform("lidar_top", "odom", times)[1, 0].matrix, (MOTION.at(1_500) @ EGO_SE3_LIDAR).inverse().matrix
    )


def test_a_frame_in_itself() -> None:
    np.testing.assert_array_equal(TREE.transform("ego", "ego", 10**18).matrix, np.eye(4))


def test_refusals() -> None:
    with pytest.raises(KeyError, match="no frame 'lidar_rear'"):
        TREE.transform("odom", "lidar_rear", 0)
    with pytest.raises(ValueError, match=r"edge 'odom' -> 'ego': time 4000\.\.4000 ns outside"):
        TREE.transform("odom", "ego", 4_000)
    with pytest.raises(ValueError, match="'lidar_top' has two parents: 'ego' and 'odom'"):
        FrameTree([*EDGES, Edge("odom", "lidar_top", EGO_SE3_LIDAR)])
    with pytest.raises(ValueError, match="loop"):
        FrameTree([*EDGES, Edge("camera_front", "odom", EGO_SE3_LIDAR)])
    with pytest.raises(ValueError, match="loop"):
        FrameTree([Edge("ego", "ego", EGO_SE3_LIDAR)])
    with pytest.raises(ValueError, match=r"one root, got \['map', 'odom'\]"):
        FrameTree([*EDGES, Edge("map", "tile", EGO_SE3_LIDAR)])
    with pytest.raises(ValueError, match="one root"):
        FrameTree([])
    with pytest.raises(ValueError, match="expected a single transform"):
        FrameTree([Edge("odom", "ego", MOTION.poses)])


def test_from_rig() -> None:
    rig = Rig(vehicle="cart", sensors=(ImuSensor(name="imu", extrinsic=Extrinsic.from_se3(EGO_SE3_LIDAR)),))
    still, moving = FrameTree.from_rig(rig), FrameTree.from_rig(rig, MOTION)
    assert still.root == "ego"
    assert set(moving.frames) == {"odom", "ego", "imu"}
    np.testing.assert_allclose(still.transform("ego", "imu", 5).matrix, EGO_SE3_LIDAR.matrix, atol=1e-12)
    np.testing.assert_allclose(
        moving.transform("odom", "imu", 500).matrix, (MOTION.at(500) @ EGO_SE3_LIDAR).matrix, atol=1e-12
    )
