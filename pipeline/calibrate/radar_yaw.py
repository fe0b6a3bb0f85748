"""`syncline calibrate radar-yaw`: which way a radar faces, from Doppler against how far LiDAR sweeps moved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from calibration.radar_yaw import Pair, RadarYaw, RadarYawSettings, calibrate
from calibration.rig import LidarSensor, RadarSensor
from calibration.se3 import SE3, FloatArray
from calibration.trajectory import Trajectory
from fusion.detect.doppler import DopplerSettings, Expected, OwnVelocity, velocity_from_scan, wrap
from fusion.odometry.planar import Step
from fusion.odometry.scan_match import ScanMatchSettings, Sweep, match, prepare
from nodes.sources.drive import Drive
from pipeline.calibrate.page import Outcome, Picture, Section, Table, Tile
from pipeline.core import messages as m
from pipeline.core.errors import BadInput
from pipeline.evaluate import style
from pipeline.evaluate.style import COLOUR, plot
from pipeline.sync.motion import deskew

_STRETCH_S = 2.0  # of driving that is one stretch
_GAP_NS = 600_000_000  # between two sweeps that are still matched
_NEAR_NS = 60_000_000  # a scan's time from its sweep's
_REACH_MPS = 4.0
_GUESS = np.diag([1.0, 1.0, 0.05])  # m2, rad2: of the motion predicted by Doppler


class Motions(NamedTuple):
    """pairs: to calibrate from. shown: a sweep (N, 3), radar axes as believed, a scan and the radar's velocity then."""

    pairs: tuple[Pair, ...]
    shown: tuple[FloatArray, m.RadarScan, FloatArray] | None
    data_sha256: str


class _Moment(NamedTuple):
    stamp: m.Stamp
    cloud: m.PointCloud
    scan: m.RadarScan
    own: OwnVelocity


def read_motions(
    drive: Drive, radar: RadarSensor, lidar: LidarSensor, radar_SE3_lidar: SE3, done: Callable[[], None]
) -> Motions:
    """Pairs of sweeps with the Doppler beside them. radar_SE3_lidar: as believed.

    Raises:
        BadInput: the drive has no such stream.
    """
    topics = f"radar/{radar.name}", f"lidar/{lidar.name}"
    for topic in topics:
        if topic not in drive.topics:
            raise BadInput(drive.name, "topics", topic, ", ".join(drive.topics))
    scans = [(message.stamp.time_ns, message.payload) for message in drive.messages([topics[0]])]
    times_ns = np.array([t for t, _ in scans], dtype=np.int64)
    total = hashlib.sha256()
    pairs: list[Pair] = []
    before: _Moment | None = None
    shown = None
    stretch, since_ns, turn_rate = 0, 0, 0.0
    for message in drive.messages([topics[1]]):
        done()
        cloud, stamp = message.payload, message.stamp
        nearest = int(np.abs(times_ns - stamp.time_ns).argmin()) if len(scans) else -1
        assert isinstance(cloud, m.PointCloud)
        if nearest < 0 or abs(int(times_ns[nearest]) - stamp.time_ns) > _NEAR_NS:
            continue
        scan = scans[nearest][1]
        assert isinstance(scan, m.RadarScan)
        total.update(cloud.points.tobytes())
        total.update(scan.points.tobytes())
        joined = before is not None and 0 < stamp.time_ns - before.stamp.time_ns < _GAP_NS
        around = Expected(before.own.velocity, _REACH_MPS) if joined and before is not None else None
        own = velocity_from_scan(scan, DopplerSettings(), around)
        if not joined or stamp.time_ns - since_ns > _STRETCH_S * 1e9:
            stretch, since_ns = stretch + 1, stamp.time_ns
        if not joined:
            turn_rate = 0.0
        now = _Moment(stamp, cloud, scan, own) if own is not None else None
        if joined and before is not None and now is not None:
            pair = _moved(before, now, radar_SE3_lidar, turn_rate, stretch)
            if pair is not None:
                pairs.append(pair)
                turn_rate = pair.turn_rate
                if shown is None or np.hypot(*pair.other) > np.hypot(*shown[2]):
                    shown = _level(now, radar_SE3_lidar, turn_rate).astype(np.float64), scan, now.own.velocity
        before = now
    return Motions(tuple(pairs), shown, total.hexdigest())


