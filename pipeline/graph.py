"""The graph: which nodes run, with which settings, wired to which topics, in which process.

A graph is a YAML file under `configs/graphs/`. `plan` expands it for one rig (one detector per camera, ...) and checks
the wiring before anything starts: every input has a publisher, every output only one, nothing but the recorder and the
viewer reads `truth/*`, and no node waits for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

import msgspec

from calibration.rig import CameraSensor, LidarSensor, RadarSensor, Rig
from fusion.field_of_view import fields_of_view
from fusion.fuser import Fuser
from fusion.graph.ablation import AblatedSettings, Part
from fusion.graph.weigher import GraphSettings
from fusion.heads.heads import Heads, HeadsSettings
from fusion.tracker import Tracker, TrackerSettings
from nodes.align import Align, AlignSettings
from nodes.assistant import AssistantSettings, Listen
from nodes.detect_camera import DetectCamera, DetectCameraSettings
from nodes.detect_lidar import DetectLidar, DetectLidarSettings
from nodes.detect_radar import DetectRadar, DetectRadarSettings
from nodes.fuse import Fuse
from nodes.odometry import Odometry, OdometrySettings
from nodes.watch_calibration import WatchCalibration, WatchCalibrationSettings
from pipeline.core.errors import BadInput
from pipeline.core.messages import FrameSet
from pipeline.core.node import FIRST_LIFE, Life, Node
from pipeline.core.settings import Settings, load_yaml
from pipeline.core.topics import topic_row
from pipeline.sync.ego import EgoSettings

FuserFactory: TypeAlias = Callable[[TrackerSettings], Fuser]


_POSES = ("pose/ego", "stream/ego")
_IDS_PER_LIFE = 1 << 32  # a tracker that was started again gives no number a second time
_EPOCHS_PER_LIFE = 1 << 16  # odometry that was started again begins another odom


@dataclass(frozen=True)
class Context:
    """What a node is made from beside its own settings."""

    rig: Rig
    has_poses: bool = True  # someone publishes pose/ego
    follow: tuple[FrameSet, ...] | None = None  # recorded alignment decisions to repeat
    unfused: frozenset[tuple[int, int]] = frozenset()  # epoch and index of those that the followed run did not fuse
    remote_fuser: FuserFactory | None = None  # makes the fuser where its placement is `ray`
    life: Life = FIRST_LIFE  # of the process that makes the node

    def hurried(self, sensor: str) -> frozenset[tuple[int, int]] | None:
        """Epoch and sequence of what the followed run was in a hurry with; None: none is followed."""
        if self.follow is None:
            return None
        slots = (slot for frames in self.follow for slot in frames.slots if slot.sensor == sensor)
        return frozenset((s.epoch, s.sequence) for s in slots if s.detections is not None and s.detections.hurried)


@dataclass(frozen=True)
class Instance:
    """One node of the plan: exact topic names in and out, and how to make it (in the process that runs it)."""

    name: str
    process: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    make: Callable[[Context], Node] = field(repr=False)
    waits_for: tuple[str, ...] = ()  # instances and sources whose end is this one's end
    spare: bool = False  # left out where a source publishes what it would


class CameraNodes(Settings, frozen=True, tag_field="node", tag="detect_camera"):
    """One camera detector per camera of the rig (or only for those in `sensors`)."""

    settings: DetectCameraSettings = DetectCameraSettings()
    sensors: tuple[str, ...] = ()
    process: str = "detect_{sensor}"

    def instances(self, rig: Rig) -> Iterator[Instance]:
        for sensor in _chosen(rig.cameras, self.sensors, rig):

            def make(_: Context, sensor: CameraSensor = sensor) -> Node:
                return DetectCamera(self.settings, sensor)

            yield _detector(sensor.name, f"camera/{sensor.name}", self.process, make)


class LidarNodes(Settings, frozen=True, tag_field="node", tag="detect_lidar"):
    """One LiDAR detector per LiDAR of the rig."""

    settings: DetectLidarSettings = DetectLidarSettings()
    sensors: tuple[str, ...] = ()
    process: str = "detect_{sensor}"

    def instances(self, rig: Rig) -> Iterator[Instance]:
        for sensor in _chosen(rig.lidars, self.sensors, rig):

            def make(context: Context, sensor: LidarSensor = sensor) -> Node:
                return DetectLidar(self.settings, sensor, context.has_poses, context.hurried(sensor.name))

            yield _detector(sensor.name, f"lidar/{sensor.name}", self.process, make, *_POSES)


class RadarNodes(Settings, frozen=True, tag_field="node", tag="detect_radar"):
    """One radar detector per radar of the rig."""

    settings: DetectRadarSettings = DetectRadarSettings()
    sensors: tuple[str, ...] = ()
    process: str = "detect_{sensor}"

    def instances(self, rig: Rig) -> Iterator[Instance]:
        for sensor in _chosen(rig.radars, self.sensors, rig):

            def make(context: Context, sensor: RadarSensor = sensor) -> Node:
                return DetectRadar(self.settings, sensor, context.has_poses, context.hurried(sensor.name))

            yield _detector(sensor.name, f"radar/{sensor.name}", self.process, make, *_POSES)


class AlignNode(Settings, frozen=True, tag_field="node", tag="align"):
    """The aligner: all detections, the ego pose and every stream's own count."""

    settings: AlignSettings = AlignSettings()
    process: str = "align"

    def instances(self, rig: Rig) -> Iterator[Instance]:
        sensors = [s.name for s in (*rig.cameras, *rig.lidars, *rig.radars)]
        inputs = [f"detections/{s}" for s in sensors] + [f"stream/{s}" for s in sensors]
        inputs += [f"status/detect_{s}" for s in sensors] + [*_POSES]

        def make(context: Context) -> Node:
            ego = self.settings.ego if context.has_poses else EgoSettings(source="identity")
            settings = msgspec.structs.replace(self.settings, ego=ego)
            return Align(settings, context.rig, follow=context.follow, life=context.life)

        yield Instance("align", self.process, tuple(inputs), ("frames", "ledger"), make)


