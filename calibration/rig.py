"""The rig: which sensors a vehicle carries, where they sit, and which clocks they have.

One versioned YAML per vehicle under `configs/rigs/`, or built by the reader of a recorded drive.
Ego frame: x forward, y left, z up, origin on the ground under the rear axle (REP-103, ISO 8855).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
import numpy as np

from calibration.camera import CameraModel
from calibration.se3 import SE3, FloatArray

RIG_VERSION = 1

Modality: TypeAlias = Literal["camera", "lidar", "radar", "imu", "gnss", "wheel"]
LidarModel: TypeAlias = Literal["", "vlp16", "vlp32c", "hdl64e", "pandar64", "os1_64"]
RadarModel: TypeAlias = Literal["", "long_range", "corner", "imaging"]


_BEAMS: dict[LidarModel, int] = {"vlp16": 16, "vlp32c": 32, "hdl64e": 64, "pandar64": 64, "os1_64": 64}


def _check(holds: bool, field: str, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"{field}: expected {expected}, got {found}")


class Extrinsic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pose of a sensor in the ego frame, ``ego_SE3_sensor``, with where the numbers come from.

    translation in metres; rotation as quaternion w, x, y, z; covariance 6x6 row-major in the order x, y, z (m),
    rx, ry, rz (rad) of a left perturbation, or empty where it is not known.
    """

    translation: tuple[float, float, float]
    rotation_wxyz: tuple[float, float, float, float]
    covariance: tuple[float, ...] = ()
    method: str = ""
    date: str = ""
    data_sha256: str = ""

    def __post_init__(self) -> None:
        if len(self.covariance) not in (0, 36):
            raise ValueError(f"covariance: expected 36 numbers or none, got {len(self.covariance)}")
        if self.covariance:
            matrix = np.array(self.covariance).reshape(6, 6)
            if (
                not np.isfinite(matrix).all()
                or not np.allclose(matrix, matrix.T)
                or np.linalg.eigvalsh(matrix)[0] < -1e-9
            ):
                raise ValueError("covariance: expected a symmetric matrix without negative eigenvalues")
        SE3.from_quaternion(self.rotation_wxyz, self.translation)  # raises where the numbers are no pose

    @property
    def ego_SE3_sensor(self) -> SE3:
        return SE3.from_quaternion(self.rotation_wxyz, self.translation)

    @property
    def covariance_matrix(self) -> FloatArray | None:
        """(6, 6) float64 or None where unknown."""
        return np.array(self.covariance).reshape(6, 6) if self.covariance else None

    @staticmethod
    def from_se3(ego_SE3_sensor: SE3, *, method: str = "", date: str = "") -> Extrinsic:
        x, y, z = (float(v) for v in ego_SE3_sensor.translation)
        qw, qx, qy, qz = (float(v) for v in ego_SE3_sensor.quaternion)
        return Extrinsic(translation=(x, y, z), rotation_wxyz=(qw, qx, qy, qz), method=method, date=date)


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which clock stamps a sensor's messages, and what may be assumed of it.

    discipline: ``vehicle`` = already on the vehicle clock; ``ptp`` = disciplined, port state recorded; ``trigger`` =
    exposure fired by a counted hardware pulse; ``free`` = its own oscillator, offset and skew to be estimated.
    """

    discipline: Literal["vehicle", "ptp", "trigger", "free"] = "vehicle"
    sigma_ns: int = 0
    trigger_period_ns: int = 0
    has_arrival: bool = True  # False: the recording kept no host arrival stamp; the reader derived one

    def __post_init__(self) -> None:
        _check(self.sigma_ns >= 0, "sigma_ns", ">= 0", self.sigma_ns)
        triggered = self.discipline == "trigger"
        _check(not triggered or self.trigger_period_ns > 0, "trigger_period_ns", "> 0", self.trigger_period_ns)


class _Mounted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    extrinsic: Extrinsic
    clock: Clock = Clock()
    rate_hz: float = 10.0

    @property
    def ego_SE3_sensor(self) -> SE3:
        return self.extrinsic.ego_SE3_sensor

    def __post_init__(self) -> None:
        _check(self.name.replace("_", "").isalnum(), "name", "letters, digits and underscores", repr(self.name))
        _check(self.rate_hz > 0, "rate_hz", "> 0", self.rate_hz)


class CameraSensor(_Mounted, frozen=True, tag_field="modality", tag="camera", kw_only=True):
    """Camera frame: z along the optical axis, x right, y down. readout_ns is the rolling shutter's, 0 = global."""

    width: int
    height: int
    intrinsics: CameraModel
    readout_ns: int = 0

    modality = "camera"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.width > 0 and self.height > 0, "width, height", "> 0", f"{self.width}, {self.height}")
        _check(self.readout_ns >= 0, "readout_ns", ">= 0", self.readout_ns)


