"""One process of a run: some nodes of the plan, or one source, or the recorder. `supervise.py` starts it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fusion.fuser import Fuser
from fusion.tracker import TrackerSettings
from nodes.record import Record, RecordSettings
from pipeline.core.clock import SystemClock
from pipeline.core.messages import FrameSet, Message, NodeStatus, RunInfo, Scene
from pipeline.core.node import FIRST_LIFE, Life, Node
from pipeline.core.run_recording import RECORDING_FILE, RunRecording, recording_parts
from pipeline.core.topics import TOPICS, topic_row
from pipeline.graph import Context, Instance, Plan, source_of
from pipeline.run.config import RunClock, RunConfig, load_config
from pipeline.run.heartbeat import HEARTBEAT_NS
from pipeline.run.host import NodeHost
from pipeline.run.live_source import LiveSource
from pipeline.run.source import Source
from pipeline.transport.shared_memory import SharedMemoryBus

_POLL_S = 0.02

Stopping = Callable[[], bool]


def run_process(folder: Path, name: str, life: Life) -> None:
    """Be the process ``name`` of the run in ``folder`` until it ends."""
    log = os.open(folder / "logs" / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if name != "record" and not name.startswith("source_"):
        os.nice(5)  # what is not perceived now can be perceived from the recording; what is not recorded is gone
    stopping = _on_sigterm()
    config = load_config(folder)
    plan = config.plan()
    with contextlib.closing(SharedMemoryBus(run_name(folder), name)) as bus:
        if name.startswith("source_"):
            topics = [t for t in config.topics if source_of(t) == name]
            sensor = name.removeprefix("source_")
            outputs = [*topics, f"stream/{sensor}", *([f"clock/{sensor}"] if config.drivers else [])]
            heard = heard_by_all(bus, plan, outputs)
            if config.drivers:
                LiveSource(config, topics[0], bus, life.restart, stopping, heard).play()
            else:
                Source(config, topics, bus, life.restart, stopping, heard).play()
        else:
            instances = (recorder(plan, config, folder),) if name == "record" else plan.processes[name]
            context = context_of(config, life)
            outputs = [topic for i in instances for topic in i.outputs if not topic.startswith("progress")]
            nodes = [(i, i.make(context)) for i in instances]
            loop = NodeLoop(nodes, bus, config, heard_by_all(bus, plan, outputs))
            while not loop.ended and not stopping():
                loop.turn()
            loop.finish()


def run_name(folder: Path) -> str:
    """Name of the run's bus: runs side by side, in folders of their own, do not mix."""
    return folder.resolve().as_posix().strip("/").replace("/", "-")[-60:]


def recorder(plan: Plan, config: RunConfig, folder: Path) -> Instance:
    """The recorder as an instance: hears everything that the topics table says is recorded, and ends last."""
    patterns = tuple(
        row.pattern for row in TOPICS if row.pattern == "frames" or (row.recorded and row.role in config.record_roles)
    )
    names = dict.fromkeys([*map(source_of, config.topics), *(i.name for i in plan.instances)])

    def make(context: Context) -> Node:
        before = len(recording_parts(folder)) if context.life.restart else 0
        return Record(folder / RECORDING_FILE, RecordSettings(roles=config.record_roles), first_part=before)

    return Instance("record", "record", patterns, ("progress/record",), make, tuple(names))