class FuseNode(Settings, frozen=True, tag_field="node", tag="fuse"):
    """The fusion step, in this process or in a supervised Ray actor; the scenes are the same to the byte.

    heads: read the scenes, in this process; none where it is not given.
    """

    settings: TrackerSettings = TrackerSettings()
    heads: HeadsSettings | None = None
    placement: Literal["process", "ray"] = "process"
    process: str = "fuse"

    def instances(self, rig: Rig) -> Iterator[Instance]:
        def make(context: Context) -> Node:
            heads = None if self.heads is None else Heads(self.heads)
            if self.placement == "ray" and context.remote_fuser is not None:
                return Fuse(context.remote_fuser(self._for(context.rig)), context.unfused, heads)
            return Fuse(self.fuser(context.rig, context.life), context.unfused, heads)

        of_heads = () if self.heads is None else ("heads/tracks", "heads/weather")
        inputs = ("frames", *(f"calibration/{camera.name}" for camera in rig.cameras))
        yield Instance("fuse", self.process, inputs, ("scene", "progress", *of_heads), make)

    def fuser(self, rig: Rig, life: Life = FIRST_LIFE) -> Fuser:
        """The fuser itself, in this process."""
        return Tracker(self._for(rig), first_id=1 + life.restart * _IDS_PER_LIFE)

    def _for(self, rig: Rig) -> TrackerSettings:
        return msgspec.structs.replace(self.settings, fields=fields_of_view(rig))


class OdometryNode(Settings, frozen=True, tag_field="node", tag="odometry"):
    """The ego pose from radar and LiDAR, where no source publishes one."""

    settings: OdometrySettings = OdometrySettings()
    process: str = "odometry"

    def instances(self, rig: Rig) -> Iterator[Instance]:
        topics = [f"radar/{radar.name}" for radar in rig.radars] + [f"lidar/{lidar.name}" for lidar in rig.lidars[:1]]
        inputs = topics + [f"stream/{topic.rpartition('/')[2]}" for topic in topics]

        def make(context: Context) -> Node:
            return Odometry(self.settings, context.rig, first_epoch=context.life.restart * _EPOCHS_PER_LIFE)

        if topics:
            yield Instance("odometry", self.process, tuple(inputs), _POSES, make, spare=True)


