"""What each sensor of a drive felt of the motion: turning, (N, 3) rad/s, and speed, (N,) m/s, by its own stamps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from calibration.time_offset import Signal
from nodes.sources.drive import Drive
from pipeline.core import messages as m
from pipeline.core.errors import BadInput
from pipeline.run.drives import open_named

_MAX_SAMPLES = 5_000_000
_COMMA_SIGN = "processed_log/IMU/gyro/t"


def read_signals(name: str) -> dict[str, Signal]:
    """By name, as `imu:turning`; times in seconds since the first stamp of all.

    Raises:
        BadInput: no such drive, or a file of it is damaged.
    """
    folder = Path(name)
    return _of_comma2k19(folder) if (folder / _COMMA_SIGN).is_file() else _of_drive(open_named(name))


def _of_drive(drive: Drive) -> dict[str, Signal]:
    times: dict[str, list[int]] = {}
    values: dict[str, list[object]] = {}

    def add(name: str, time_ns: int, value: object) -> None:
        times.setdefault(name, []).append(time_ns)
        values.setdefault(name, []).append(value)

    wanted = [t for t in drive.topics if t.startswith(("imu/", "wheel/", "pose/"))]
    for message in drive.messages(wanted):
        payload, time_ns = message.payload, message.stamp.sensor_ns
        if isinstance(payload, m.ImuSample):
            add(f"{message.source}:turning", time_ns, payload.angular_velocity)
        elif isinstance(payload, m.WheelSpeed):
            add(f"{message.source}:speed", time_ns, payload.speed)
        elif isinstance(payload, m.EgoPose):
            add(f"{message.source}:turning", time_ns, payload.angular_velocity)
            add(f"{message.source}:speed", time_ns, float(np.hypot(*payload.linear_velocity[:2])))
    first_ns = min((t[0] for t in times.values()), default=0)
    return _checked(
        {name: ((np.array(t) - first_ns) * 1e-9, np.array(values[name], dtype=float)) for name, t in times.items()}
    )


def _of_comma2k19(folder: Path) -> dict[str, Signal]:
    """A segment: IMU of the phone, wheels from the car's bus, pose from GNSS and camera. Times since the log's boot."""

    def stream(of: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return _array(folder / "processed_log" / of / "t"), _array(folder / "processed_log" / of / "value")

    gyro_t, gyro = stream("IMU/gyro")
    wheel_t, wheel = stream("CAN/wheel_speed")
    pose_t = _array(folder / "global_pose" / "frame_times")
    velocity = _array(folder / "global_pose" / "frame_velocities")
    poses = SE3.from_quaternion(_array(folder / "global_pose" / "frame_orientations"), np.zeros((len(pose_t), 3)))
    turned = (poses[:-1].inverse() @ poses[1:]).rotation_vector / np.diff(pose_t)[:, None]
    first = min(gyro_t[0], wheel_t[0], pose_t[0])
    return _checked(
        {
            "imu:turning": (gyro_t - first, gyro),
            "pose:turning": (0.5 * (pose_t[1:] + pose_t[:-1]) - first, turned),
            "pose:speed": (pose_t - first, np.linalg.norm(velocity, axis=1)),
            "wheel:speed": (wheel_t - first, wheel.mean(axis=1)),
        }
    )


def _array(path: Path) -> npt.NDArray[np.float64]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.size > _MAX_SAMPLES:
            raise ValueError(f"{array.size} numbers")
        return np.array(array, dtype=np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(path, "file", f"a .npy array of at most {_MAX_SAMPLES} numbers", error) from error


def _checked(
    signals: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
) -> dict[str, Signal]:
    """Without stamps that stand still, values that are no numbers, and signals of which nothing is left."""
    out = {}
    for name, (t, value) in signals.items():
        later = np.concatenate([[True], np.diff(t) > 0])
        good = later & np.isfinite(value.reshape(len(t), -1)).all(axis=1)
        if good.any():
            out[name] = Signal(name, t[good], value[good])
    return out
