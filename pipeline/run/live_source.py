"""A source of a run that is a real sensor: hosts its driver, puts time on what it reads and publishes it.

Beside `source.py`, which plays a recorded one; to the rest of the run the two are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from nodes.sources.live.config import load_live, open_driver
from nodes.sources.live.driver import OpenFeed
from nodes.sources.stamp import Stamper
from pipeline.core.bus import Bus
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.messages import Message
from pipeline.graph import Graph, source_of
from pipeline.run.config import RunConfig
from pipeline.run.heartbeat import Heartbeat
from pipeline.transport.feed import open_feed

_POLL_S = 0.02


class LiveSource:
    """Reads the sensor of ``topic`` until it is told to stop, the run's time is over, or a file is at its end.

    Raises:
        BadInput: the device cannot be opened.
    """

    def __init__(
        self,
        config: RunConfig,
        topic: str,
        bus: Bus,
        restart: int,
        stopping: Callable[[], bool],
        ready: Callable[[], bool],
        clock: Clock | None = None,
        open_feed: OpenFeed = open_feed,
    ) -> None:
        sensor = config.rig[topic.rpartition("/")[2]]
        settings = config.drivers[sensor.name]
        self._seconds_ns = config.end_ns - config.start_ns
        self._bus = bus
        self._stopping = stopping
        self._clock = clock or SystemClock()
        self._heartbeat = Heartbeat(source_of(topic), bus, self._clock, stopping, ready)
        self._driver = open_driver(settings, sensor, self._clock, open_feed)
        self._stamper = Stamper(topic, sensor.clock, settings.stamp, restart)
        self._topic = topic
        self._published = 0
        self._told: Counter[str] = Counter()  # of what the driver gave up

    def play(self) -> None:
        """Wait for the signal to begin, then publish. What comes before the signal is not part of the run."""
        try:
            info = self._heartbeat.signal(meanwhile=self._driver.discard)
            if info is not None:
                self._driver.discard()
                self._told = Counter(self._driver.given_up)
                end_ns = info.started_ns + self._seconds_ns
                while not (self._stopping() or self._driver.ended or self._clock.now_ns() >= end_ns):
                    self._turn()
                self._publish(self._stamper.finish(self._clock.now_ns()))
        finally:
            self._driver.close()
        self._heartbeat.status(self._published, self._losses, ended=True)

    def _turn(self) -> None:
        """Wait a little for one message and publish it, with the states that are due."""
        waited_from_ns = self._clock.now_ns()  # all that came before has been read when nothing is there
        raw = self._driver.read(_POLL_S)
        given_up = Counter(self._driver.given_up)
        for reason, count in (given_up - self._told).items():
            self._stamper.lose(reason, count)
        self._told = given_up
        if raw is None:
            self._publish(self._stamper.tick(waited_from_ns))
        else:
            self._publish(self._stamper.take(raw.payload, raw.sensor_ns, raw.arrival_ns, raw.counter))
        self._heartbeat.beat(self._published, self._losses)

    @property
    def _losses(self) -> Mapping[str, int]:
        return dict(Counter(self._driver.losses) + self._told)

    def _publish(self, messages: list[Message]) -> None:
        for message in messages:
            self._bus.publish(message)
            self._published += message.topic == self._topic


def live_config(path: Path, graph: Graph, seconds: float, clock: Clock) -> RunConfig:
    """The configuration of a run of real sensors.

    Args:
        path: a YAML file as under `configs/live/`. seconds: how long to read them, once everything is ready.

    Raises:
        BadInput: see `load_live`; or a graph that cannot work with these sensors.
    """
    drivers, rig = load_live(path)
    now_ns = clock.now_ns()
    config = RunConfig(
        drive=str(path.resolve()),
        graph=graph,
        rig=rig,
        topics=tuple(f"{sensor.modality}/{sensor.name}" for sensor in rig.sensors),
        start_ns=now_ns,
        end_ns=now_ns + round(seconds * 1e9),
        rate=1.0,
        live=True,
        drivers=drivers,
    )
    config.plan()
    return config