class AssistantNode(Settings, frozen=True, tag_field="node", tag="assistant"):
    """Answers what is said about the fused scene, and warns from it; `text` comes from whoever is on the bus."""

    settings: AssistantSettings = AssistantSettings()
    process: str = "assistant"

    def instances(self, rig: Rig) -> Iterator[Instance]:
        def make(_: Context) -> Node:
            return Listen(self.settings)

        yield Instance("assistant", self.process, ("scene", "text"), ("intent", "reply", "alert"), make)


class WatchNodes(Settings, frozen=True, tag_field="node", tag="watch_calibration"):
    """One monitor per camera of the rig (or only for those in `sensors`), each against the first LiDAR."""

    settings: WatchCalibrationSettings = WatchCalibrationSettings()
    sensors: tuple[str, ...] = ()
    process: str = "watch_{sensor}"

    def instances(self, rig: Rig) -> Iterator[Instance]:
        for camera in _chosen(rig.cameras, self.sensors, rig) if rig.lidars else ():

            def make(context: Context, camera: CameraSensor = camera) -> Node:
                return WatchCalibration(self.settings, camera, context.rig.lidars[0], context.has_poses)

            inputs = (f"camera/{camera.name}", f"lidar/{rig.lidars[0].name}", "pose/ego")
            process = self.process.format(sensor=camera.name)
            yield Instance(f"watch_{camera.name}", process, inputs, (f"calibration/{camera.name}",), make)


NodeSpec: TypeAlias = (
    CameraNodes | LidarNodes | RadarNodes | AlignNode | FuseNode | OdometryNode | AssistantNode | WatchNodes
)


class Graph(Settings, frozen=True):
    """A named set of nodes."""

    name: str
    nodes: tuple[NodeSpec, ...]
    description: str = ""

    @property
    def fusion(self) -> FuseNode:
        """Its fusion step.

        Raises:
            BadInput: there is none, or several.
        """
        found = [node for node in self.nodes if isinstance(node, FuseNode)]
        if len(found) != 1:
            raise BadInput(self.name, "nodes", "one fuse node", len(found))
        return found[0]

    def with_placement(self, placement: Literal["process", "ray"]) -> Graph:
        """The same graph with its fusion step placed elsewhere."""
        nodes = tuple(_replaced(n, placement) if isinstance(n, FuseNode) else n for n in self.nodes)
        return Graph(name=self.name, nodes=nodes, description=self.description)

    def without(self, part: str) -> Graph:
        """The same graph whose fusion lacks a kind of sensors, or a part of the network (`fusion.graph.ablation`).

        Raises:
            BadInput: no such kind or part, or fusion by no network.
        """
        tracker = self.fusion.settings
        if part in tracker.modalities:
            tracker = msgspec.structs.replace(tracker, modalities=tuple(m for m in tracker.modalities if m != part))
        elif part in get_args(Part) and isinstance(tracker.weigh, GraphSettings):
            shared = {name: getattr(tracker.weigh, name) for name in GraphSettings.__struct_fields__}
            tracker = msgspec.structs.replace(tracker, weigh=AblatedSettings(**shared, without=cast(Part, part)))
        else:
            parts = ", ".join((*tracker.modalities, *get_args(Part)))
            raise BadInput(self.name, "without", f"of {parts}, the latter of a graph that fuses by the network", part)
        nodes = tuple(
            msgspec.structs.replace(n, settings=tracker) if isinstance(n, FuseNode) else n for n in self.nodes
        )
        return Graph(name=f"{self.name}-{part}", nodes=nodes, description=self.description)


