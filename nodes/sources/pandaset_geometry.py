"""PandaSet's vehicle, as found in its data: where ego and both LiDARs sit in the frame of its `lidar/poses.json`.

The dataset's "LiDAR poses" are those of the vehicle: x right, y forward, z up, origin at the rear axle.
All sequences were driven with the same car, so the figures, measured on sequence 002, hold for all of them:

- Pandar64: its optical centre is where the elevations of the points fall into 64 sharp lines (least entropy, frames at
  standstill): +-1 cm, +-0.05 deg, and the maker's elevations come out within 0.05 deg.
- PandarGT: 0.606 m ahead of it and 0.302 m below, from the dataset's static calibration; seen from there, and from
  no other reading of that calibration, the scan lines are smooth.
- Ground: 0.33 m below the origin at the rear wheels (road on both sides of the car, cambered, +-5 cm).
- The points have been moved into the world, each by its own time. While the car pulls away, the Pandar64 centre that
  fits the points of one instant moves with the car, and is where the pose puts it for points of the sweep's stamp.
"""

from __future__ import annotations

import numpy as np

from calibration.se3 import SE3

_X_FORWARD_IN_POSE = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_PANDAR64_IN_POSE = np.array([-0.002, 0.775, 1.8595])
_PANDARGT_IN_POSE = np.array([0.0, 1.381, 1.558])
_LEAN = 0.0157  # rad, the Pandar64's spin axis leans back

POSE_SE3_EGO = SE3(_X_FORWARD_IN_POSE, np.array([0.0, 0.0, -0.33]))
"""From ego (x forward, y left, ground under the rear axle) to the frame of the dataset's poses."""

EGO_SE3_PANDAR64 = SE3(
    np.array([[np.cos(_LEAN), 0.0, -np.sin(_LEAN)], [0.0, 1.0, 0.0], [np.sin(_LEAN), 0.0, np.cos(_LEAN)]]),
    POSE_SE3_EGO.inverse() @ _PANDAR64_IN_POSE,
)
"""LiDAR frame: origin in the optical centre, x forward, y left, z along the spin axis."""

EGO_SE3_PANDARGT = SE3(np.eye(3), POSE_SE3_EGO.inverse() @ _PANDARGT_IN_POSE)
"""LiDAR frame: origin in the optical centre, axes as ego's."""
