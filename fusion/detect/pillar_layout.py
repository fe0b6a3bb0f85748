"""What goes into `PillarNet` and what comes out, for those who run it without torch."""

from __future__ import annotations

import numpy as np

from fusion.detect.pillar_grid import BLOCKS
from pipeline.core.messages import C

CELL_M = 1.0
"""Side of the cells of the answer."""
CELLS = BLOCKS

FIELDS = {
    "offset": 2,  # of the centre from the cell's middle, cells
    "height": 1,  # of the centre above ground, m
    "log_size": 3,  # length, width, height, m
    "axis": 2,  # cos, sin of twice the yaw: which line the length lies on
    "heading": 2,  # cos, sin of the yaw: which way along it is forward
    "moved": 2,  # since the sweep before, m, ego axes
    "log_sigma": 6,  # of the place along and across the box and of its height, m; log_size; yaw, rad; moved, m
}
"""What is said of the box at each cell, with its number of channels, in order, after the heat maps."""
OUTPUTS = C + sum(FIELDS.values())

_AXIS = (np.arange(BLOCKS, dtype=np.float32) + 0.5) / (BLOCKS / 2) - 1.0
AWAY = np.hypot(_AXIS[:, None], _AXIS[None, :])[None]
"""(1, BLOCKS, BLOCKS) float32: how far each block is from the vehicle, as a share of the range."""
