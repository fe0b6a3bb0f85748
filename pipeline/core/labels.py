"""Labels in time and space: when each holds, and where that is in odom."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from pipeline.core.truth import TruthObjects


def held_ns(labels: TruthObjects, stamp_ns: int) -> npt.NDArray[np.int64]:
    """(K,) when each label holds; stamp_ns: time of their message."""
    offset_ns = labels.time_offset_ns if len(labels.time_offset_ns) else np.zeros(len(labels.object_id), np.int32)
    return np.asarray(stamp_ns + offset_ns.astype(np.int64))


def in_odom(labels: TruthObjects, odom_SE3_ego: SE3) -> TruthObjects:
    """The same in the odom frame. odom_SE3_ego: (K,) at the instant of each label."""
    if labels.frame == "odom":
        return labels
    rotation = odom_SE3_ego.rotation
    return msgspec.structs.replace(
        labels,
        frame="odom",
        position=np.einsum("kij,kj->ki", rotation, labels.position) + odom_SE3_ego.translation,
        yaw=labels.yaw + odom_SE3_ego.yaw,
        velocity=np.einsum("kij,kj->ki", rotation[:, :2, :2], labels.velocity).astype(np.float32),
    )
