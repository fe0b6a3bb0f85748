"""PandaSet sequences in our local layout (.npz, .csv, .json); `pandaset_convert` makes it from the official pickles.

    camera/<name>_camera/NN.jpg, intrinsics.json, poses.json, timestamps.json
    lidar/NN.npz (xyz in world, intensity, t_offset_us, sensor), poses.json, timestamps.json
    cuboids/NN.csv

Frames: `odom` is the dataset's world, `ego` see `pandaset_geometry`. The two LiDARs are two sensors, as on the car: the
PandarGT looks forward only and scans freely, at any phase to the Pandar64. Their clouds are motion compensated.

A cuboid stands where the sweep met the object, not where it was at the sweep's stamp: cars at 12 and 14 m/s, swept 55
and 90 ms before it, fit their points within 0.15 m, and would be 0.7 and 1.3 m off. So each label has its own instant:
the median time of the points inside.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, Clock, Extrinsic, LidarSensor, Rig, Sensor
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.sources.encoded_image import load_image, pinhole, usual_image_size
from nodes.sources.indexed import IndexedDrive, Stream, ns_from_seconds, plausible
from nodes.sources.pandaset_cuboids import Cuboids
from nodes.sources.pandaset_geometry import EGO_SE3_PANDAR64, EGO_SE3_PANDARGT, POSE_SE3_EGO
from nodes.sources.poses import ego_pose_stream, mean_extrinsic, merge, rigid, trajectory_of
from nodes.sources.truth import points_of_boxes, truth_objects, velocities
from pipeline.core.bounded import read_json, read_npz
from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT, CameraImage, PointCloud
from pipeline.core.truth import TruthObjects

MAX_FRAMES = 100_000

_CAMERA_SIGMA_NS = 2_000_000  # no exposure time is published
_TIME_FIELDS = {"t_offset_us": ("<i4", (None,)), "sensor": ("u1", (None,))}
_FRAME_FIELDS = {"xyz": ("<f4", (None, 3)), "intensity": ("u1", (None,))} | _TIME_FIELDS
_LIDARS = {"pandar64": (0, EGO_SE3_PANDAR64), "pandargt": (1, EGO_SE3_PANDARGT)}


class _Xyz(msgspec.Struct):
    x: float
    y: float
    z: float


class _Wxyz(msgspec.Struct):
    w: float
    x: float
    y: float
    z: float


class _Pose(msgspec.Struct):
    position: _Xyz
    heading: _Wxyz


class _Intrinsics(msgspec.Struct):
    fx: float
    fy: float
    cx: float
    cy: float


class PandaSetDrive(IndexedDrive):
    """One PandaSet sequence.

    Topics: `camera/<name>`, `lidar/pandar64`, `lidar/pandargt`, `pose/ego`, `truth/objects`. pose/ego holds the
    dataset's poses at the LiDAR's and the cameras' stamps: camera poses, brought to ego, lie on the same trajectory.

    Raises:
        BadInput: a pose, stamp or intrinsics file is missing or malformed, or their lengths differ.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._frame = lru_cache(maxsize=3)(self._read_frame)  # both LiDARs and the labels ask for the same frames
        self._swept = lru_cache(maxsize=8)(self._read_swept)
        self._times_ns, odom_SE3_pose = _posed_stamps(folder / "lidar")
        self._ego = trajectory_of(self._times_ns, odom_SE3_pose @ POSE_SE3_EGO, folder / "lidar/timestamps.json")
        sensors: list[Sensor] = []
        streams: list[Stream] = []
        ego_by_camera: list[Trajectory] = []
        for camera_folder in sorted((folder / "camera").glob("*_camera")):
            camera, stream, poses = self._camera(camera_folder)
            sensors.append(camera)
            streams.append(stream)
            ego_by_camera.append(
                Trajectory(poses.times_ns, poses.poses @ camera.ego_SE3_sensor.inverse(), poses.max_extrapolation_ns)
            )
        self._ego = merge([self._ego, *ego_by_camera])
        for name, (number, ego_SE3_lidar) in _LIDARS.items():
            times_ns = self._sweep_ends(number)
            if plausible(times_ns).any():
                sensors.append(_lidar_sensor(name, ego_SE3_lidar))
                streams.append(self._lidar(name, number, ego_SE3_lidar, times_ns))
        streams.append(ego_pose_stream(self._ego, folder / "lidar/poses.json"))
        if (folder / "cuboids").is_dir():
            self._cuboids = Cuboids(folder / "cuboids", len(self._times_ns))
            streams.append(Stream("truth/objects", self._times_ns, self._truth, folder / "cuboids"))
        super().__init__(
            f"pandaset_{folder.name.removeprefix('pandaset_')}",
            Rig(vehicle="PandaSet", sensors=tuple(sensors)),
            streams,
        )

    def _camera(self, folder: Path) -> tuple[CameraSensor, Stream, Trajectory]:
        times_ns, odom_SE3_camera = _posed_stamps(folder)
        poses = trajectory_of(times_ns, odom_SE3_camera, folder / "timestamps.json")
        k = read_json(folder / "intrinsics.json", _Intrinsics)
        width, height = usual_image_size(sorted(folder.glob("*.jpg")), folder)
        sensor = CameraSensor(
            name=folder.name.removesuffix("_camera"),
            extrinsic=mean_extrinsic(self._ego, poses, folder / "timestamps.json"),
            clock=Clock(sigma_ns=_CAMERA_SIGMA_NS, has_arrival=False),
            width=width,
            height=height,
            intrinsics=pinhole(
                [[k.fx, 0.0, k.cx], [0.0, k.fy, k.cy], [0.0, 0.0, 1.0]], folder / "intrinsics.json", "fx, fy, cx, cy"
            ),
        )

        def load(i: int) -> CameraImage:
            return load_image(folder / f"{i:02d}.jpg", width, height)

        stream = Stream(f"camera/{sensor.name}", times_ns, load, folder / "timestamps.json", _CAMERA_SIGMA_NS)
        return sensor, stream, poses

    def _sweep_ends(self, number: int) -> npt.NDArray[np.int64]:
        """(K,) int64: end of each sweep of one LiDAR; 0 where it cannot be told.

        The dataset's stamp is the end of the Pandar64's sweep. The PandarGT's own end is its last point's time.
        """
        if number == 0:
            return self._times_ns
        ends = np.zeros_like(self._times_ns)
        for i, time_ns in enumerate(self._times_ns):
            try:
                frame = read_npz(self._folder / f"lidar/{i:02d}.npz", _TIME_FIELDS)
            except BadInput:
                continue  # counted when the Pandar64's sweep is read
            offsets_us = frame["t_offset_us"][frame["sensor"] == number]
            ends[i] = time_ns + int(offsets_us.max()) * 1000 if len(offsets_us) else 0
        return ends

    def _read_frame(self, i: int) -> dict[str, np.ndarray]:
        return read_npz(self._folder / f"lidar/{i:02d}.npz", _FRAME_FIELDS)

    def _lidar(self, name: str, number: int, ego_SE3_lidar: SE3, ends_ns: npt.NDArray[np.int64]) -> Stream:
        def load(i: int) -> PointCloud:
            frame = self._frame(i)
            own = frame["sensor"] == number
            if not self._ego.covers(ends_ns[i]):
                raise BadInput(self._folder / "lidar/poses.json", "pose", f"one near {ends_ns[i]} ns", "none")
            odom_SE3_lidar = self._ego.at(ends_ns[i]) @ ego_SE3_lidar
            since_end_ns = frame["t_offset_us"][own] * 1000 - (ends_ns[i] - self._times_ns[i])
            points = np.zeros(int(own.sum()), POINT)
            points.view("<f4").reshape(-1, 6)[:, :3] = odom_SE3_lidar.inverse() @ frame["xyz"][own].astype(np.float64)
            points["intensity"] = frame["intensity"][own] / np.float32(255)
            points["t_ns"] = since_end_ns.clip(-(2**31), 2**31 - 1)
            return PointCloud(points=points, motion_compensated=True)

        return Stream(f"lidar/{name}", ends_ns, load, self._folder / "lidar")

    def _truth(self, i: int) -> TruthObjects:
        labels = self._cuboids.frame(i)
        try:
            xyz = self._frame(i)["xyz"]
        except BadInput:
            xyz = None  # the labels stand on their own
        velocity = velocities(self._cuboids.frames, lambda j: self._times_ns[j] + self._swept(j), i)
        return truth_objects(labels, velocity, xyz, time_offset_ns=self._swept(i).astype(np.int32))

    def _read_swept(self, i: int) -> npt.NDArray[np.int64]:
        """(K,) when the LiDAR that a label was made on met it, relative to the stamp; 0 where it has no points."""
        labels = self._cuboids.frames[i]
        offset_ns = np.zeros(len(labels), np.int64)
        try:
            frame = self._frame(i)
        except BadInput:
            return offset_ns
        own = frame["sensor"]
        position = np.array([label.position for label in labels]).reshape(-1, 3)
        size = np.array([label.size for label in labels], np.float32).reshape(-1, 3)
        yaw = np.array([label.yaw for label in labels])
        rows_of = points_of_boxes(frame["xyz"], position, size, yaw)
        for k, (rows, lidar) in enumerate(zip(rows_of, self._cuboids.lidars[i], strict=True)):
            seen = rows[own[rows] == lidar] if (own[rows] == lidar).any() else rows
            if len(seen):
                offset_ns[k] = round(1000 * float(np.median(frame["t_offset_us"][seen])))
        return offset_ns


