"""KITTI raw, synced and rectified, in its official layout.

    <date>/calib_cam_to_cam.txt, calib_velo_to_cam.txt, calib_imu_to_velo.txt
    <date>/<date>_drive_<n>_sync/image_0N, velodyne_points, oxts: data/NNNNNNNNNN.*, timestamps*.txt

- Ego: axes of the OXTS unit, whose place is published: 0.93 m above ground, 0.05 m behind the rear axle, 0.32 m left of
  the middle; the Velodyne comes out at 1.73 m. Odom: east, north, up from the first pose, by the devkit's Mercator.
- Velodyne: raw points, each measured at its own instant. A sweep starts and ends facing backward and turns clockwise
  seen from above (in drive 0002 sweeps 0.5 s apart agree best so, worse uncorrected, worst the other way round): the
  azimuth gives the time between `timestamps_start` and `timestamps_end`. Lasers stand in the file one after the other,
  each starting over at azimuth 0; ring 0 is the uppermost.
- Cameras are triggered as the Velodyne faces forward, yet their stamps are 10.5 ms later than the Velodyne's middle.
  The LiDAR's depth edges fall on image edges best at stamp - 8 ms (drive 0002, sharp to 2 ms): that is time_ns here,
  and the stamp itself is sensor_ns.
- No labels. Frames after the last file (a part of a drive) are left out; a file missing in between is counted.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, Clock, Extrinsic, GnssSensor, ImuSensor, LidarSensor, Rig, Sensor
from calibration.se3 import SE3
from nodes.sources.encoded_image import load_image, pinhole, usual_image_size
from nodes.sources.indexed import IndexedDrive, Stream
from nodes.sources.kitti_files import CalibrationFile, mercator_pose, read_oxts, read_stamps
from nodes.sources.poses import ego_pose
from pipeline.core.bounded import read_bytes
from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT, CameraImage, EgoPose, GnssFix, ImuSample, PointCloud

EGO_SE3_IMU = SE3(np.eye(3), np.array([-0.05, 0.32, 0.93]))

_CAMERA_DELAY_NS = 8_000_000
_CAMERA_SIGMA_NS = 3_000_000
_MAX_SWEEP_NS = 1_000_000_000


class KittiRawDrive(IndexedDrive):
    """One `<date>_drive_<n>_sync` folder.

    Topics: `camera/image_0N`, `lidar/velodyne`, `pose/ego`, `imu/oxts`, `gnss/oxts_gnss`, as far as
    their folders are there.

    Raises:
        BadInput: no stream at all, or a timestamp or calibration file missing or malformed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._velo_SE3_imu = CalibrationFile(folder.parent / "calib_imu_to_velo.txt").transform()
        self._ego_SE3_velo = EGO_SE3_IMU @ self._velo_SE3_imu.inverse()
        streams = [*self._cameras(), *self._velodyne(), *self._oxts()]
        rig = Rig(vehicle="KITTI", sensors=tuple(sensor for sensor, _ in streams if sensor is not None))
        super().__init__(f"kitti_{folder.name.removesuffix('_sync')}", rig, [stream for _, stream in streams])

    def _cameras(self) -> list[tuple[Sensor | None, Stream]]:
        found: list[tuple[Sensor | None, Stream]] = []
        folders = [path for path in sorted(self._folder.glob("image_0[0-3]")) if (path / "data").is_dir()]
        if not folders:
            return found
        calibration = self._folder.parent / "calib_cam_to_cam.txt"
        between = CalibrationFile(calibration)
        cam0_SE3_velo = CalibrationFile(self._folder.parent / "calib_velo_to_cam.txt").transform()
        rect0_SE3_velo = between.transform("R_rect_00", None) @ cam0_SE3_velo
        for folder in folders:
            projection = between.matrix(f"P_rect_{folder.name[-2:]}", 3, 4)
            rect_SE3_rect0 = SE3(np.eye(3), _baseline(projection, calibration))
            ego_SE3_camera = self._ego_SE3_velo @ (rect_SE3_rect0 @ rect0_SE3_velo).inverse()
            times_ns = _stamps_with_files(folder, "png")
            width, height = usual_image_size(sorted((folder / "data").glob("*.png")), folder)
            camera = CameraSensor(
                name=folder.name,
                extrinsic=Extrinsic.from_se3(ego_SE3_camera, method="dataset"),
                clock=Clock(sigma_ns=_CAMERA_SIGMA_NS, has_arrival=False),
                width=width,
                height=height,
                intrinsics=pinhole(projection[:, :3], calibration, f"P_rect_{folder.name[-2:]}"),
            )

            def load(i: int, folder: Path = folder, size: tuple[int, int] = (width, height)) -> CameraImage:
                return load_image(folder / f"data/{i:010d}.png", *size)

            source = folder / "timestamps.txt"
            exposed_ns = np.where(times_ns > 0, times_ns - _CAMERA_DELAY_NS, 0)
            stream = Stream(f"camera/{folder.name}", exposed_ns, load, source, _CAMERA_SIGMA_NS, sensor_ns=times_ns)
            found.append((camera, stream))
        return found

    def _velodyne(self) -> list[tuple[Sensor | None, Stream]]:
        folder = self._folder / "velodyne_points"
        if not (folder / "data").is_dir():
            return []
        ends_ns = _stamps_with_files(folder, "bin", "timestamps_end.txt")
        starts_ns = read_stamps(folder / "timestamps_start.txt")[: len(ends_ns)]
        if len(starts_ns) != len(ends_ns):
            raise BadInput(folder / "timestamps_start.txt", "lines", f"{len(ends_ns)}", len(starts_ns))
        lengths_ns = ends_ns - starts_ns
        whole = lengths_ns[(lengths_ns > 0) & (lengths_ns < _MAX_SWEEP_NS)]
        if not len(whole):
            raise BadInput(
                folder / "timestamps_start.txt", "sweep time", "more than 0 s, less than 1 s", lengths_ns[:3]
            )
        sensor = LidarSensor(
            name="velodyne",
            extrinsic=Extrinsic.from_se3(self._ego_SE3_velo, method="dataset"),
            clock=Clock(has_arrival=False),
            sweep_ns=int(np.median(whole)),
            model="hdl64e",
            beams=64,
            max_range_m=80.0,
        )

        def load(i: int) -> PointCloud:
            path = folder / f"data/{i:010d}.bin"
            sweep_ns = int(lengths_ns[i])
            if not 0 < sweep_ns < _MAX_SWEEP_NS:
                raise BadInput(folder / "timestamps_start.txt", "sweep time", "more than 0 s, less than 1 s", sweep_ns)
            data = read_bytes(path)
            if len(data) % 16:
                raise BadInput(path, "size", "4 float32 per point", f"{len(data)} bytes: truncated")
            return PointCloud(points=velodyne_points(np.frombuffer(data, "<f4").reshape(-1, 4), sweep_ns))

        return [(sensor, Stream("lidar/velodyne", ends_ns, load, folder / "timestamps_end.txt"))]

    def _oxts(self) -> list[tuple[Sensor | None, Stream]]:
        folder = self._folder / "oxts"
        if not (folder / "data").is_dir():
            return []
        times_ns = _stamps_with_files(folder, "txt")
        first = self._first_record(folder, len(times_ns))
        scale = float(np.cos(np.radians(first["lat"])))
        start = (mercator_pose(first, scale) @ EGO_SE3_IMU.inverse()).translation
        imu_in_ego = EGO_SE3_IMU.translation

        def record(i: int) -> dict[str, float]:
            return read_oxts(folder / f"data/{i:010d}.txt")

        def pose(i: int) -> EgoPose:
            values = record(i)
            odom_SE3_ego = mercator_pose(values, scale) @ EGO_SE3_IMU.inverse()
            angular = np.array([values["wx"], values["wy"], values["wz"]])
            linear_imu = odom_SE3_ego.inverse().rotate([values["ve"], values["vn"], values["vu"]])
            linear = linear_imu - np.cross(angular, imu_in_ego)
            return ego_pose(SE3(odom_SE3_ego.rotation, odom_SE3_ego.translation - start), linear, angular)

        def imu(i: int) -> ImuSample:
            values = record(i)
            return ImuSample(
                angular_velocity=(values["wx"], values["wy"], values["wz"]),
                linear_acceleration=(values["ax"], values["ay"], values["az"]),
            )

        def gnss(i: int) -> GnssFix:
            values = record(i)
            return GnssFix(
                latitude=values["lat"],
                longitude=values["lon"],
                height=values["alt"],
                accuracy=values["pos_accuracy"],
            )

        source = folder / "timestamps.txt"
        mounting = Extrinsic.from_se3(EGO_SE3_IMU, method="published sensor setup")
        clock = Clock(has_arrival=False)
        inertial = ImuSensor(name="oxts", extrinsic=mounting, clock=clock)
        satellite = GnssSensor(name="oxts_gnss", extrinsic=mounting, clock=clock)
        return [
            (None, Stream("pose/ego", times_ns, pose, source)),
            (inertial, Stream("imu/oxts", times_ns, imu, source)),
            (satellite, Stream("gnss/oxts_gnss", times_ns, gnss, source)),
        ]

    @staticmethod
    def _first_record(folder: Path, count: int) -> dict[str, float]:
        for i in range(count):
            with contextlib.suppress(BadInput):  # counted when it is its turn to be read
                return read_oxts(folder / f"data/{i:010d}.txt")
        raise BadInput(folder / "data", "records", "at least one readable", f"none of {count}")


