"""Odometry: the ego pose from radar and LiDAR, where nobody else publishes one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from calibration.rig import RadarSensor, Rig
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from fusion.detect.doppler import DopplerSettings, Expected, velocity_from_scan
from fusion.odometry.planar import PlanarOdometry, PlanarSettings
from fusion.odometry.scan_match import ScanMatchSettings, Sweep, match, prepare
from pipeline.core.messages import EgoPose, Message, PointCloud, RadarScan, Stamp, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.merge import ArrivalOrder
from pipeline.sync.motion import deskew

_LONG_NS = 150_000_000
_BEFORE_NS = 100_000_000  # a sweep
_LEAST_REACH_MPS = 2.0  # several steps of the search's grid


class OdometrySettings(Settings, frozen=True):
    """max_gap_ns: after a longer time without radar or LiDAR, odom begins anew, in a new epoch of the pose stream.

    patience_ns: in a live run, one sensor's message waits no longer than this for the others'.
    """

    planar: PlanarSettings = PlanarSettings()
    doppler: DopplerSettings = DopplerSettings()
    scan_match: ScanMatchSettings = ScanMatchSettings()
    max_gap_ns: int = 1_000_000_000
    patience_ns: int = 20_000_000


class Odometry:
    """`radar/*` and `lidar/<first>` with their `stream/*` in; `pose/ego` and `stream/ego` out, a pose for each message.

    A pose bears the message's time, the latest arrival of all that it rests on, since it cannot have been known before,
    and the uncertainty of its velocities. first_epoch: of its poses.
    """

    def __init__(self, settings: OdometrySettings, rig: Rig, first_epoch: int = 0) -> None:
        self._settings = settings
        self._radars = {radar.name: radar for radar in rig.radars}
        self._lidar = rig.lidars[0] if rig.lidars else None
        names = [*self._radars, *([self._lidar.name] if self._lidar else [])]
        self._order = ArrivalOrder(names, settings.patience_ns)
        self._planar: PlanarOdometry | None = None
        self._sweep: Sweep | None = None  # at the anchor
        self._epoch = first_epoch
        self._sent = 0  # poses of this epoch
        self._told_ns: int | None = None  # time of the newest
        self._last_stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        if isinstance(message.payload, StreamStatus):
            self._order.status(message.source, message.stamp.epoch, message.payload)
        elif isinstance(message.payload, RadarScan | PointCloud):
            self._order.push(message)
        else:
            raise TypeError(f"odometry takes scans and sweeps, not {type(message.payload).__name__} on {message.topic}")
        return self._work(now_ns)

    def tick(self, now_ns: int) -> Iterable[Message]:
        return self._work(now_ns)

    def finish(self) -> Iterable[Message]:
        yield from self._work(everything=True)
        yield self._status(ended=True)

    def _work(self, now_ns: int = 0, everything: bool = False) -> Iterator[Message]:
        for message in self._order.ready(now_ns, everything):
            yield from self._take(message)

    def _take(self, message: Message) -> Iterator[Message]:
        payload, stamp = message.payload, message.stamp
        if self._planar is None or abs(stamp.time_ns - self._planar.time_ns) > self._settings.max_gap_ns:
            if self._planar is not None:
                yield self._status(ended=True, next_epoch=self._epoch + 1)
                self._epoch += 1
            self._planar = PlanarOdometry(self._settings.planar, stamp.time_ns)
            self._sweep, self._sent, self._told_ns = None, 0, None
            self._last_stamp = stamp
        # of a message that was not waited for, it is earlier; a replay would hear such poses in another order
        arrival_ns = max(stamp.arrival_ns, self._last_stamp.arrival_ns)
        self._last_stamp = msgspec.structs.replace(stamp, arrival_ns=arrival_ns)
        self._planar.advance(stamp.time_ns)
        if isinstance(payload, RadarScan):
            self._take_scan(self._planar, payload, self._radars[message.source])
        elif isinstance(payload, PointCloud):
            self._take_sweep(self._planar, payload, stamp)
        yield from self._poses(self._planar, stamp.time_ns)
        yield self._status()

    def _take_scan(self, planar: PlanarOdometry, scan: RadarScan, radar: RadarSensor) -> None:
        ego_SE3_radar = radar.ego_SE3_sensor
        forward, left, turn = planar.velocity
        at_radar = np.array([forward, left, 0.0]) + np.cross([0.0, 0.0, turn], ego_SE3_radar.translation)
        reach = self._settings.planar.gate_sigmas * float(np.sqrt(np.trace(planar.velocity_cov[:2, :2])))
        expected = Expected(ego_SE3_radar.inverse().rotate(at_radar)[:2], max(reach, _LEAST_REACH_MPS))
        own = velocity_from_scan(scan, self._settings.doppler, expected)
        if own is not None:
            planar.doppler(own, ego_SE3_radar)

    def _take_sweep(self, planar: PlanarOdometry, cloud: PointCloud, stamp: Stamp) -> None:
        assert self._lidar is not None
        late_s = (planar.time_ns - stamp.time_ns) * 1e-9
        sweep = prepare(_deskewed(cloud, stamp, self._lidar.ego_SE3_sensor, planar), self._settings.scan_match)
        if self._sweep is not None and sweep is not None:
            seen = match(self._sweep, sweep, planar.moved, self._settings.scan_match)
            if seen is not None:
                planar.step(seen, late_s)
        planar.anchor(late_s)
        self._sweep = sweep

    def _poses(self, planar: PlanarOdometry, time_ns: int) -> Iterator[Message]:
        """At a message's time; and before it, where the last pose is too long ago to tell how it moved then."""
        if self._told_ns is not None and time_ns <= self._told_ns:
            return
        if self._told_ns is None or time_ns - self._told_ns > _LONG_NS:
            yield self._pose(planar, planar.pose @ planar.back(1e-9 * _BEFORE_NS), time_ns - _BEFORE_NS)
        yield self._pose(planar, planar.pose, time_ns)
        self._told_ns = time_ns

    def _pose(self, planar: PlanarOdometry, pose: SE3, time_ns: int) -> Message:
        (forward, left, turn), cov = planar.velocity.tolist(), planar.velocity_cov
        x, y, z = pose.translation.tolist()
        qw, qx, qy, qz = pose.quaternion.tolist()
        payload = EgoPose(
            position=(x, y, z),
            rotation_wxyz=(qw, qx, qy, qz),
            linear_velocity=(forward, left, 0.0),
            angular_velocity=(0.0, 0.0, turn),
            velocity_sigma=(float(np.sqrt(np.trace(cov[:2, :2]))), float(np.sqrt(cov[2, 2]))),
        )
        self._sent += 1
        return Message("pose/ego", self._stamp(self._sent - 1, time_ns), payload)

    def _status(self, ended: bool = False, next_epoch: int = -1) -> Message:
        watermark_ns = self._last_stamp.arrival_ns
        status = StreamStatus(sent=self._sent, watermark_ns=watermark_ns, ended=ended, next_epoch=next_epoch)
        return Message("stream/ego", self._stamp(self._sent, self._last_stamp.time_ns), status)

    def _stamp(self, sequence: int, time_ns: int) -> Stamp:
        last = self._last_stamp
        return Stamp(
            sensor_ns=time_ns,
            arrival_ns=last.arrival_ns,
            time_ns=time_ns,
            sigma_ns=last.sigma_ns,
            sequence=sequence,
            epoch=self._epoch,
        )


def _deskewed(cloud: PointCloud, stamp: Stamp, ego_SE3_lidar: SE3, planar: PlanarOdometry) -> np.ndarray:
    """(N, 3) float32, ego frame at the stamp, as if the vehicle had moved through the sweep as it does now."""
    if cloud.motion_compensated or not len(cloud.points):
        return deskew(cloud, stamp, ego_SE3_lidar, None) if len(cloud.points) else np.zeros((0, 3), np.float32)
    offsets = cloud.points["t_ns"]
    first_ns, last_ns = min(int(offsets.min()), -1), max(int(offsets.max()), 0)
    poses = SE3.stack([planar.back(-first_ns * 1e-9), planar.back(-last_ns * 1e-9)])
    return deskew(cloud, stamp, ego_SE3_lidar, Trajectory([stamp.time_ns + first_ns, stamp.time_ns + last_ns], poses))
