"""The table of tracks: one row per object that is believed to exist."""

from __future__ import annotations

import dataclasses

import numpy as np

from fusion.measurements import FloatArray, IntArray, Measurements, seconds
from pipeline.core.messages import C

# Per class of pipeline.core.messages.CLASSES: car, truck, bus, trailer, construction vehicle, pedestrian, motorcycle,
# bicycle, traffic cone, barrier.
ACCEL_PSD = np.array([4.0, 3.0, 2.5, 2.5, 1.5, 0.6, 4.0, 2.0, 0.01, 0.01])
"""Power density of the white acceleration, m2/s3."""
SPEED_SIGMA = np.array([8.0, 7.0, 7.0, 6.0, 3.0, 1.5, 8.0, 4.0, 0.2, 0.2])
"""How fast an object of the class may go before anything is known of its speed, 1-sigma per axis, m/s."""
LENGTH = np.array([4.6, 7.0, 11.0, 12.0, 6.4, 0.7, 2.1, 1.7, 0.4, 0.5])
WIDTH = np.array([1.95, 2.5, 2.9, 2.9, 2.8, 0.65, 0.8, 0.6, 0.4, 2.5])
HEIGHT = np.array([1.7, 2.8, 3.5, 3.8, 3.2, 1.75, 1.45, 1.3, 1.05, 1.0])
SIZE = np.stack([LENGTH, WIDTH, HEIGHT], axis=1)
"""Mean length, width, height, m."""
SIZE_SIGMA = 0.2  # of the class mean
_ANYWHERE = 300.0  # m, 1-sigma: a place before anything is known of it
IS_VEHICLE = np.array([1, 1, 1, 1, 1, 0, 1, 1, 0, 0], dtype=np.float64)
"""Whether its heading is its direction of motion."""


@dataclasses.dataclass
class Tracks:
    """M tracks, odom frame, at the reference instant; the tracker writes into the rows.

    yaw is the axis of the box with ``sense``, the log-odds that it points forward. evidence: log-odds of existence.
    class_log: log-evidence per class. memory: what the weigher keeps of each.
    """

    id: IntArray  # (M,)
    seen_ns: IntArray  # (M,) instant of the newest detection
    mean: FloatArray  # (M, 5) x, y, z, vx, vy
    cov: FloatArray  # (M, 5, 5) of what differs from detection to detection
    bias: FloatArray  # (M, 2, 2) of what their detections have in common, x, y
    size: FloatArray  # (M, 3) length, width, height
    size_var: FloatArray  # (M, 3)
    yaw: FloatArray  # (M,)
    yaw_var: FloatArray  # (M,)
    sense: FloatArray  # (M,)
    class_log: FloatArray  # (M, C)
    evidence: FloatArray  # (M,)
    age: IntArray  # (M,) frame sets since birth, -1 until the first is fused
    coasted: IntArray  # (M,) frame sets since the last detection
    memory: FloatArray  # (M, K)

    def __len__(self) -> int:
        return len(self.id)

    @property
    def whole_cov(self) -> FloatArray:
        """(M, 5, 5), the common errors included."""
        whole = self.cov.copy()
        whole[:, :2, :2] += self.bias
        return whole

    @property
    def class_prob(self) -> FloatArray:
        """(M, C), rows sum to 1."""
        likely = np.exp(self.class_log - self.class_log.max(axis=1, keepdims=True))
        return np.asarray(likely / likely.sum(axis=1, keepdims=True))


def no_tracks(memory: int = 0) -> Tracks:
    """memory: K."""
    whole, real = np.zeros(0, np.int64), np.zeros(0)
    return Tracks(
        whole, whole, np.zeros((0, 5)), np.zeros((0, 5, 5)), np.zeros((0, 2, 2)), np.zeros((0, 3)), np.zeros((0, 3)),
        real, real, real, np.zeros((0, C)), real, whole, whole, np.zeros((0, memory)),
    )  # fmt: skip


def born(z: Measurements, first_id: int, memory: int = 0) -> Tracks:
    """New tracks: at the place of their detection, but knowing only what its class tells. The detection is still to
    be taken in by the ordinary update, against which the prior's position weighs nothing."""
    n = len(z)
    mean, cov = np.zeros((n, 5)), np.zeros((n, 5, 5))
    mean[:, :3] = z.value[:, :3]
    cov[:, [0, 1, 2], [0, 1, 2]] = _ANYWHERE**2
    cov[:, [3, 4], [3, 4]] = (z.class_prob @ SPEED_SIGMA)[:, None] ** 2
    size = z.class_prob @ SIZE
    return Tracks(
        id=np.arange(first_id, first_id + n, dtype=np.int64),
        seen_ns=z.time_ns.copy(),
        mean=mean,
        cov=cov,
        bias=np.zeros((n, 2, 2)),
        size=size,
        size_var=(SIZE_SIGMA * size) ** 2,
        yaw=z.yaw.copy(),
        yaw_var=np.full(n, np.pi**2),
        sense=np.zeros(n),
        class_log=np.log(z.class_prob),
        evidence=z.odds.copy(),
        age=np.full(n, -1),
        coasted=np.zeros(n, dtype=np.int64),
        memory=np.zeros((n, memory)),
    )


def seeds(z: Measurements, time_ns: int) -> Tracks:
    """What each detection alone would start at ``time_ns``: its position, and a speed of which only the class tells."""
    tracks = born(z, 0)
    ahead = seconds(z.time_ns - time_ns)
    tracks.cov[:, :3, :3] = z.R[:, :3, :3]
    for axis in (0, 1):
        variance = tracks.cov[:, axis + 3, axis + 3]
        tracks.cov[:, axis, axis] += ahead**2 * variance
        tracks.cov[:, axis, axis + 3] = tracks.cov[:, axis + 3, axis] = -ahead * variance
    return tracks
