"""Messages as Rerun entities: the world in 3D, what each camera sees with everything projected into it, and plots.

    world/ego/<sensor>            clouds, images, radar returns, in the moving vehicle
    world/tracks, world/truth     boxes, velocity arrows, trails; bars above tracks: which sensor contributes how much
    objects/<track>               of chosen tracks: existence, and each sensor's weight
    plots/..., sensors/..., health/..., events

Every entity is logged at the time it is about.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import rerun as rr

from calibration.rig import CameraSensor, Rig
from calibration.se3 import SE3
from nodes.sources.events import EventDetector
from nodes.view_boxes import BoxDrawing, Boxes
from nodes.view_geometry import height_colors
from nodes.view_style import CONFIRMED, MODALITY_COLORS, sensor_color, tracks_of, truth_of
from pipeline.core.arrays import Payload
from pipeline.core.labels import in_odom
from pipeline.core.messages import (
    CLASSES,
    CameraImage,
    Detections,
    EgoPose,
    FrameSet,
    LedgerState,
    Message,
    PointCloud,
    RadarScan,
    Scene,
    Timing,
)
from pipeline.core.topics import topic_row
from pipeline.core.truth import TruthObjects

TIMELINE = "drive"
SENSOR_PLOTS = ("weights", "lead", "health", "offset_ms", "residual_cm", "dropped")
_EGO_COLOR = (90, 200, 255)
_EXISTENCE_COLOR = (235, 238, 244)
_USED_COLOR = 0x2E9E5AFF
_REASON_COLORS = (0xD9534FFF, 0xE08E3CFF, 0xB565D9FF, 0x5B8DEFFF, 0xC9B458FF, 0x8A8F98FF)
_PATH_POSES = 400
_ARROW_S = 1.0  # an arrow is as long as the way gone in this time
_LEAD_HALF_WIDTH_M = 2.0


class RerunLog:
    """Logs messages, in order of arrival, into ``stream``.

    Args:
        max_points: of a sweep; a larger one is thinned evenly.
        tracks: ids of those that get a time series of their own.
    """

    def __init__(
        self, stream: rr.RecordingStream, rig: Rig, max_points: int = 40_000, tracks: tuple[int, ...] = ()
    ) -> None:
        self._stream = stream
        self._rig = rig
        self._max_points = max_points
        self._tracks = tracks
        self._start_ns: int | None = None
        self._newest_ns: int | None = None
        self._path: deque[tuple[int, SE3]] = deque(maxlen=_PATH_POSES)
        self._velocity: npt.NDArray[np.float64] = np.zeros(3)  # of ego, ego frame
        self._boxes = BoxDrawing(stream, rig, self._at)
        self._states: dict[str, str] = {}
        self._reasons = {"used": _USED_COLOR, "healthy": _USED_COLOR}
        self._events = EventDetector()
        self._handlers: dict[type[Payload], Callable[[Message], None]] = {
            CameraImage: self._image,
            PointCloud: self._cloud,
            RadarScan: self._radar,
            EgoPose: self._pose,
            Detections: self._detections,
            FrameSet: self._frames,
            Scene: self._scene,
            TruthObjects: self._truth,
            LedgerState: self._ledger,
            Timing: self._timing,
        }
        self._static()

    def log(self, message: Message) -> None:
        """One message. What is about the run itself stands at the time of the newest data."""
        role = topic_row(message.topic).role
        if role == "sensor":
            self._newest_ns = max(self._newest_ns or 0, message.stamp.time_ns)
        if self._newest_ns is None:
            return
        time_ns = self._newest_ns if role == "run" else message.stamp.time_ns
        self._at(time_ns)
        for event in self._events.see(time_ns, message):
            level = "ERROR" if event.kind in ("alarm", "fault") else "WARN"
            self._stream.log("events", rr.TextLog(f"{event.kind}: {event.about}: {event.what}", level=level))
        handler = self._handlers.get(type(message.payload))
        if handler is not None:
            handler(message)

    def _at(self, time_ns: int) -> None:
        if self._start_ns is None:
            self._start_ns = time_ns
        self._stream.set_time(TIMELINE, duration=np.timedelta64(time_ns - self._start_ns, "ns"))

    def _static(self) -> None:
        """What never changes: where the sensors sit, how the cameras project, how the plots look."""
        log = self._stream.log
        log("world", rr.ViewCoordinates.FLU, static=True)
        body = rr.Boxes3D(centers=[[1.4, 0.0, 0.8]], half_sizes=[[2.3, 0.95, 0.7]], colors=[_EGO_COLOR])
        log("world/ego/body", body, static=True)
        for sensor in self._rig.sensors:
            log(f"world/ego/{sensor.name}", transform(sensor.ego_SE3_sensor), static=True)
            if isinstance(sensor, CameraSensor):
                lens = rr.Pinhole(
                    image_from_camera=sensor.intrinsics.matrix,
                    resolution=[sensor.width, sensor.height],
                    image_plane_distance=2.5,
                    color=MODALITY_COLORS["camera"],
                )
                log(f"world/ego/{sensor.name}", lens, static=True)
            if sensor.modality in MODALITY_COLORS:
                line = rr.SeriesLines(colors=[sensor_color(self._rig, sensor.name)], names=[sensor.name])
                for plot in SENSOR_PLOTS:
                    log(f"plots/{plot}/{sensor.name}", line, static=True)
                for number in self._tracks:
                    log(f"objects/{number}/weight/{sensor.name}", line, static=True)
        for number in self._tracks:
            line = rr.SeriesLines(colors=[_EXISTENCE_COLOR], names=["existence"], widths=[3.0])
            log(f"objects/{number}/existence", line, static=True)

    def _scalar(self, path: str, value: float) -> None:
        self._stream.log(path, rr.Scalars(value))

    # --- what the sensors say

    def _pose(self, message: Message) -> None:
        pose = message.payload
        assert isinstance(pose, EgoPose)
        if message.topic != "pose/ego":
            return
        time_ns, odom_SE3_ego = message.stamp.time_ns, pose.odom_SE3_ego
        self._stream.log("world/ego", transform(odom_SE3_ego))
        if self._path and time_ns <= self._path[-1][0]:
            return
        if np.isfinite(pose.linear_velocity).all():
            self._velocity = np.array(pose.linear_velocity)
        elif self._path:
            before_ns, before = self._path[-1]
            step = odom_SE3_ego.translation - before.translation
            self._velocity = odom_SE3_ego.rotation.T @ step / ((time_ns - before_ns) * 1e-9)
        self._path.append((time_ns, odom_SE3_ego))
        self._boxes.pose(time_ns, odom_SE3_ego)
        path = np.array([p.translation for _, p in self._path], dtype=np.float32)
        strip = rr.LineStrips3D([path], colors=[_EGO_COLOR], radii=rr.Radius.ui_points(1.5))
        self._stream.log("world/ego_path", strip)

    def _image(self, message: Message) -> None:
        image = message.payload
        assert isinstance(image, CameraImage)
        self._boxes.exposure(message.source, message.stamp.time_ns)
        path = f"world/ego/{message.source}/image"
        if image.encoding == "bgr8":
            pixels = image.data.reshape(image.height, image.width, 3)
            self._stream.log(path, rr.Image(pixels, color_model=rr.ColorModel.BGR).compress(jpeg_quality=85))
        else:
            encoded = rr.EncodedImage(contents=image.data.tobytes(), media_type=f"image/{image.encoding}")
            self._stream.log(path, encoded)

    def _cloud(self, message: Message) -> None:
        cloud = message.payload
        assert isinstance(cloud, PointCloud)
        step = max(-(-len(cloud.points) // self._max_points), 1)
        xyz = cloud.xyz[::step]
        height = (self._rig[message.source].ego_SE3_sensor @ xyz)[:, 2]
        points = rr.Points3D(xyz, colors=height_colors(height), radii=rr.Radius.ui_points(1.1))
        self._stream.log(f"world/ego/{message.source}/points", points)

    def _radar(self, message: Message) -> None:
        """Returns, each with its radial speed over ground; where that is ambiguous, the value nearest to standing."""
        scan = message.payload
        assert isinstance(scan, RadarScan)
        xyz = scan.xyz.astype(np.float64)
        away = xyz / np.maximum(np.linalg.norm(xyz, axis=1, keepdims=True), 1e-6)
        ego_velocity = self._rig[message.source].ego_SE3_sensor.inverse().rotate(self._velocity)
        speed = scan.points["range_rate"] + away @ ego_velocity
        if scan.ambiguity_mps:
            speed = (speed + scan.ambiguity_mps / 2) % scan.ambiguity_mps - scan.ambiguity_mps / 2
        color = MODALITY_COLORS["radar"]
        path = f"world/ego/{message.source}/returns"
        self._stream.log(path, rr.Points3D(xyz, colors=[color], radii=rr.Radius.ui_points(2.5)))
        moving = np.abs(speed) > 0.7
        arrows = rr.Arrows3D(
            origins=xyz[moving],
            vectors=(away * speed[:, None])[moving] * _ARROW_S,
            colors=[color],
            radii=rr.Radius.ui_points(1.2),
        )
        self._stream.log(f"{path}/radial_speed", arrows)

    # --- what is made of it

    def _detections(self, message: Message) -> None:
        found = message.payload
        assert isinstance(found, Detections)
        color = np.full((len(found), 3), MODALITY_COLORS[found.modality], np.uint8)
        names = [f"{CLASSES[c]} {s:.2f}" for c, s in zip(found.class_score.argmax(1), found.score, strict=True)]
        velocity = np.column_stack([found.velocity, np.zeros(len(found))])
        boxes = Boxes(found.position, found.size, found.yaw, velocity, color, names)
        self._boxes.draw_in_world(f"world/ego/detections/{found.sensor}", boxes, labels=False)
        seen = found.box2d[np.isfinite(found.box2d).all(axis=1)]
        if found.modality == "camera":
            flat = rr.Boxes2D(
                array=seen, array_format=rr.Box2DFormat.XYXY, colors=[color[0] if len(color) else 0], radii=0.7
            )
            self._stream.log(f"world/ego/{found.sensor}/detections", flat)

    def _scene(self, message: Message) -> None:
        scene = message.payload
        assert isinstance(scene, Scene)
        boxes, indices = tracks_of(scene)
        self._boxes.draw_in_world("world/tracks", boxes)
        self._boxes.trails(scene, indices, boxes.colors)
        self._boxes.weights(scene, indices, lambda sensor: sensor_color(self._rig, sensor))
        confirmed = indices[scene.existence[indices] >= CONFIRMED]
        self._scalar("plots/tracks/confirmed", len(confirmed))
        self._scalar("plots/tracks/coasting", int((scene.coasted[confirmed] > 0).sum()))
        fed = confirmed[scene.weight[confirmed].sum(axis=1) > 0]
        lead = _lead(scene, confirmed)
        for k, sensor in enumerate(scene.sensors):
            if len(fed):
                self._scalar(f"plots/weights/{sensor}", float(scene.weight[fed, k].mean()))
            if lead is not None:
                self._scalar(f"plots/lead/{sensor}", float(scene.weight[lead, k]))
        self._objects(scene)
        self._health(scene)
        sure = boxes.only(scene.existence[indices] >= CONFIRMED)
        self._boxes.draw_in_images("tracks", sure, message.stamp.time_ns, scene.odom_SE3_ego)

    def _objects(self, scene: Scene) -> None:
        """The chosen tracks' existence, and what share of their precision each sensor gave."""
        for number in self._tracks:
            for row in np.flatnonzero(scene.track_id == number):
                self._scalar(f"objects/{number}/existence", float(scene.existence[row]))
                for sensor, weight in zip(scene.sensors, scene.weight[row].tolist(), strict=True):
                    self._scalar(f"objects/{number}/weight/{sensor}", weight)

    def _health(self, scene: Scene) -> None:
        """What is thought to ail each sensor, and how probably nothing does; nothing where it is not judged."""
        judged = zip(scene.sensors, scene.sensor_health.tolist(), scene.sensor_fault, strict=False)
        for sensor, health, fault in judged:
            self._scalar(f"plots/health/{sensor}", health)
            self._state(f"health/{sensor}", fault or "healthy")

    def _truth(self, message: Message) -> None:
        truth = message.payload
        assert isinstance(truth, TruthObjects)
        ego = self._path[-1][1] if self._path else SE3.identity()
        boxes = truth_of(in_odom(truth, SE3.stack([ego] * len(truth.object_id))) if len(truth.object_id) else truth)
        self._boxes.draw_in_world("world/truth", boxes, labels=False)
        self._boxes.draw_in_images("truth", boxes, message.stamp.time_ns, None)

    # --- how the run is doing

    def _frames(self, message: Message) -> None:
        frames = message.payload
        assert isinstance(frames, FrameSet)
        for slot in frames.slots:
            self._state(f"sensors/{slot.sensor}", slot.missing or "used")
            if not slot.missing:
                self._scalar(f"plots/offset_ms/{slot.sensor}", slot.offset_ns / 1e6)
                self._scalar(f"plots/residual_cm/{slot.sensor}", slot.residual_m * 100)

    def _state(self, path: str, state: str) -> None:
        """Log a state where it changes."""
        if self._states.get(path) != state:
            self._states[path] = state
            self._stream.log(path, self._style(state), static=True)
            self._stream.log(path, rr.StateChange(state=state))

    def _style(self, state: str) -> rr.StateConfiguration:
        """Green for what was used or is healthy, another colour for each reason and each fault."""
        self._reasons.setdefault(state, _REASON_COLORS[len(self._reasons) % len(_REASON_COLORS)])
        colors = np.array(list(self._reasons.values()), np.uint32)
        return rr.StateConfiguration(values=list(self._reasons), colors=colors)

    def _ledger(self, message: Message) -> None:
        ledger = message.payload
        assert isinstance(ledger, LedgerState)
        for row in ledger.rows:
            self._scalar(f"plots/dropped/{row.sensor}", sum(row.dropped.values()))

    def _timing(self, message: Message) -> None:
        step = message.payload
        assert isinstance(step, Timing)
        self._scalar(f"plots/step_ms/{step.node}", (step.ended_ns - step.started_ns) / 1e6)
        self._scalar(f"plots/wait_ms/{step.node}", (step.started_ns - step.received_ns) / 1e6)


def transform(parent_SE3_child: SE3) -> rr.Transform3D:
    return rr.Transform3D(translation=parent_SE3_child.translation, mat3x3=parent_SE3_child.rotation)


def _lead(scene: Scene, confirmed: npt.NDArray[np.intp]) -> int | None:
    """The nearest confirmed track in the ego's lane straight ahead: the one whose weights matter most now."""
    ego = scene.odom_SE3_ego.inverse() @ scene.track_position[confirmed]
    ahead = (ego[:, 0] > 2.0) & (np.abs(ego[:, 1]) < _LEAD_HALF_WIDTH_M)
    return int(confirmed[ahead][ego[ahead, 0].argmin()]) if ahead.any() else None