def _lidar_sensor(name: str, ego_SE3_lidar: SE3) -> LidarSensor:
    return LidarSensor(
        name=name,
        extrinsic=Extrinsic.from_se3(ego_SE3_lidar, method="optical centre found in the data, see pandaset_geometry"),
        clock=Clock(has_arrival=False),
        model="pandar64" if name == "pandar64" else "",
        beams=64 if name == "pandar64" else 0,
        max_range_m=200.0 if name == "pandar64" else 300.0,
        view_deg=360.0 if name == "pandar64" else 60.0,
    )


def _posed_stamps(folder: Path) -> tuple[npt.NDArray[np.int64], SE3]:
    """Stamps (K,) and poses `odom_SE3_sensor` (K) of one sensor's folder, in order of its frames."""
    seconds = read_json(folder / "timestamps.json", list[float])
    poses = read_json(folder / "poses.json", list[_Pose])
    if not 0 < len(poses) == len(seconds) <= MAX_FRAMES:
        raise BadInput(folder / "poses.json", "length", f"{len(seconds)} poses, one per stamp", len(poses))
    rotations = [msgspec.structs.astuple(pose.heading) for pose in poses]
    positions = [msgspec.structs.astuple(pose.position) for pose in poses]
    return ns_from_seconds(seconds), rigid(rotations, positions, folder / "poses.json", "heading, position")
