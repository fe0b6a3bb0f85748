"""What travels between nodes.

A message is a topic, a `Stamp` and a payload. Payloads are frozen and strict; large arrays stay numpy arrays and cross
process borders as raw buffers beside the small body (`pipeline.core.wire`). Units: metres, radians, m/s, seconds only
where a name says so, otherwise int64 nanoseconds. Frames: ``ego`` (x forward, y left, z up, on the ground under the
rear axle), ``odom`` (fixed to the world, starts anywhere, never jumps), or the sensor's own.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np

from calibration.se3 import SE3
from pipeline.core.arrays import Payload, Spec
from pipeline.core.heads import TrackHeads

Array: TypeAlias = np.ndarray  # dtype and shape stand in the Spec beside it
Vector3: TypeAlias = tuple[float, float, float]
QuaternionWxyz: TypeAlias = tuple[float, float, float, float]

CLASSES = (
    "car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian", "motorcycle",
    "bicycle", "traffic_cone", "barrier",
)  # fmt: skip
"""The ten detection classes of nuScenes; index = class id everywhere."""
C = len(CLASSES)


class Stamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a message happened, by three clocks, and which one of its stream it is.

    sensor_ns: the device's own stamp. arrival_ns: host clock when the host had it whole. time_ns: corrected to the
    vehicle clock, 1-sigma uncertainty sigma_ns. sequence: counts up by one per stream within an epoch; a gap is a loss.
    epoch: number of the sensor clock's epoch; rises when that clock steps or its node restarts.
    """

    sensor_ns: int
    arrival_ns: int
    time_ns: int
    sigma_ns: int = 0
    sequence: int
    epoch: int = 0


class Message(msgspec.Struct, frozen=True, eq=False):
    topic: str
    stamp: Stamp
    payload: Payload

    @property
    def source(self) -> str:
        """Last part of the topic: the sensor or node that the message is about."""
        return self.topic.rpartition("/")[2]


# --- sensors

POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("t_ns", "<i4"), ("ring", "<u4")])
"""LiDAR point: metres in the lidar frame, intensity 0..1, time relative to the message's time_ns, beam number."""

RADAR_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("range_rate", "<f4"), ("rcs", "<f4"), ("snr", "<f4")]
)
"""Radar return: metres in the radar frame, range rate in m/s as measured (positive = receding), RCS in dBsm, SNR in dB;
NaN where the radar does not give one."""


class CameraImage(Payload, frozen=True, kw_only=True):
    """One exposure. stamp.time_ns = middle of the exposure of the middle row.
    data: the encoded file bytes (jpeg, png), or height * width * 3 bytes, rows top down, blue-green-red.
    """

    height: int
    width: int
    encoding: Literal["jpeg", "png", "bgr8"]
    data: Annotated[Array, Spec("u1", "B")]
    exposure_ns: int = 0


