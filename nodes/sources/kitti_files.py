"""The small text formats of KITTI raw: timestamps, calibration, OXTS records."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from pipeline.core.bounded import read_text
from pipeline.core.errors import BadInput

_OXTS_FIELDS = (
    *("lat", "lon", "alt", "roll", "pitch", "yaw"),
    *("vn", "ve", "vf", "vl", "vu"),
    *("ax", "ay", "az", "af", "al", "au"),
    *("wx", "wy", "wz", "wf", "wl", "wu"),
    *("pos_accuracy", "vel_accuracy", "navstat", "numsats", "posmode", "velmode", "orimode"),
)


def read_stamps(path: Path) -> npt.NDArray[np.int64]:
    """(K,) int64 ns of `2011-09-26 13:02:44.327963904` per line, taken as UTC; 0 where a line holds no such time."""
    return np.array([_stamp(line) for line in read_text(path).splitlines()], dtype=np.int64)


def _stamp(line: str) -> int:
    whole, _, fraction = line.strip().partition(".")
    try:
        seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
        return max(-(2**62), min(int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0")), 2**62))
    except ValueError:
        return 0


class CalibrationFile:
    """Lines of `name: number number ...`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = dict(line.split(":", 1) for line in read_text(path).splitlines() if ":" in line)

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def matrix(self, name: str, *shape: int) -> npt.NDArray[np.float64]:
        """The numbers of a line, row by row. Raises BadInput where the line is missing or holds anything else."""
        expected = f"{math.prod(shape)} finite numbers"
        if name not in self._lines:
            raise BadInput(self._path, name, expected, "no such line")
        try:
            numbers = np.array([float(word) for word in self._lines[name].split()])
        except ValueError as error:
            raise BadInput(self._path, name, expected, error) from error
        if numbers.shape != (math.prod(shape),) or not np.isfinite(numbers).all():
            raise BadInput(self._path, name, expected, self._lines[name].strip())
        return numbers.reshape(shape)

    def transform(self, rotation: str = "R", translation: str | None = "T") -> SE3:
        """A rigid transform from a rotation line (printed digits repaired) and a translation line (None = zero)."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.matrix(rotation, 3, 3)
        if translation is not None:
            matrix[:3, 3] = self.matrix(translation, 3)
        try:
            return SE3.from_matrix(matrix)
        except ValueError as error:
            raise BadInput(self._path, rotation, "a rotation", error) from error


def read_oxts(path: Path) -> dict[str, float]:
    """One OXTS record by the names of `dataformat.txt`. Raises BadInput where it is none."""
    words = read_text(path, limit=4096).split()
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise BadInput(path, "record", f"{len(_OXTS_FIELDS)} numbers", error) from error
    if len(values) != len(_OXTS_FIELDS) or not all(math.isfinite(v) for v in values):
        raise BadInput(path, "record", f"{len(_OXTS_FIELDS)} finite numbers", f"{len(values)}: {words[:3]}")
    record = dict(zip(_OXTS_FIELDS, values, strict=True))
    if abs(record["lat"]) >= 89.0:
        raise BadInput(path, "lat", "within 89 degrees, where Mercator holds", record["lat"])
    return record


def mercator_pose(record: dict[str, float], scale: float) -> SE3:
    """Pose of the OXTS unit in metres east, north, up, as KITTI's development kit defines it.

    Args:
        scale: cosine of the first record's latitude.
    """
    radius = 6_378_137.0
    east = scale * radius * math.radians(record["lon"])
    north = scale * radius * math.log(math.tan(math.pi * (90.0 + record["lat"]) / 360.0))
    (sr, cr), (sp, cp), (sy, cy) = ((math.sin(record[a]), math.cos(record[a])) for a in ("roll", "pitch", "yaw"))
    rotation = np.array(  # Rz(yaw) Ry(pitch) Rx(roll)
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
    return SE3(rotation, np.array([east, north, record["alt"]]))
