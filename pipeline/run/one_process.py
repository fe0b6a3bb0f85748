"""A run without a bus: the drive, the plan and the recording in one thread, every message worked on to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nodes.record import Record, RecordSettings
from nodes.sources.drive import Drive
from nodes.sources.player import Player, PlayerSettings
from pipeline.core.clock import ManualClock, SystemClock
from pipeline.core.messages import Message, NodeStatus, Stamp
from pipeline.core.run_recording import RECORDING_FILE
from pipeline.graph import Context, Plan, source_of
from pipeline.run.config import RunConfig, run_info, save_config
from pipeline.run.host import NodeHost
from pipeline.run.networks import networks
from pipeline.run.process import context_of


def run_in_one_process(
    config: RunConfig, folder: Path, show: Callable[[Message], None], drive: Drive | None = None
) -> None:
    """Run ``config`` as fast as it goes; leaves the same scenes as the distributed run, to the byte.

    drive: that of ``config``, where it is open already.
    """
    save_config(config, folder)
    clock = SystemClock()
    drive = drive or config.open()
    player = Player(drive, ManualClock(), PlayerSettings(start_ns=config.start_ns, end_ns=config.end_ns), config.topics)
    record = Record(folder / RECORDING_FILE, RecordSettings(roles=config.record_roles))

    def publish(message: Message) -> None:
        record.step(message, 0)
        show(message)

    publish(run_info(config, clock.now_ns(), 0, networks(config.graph, config.rig)))
    run_plan(config.plan(), context_of(config), player.play(), publish)
    for topic in config.topics:
        publish(_source_status(topic, drive.unreadable, clock.now_ns()))
    record.finish()


def _source_status(topic: str, unreadable: Mapping[str, int], now_ns: int) -> Message:
    """What the source process of ``topic`` would have said at its end: above all, what it could not read."""
    losses = {key: count for key, count in unreadable.items() if key.startswith(f"{topic} ")}
    name = source_of(topic)
    status = NodeStatus(node=name, received=0, published=0, failed=0, losses=losses, cpu_s=0.0, rss_bytes=0, ended=True)
    return Message(f"status/{name}", Stamp(sensor_ns=now_ns, arrival_ns=now_ns, time_ns=now_ns, sequence=0), status)


def run_plan(
    plan: Plan, context: Context, messages: Iterable[Message], publish: Callable[[Message], None]
) -> dict[str, NodeHost]:
    """Play ``messages`` (sensor data and `stream/*`) through ``plan``; all messages, in and out, go to ``publish``."""
    clock = SystemClock()
    hosts = {i.name: NodeHost(i, i.make(context), clock, ManualClock()) for i in plan.instances}
    waiting: deque[Message] = deque()

    def deliver(message: Message) -> None:
        waiting.append(message)
        while waiting:
            current = waiting.popleft()
            publish(current)
            for host in hosts.values():
                if host.wants(current.topic):
                    waiting.extend(host.take(current, clock.now_ns()))

    for message in messages:
        deliver(message)
    for instance in plan.instances:  # in order of data flow: the inputs of each have ended before it
        for message in hosts[instance.name].finish({}):
            deliver(message)
    return hosts