class PointCloud(Payload, frozen=True, kw_only=True):
    """One LiDAR sweep. stamp.time_ns = end of the sweep.
    points: (N,) of POINT, lidar frame. motion_compensated: True where a dataset has already moved all points to the
    pose at stamp.time_ns; False as measured, each point in the sensor frame of its own instant.
    """

    points: Annotated[Array, Spec(POINT, "N")]
    motion_compensated: bool = False

    @property
    def xyz(self) -> Array:
        """(N, 3) float32 view, metres, lidar frame."""
        return np.asarray(self.points.view("<f4").reshape(-1, POINT.itemsize // 4)[:, :3])


class RadarScan(Payload, frozen=True, kw_only=True):
    """One radar cycle. stamp.time_ns = middle of the cycle.
    points: (N,) of RADAR_POINT, radar frame. ambiguity_mps: range rates are known modulo this width; 0 = unambiguous.
    """

    points: Annotated[Array, Spec(RADAR_POINT, "N")]
    ambiguity_mps: float = 0.0

    @property
    def xyz(self) -> Array:
        """(N, 3) float32 view, metres, radar frame."""
        return np.asarray(self.points.view("<f4").reshape(-1, RADAR_POINT.itemsize // 4)[:, :3])


class ImuSample(Payload, frozen=True, kw_only=True):
    """angular_velocity rad/s and linear_acceleration m/s2 (gravity included), imu frame."""

    angular_velocity: Vector3
    linear_acceleration: Vector3


class WheelSpeed(Payload, frozen=True, kw_only=True):
    """speed of the rear axle along ego x, m/s; steering_angle of the front wheels, rad (NaN unknown)."""

    speed: float
    steering_angle: float = float("nan")


class GnssFix(Payload, frozen=True, kw_only=True):
    """WGS-84 degrees, ellipsoid height m, 1-sigma horizontal accuracy m (NaN unknown)."""

    latitude: float
    longitude: float
    height: float
    accuracy: float = float("nan")


class EgoPose(Payload, frozen=True, kw_only=True):
    """``odom_SE3_ego`` at stamp.time_ns, with the ego velocity in the ego frame; odom is one per epoch. NaN unknown.
    velocity_sigma: 1-sigma of the linear, m/s, and the angular, rad/s: by which dead-reckoned poses drift."""

    position: Vector3
    rotation_wxyz: QuaternionWxyz
    linear_velocity: Vector3 = (float("nan"),) * 3
    angular_velocity: Vector3 = (float("nan"),) * 3
    velocity_sigma: tuple[float, float] = (float("nan"),) * 2

    @property
    def odom_SE3_ego(self) -> SE3:
        return SE3.from_quaternion(self.rotation_wxyz, self.position)


# --- perception


class Detections(Payload, frozen=True, kw_only=True):
    """What one detector saw in one sensor message.

    Ego frame at stamp.time_ns (in a `FrameSet`: at its reference instant).

    N detections, C classes, D embedding size (0 = none). NaN = not measured.

    position: box centre, m. position_cov: m2. size: length, width, height, m; size_sigma: m.
    yaw: heading about z, rad; yaw_sigma: rad (>= pi where unknown).
    velocity: over ground, ego axes x and y, m/s; velocity_cov: (m/s)2.
    radial_speed: over ground along the line of sight from the sensor, positive = receding, m/s, 1-sigma radial_sigma,
    known modulo radial_ambiguity (0 = unambiguous).
    class_score: probability per class, sums to at most 1. score: confidence that it exists, 0..1.
    box2d: left, top, right, bottom in image pixels.
    time_offset_ns: instant at which this object was measured minus stamp.time_ns.
    points: number of LiDAR or radar returns. origin: sensor position in the same frame, m.
    hurried: in a live run the wall clock ended the wait for the ego poses; a replay that follows it does not wait.
    """

    sensor: str
    modality: Literal["camera", "lidar", "radar"]
    origin: Vector3
    position: Annotated[Array, Spec("<f4", "N", 3)]
    position_cov: Annotated[Array, Spec("<f4", "N", 3, 3)]
    size: Annotated[Array, Spec("<f4", "N", 3)]
    size_sigma: Annotated[Array, Spec("<f4", "N", 3)]
    yaw: Annotated[Array, Spec("<f4", "N")]
    yaw_sigma: Annotated[Array, Spec("<f4", "N")]
    velocity: Annotated[Array, Spec("<f4", "N", 2)]
    velocity_cov: Annotated[Array, Spec("<f4", "N", 2, 2)]
    radial_speed: Annotated[Array, Spec("<f4", "N")]
    radial_sigma: Annotated[Array, Spec("<f4", "N")]
    radial_ambiguity: float = 0.0
    class_score: Annotated[Array, Spec("<f4", "N", C)]
    score: Annotated[Array, Spec("<f4", "N")]
    box2d: Annotated[Array, Spec("<f4", "N", 4)]
    time_offset_ns: Annotated[Array, Spec("<i4", "N")]
    points: Annotated[Array, Spec("<i4", "N")]
    embedding: Annotated[Array, Spec("<f4", "N", "D")]
    hurried: bool = False

    def __len__(self) -> int:
        return len(self.score)


class SensorSlot(Payload, frozen=True, kw_only=True):
    """One sensor's place in a frame set: what was taken for it, or why nothing was.

    offset_ns: message time minus reference instant. residual_ns: 1-sigma of what is left in time after compensation.
    residual_m: displacement of a static object that this and the pose uncertainty can cause, 1-sigma, metres.
    missing: empty, or the reason (`late`, `silent`, `late_processing`, `no_pose`, ...; see `pipeline.sync.lane.Slot`).
    """

    sensor: str
    modality: Literal["camera", "lidar", "radar"]
    sequence: int = -1
    epoch: int = -1
    time_ns: int = 0
    offset_ns: int = 0
    residual_ns: int = 0
    residual_m: float = 0.0
    missing: str = ""
    detections: Detections | None = None


class FrameSet(Payload, frozen=True, kw_only=True):
    """All sensors brought to one reference instant (= stamp.time_ns), ego pose included.

    pose: where the ego pose comes from. ``extrapolated``: no pose from after the instant had come in time; ``none``: no
    pose was near enough, and the slots are empty. pose_epoch, pose_sequence: the last pose looked at, -1 = none.
    """

    index: int
    position: Vector3  # odom_SE3_ego at the reference instant
    rotation_wxyz: QuaternionWxyz
    slots: tuple[SensorSlot, ...]
    pose: Literal["interpolated", "extrapolated", "none", "identity"] = "interpolated"
    pose_epoch: int = -1
    pose_sequence: int = -1

    @property
    def odom_SE3_ego(self) -> SE3:
        return SE3.from_quaternion(self.rotation_wxyz, self.position)


class Scene(Payload, frozen=True, kw_only=True):
    """The fused world at a reference instant (= stamp.time_ns). M tracks, S sensors, odom frame.

    state_cov orders position x, y, z, velocity x, y (m, m/s). weight: share of the last update's precision that each
    sensor gave, rows sum to 1, all zero while a track coasts. existence: 0..1. age: frame sets since birth.
    coasted: frame sets since the last update. track_id: never reused. skipped: frame sets that fusion never got.
    unusable: (S,) detections of each sensor in this frame set that could not be fused: a place or covariance that is
    no number, absurd or not positive, or measured over a second away; empty where nobody counts.
    sensor_health: (S,) probability that nothing ails a sensor; sensor_fault: what is named to ail it once that
    is sure, "" for nothing; both empty where fusion does not judge its sensors. weather: (W,) probability of each of
    `pipeline.core.heads.WEATHERS`, empty where fusion does not judge it. heads: what is read out of the tracks, None
    where no heads run.
    """

    index: int
    position: Vector3  # odom_SE3_ego at the reference instant
    rotation_wxyz: QuaternionWxyz
    sensors: tuple[str, ...]
    missing: tuple[str, ...]  # "sensor: reason"
    track_id: Annotated[Array, Spec("<i8", "M")]
    track_position: Annotated[Array, Spec("<f8", "M", 3)]
    track_velocity: Annotated[Array, Spec("<f8", "M", 2)]
    track_size: Annotated[Array, Spec("<f4", "M", 3)]
    track_yaw: Annotated[Array, Spec("<f8", "M")]
    state_cov: Annotated[Array, Spec("<f4", "M", 5, 5)]
    class_score: Annotated[Array, Spec("<f4", "M", C)]
    existence: Annotated[Array, Spec("<f4", "M")]
    weight: Annotated[Array, Spec("<f4", "M", "S")]
    age: Annotated[Array, Spec("<i4", "M")]
    coasted: Annotated[Array, Spec("<i4", "M")]
    skipped: int = 0
    unusable: Annotated[Array, Spec("<i4", "U")] = msgspec.field(default_factory=lambda: np.zeros(0, "<i4"))
    sensor_health: Annotated[Array, Spec("<f4", "H")] = msgspec.field(default_factory=lambda: np.zeros(0, "<f4"))
    sensor_fault: tuple[str, ...] = ()
    weather: Annotated[Array, Spec("<f4", "W")] = msgspec.field(default_factory=lambda: np.zeros(0, "<f4"))
    heads: TrackHeads | None = None

    @property
    def odom_SE3_ego(self) -> SE3:
        return SE3.from_quaternion(self.rotation_wxyz, self.position)


class CalibrationState(Payload, frozen=True, kw_only=True):
    """Whether a camera still sits as the rig says against the LiDAR ``against``, over the last pictures looked at.

    pitch, yaw: by which the LiDAR seems turned about the camera's x and y axes, rad; NaN while it cannot be told.
    sum: degrees beyond what is allowed, added up over pictures. alarm: it is over the limit.
    """

    against: str
    pitch: float
    yaw: float
    sum: float
    alarm: bool


# --- how the run itself is doing


class StreamStatus(Payload, frozen=True, kw_only=True):
    """A sensor stream's own count for the epoch in the stamp, sent at a steady rate, at the epoch's end and at its own.

    sent: messages published so far in this epoch. losses: messages of this epoch that the source itself had to give up,
    by reason; each keeps its sequence number, so that a gap is always a loss. The numbers given out are therefore
    first_sequence .. first_sequence + sent + sum(losses) - 1; first_sequence is above 0 where a replay begins midway.
    watermark_ns: no message with an earlier arrival_ns will follow.
    ended: no message of this epoch will follow; next_epoch is the one that does, -1 = none: the stream is over.
    """

    sent: int
    watermark_ns: int
    ended: bool = False
    losses: dict[str, int] = {}
    first_sequence: int = 0
    next_epoch: int = -1


class ClockState(Payload, frozen=True, kw_only=True):
    """What is believed of one sensor's clock. host = sensor + offset + skew * elapsed."""

    method: Literal["vehicle", "envelope", "trigger", "ptp"]
    offset_ns: int
    skew_ppb: float
    sigma_ns: int
    epoch: int
    alarm: str = ""
    ptp_grandmaster: str = ""
    ptp_state: str = ""


class LedgerRow(Payload, frozen=True, kw_only=True):
    """One sensor's account: received = fused + sum(dropped) + in_flight, always."""

    sensor: str
    received: int
    fused: int
    in_flight: int
    dropped: dict[str, int]


class LedgerState(Payload, frozen=True, kw_only=True):
    rows: tuple[LedgerRow, ...]


class NodeStatus(Payload, frozen=True, kw_only=True):
    """A node's heartbeat. losses: what its inputs lost on the way, by "topic reason"."""

    node: str
    received: int
    published: int
    failed: int
    losses: dict[str, int] = {}
    cpu_s: float = 0.0
    rss_bytes: int = 0
    last_error: str = ""
    ended: bool = False


class Timing(Payload, frozen=True, kw_only=True):
    """Where one step's time went, host clock. sensor, sequence and epoch name the message that was worked on."""

    node: str
    sensor: str
    sequence: int
    epoch: int
    arrival_ns: int  # of the sensor message it goes back to
    received_ns: int
    started_ns: int
    ended_ns: int


class RunInfo(Payload, frozen=True, kw_only=True):
    """First message of every recording, and the signal to begin: what runs, with which rig and settings (YAML text).

    started_ns: host time at which the sources begin; they share it, so that a paced replay keeps its streams together.
    start_ns: drive time at that instant. rate: drive seconds per host second, 0 = as fast as all can be worked on.
    networks: by node, the file, precision and engine of the network that it runs.
    """

    drive: str
    started_ns: int = 0
    start_ns: int = 0
    rate: float = 0.0
    version: str
    rig_yaml: str
    graph_yaml: str
    networks: dict[str, str] = {}


class Control(Payload, frozen=True, kw_only=True):
    """What a person asks of a replay. time_ns: drive time to pause at or to go to. rate: drive seconds per second."""

    command: Literal["pause", "resume", "step", "seek", "rate"]
    time_ns: int = 0
    rate: float = 1.0


class Progress(Payload, frozen=True, kw_only=True):
    """How far fusion has come: everything up to reference instant `reference_ns` is decided."""

    reference_ns: int
    index: int
