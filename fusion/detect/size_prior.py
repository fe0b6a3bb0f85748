"""How large the ten classes are: mean and spread of length, width, height.

Means: the nuScenes training set's, as its detection papers print them for anchors (Lang et al., PointPillars, 2019; Zhu
et al., CBGS, 2019). Spreads are rounded estimates of the same set's.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.messages import CLASSES

_TABLE = {
    "car": ((4.63, 1.97, 1.74), (0.45, 0.18, 0.24)),
    "truck": ((6.93, 2.51, 2.84), (1.90, 0.40, 0.80)),
    "bus": ((10.5, 2.94, 3.47), (2.20, 0.30, 0.45)),
    "trailer": ((12.3, 2.90, 3.87), (4.00, 0.50, 0.80)),
    "construction_vehicle": ((6.37, 2.85, 3.19), (2.00, 0.80, 0.90)),
    "pedestrian": ((0.73, 0.67, 1.77), (0.19, 0.14, 0.19)),
    "motorcycle": ((2.11, 0.77, 1.47), (0.30, 0.18, 0.24)),
    "bicycle": ((1.70, 0.60, 1.28), (0.25, 0.15, 0.30)),
    "traffic_cone": ((0.41, 0.41, 1.07), (0.14, 0.14, 0.28)),
    "barrier": ((0.50, 2.53, 0.98), (0.17, 0.60, 0.15)),
}

SIZE_MEAN = np.array([_TABLE[name][0] for name in CLASSES])
"""(C, 3) float64: length, width, height, metres."""
SIZE_SIGMA = np.array([_TABLE[name][1] for name in CLASSES])
"""(C, 3) float64: 1-sigma of the same, metres."""