class NodeLoop:
    """The nodes of one process on one subscription, in the order in which messages come."""

    def __init__(
        self, nodes: list[tuple[Instance, Node]], bus: SharedMemoryBus, config: RunConfig, ready: Callable[[], bool]
    ) -> None:
        self._bus = bus
        self._ready = ready
        self._config = config
        self._host_clock = SystemClock()
        self._run_clock = RunClock(self._host_clock)
        self._hosts = [NodeHost(i, node, self._host_clock, self._run_clock) for i, node in nodes]
        self._started = False
        self._next_beat_ns = 0
        inputs = {topic for instance, _ in nodes for topic in instance.inputs}
        ends = {f"status/{name}" for instance, _ in nodes for name in instance.waits_for}
        self._subscription = bus.subscribe(sorted(inputs | ends | {"run/info"}))

    @property
    def ended(self) -> bool:
        return all(host.ended for host in self._hosts)

    def turn(self) -> None:
        """Wait a little for one message and work on it; without one, let deadlines pass."""
        message = self._subscription.receive(_POLL_S)
        if message is None:
            self._publish(output for host in self._hosts for output in host.tick())
        else:
            self._dispatch(message, self._host_clock.now_ns())
        if self._host_clock.now_ns() >= self._next_beat_ns and self._ready():
            self._next_beat_ns = self._host_clock.now_ns() + HEARTBEAT_NS
            self._publish(host.status(self._subscription.losses) for host in self._hosts)

    def finish(self) -> None:
        """End what has not ended by itself."""
        for host in self._hosts:
            if not host.ended:
                self._publish(host.finish(self._subscription.losses))

    def _dispatch(self, message: Message, received_ns: int) -> None:
        if isinstance(message.payload, RunInfo):
            if self._started:
                return  # repeated for late comers
            self._started = True
            started_ns = message.payload.started_ns
            if self._config.live:  # else no deadline passes by itself, however slowly or haltingly a drive is played
                self._run_clock.start(started_ns, self._config.begins_ns(started_ns), self._config.rate)
        for host in self._hosts:
            if host.wants(message.topic):
                self._publish(host.take(message, received_ns))
        if isinstance(message.payload, NodeStatus) and message.payload.ended:
            for host in self._hosts:
                self._publish(host.upstream_ended(message.payload.node, self._subscription.losses))

    def _publish(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._bus.publish(message)


def heard_by_all(bus: SharedMemoryBus, plan: Plan, topics: Iterable[str]) -> Callable[[], bool]:
    """A question to ask until it is answered yes: does everyone who must hear these topics listen?

    Nobody says that it is ready before that, and nothing starts before all are: no message is lost at the beginning.
    """

    def hear(topic: str) -> int:
        return len({i.process for i in plan.subscribers(topic)} | ({"record"} if topic_row(topic).recorded else set()))

    missing = {topic: hear(topic) for topic in topics}

    def ready() -> bool:
        for topic in [t for t, count in missing.items() if bus.wait_for_subscribers(t, count, 0.0)]:
            del missing[topic]
        return not missing

    return ready


def context_of(config: RunConfig, life: Life = FIRST_LIFE) -> Context:
    """What nodes are made from. Ray is imported by the one process that fuses with it."""

    def remote_fuser(settings: TrackerSettings) -> Fuser:
        from pipeline.deploy_ray import ray_fuser

        return ray_fuser(settings, config.ray_address)

    follow, unfused = None, frozenset[tuple[int, int]]()
    if config.follow:
        with RunRecording(Path(config.follow)) as recording:
            # In order of their making; a recording is in order of arrival, and a set may hold a message that came late.
            sets = sorted(recording.messages(["frames"]), key=lambda m: (m.stamp.epoch, m.stamp.sequence))
            follow = tuple(m.payload for m in sets if isinstance(m.payload, FrameSet))
            unfused = frozenset(_skipped(recording)) if "scene" in recording.topics else unfused
    has_poses = "pose/ego" in {*config.topics, *config.plan().outputs}
    return Context(config.rig, has_poses, follow, unfused, remote_fuser, life)


def _skipped(recording: RunRecording) -> Iterator[tuple[int, int]]:
    """Epoch and index of the frame sets that fusion never got in a recorded run."""
    for message in recording.messages(["scene"]):
        if isinstance(message.payload, Scene):
            index = message.payload.index
            yield from ((message.stamp.epoch, n) for n in range(index - message.payload.skipped, index))


def _on_sigterm() -> Stopping:
    """SIGTERM asks for an orderly end. SIGINT reaches the whole group from a terminal: the supervisor handles it."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return lambda: bool(told)
