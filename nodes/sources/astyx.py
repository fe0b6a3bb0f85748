"""Astyx HiRes2019: camera, VLP-16 and 4D radar, boxes without identities, no poses.

    frames.csv (frame, first and last LiDAR time), camera/NNNNNN.jpg, lidar/NNNNNN.npz, radar/NNNNNN.npz,
    calibration/NNNNNN.json, groundtruth/NNNNNN.json

- Only the LiDAR carries time; its turn begins and ends behind the car and meets what is ahead 51 ms before its end.
  Labels stand where the points lie as measured, at any speed (shift per speed 5 ms), so that is their instant. The
  camera is taken to share it, 1-sigma 20 ms: in turns, edges of points and images lie 13 ms apart, and scatter as much.
  Static radar returns lie nearer than the points by 0.020 s of travel: the radar's instant is 31 ms before the end,
  1-sigma 10 ms.
- The frames come in bursts, minutes apart. Within a burst the spacing is as recorded; longer gaps are closed to 2 s, so
  that a replay does not wait. The LiDAR counts from an hour that is not given: it is taken to be the first of 2019.
- Without poses there is no `pose/ego`, and the truth is given in the ego frame.
- The vehicle frame is not published. Here it is measured over the 56 local frames: z is the ground's normal (plane
  through the LiDAR's points, median of all frames, 1.59 m below the radar, +-0.05 m, +-1 deg), x the direction of
  travel (ego velocity fitted to the Doppler: +1.0 deg in the radar frame, going straight). The rear axle, which does
  not slide sideways, is 1.45 m behind the radar: sideways Doppler velocity over turning rate of matched sweeps,
  +-0.05 m.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, Clock, Extrinsic, LidarSensor, RadarSensor, Rig
from calibration.se3 import SE3
from nodes.sources.encoded_image import load_image, pinhole, usual_image_size
from nodes.sources.indexed import IndexedDrive, Stream, usable_stamps
from nodes.sources.poses import rigid
from nodes.sources.truth import Label, class_name, truth_objects
from pipeline.core.bounded import read_json, read_npz, read_text
from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT, RADAR_POINT, CameraImage, PointCloud, RadarScan
from pipeline.core.truth import TruthObjects

DOPPLER_BIN_MPS = 0.0812
AMBIGUITY_MPS = 128 * DOPPLER_BIN_MPS
"""The radial speeds of the dataset take exactly 128 values, -63..64 bins of 0.0812 m/s."""

_LIDAR_FIELDS = {
    "xyz": ("<f4", (None, 3)),
    "reflectivity": ("u1", (None,)),
    "laser": ("u1", (None,)),
    "t_us": ("<u4", (None,)),
}
_RADAR_FIELDS = {"xyz": ("<f4", (None, 3)), "v_r": ("<f4", (None,)), "mag": ("<f4", (None,))}
_FIRST_HOUR_NS = 1_546_300_800 * 10**9  # 2019-01-01
_BURST_GAP_NS = 2_000_000_000
_AHEAD_NS = 51_000_000  # before the end of a sweep
_CAMERA_SIGMA_NS = 20_000_000
_RADAR_NS = 31_000_000  # before the end of a sweep
_RADAR_SIGMA_NS = 10_000_000
_GROUND_NORMAL = np.array([-0.0511, 0.0934, 0.9944])  # radar frame
_TRAVEL = np.array([np.cos(np.radians(1.0)), np.sin(np.radians(1.0)), 0.0])  # radar frame
_RADAR_IN_EGO = np.array([1.45, 0.0, 1.59])

CLASS_OF_LABEL = {
    "Car": "car",
    "Truck": "truck",
    "Bus": "bus",
    "Trailer": "trailer",
    "Person": "pedestrian",
    "Motorcyclist": "motorcycle",
    "Cyclist": "bicycle",
}


def _level(normal: npt.NDArray[np.float64], forward: npt.NDArray[np.float64], place: npt.NDArray[np.float64]) -> SE3:
    """`ego_SE3_radar` from the ground's normal and the direction of travel, both in the radar frame."""
    z = normal / np.linalg.norm(normal)
    y = np.cross(z, forward)
    y /= np.linalg.norm(y)
    return SE3(np.stack([np.cross(y, z), y, z]), place)