def _moved(before: _Moment, now: _Moment, radar_SE3_lidar: SE3, turn_rate: float, stretch: int) -> Pair | None:
    """Between two sweeps; twice, since how the sweeps are straightened depends on how fast it turns."""
    seconds = (now.stamp.time_ns - before.stamp.time_ns) * 1e-9
    doppler = 0.5 * (before.own.velocity + now.own.velocity)
    settings = ScanMatchSettings()
    step: Step | None = None
    for _ in range(2):
        sweeps: list[Sweep | None] = [
            prepare(_level(moment, radar_SE3_lidar, turn_rate), settings) for moment in (before, now)
        ]
        first, second = sweeps
        if first is None or second is None:
            return None
        predicted = Step(np.array([*(doppler * seconds), turn_rate * seconds]), _GUESS)
        step = match(first, second, predicted, settings)
        if step is None:
            return None
        turn_rate = float(step.moved[2]) / seconds
    assert step is not None
    half = SE3.from_yaw(-0.5 * float(step.moved[2])).rotation[:2, :2]  # into the axes half-way
    return Pair(
        now.stamp.time_ns,
        stretch,
        doppler,
        0.25 * (before.own.cov + now.own.cov),
        half @ step.moved[:2] / seconds,
        half @ step.cov[:2, :2] @ half.T / seconds**2,
        turn_rate,
    )


def _level(moment: _Moment, radar_SE3_lidar: SE3, turn_rate: float) -> npt.NDArray[np.float32]:
    """(N, 3) the sweep in the radar's axes at its stamp, as if the radar had moved through it as it does now."""
    offsets = moment.cloud.points["t_ns"]
    if moment.cloud.motion_compensated or not len(offsets):
        return deskew(moment.cloud, moment.stamp, radar_SE3_lidar, None)
    ends_ns = np.array([min(int(offsets.min()), -1), max(int(offsets.max()), 0)])
    twist = np.array([*moment.own.velocity, 0.0, 0.0, 0.0, turn_rate])
    poses = SE3.exp(twist * ends_ns[:, None] * 1e-9)
    return deskew(moment.cloud, moment.stamp, radar_SE3_lidar, Trajectory(moment.stamp.time_ns + ends_ns, poses))


def radar_yaw(
    motions: Motions, radar: RadarSensor, lidar: LidarSensor, off_deg: float, settings: RadarYawSettings
) -> tuple[RadarYaw, Outcome]:
    """Calibrate, and say it as a page. off_deg: by which the start was turned on purpose.

    Raises:
        CannotCalibrate: too little driving, or the two do not agree.
    """
    found = calibrate(motions.pairs, settings)
    yaw_deg, sd_deg = np.degrees([found.yaw, found.sd])
    left_deg = yaw_deg + off_deg
    tiles = [
        Tile("yaw", f"{yaw_deg:+.2f}", "°", "of the radar against its rig, positive to the left"),
        Tile("1-sigma", f"{sd_deg:.2f}", "°", "what pairs state, or what their stretches show if that is more"),
        Tile("pairs of sweeps", f"{len(found.pairs)}", "", f"in {len(found.stretches)} stretches"),
        Tile("scatter", f"{found.misfit:.2f}", "", "of what the pairs state; 1 is right, below 1 is cautious"),
    ]
    values = {
        "yaw_deg": float(yaw_deg),
        "sd_deg": float(sd_deg),
        "variance_rad2": found.sd**2,
        "from_rig_deg": float(left_deg),
        "pairs": len(found.pairs),
        "stretches_deg": np.degrees(found.stretches).tolist(),
        "misfit": found.misfit,
    }
    rows = [
        [f"{i + 1}", f"{np.degrees(mean):+.2f}°", *_of_stretch(found, stretch)]
        for i, (stretch, mean) in enumerate(zip(sorted({p.stretch for p in found.pairs}), found.stretches, strict=True))
    ]
    sections = [
        Section(
            "Stretches",
            "The direction of travel by Doppler against that by matching LiDAR sweeps, in the radar's axes.",
            [Table(["stretch", "mean", "pairs", "turning"], rows)],
            [_angles(found)],
        ),
        Section(
            "What this can tell",
            "",
            notes=[
                "Yaw only, against the LiDAR: pitch and roll of the radar, and its place, are taken from the rig.",
                f"The LiDAR is {lidar.name}; an error of its own mounting turns up here.",
                "In turns, a wrong place of the radar or a wrong clock looks like yaw, with the sign of the turn: "
                "compare the stretches.",
            ],
        ),
        Section(
            "From above",
            "LiDAR grey, radar returns that stand still in colour: as it started, and with the yaw found.",
            pictures=_pictures(motions, found, radar),
        ),
    ]
    if off_deg:
        lead = f"The start was turned by {off_deg:+g}° on purpose: {left_deg:+.2f}° are left against the rig."
        sections.insert(1, Section("Trial", lead))
    return found, Outcome("Radar yaw", f"{radar.name} against {lidar.name}", tiles, sections, values)


