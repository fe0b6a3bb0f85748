"""Deskewing on a real drive: what stands still must look the same from two places."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.spatial import cKDTree

from nodes.sources.kitti_raw import KittiRawDrive
from pipeline.core.messages import Message, PointCloud
from pipeline.sync.motion import PoseBuffer, deskew

DRIVE = "kitti_raw_0002/2011_09_26/2011_09_26_drive_0002_sync"
FIRST, SECOND = 3, 8  # half a second and four metres apart


def disagreement(points: np.ndarray, others: np.ndarray, near: np.ndarray) -> float:
    """Median distance, m, of points to the planes through their eight nearest others; without the ground."""
    points = points[(np.abs(points - near).max(axis=1) < 25.0) & (points[:, 2] > 0.4)]
    points = points[:: len(points) // 6000]
    distance, index = cKDTree(others).query(points, k=8)
    close = distance[:, -1] < 0.5
    patch = others[index[close]]
    centre = patch.mean(axis=1)
    spread, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", patch - centre[:, None], patch - centre[:, None]) / 8)
    off_plane = np.abs(np.einsum("ni,ni->n", axes[:, :, 0], points[close] - centre))
    return float(np.median(off_plane[spread[:, 0] < 0.03**2]))


@pytest.mark.drives
def test_sweeps_of_kitti_agree_better_when_deskewed(drives_folder: Path) -> None:
    """At 9 m/s a sweep spans 0.9 m. With the times turned round it must be worse than nothing: it is not chance."""
    drive = KittiRawDrive(drives_folder / DRIVE)
    poses = PoseBuffer(max_extrapolation_ns=100_000_000)
    for message in drive.messages(["pose/ego"]):
        assert poses.add(message.stamp, message.payload) == ""
    sweeps = list(drive.messages(["lidar/velodyne"]))
    ego_SE3_lidar = drive.rig["velodyne"].ego_SE3_sensor

    def in_odom(message: Message, how: str) -> np.ndarray:
        cloud: PointCloud = message.payload
        end = message.stamp.time_ns
        if how == "as measured":
            cloud = msgspec.structs.replace(cloud, motion_compensated=True)
        if how == "turned round":
            points = cloud.points.copy()
            points["t_ns"] = points["t_ns"].min() - points["t_ns"]
            cloud = PointCloud(points=points)
        start = end + int(cloud.points["t_ns"].min())
        points = deskew(cloud, message.stamp, ego_SE3_lidar, poses.trajectory(start, end))
        return poses.at(end) @ points.astype(np.float64)

    near = poses.at(sweeps[SECOND].stamp.time_ns).translation
    found = {
        how: disagreement(in_odom(sweeps[SECOND], how), in_odom(sweeps[FIRST], how), near)
        for how in ("deskewed", "as measured", "turned round")
    }
    assert found["deskewed"] < 0.9 * found["as measured"] < 0.9 * found["turned round"]