EGO_SE3_RADAR = _level(_GROUND_NORMAL, _TRAVEL, _RADAR_IN_EGO)

_Vector: TypeAlias = tuple[float, float, float]
_Row: TypeAlias = tuple[float, float, float, float]


class _Calibration(msgspec.Struct):
    T_to_ref_COS: tuple[_Row, _Row, _Row, _Row]
    K: tuple[_Vector, _Vector, _Vector] | None = None


class _Sensor(msgspec.Struct):
    sensor_uid: str
    calib_data: _Calibration


class _Sensors(msgspec.Struct):
    sensors: list[_Sensor]


class _Object(msgspec.Struct):
    classname: str
    center3d: _Vector
    dimension3d: _Vector
    orientation_quat: _Row


class _Objects(msgspec.Struct):
    objects: list[_Object]


class AstyxDrive(IndexedDrive):
    """The frames of an Astyx folder as one drive.

    Topics: `camera/front`, `lidar/vlp16`, `radar/front_radar`, `truth/objects`.

    Raises:
        BadInput: frames.csv or the calibration is missing or malformed, or the calibration changes between frames.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        index = folder / "frames.csv"
        self._frames, self._sweep_end_us = _frame_index(index)
        times_ns = close_gaps(_FIRST_HOUR_NS + self._sweep_end_us * 1000, index)
        rig = self._read_rig()
        self._ego_SE3_lidar = rig["vlp16"].ego_SE3_sensor
        streams = [
            Stream("camera/front", times_ns - _AHEAD_NS, self._image, index, _CAMERA_SIGMA_NS),
            Stream("lidar/vlp16", times_ns, self._sweep, index),
            Stream("radar/front_radar", times_ns - _RADAR_NS, self._scan, index, _RADAR_SIGMA_NS),
            Stream("truth/objects", times_ns, self._truth, index, _RADAR_SIGMA_NS),
        ]
        super().__init__("astyx", rig, streams)

    def _path(self, folder: str, i: int, suffix: str) -> Path:
        return self._folder / folder / f"{self._frames[i]:06d}.{suffix}"

    def _read_rig(self) -> Rig:
        calibration = [_calibration(self._path("calibration", i, "json")) for i in range(len(self._frames))]
        changed = [i for i, sensors in enumerate(calibration) if sensors != calibration[0]]
        if changed:
            path = self._path("calibration", changed[0], "json")
            raise BadInput(path, "sensors", f"the calibration of frame {self._frames[0]}: one rig", "another")
        path, sensors = self._path("calibration", 0, "json"), calibration[0]
        intrinsics = sensors["camera"].K
        if intrinsics is None:
            raise BadInput(path, "camera: K", "a 3x3 matrix", "none")
        self._size = usual_image_size([self._path("camera", i, "jpg") for i in range(len(self._frames))], self._folder)
        return Rig(
            vehicle="Astyx",
            sensors=(
                CameraSensor(
                    name="front",
                    extrinsic=_extrinsic(sensors["camera"], path),
                    clock=Clock(sigma_ns=_CAMERA_SIGMA_NS, has_arrival=False),
                    width=self._size[0],
                    height=self._size[1],
                    intrinsics=pinhole(intrinsics, path, "camera: K"),
                ),
                LidarSensor(
                    name="vlp16",
                    extrinsic=_extrinsic(sensors["lidar"], path),
                    clock=Clock(has_arrival=False),
                    model="vlp16",
                    beams=16,
                    max_range_m=100.0,
                ),
                RadarSensor(
                    name="front_radar",
                    extrinsic=_extrinsic(sensors["radar"], path),
                    clock=Clock(sigma_ns=_RADAR_SIGMA_NS, has_arrival=False),
                    model="imaging",
                    ambiguity_mps=AMBIGUITY_MPS,
                    max_range_m=100.0,
                    view_deg=120.0,
                ),
            ),
        )

    def _image(self, i: int) -> CameraImage:
        return load_image(self._path("camera", i, "jpg"), *self._size)

    def _sweep(self, i: int) -> PointCloud:
        frame = read_npz(self._path("lidar", i, "npz"), _LIDAR_FIELDS)
        points = np.zeros(len(frame["xyz"]), POINT)
        points.view("<f4").reshape(-1, 6)[:, :3] = frame["xyz"]
        points["intensity"] = frame["reflectivity"] / np.float32(255)
        since_end_us = frame["t_us"].astype(np.int64) - self._sweep_end_us[i]
        points["t_ns"] = (since_end_us * 1000).clip(-(2**31), 2**31 - 1)
        points["ring"] = frame["laser"]
        return PointCloud(points=points)

    def _scan(self, i: int) -> RadarScan:
        """The magnitude (dB, of no stated reference) stands as SNR; positive in the files means closing."""
        frame = read_npz(self._path("radar", i, "npz"), _RADAR_FIELDS)
        points = np.zeros(len(frame["xyz"]), RADAR_POINT)
        points.view("<f4").reshape(-1, 6)[:, :3] = frame["xyz"]
        points["range_rate"] = -frame["v_r"]
        points["rcs"] = np.nan
        points["snr"] = frame["mag"]
        return RadarScan(points=points, ambiguity_mps=AMBIGUITY_MPS)

    def _truth(self, i: int) -> TruthObjects:
        path = self._path("groundtruth", i, "json")
        labels = [_label(item, path) for item in read_json(path, _Objects).objects]
        try:
            xyz = self._ego_SE3_lidar @ self._sweep(i).xyz
        except BadInput:
            xyz = None  # the labels stand on their own
        held_ns = np.full(len(labels), -_AHEAD_NS, np.int32)
        return truth_objects(labels, xyz=xyz, time_offset_ns=held_ns, frame="ego")


def close_gaps(times_ns: npt.NDArray[np.int64], source: object) -> npt.NDArray[np.int64]:
    """Times (K,) with every gap longer than 2 s closed to 2 s; a time that cannot be used becomes -1.

    Raises:
        BadInput: none can be used.
    """
    usable = usable_stamps(times_ns, source)
    steps = np.diff(times_ns[usable])
    closed = np.full(len(times_ns), -1, dtype=np.int64)
    closed[usable] = times_ns[usable][0] + np.concatenate([[0], np.cumsum(np.minimum(steps, _BURST_GAP_NS))])
    return closed


def _frame_index(path: Path) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Frame numbers and the end of each frame's sweep, us."""
    rows = list(csv.DictReader(io.StringIO(read_text(path))))
    if not rows:
        raise BadInput(path, "rows", "at least one frame", "none")
    frames, ends = zip(*(_index_row(path, line, row) for line, row in enumerate(rows, start=2)), strict=True)
    return list(frames), np.array(ends, dtype=np.int64)


