"""The error model: every number that was fitted, with how many observations stand behind it.

Correlated in time: each random number is a standard normal that follows an AR(1) process along one object's looks (its
appearances in successive messages of one sensor) and is then turned into the wanted distribution, so that what is
fitted is the distribution itself, and `rho` how much of it stays from one message to the next.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr
from scipy.stats import t as student

from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, C
from pipeline.core.settings import Settings

FloatArray = npt.NDArray[Any]  # float32 or float64

MODEL_VERSION = 1
GROUPS: dict[str, tuple[str, ...]] = {
    "car": ("car",),
    "large": ("truck", "bus", "trailer", "construction_vehicle"),
    "person": ("pedestrian",),
    "cycle": ("motorcycle", "bicycle"),
    "small": ("traffic_cone", "barrier"),
}
"""Classes that share their numbers, for single ones were seen too seldom."""
GROUP_OF_CLASS = np.array([next(i for i, names in enumerate(GROUPS.values()) if c in names) for c in CLASSES])

LEVELS = np.array([0.002, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.998])
"""Probabilities at which a `Spread` keeps its quantiles."""
_BOUND, _PER_SIGMA = 4.0, 256  # tables over normal scores: far finer than anything that was fitted
_NORMAL = np.linspace(-_BOUND, _BOUND, int(2 * _BOUND * _PER_SIGMA) + 1)
Float32Array = npt.NDArray[np.float32]


def lookup(table: Float32Array, normal: npt.NDArray[Any]) -> Float32Array:
    """The entries of a table over `_NORMAL` that are nearest to these normal scores."""
    place = (np.clip(normal, -_BOUND, _BOUND) + np.float32(_BOUND)) * np.float32(_PER_SIGMA) + np.float32(0.5)
    return np.asarray(table.take(place.astype(np.int32)))


class StudentT(Settings, frozen=True):
    """Location, scale and degrees of freedom of an error; rho: AR(1) from message to message; n observations of so many
    objects."""

    loc: float
    scale: float
    dof: float
    rho: float
    n: int
    objects: int

    def of(self, normal: npt.NDArray[Any]) -> Float32Array:
        """Errors of standard normals of any shape; beyond 4 sigma they grow no further."""
        return lookup(_student_table(self.loc, self.scale, self.dof), normal)


@functools.lru_cache(maxsize=256)
def _student_table(loc: float, scale: float, dof: float) -> Float32Array:
    return np.asarray(student.ppf(ndtr(_NORMAL), dof, loc, scale), dtype=np.float32)


class Spread(Settings, frozen=True):
    """A distribution by its quantiles at `LEVELS`, and how strongly it follows a covariate.

    slope: correlation of the normal scores of both; mean, sigma: of the covariate where it was fitted.
    """

    quantiles: tuple[float, ...]
    slope: float
    mean: float
    sigma: float
    rho: float
    n: int
    objects: int

    def __post_init__(self) -> None:
        if len(self.quantiles) != len(LEVELS) or not -1.0 < self.slope < 1.0:
            raise ValueError(f"quantiles: expected {len(LEVELS)}, got {len(self.quantiles)}; slope {self.slope}")

    def of(self, normal: npt.NDArray[Any], covariate: npt.NDArray[Any] | float = 0.0) -> Float32Array:
        """Values of standard normals, given the covariate of each."""
        if self.slope:
            beside = np.clip((covariate - self.mean) / self.sigma, -3.0, 3.0)
            normal = self.slope * beside + float(np.sqrt(1.0 - self.slope**2)) * normal
        return lookup(_spread_table(self.quantiles), normal)


@functools.lru_cache(maxsize=256)
def _spread_table(quantiles: tuple[float, ...]) -> Float32Array:
    return np.asarray(np.interp(ndtr(_NORMAL), LEVELS, quantiles), dtype=np.float32)


class Hits(Settings, frozen=True):
    """Log-odds that an object in view is detected: piecewise linear in a covariate, plus terms.

    knots, values: of the covariate (log returns of a LiDAR, log resolved pixels of height for a camera, metres for a
    radar). hidden: times the share that is hidden. crowded: added where the nearest neighbour is closer than 1 m.
    groups: added per group. rho: of the latent normal that decides.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]
    hidden: float
    crowded: float
    groups: dict[str, float]
    rho: float
    n: int
    objects: int

    def probability(
        self,
        covariate: npt.NDArray[Any],
        hidden: npt.NDArray[Any],
        crowded: npt.NDArray[Any],
        group: npt.NDArray[np.int64],
    ) -> FloatArray:
        """(N,) that each object is detected."""
        logit = np.interp(covariate, self.knots, self.values) + self.hidden * hidden + self.crowded * crowded
        logit += np.array([self.groups[name] for name in GROUPS])[group]
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))