def _of_stretch(found: RadarYaw, stretch: int) -> tuple[str, str]:
    inside = [p for p in found.pairs if p.stretch == stretch]
    turning = float(np.degrees(np.mean([p.turn_rate for p in inside])))
    return f"{len(inside)}", f"{turning:+.1f} °/s"


@plot
def _angles(found: RadarYaw) -> Figure:
    fig, (ax, against) = style.figure(10.4, 2.6, 1, 2, sharey=True)
    angles, sigmas = np.degrees(found.angles), np.degrees(found.sigmas)
    turning = np.degrees([p.turn_rate for p in found.pairs])
    for axes, x in ((ax, np.arange(len(angles))), (against, turning)):
        axes.errorbar(x, angles, sigmas, fmt="o", ms=3, lw=0.8, color=COLOUR["radar-0"])
        axes.axhline(np.degrees(found.yaw), color=COLOUR["good"], lw=1.2)
    ax.set_xlabel("pair of sweeps")
    against.set_xlabel("turning, °/s")
    ax.set_ylabel("Doppler against LiDAR, °")
    return fig


def _pictures(motions: Motions, found: RadarYaw, radar: RadarSensor, reach_m: float = 40.0) -> list[Picture]:
    if motions.shown is None:
        return []
    sweep, scan, velocity = motions.shown
    size, per_m = 900, 900 / (2 * reach_m)

    def at(xyz: FloatArray) -> npt.NDArray[np.int64]:
        """Ahead is up; the radar is at the middle of the lower edge."""
        return np.round(np.stack([size / 2 - xyz[:, 1] * per_m, size - xyz[:, 0] * per_m], axis=-1)).astype(np.int64)

    base = np.full((size, size, 3), 18, dtype=np.uint8)
    flat = sweep[np.abs(sweep[:, 2]) < 1.5]
    uv = at(flat)
    inside = ((uv >= 0) & (uv < size)).all(axis=1)
    base[uv[inside, 1], uv[inside, 0]] = (150, 150, 150)
    xyz = scan.xyz.astype(np.float64)
    direction = xyz[:, :2] / np.maximum(np.linalg.norm(xyz, axis=1), 1e-6)[:, None]
    rate = wrap(scan.points["range_rate"].astype(np.float64) + direction @ velocity, scan.ambiguity_mps)
    still = xyz[(np.abs(rate) < 0.4) & np.isfinite(xyz).all(axis=1)]
    out = []
    for what, yaw in (("as it started", 0.0), ("with the yaw found", found.yaw)):
        drawn = base.copy()
        for u, v in at(SE3.from_yaw(-yaw) @ still).tolist():
            cv2.circle(drawn, (u, v), 2, (80, 170, 255), -1, cv2.LINE_AA)
        out.append(Picture(f"{radar.name}, {what}", drawn))
    return out
