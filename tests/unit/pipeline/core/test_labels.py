from __future__ import annotations

import msgspec
import numpy as np

from calibration.se3 import SE3
from nodes.sources.truth import Label, truth_objects
from pipeline.core.labels import held_ns, in_odom

LABELS = truth_objects(
    [Label(-1, "car", (10.0, 0.0, 0.5), (4.0, 2.0, 1.5), 0.1), Label(-1, "car", (0.0, 5.0, 0.5), (4.0, 2.0, 1.5), 0.0)],
    velocity=np.array([[1.0, 0.0], [np.nan, np.nan]], np.float32),
    time_offset_ns=np.array([-50, 20], np.int32),
    frame="ego",
)


def test_each_label_holds_at_its_own_instant() -> None:
    assert held_ns(LABELS, 1000).tolist() == [950, 1020]
    plain = msgspec.structs.replace(LABELS, time_offset_ns=np.zeros(0, np.int32))
    assert held_ns(plain, 1000).tolist() == [1000, 1000]


def test_labels_go_to_odom_by_the_pose_of_their_instant() -> None:
    placed = in_odom(LABELS, SE3.stack([SE3.from_yaw(np.pi / 2, (3.0, 0.0, 0.0)), SE3.from_yaw(0.0, (0.0, 1.0, 0.0))]))
    np.testing.assert_allclose(placed.position, [[3.0, 10.0, 0.5], [0.0, 6.0, 0.5]], atol=1e-9)
    np.testing.assert_allclose(placed.yaw, [np.pi / 2 + 0.1, 0.0])
    np.testing.assert_allclose(placed.velocity[0], [0.0, 1.0], atol=1e-6)
    assert placed.frame == "odom"
    assert in_odom(placed, SE3.stack([SE3.identity()] * 2)) is placed
