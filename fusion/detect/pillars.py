"""LiDAR points to detections with the pillar network. Read this file first; the others are its steps.

points -> height above ground (`ground`) -> occupancy (`pillar_grid`) -> network (`pillar_net`, as ONNX)
       -> boxes (`pillar_decode`) -> detections

The interface is that of the clustering detector, `lidar.detect`.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray
from fusion.detect.ground import GroundSettings, ground_grid
from fusion.detect.onnx_detectors import GridNetwork
from fusion.detect.pillar_decode import PillarBoxes, decode
from fusion.detect.pillar_grid import (
    BLOCK,
    BLOCKS,
    CHANNELS,
    EARLIER_EDGES_M,
    PILLAR_M,
    RANGE_M,
    Pillars,
    occupancy,
    pillars,
)
from fusion.detect.pillar_layout import CELLS, OUTPUTS
from fusion.engines.choice import chosen
from fusion.engines.engine import Array as AnyArray
from fusion.engines.engine import EngineSettings
from pipeline.core.errors import BadInput
from pipeline.core.messages import Detections
from pipeline.core.settings import Settings

Points = npt.NDArray[np.float32]

_SIDE = BLOCKS * BLOCK  # pillars along the side of the square


class PillarSettings(Settings, frozen=True, tag_field="method", tag="pillars"):
    """weights: a name that `fusion.detect.weights` knows, or an ONNX file of `PillarNet`'s layout. engine: what
    runs it.

    min_score: detections below are not given out. margin_m: see `pillar_decode.decode`.
    own_body: x from, x to, y from, y to of the vehicle itself in the ego frame, metres; its returns are dropped.
    earlier_s: how old the other sweep that velocities are taken from should be; it may be half as old again or half as
    old. 0 = none is used, and no
    velocity is said: what the committed weights say of motion is not worth reading (docs/training.md).
    """

    weights: str = "lidar_simulated"
    engine: EngineSettings = EngineSettings()
    min_score: float = 0.05
    margin_m: float = 0.3
    own_body: tuple[float, float, float, float] = (-1.5, 4.2, -1.5, 1.5)
    earlier_s: float = 0.0
    ground: GroundSettings = GroundSettings()


class Earlier(NamedTuple):
    """Another sweep, as if it had been measured from where the vehicle is now. xyz: (M, 3) float32, metres, ego frame
    at the present sweep's instant. gap_s: how much earlier it was measured."""

    xyz: Points
    gap_s: float


class PillarDetector:
    """Objects in one sweep, and how they moved since another.

    Raises:
        BadInput: no ONNX model, or one of another layout.
    """

    def __init__(self, settings: PillarSettings) -> None:
        path, engine = chosen(settings.weights, settings.engine)
        self._settings = settings
        self._network = GridNetwork(path, engine)
        self.describe = self._network.describe
        for of, shape, expected in (
            ("input", self._network.shape, (1, CHANNELS, BLOCKS, BLOCKS)),
            ("output", self._network.output_shape, (1, OUTPUTS, CELLS, CELLS)),
        ):
            if shape != expected:
                raise BadInput(path, of, str(expected), shape)

    def __call__(
        self,
        xyz: Points,
        t_ns: npt.NDArray[np.int32],
        origin: FloatArray,
        sensor: str,
        earlier: Earlier | None = None,
    ) -> Detections:
        """Args are those of `lidar.detect`; velocities are NaN without ``earlier``."""
        now, ground, source = self._fallen(xyz)
        boxes = decode(
            self._network(self._occupied(now, earlier, ground))[0], self._settings.min_score, self._settings.margin_m
        )
        standing = now.slice > 0
        points, offset_ns = _returns(boxes, now.cell[standing], t_ns[source[standing]])
        return _detections(boxes, ground, points, offset_ns, origin, sensor, 0.0 if earlier is None else earlier.gap_s)

    def given(self, xyz: Points, earlier: Earlier | None = None) -> AnyArray:
        """What the network is given of a sweep."""
        now, ground, _ = self._fallen(xyz)
        return self._occupied(now, earlier, ground)

    def _fallen(self, xyz: Points) -> tuple[Pillars, Points, npt.NDArray[np.int64]]:
        """Pillars of the points in range, the ground, and the index of each of these points."""
        x, y, z, source = self._in_range(xyz)
        ground = ground_grid(x, y, z, RANGE_M, self._settings.ground)
        return pillars(x, y, z - _floor(ground, x, y)), ground, source

    def _occupied(self, now: Pillars, earlier: Earlier | None, ground: Points) -> AnyArray:
        before = None
        if earlier is not None:
            u, v, w, _ = self._in_range(earlier.xyz)
            before = pillars(u, v, w - _floor(ground, u, v), EARLIER_EDGES_M)
        occupied = occupancy(now, before, channels_last=self._network.in_bytes)[None]
        return occupied if self._network.in_bytes else occupied.astype(np.float32)

    def _in_range(self, xyz: Points) -> tuple[Points, Points, Points, npt.NDArray[np.int64]]:
        """x, y, z and index of the finite points in the square that are not on the vehicle itself."""
        x, y, z = np.ascontiguousarray(xyz.T)
        left, right, low, high = self._settings.own_body
        own = (x > left) & (x < right) & (y > low) & (y < high)
        source = np.flatnonzero((np.abs(x) < RANGE_M) & (np.abs(y) < RANGE_M) & np.isfinite(z) & ~own)
        return x[source], y[source], z[source], source