class Naming(Settings, frozen=True):
    """Which class is said, and how the scores of all classes look.

    row: per group, probabilities of the class said (C). profile: per class said, mean score vector (C) scaled to 1 at
    that class. top: score of the class said, where it is right and where it is wrong. rho: of the choice.
    """

    row: dict[str, tuple[float, ...]]
    profile: tuple[tuple[float, ...], ...]
    right: Spread
    wrong: Spread
    rho: float
    n: int

    def __post_init__(self) -> None:
        if set(self.row) != set(GROUPS) or any(len(r) != C for r in (*self.row.values(), *self.profile)):
            raise ValueError(f"row, profile: expected {C} numbers for each of {', '.join(GROUPS)}")


class Ghosts(Settings, frozen=True):
    """False alarms. range_m, per_m2: how many per message and square metre, at that range, piecewise linear.

    lasting: share of them that comes from something that stays where it is in the world; seen: how often such a thing
    is found where it is found most; rho: of the latent normal that decides. classes: what they are said to be (C).
    speed: |radial speed| over ground, m/s, None where the sensor gives none.
    """

    range_m: tuple[float, ...]
    per_m2: tuple[float, ...]
    lasting: float
    seen: float
    rho: float
    classes: tuple[float, ...]
    score: Spread
    points: Spread
    speed: Spread | None
    n: int
    messages: int


class Errors(Settings, frozen=True):
    """Of one quantity: for objects seen whole (at most 30 % hidden), partly hidden, and of further detections on an
    object that has one."""

    whole: StudentT
    partly: StudentT
    extra: StudentT


class Extra(Settings, frozen=True):
    """Further detections on an object that was found: rate per find and group; their scores."""

    rate: dict[str, float]
    score: Spread
    n: int


class YawModel(Settings, frozen=True):
    """quarter: share turned by a quarter; error: of the rest, modulo half a turn, rad; sigma: as stated, rad."""

    sigma: float
    quarter: float
    rho: float
    error: StudentT


class CameraModel2d(Settings, frozen=True):
    """Errors of boxes in the image, in shares of the true box's height (edges) or as logarithms (height, width).

    slope: of the ground under an object against the ego's plane, rad.
    """

    hits: Hits
    score: dict[str, Spread]
    naming: Naming
    extra: Extra
    ghosts: Ghosts
    sideways: Errors
    bottom: Errors
    height: Errors
    width: Errors
    slope: StudentT


class RangeModel(Settings, frozen=True):
    """LiDAR or radar. away, across: error over the stated 1-sigma, along and across the line of sight. up: m.

    points: log number of returns. What a radar states follows from its settings and is not fitted.
    """

    hits: Hits
    score: dict[str, Spread]
    naming: Naming
    extra: Extra
    ghosts: Ghosts
    away: Errors
    across: Errors
    points: Spread


class LidarModel(RangeModel, frozen=True):
    """beams, returns_per_sr: returns per steradian of an open face, for LiDARs of so many beams (log-log between).

    thinned: log of what is really returned over that. yaw: clear, doubtful, none; yaw_share: per group, P of each for
    few (below 30) and many returns. stated: log 1-sigma that the detector states along its box and across, per group.
    size: log of length, width, height over the mean of the class said. up: m.
    """

    beams: tuple[float, ...]
    returns_per_sr: tuple[float, ...]
    thinned: Spread
    yaw: tuple[YawModel, YawModel, YawModel]
    yaw_share: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]
    stated: dict[str, tuple[Spread, Spread]]
    size: tuple[Spread, Spread, Spread]
    up: Errors

    def density(self, beams: int) -> float:
        """Returns per steradian of a LiDAR with so many beams."""
        return float(np.exp(np.interp(np.log(max(beams, 1)), np.log(self.beams), np.log(self.returns_per_sr))))


class RadarModel(RangeModel, frozen=True):
    """score_moving: of objects that move. rate_sigma: stated, m/s. half_view: of the field of view, rad."""

    score_moving: Spread
    rate_sigma: Spread
    half_view: float


class DetectionModel(Settings, frozen=True):
    version: int
    source: str
    command: str
    camera: CameraModel2d
    lidar: LidarModel
    radar: RadarModel

    def __post_init__(self) -> None:
        if self.version != MODEL_VERSION:
            raise ValueError(f"version: expected {MODEL_VERSION}, got {self.version}")


MODEL_PATH = Path(__file__).with_name("detection_model.json")
_MAX_BYTES = 1 << 20


@functools.cache
def load_model(path: Path = MODEL_PATH) -> DetectionModel:
    """Raises BadInput where the file is not an error model of this version."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadInput(path, "size", f"at most {_MAX_BYTES} bytes", path.stat().st_size)
        return msgspec.json.decode(path.read_bytes(), type=DetectionModel)
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(path, "file", "a detection error model", error) from error