def _baseline(projection: npt.NDArray[np.float64], source: Path) -> npt.NDArray[np.float64]:
    """(3,) m: where the first rectified camera's origin lies in this one's frame, from its P_rect (3, 4)."""
    if not (projection[0, 0] > 0 and projection[1, 1] > 0 and np.allclose(projection[2], [0, 0, 1, projection[2, 3]])):
        raise BadInput(
            source, "P_rect", "a projection with focal lengths > 0 and last row 0 0 1 *", projection.tolist()
        )
    return np.asarray(np.linalg.solve(projection[:, :3], projection[:, 3]), dtype=np.float64)


def velodyne_points(xyzr: npt.NDArray[np.float32], sweep_ns: int) -> npt.NDArray[np.void]:
    """KITTI's points (N, 4) x, y, z, reflectance -> (N,) of POINT, with time before the end of the sweep and laser."""
    points = np.zeros(len(xyzr), POINT)
    points.view("<f4").reshape(-1, 6)[:, :4] = xyzr
    azimuth = np.arctan2(xyzr[:, 1], xyzr[:, 0]).astype(np.float64)
    turned = (np.pi - azimuth) / (2 * np.pi)  # 0 at the start, facing backward, 1 at the end
    points["t_ns"] = np.round(np.nan_to_num(turned - 1.0) * sweep_ns)  # points that are none are dropped later
    starts_over = np.diff(azimuth % (2 * np.pi)) < -np.pi
    points["ring"] = np.concatenate([[0], np.cumsum(starts_over)]) if len(points) else 0
    return points


def _stamps_with_files(folder: Path, suffix: str, name: str = "timestamps.txt") -> npt.NDArray[np.int64]:
    """Stamps of a stream up to its last file."""
    times_ns = read_stamps(folder / name)
    last = max((int(path.stem) for path in (folder / "data").glob(f"*.{suffix}") if path.stem.isdigit()), default=-1)
    if last < 0:
        raise BadInput(folder / "data", "files", f"NNNNNNNNNN.{suffix}", "none")
    if len(times_ns) <= last:
        raise BadInput(folder / name, "lines", f"at least {last + 1}, one per file", len(times_ns))
    return times_ns[: last + 1]
