"""`GeneratedDrive`: a short drive with camera, LiDAR and radar made on the spot, for `make demo` and tests.

It stands in until simulated drives replace it behind the same interface.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import count

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, LidarSensor, RadarSensor, Rig
from nodes.sources.generated_sensors import camera_image, lidar_sweep, radar_scan
from nodes.sources.generated_world import World
from pipeline.core.arrays import Payload
from pipeline.core.messages import EgoPose, Message, Stamp
from pipeline.core.truth import TruthObjects

_START_NS = 1_700_000_000_000_000_000
_POSE_RATE_HZ = 100.0
_LATENCY_NS = {"camera": 18_000_000, "lidar": 4_000_000, "radar": 9_000_000, "pose": 1_000_000, "truth": 0}


class GeneratedDrive:
    """A drive of ``duration_s`` seconds over the generated street.

    Same rig, seed and duration: same bytes. Every message draws its noise from its own generator, so that reading a
    single topic gives the same messages as reading all.
    """

    def __init__(self, rig: Rig, duration_s: float = 8.0, seed: int = 0) -> None:
        if not 0.5 <= duration_s <= 60.0:
            raise ValueError(f"duration_s: expected 0.5..60 s of generated street, got {duration_s}")
        self._rig = rig
        self._seed = seed
        self._duration_s = duration_s
        self._world = World(seed)
        self._makers: dict[str, tuple[float, float, Callable[[float, np.random.Generator], Payload]]] = {}
        for sensor in rig.sensors:
            self._add(sensor)
        self._makers["pose/ego"] = (_POSE_RATE_HZ, 0.0, lambda t, _: self._pose(t))
        self._makers["truth/objects"] = (
            rig.lidars[0].rate_hz if rig.lidars else 10.0,
            0.0,
            lambda t, _: self._truth(t),
        )

    @property
    def name(self) -> str:
        return f"generated-{self._seed}"

    @property
    def rig(self) -> Rig:
        return self._rig

    @property
    def start_ns(self) -> int:
        return _START_NS

    @property
    def end_ns(self) -> int:
        return _START_NS + round(self._duration_s * 1e9)

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self._makers)

    @property
    def counts(self) -> Mapping[str, int]:
        return {topic: sum(1 for _ in self._times(topic)) for topic in self._makers}

    @property
    def unreadable(self) -> Mapping[str, int]:
        return {}

    def arrivals(self, topic: str) -> npt.NDArray[np.int64]:
        latency = _LATENCY_NS[topic.partition("/")[0]]
        return np.array([_START_NS + round(t * 1e9) + latency for _, t in self._times(topic)], dtype=np.int64)

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        chosen = self._makers.keys() if topics is None else topics
        first, last = start_ns or self.start_ns, end_ns or self.end_ns + 1
        streams = [self._stream(topic, first, last) for topic in sorted(chosen)]
        for _, _, message in heapq.merge(*streams):
            yield message()

    def _add(self, sensor: object) -> None:
        world = self._world
        if isinstance(sensor, CameraSensor):
            camera = sensor
            self._makers[f"camera/{sensor.name}"] = (
                sensor.rate_hz,
                -0.5 / sensor.rate_hz,
                lambda t, rng: camera_image(world, camera, t, rng),
            )
        elif isinstance(sensor, LidarSensor):
            lidar = sensor
            self._makers[f"lidar/{sensor.name}"] = (
                sensor.rate_hz,
                0.0,
                lambda t, rng: lidar_sweep(world, lidar, t, rng),
            )
        elif isinstance(sensor, RadarSensor):
            radar = sensor
            self._makers[f"radar/{sensor.name}"] = (
                sensor.rate_hz,
                -0.3 / sensor.rate_hz,
                lambda t, rng: radar_scan(world, radar, t, rng),
            )

    def _times(self, topic: str) -> Iterator[tuple[int, float]]:
        """(sequence, seconds since start) of each message of a topic."""
        rate_hz, phase_s, _ = self._makers[topic]
        for sequence in count():
            t = (0.0 if topic == "pose/ego" else 1.0 / rate_hz) + sequence / rate_hz + phase_s
            if t > self._duration_s:
                return
            yield sequence, t

    def _stream(self, topic: str, first: int, last: int) -> Iterator[tuple[int, str, Callable[[], Message]]]:
        """(arrival, topic, maker): the payload is made only when its turn has come."""
        latency = _LATENCY_NS[topic.partition("/")[0]]
        for sequence, t in self._times(topic):
            time_ns = _START_NS + round(t * 1e9)
            if first <= time_ns < last:
                stamp = Stamp(sensor_ns=time_ns, arrival_ns=time_ns + latency, time_ns=time_ns, sequence=sequence)

                def make(t: float = t, stamp: Stamp = stamp) -> Message:
                    rng = np.random.default_rng([self._seed, stamp.sequence, *topic.encode()])
                    return Message(topic, stamp, self._makers[topic][2](t, rng))

                yield stamp.arrival_ns, topic, make

    def _pose(self, t: float) -> EgoPose:
        pose = self._world.ego(t)
        speed, yaw_rate = self._world.ego_velocity()
        return EgoPose(
            position=tuple(float(v) for v in pose.translation),  # type: ignore[arg-type]
            rotation_wxyz=tuple(float(v) for v in pose.quaternion),  # type: ignore[arg-type]
            linear_velocity=(speed, 0.0, 0.0),
            angular_velocity=(0.0, 0.0, yaw_rate),
        )

    def _truth(self, t: float) -> TruthObjects:
        poses = [self._world.actor(i, t) for i in range(len(self._world.actors))]
        k = len(poses)
        return TruthObjects(
            object_id=np.arange(k, dtype=np.int64),
            class_id=self._world.class_ids,
            position=np.array([p.translation for p in poses]),
            size=self._world.sizes.astype(np.float32),
            yaw=np.array([float(p.yaw) for p in poses]),
            velocity=self._world.velocities(t).astype(np.float32),
            lidar_points=np.full(k, -1, np.int32),
            visibility=np.full(k, np.nan, np.float32),
        )