class LidarSensor(_Mounted, frozen=True, tag_field="modality", tag="lidar", kw_only=True):
    """LiDAR frame as its maker defines it; sweep_ns is the time one sweep takes.

    model: the unit, where it is known; it then says where the beams point, and ``beams`` may be 0.
    view_deg: width of what it sees, around its x axis.
    """

    model: LidarModel = ""
    sweep_ns: int = 100_000_000
    beams: int = 0  # 0 = unknown
    max_range_m: float = 200.0
    view_deg: float = 360.0

    modality = "lidar"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.sweep_ns > 0, "sweep_ns", "> 0", self.sweep_ns)
        _check(self.beams >= 0, "beams", ">= 0", self.beams)
        of_model = _BEAMS[self.model] if self.model else self.beams
        _check(self.beams in (0, of_model), "beams", f"{of_model}, those of a {self.model}", self.beams)
        _check(0 < self.view_deg <= 360, "view_deg", "above 0, at most 360", self.view_deg)
        _check(self.max_range_m > 0, "max_range_m", "> 0", self.max_range_m)


class RadarSensor(_Mounted, frozen=True, tag_field="modality", tag="radar", kw_only=True):
    """Radar frame: x along boresight, y left, z up.

    ambiguity_mps: width of the unambiguous Doppler interval, m/s; 0 = none. model: kind of radar; empty = unknown.
    view_deg: width of what it sees, around its x axis.
    """

    model: RadarModel = ""
    ambiguity_mps: float = 0.0
    max_range_m: float = 150.0
    view_deg: float = 360.0

    modality = "radar"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.ambiguity_mps >= 0, "ambiguity_mps", ">= 0", self.ambiguity_mps)
        _check(0 < self.view_deg <= 360, "view_deg", "above 0, at most 360", self.view_deg)
        _check(self.max_range_m > 0, "max_range_m", "> 0", self.max_range_m)


class ImuSensor(_Mounted, frozen=True, tag_field="modality", tag="imu", kw_only=True):
    modality = "imu"


class GnssSensor(_Mounted, frozen=True, tag_field="modality", tag="gnss", kw_only=True):
    modality = "gnss"


class WheelSensor(_Mounted, frozen=True, tag_field="modality", tag="wheel", kw_only=True):
    modality = "wheel"


Sensor: TypeAlias = CameraSensor | LidarSensor | RadarSensor | ImuSensor | GnssSensor | WheelSensor


class Rig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All sensors of one vehicle; names are unique."""

    vehicle: str
    sensors: tuple[Sensor, ...]
    version: int = RIG_VERSION

    def __post_init__(self) -> None:
        if self.version != RIG_VERSION:
            raise ValueError(f"version: expected {RIG_VERSION}, got {self.version}")
        names = [sensor.name for sensor in self.sensors]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sensors: expected unique names, got twice: {', '.join(twice)}")

    def __getitem__(self, name: str) -> Sensor:
        for sensor in self.sensors:
            if sensor.name == name:
                return sensor
        raise KeyError(f"no sensor {name!r} in rig {self.vehicle!r}; it has {[s.name for s in self.sensors]}")

    @property
    def cameras(self) -> tuple[CameraSensor, ...]:
        return tuple(s for s in self.sensors if isinstance(s, CameraSensor))

    @property
    def lidars(self) -> tuple[LidarSensor, ...]:
        return tuple(s for s in self.sensors if isinstance(s, LidarSensor))

    @property
    def radars(self) -> tuple[RadarSensor, ...]:
        return tuple(s for s in self.sensors if isinstance(s, RadarSensor))