def _index_row(path: Path, line: int, row: dict[str, str]) -> tuple[int, int]:
    try:
        return int(row["frame"]), min(int(row["lidar_t_last_us"]), 2**52)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(path, f"line {line}", "frame and lidar_t_last_us, integers", row) from error


def _calibration(path: Path) -> dict[str, _Calibration]:
    """camera, lidar and radar by the first part of the sensor's name."""
    sensors = {s.sensor_uid.partition("_")[0]: s.calib_data for s in read_json(path, _Sensors).sensors}
    missing = sorted({"camera", "lidar", "radar"} - set(sensors))
    if missing:
        raise BadInput(path, "sensors", f"a sensor_uid of {missing}", sorted(sensors))
    return sensors


def _extrinsic(calibration: _Calibration, path: Path) -> Extrinsic:
    try:
        radar_SE3_sensor = SE3.from_matrix(calibration.T_to_ref_COS)
    except ValueError as error:
        raise BadInput(path, "T_to_ref_COS", "a rigid transform", error) from error
    return Extrinsic.from_se3(EGO_SE3_RADAR @ radar_SE3_sensor, method="dataset, levelled on the ground")


def _label(item: _Object, path: Path) -> Label:
    ego_SE3_object = EGO_SE3_RADAR @ rigid(item.orientation_quat, item.center3d, path, "orientation_quat, center3d")
    x, y, z = (float(v) for v in ego_SE3_object.translation)
    return Label(
        identity=-1,
        class_name=class_name(item.classname, CLASS_OF_LABEL, (), path, "objects.classname"),
        position=(x, y, z),
        size=item.dimension3d,
        yaw=float(ego_SE3_object.yaw),
    )