@dataclass(frozen=True)
class Plan:
    """A graph expanded for one rig and checked; instances in order of data flow."""

    instances: tuple[Instance, ...]

    @property
    def processes(self) -> dict[str, tuple[Instance, ...]]:
        names = dict.fromkeys(instance.process for instance in self.instances)
        return {name: tuple(i for i in self.instances if i.process == name) for name in names}

    @property
    def outputs(self) -> frozenset[str]:
        return frozenset(topic for instance in self.instances for topic in instance.outputs)

    def subscribers(self, topic: str) -> tuple[Instance, ...]:
        return tuple(i for i in self.instances if topic in i.inputs)


def load_graph(path: Path) -> Graph:
    """Raises BadInput naming the file and field."""
    return load_yaml(path, Graph)


def plan(graph: Graph, rig: Rig, source_topics: Collection[str], source: object = "graph") -> Plan:
    """Expand and check ``graph`` for a rig whose sources publish ``source_topics``.

    Raises:
        BadInput: wiring that cannot work, naming the node and the topic.
    """
    published = {topic: source_of(topic) for topic in source_topics if not topic.startswith("truth/")}
    wanted = [instance for spec in graph.nodes for instance in spec.instances(rig)]
    wanted = [instance for instance in wanted if not (instance.spare and set(instance.outputs) & set(published))]
    for instance in wanted:
        for topic in instance.outputs:
            if topic in published:
                raise BadInput(source, f"{instance.name}.outputs", "one publisher per topic", topic)
            published[topic] = instance.name
    names = [instance.name for instance in wanted]
    if len(set(names)) < len(names):
        raise BadInput(source, "nodes", "each node once per sensor", sorted(n for n in names if names.count(n) > 1))

    expanded = []
    for instance in wanted:
        for topic in instance.inputs:
            if topic.startswith("truth/"):
                raise BadInput(source, f"{instance.name}.inputs", "no truth in the pipeline", topic)
        inputs = tuple(t for t in instance.inputs if t in published or _comes_unasked(t))
        data = [t for t in inputs if t in published]
        if not data or not set(data) - {"pose/ego"}:
            raise BadInput(source, f"{instance.name}.inputs", f"a publisher of {instance.inputs[0]}", "none")
        waits_for = tuple(dict.fromkeys(published[t] for t in data))
        expanded.append(Instance(instance.name, instance.process, inputs, instance.outputs, instance.make, waits_for))
    return Plan(tuple(_in_order(expanded, source)))


def source_of(topic: str) -> str:
    """Sources are named after what they publish: `camera/front` comes from `source_front`, all truth from one."""
    if topic.startswith("truth/"):
        return "source_truth"
    return f"source_{topic.rpartition('/')[2]}"


def _comes_unasked(topic: str) -> bool:
    """Whether a subscriber needs no publisher of the plan: what the run says of itself, and what people say."""
    return topic.startswith(("stream/", "status/")) or topic_row(topic).role == "person"


def _detector(sensor: str, topic: str, process: str, make: Callable[[Context], Node], *more: str) -> Instance:
    name = f"detect_{sensor}"
    return Instance(name, process.format(sensor=sensor), (topic, *more), (f"detections/{sensor}",), make)


def _chosen(sensors: tuple, names: tuple[str, ...], rig: Rig) -> tuple:  # type: ignore[type-arg]
    unknown = set(names) - {s.name for s in sensors}
    if unknown:
        raise BadInput(rig.vehicle, "sensors", f"of {[s.name for s in sensors]}", sorted(unknown))
    return tuple(s for s in sensors if not names or s.name in names)


def _replaced(node: FuseNode, placement: Literal["process", "ray"]) -> FuseNode:
    return msgspec.structs.replace(node, placement=placement)


def _in_order(instances: list[Instance], source: object) -> list[Instance]:
    """Publishers before their subscribers; a cycle has no such order and is refused."""
    ordered: list[Instance] = []
    rest = list(instances)
    while rest:
        done = {i.name for i in ordered}
        ready = [i for i in rest if all(w in done or w.startswith("source_") for w in i.waits_for)]
        if not ready:
            raise BadInput(source, "nodes", "no cycle", [i.name for i in rest])
        ordered += ready
        rest = [i for i in rest if i not in ready]
    return ordered
