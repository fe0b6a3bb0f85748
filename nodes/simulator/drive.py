"""`SimulatedDrive`: a world and a rig as a drive, to every reader the same as a recorded one.

Nothing is made before it is asked for, and each message draws its noise from a generator of its own: any part of any
topic, read in any process and in any order, gives the same bytes.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from nodes.simulator.channels import START_NS, Channel, channels
from nodes.simulator.instruments import Instruments
from nodes.simulator.settings import SimulationSettings
from nodes.simulator.world.world import World
from pipeline.core.messages import Message, Stamp


class SimulatedDrive:
    """What the sensors of ``rig`` measure of ``world``, and what is true of it.

    Topics: each camera, LiDAR, radar, IMU, GNSS receiver and wheel sensor of the rig; `pose/ego`, dead reckoning;
    `truth/objects`, `truth/behaviour`, `truth/ego`, and `truth/visibility/*`, `truth/sensor/*` for each sensor.

    Args:
        duration: s, the part of the scenario that is driven; all of it where None.

    Raises:
        BadInput: a sensor of the rig that cannot be simulated, or a duration beyond the scenario's.
    """

    def __init__(
        self, world: World, rig: Rig, duration: float | None = None, settings: SimulationSettings | None = None
    ) -> None:
        self._world = world
        self._rig = rig
        self._duration = world.duration if duration is None else min(duration, world.duration)
        self._instruments = Instruments(world, rig, settings or SimulationSettings())
        self._channels = {c.topic: c for c in channels(self._instruments, self._duration)}

    @property
    def name(self) -> str:
        return f"{self._world.name}-{self._world.seed}"

    @property
    def rig(self) -> Rig:
        return self._rig

    @property
    def start_ns(self) -> int:
        return START_NS

    @property
    def end_ns(self) -> int:
        return START_NS + round(self._duration * 1e9)

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self._channels)

    @property
    def counts(self) -> Mapping[str, int]:
        return {topic: len(channel.arrival_ns) for topic, channel in self._channels.items()}

    @property
    def unreadable(self) -> Mapping[str, int]:
        return {}

    def arrivals(self, topic: str) -> npt.NDArray[np.int64]:
        return self._channels[topic].arrival_ns

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        first = self.start_ns if start_ns is None else start_ns
        last = self.end_ns + 1 if end_ns is None else end_ns
        chosen = [self._channels[topic] for topic in sorted(self._channels if topics is None else topics)]
        for _, topic, i in heapq.merge(*(_due(channel, first, last) for channel in chosen)):
            yield self._message(self._channels[topic], i)

    def depth(self, camera: str, time_ns: int) -> npt.NDArray[np.float32]:
        """(h, w) float32 metres along each pixel's ray, inf for the sky: for weather that is injected later."""
        return self._instruments.depth(camera, (time_ns - START_NS) * 1e-9)

    def _message(self, channel: Channel, i: int) -> Message:
        stamp = Stamp(
            sensor_ns=int(channel.sensor_ns[i]),
            arrival_ns=int(channel.arrival_ns[i]),
            time_ns=int(channel.time_ns[i]),
            sigma_ns=int(channel.sigma_ns[i]),
            sequence=int(channel.sequence[i]),
            epoch=int(channel.epoch[i]),
        )
        rng = np.random.default_rng([self._world.seed, i, *channel.topic.encode()])
        return Message(channel.topic, stamp, channel.make(i, float(channel.t[i]), rng))


def _due(channel: Channel, first: int, last: int) -> Iterator[tuple[int, str, int]]:
    """(arrival, topic, number) of the messages whose time lies in [first, last), in order of arrival."""
    wanted = np.flatnonzero((channel.time_ns >= first) & (channel.time_ns < last))
    for i in wanted[np.argsort(channel.arrival_ns[wanted], kind="stable")].tolist():
        yield int(channel.arrival_ns[i]), channel.topic, i