def _floor(ground: Points, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Points:
    """(N,) height of the ground under points, the nearest cell's."""
    cells = len(ground)
    row, column = (((v + RANGE_M) * (cells / (2 * RANGE_M))).astype(np.int64).clip(0, cells - 1) for v in (x, y))
    return np.asarray(ground[row, column], np.float32)


def _returns(
    boxes: PillarBoxes, cell: npt.NDArray[np.int32], t_ns: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """(K,) returns above the ground in each box and their mean time; a pillar belongs to the best box over it.

    Args:
        cell: (N,) int32 pillars of the returns above the ground. t_ns: (N,) int32, when each was measured.
    """
    owner = np.zeros((_SIDE, _SIDE), np.int32)
    cos, sin = np.cos(boxes.yaw)[:, None], np.sin(boxes.yaw)[:, None]
    along, across = (boxes.size[:, :1] / 2 * [1, 1, -1, -1], boxes.size[:, 1:2] / 2 * [1, -1, -1, 1])
    corner = boxes.xy[:, :, None] + np.stack([along * cos - across * sin, along * sin + across * cos], axis=1)
    pixel = np.rint((corner + RANGE_M) / PILLAR_M - 0.5).clip(-_SIDE, 2 * _SIDE).astype(np.int32)[:, ::-1]
    for k in range(len(pixel) - 1, -1, -1):
        cv2.fillConvexPoly(owner, np.ascontiguousarray(pixel[k].T), k + 1)
    whose = owner.reshape(-1)[cell]
    count = np.bincount(whose, minlength=len(pixel) + 1)[1:]
    total = np.bincount(whose, t_ns, minlength=len(pixel) + 1)[1:]
    return count, total / np.maximum(count, 1)


def _detections(
    boxes: PillarBoxes,
    ground: Points,
    points: npt.NDArray[np.int64],
    offset_ns: FloatArray,
    origin: FloatArray,
    sensor: str,
    gap_s: float,
) -> Detections:
    n = len(boxes.score)
    along, across, up, log_size, turn, moved = boxes.sigma.T
    cos, sin = np.cos(boxes.yaw), np.sin(boxes.yaw)
    cov = np.zeros((n, 3, 3))
    cov[:, 0, 0] = (along * cos) ** 2 + (across * sin) ** 2
    cov[:, 1, 1] = (along * sin) ** 2 + (across * cos) ** 2
    cov[:, 0, 1] = cov[:, 1, 0] = (along**2 - across**2) * cos * sin
    cov[:, 2, 2] = up**2
    velocity, velocity_cov = np.full((n, 2), np.nan), np.full((n, 2, 2), np.nan)
    if gap_s > 0:
        velocity = boxes.moved / gap_s
        velocity_cov = (moved / gap_s)[:, None, None] ** 2 * np.eye(2)
    nan = np.full(n, np.nan, np.float32)
    return Detections(
        sensor=sensor,
        modality="lidar",
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        position=np.column_stack([boxes.xy, _floor(ground, *boxes.xy.T) + boxes.height]).astype(np.float32),
        position_cov=cov.astype(np.float32),
        size=boxes.size.astype(np.float32),
        size_sigma=(boxes.size * log_size[:, None]).astype(np.float32),
        yaw=boxes.yaw.astype(np.float32),
        yaw_sigma=np.minimum(turn, np.pi).astype(np.float32),
        velocity=velocity.astype(np.float32),
        velocity_cov=velocity_cov.astype(np.float32),
        radial_speed=nan,
        radial_sigma=nan,
        class_score=boxes.class_score.astype(np.float32),
        score=boxes.score.astype(np.float32),
        box2d=np.full((n, 4), np.nan, np.float32),
        time_offset_ns=np.rint(offset_ns).astype(np.int32),
        points=points.astype(np.int32),
        embedding=np.zeros((n, 0), np.float32),
    )
