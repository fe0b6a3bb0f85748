"""Looking at a run while it goes on: the watcher sees it, nobody waits for it, and it ends with the run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pipeline.core.messages import Message, NodeStatus, Stamp
from pipeline.run.process import run_name
from pipeline.run.watch import is_running, watch
from pipeline.transport.shared_memory import SharedMemoryBus
from tests import recordings


class Viewer:
    """Notes what it is shown; fails on one topic."""

    def __init__(self, fails_on: str = "") -> None:
        self.seen: list[str] = []
        self.finished = False
        self._fails_on = fails_on

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        if message.topic == self._fails_on:
            raise ValueError("cannot be drawn")
        self.seen.append(message.topic)
        return []

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        self.finished = True
        return []


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[SharedMemoryBus]:
    with contextlib.closing(SharedMemoryBus(run_name(tmp_path), "supervisor")) as opened:
        yield opened


def status(node: str, *, ended: bool) -> Message:
    payload = NodeStatus(node=node, received=0, published=0, failed=0, losses={}, cpu_s=0.0, rss_bytes=0, ended=ended)
    return Message(f"status/{node}", Stamp(sensor_ns=1, arrival_ns=1, time_ns=1, sequence=0), payload)


def test_it_shows_what_comes_and_ends_with_the_recorder(tmp_path: Path, bus: SharedMemoryBus) -> None:
    assert is_running(tmp_path)
    viewers = [Viewer(fails_on="wheel/rear"), Viewer()]
    missed: dict[str, int] = {}
    watcher = threading.Thread(target=lambda: missed.update(watch(tmp_path, viewers)), daemon=True)
    watcher.start()
    sent = recordings.messages(frames=2)
    for _ in range(200):  # until it has connected
        bus.publish(recordings.run_info())
        if viewers[1].seen:
            break
        watcher.join(0.05)
    assert not bus.wait_for_subscribers("lidar/top", 1, 0.0), "a spectator is not waited for"
    for message in sent:
        bus.publish(message)
    bus.publish(status("record", ended=True))
    watcher.join(20)
    assert not watcher.is_alive()
    assert all(viewer.finished for viewer in viewers)
    shown = [topic for topic in viewers[1].seen if topic not in ("run/info", "status/record")]
    assert shown == [message.topic for message in sent]
    assert missed == {"failed steps": sum(message.topic == "wheel/rear" for message in sent)}


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    assert not is_running(tmp_path)


def test_it_ends_when_the_run_is_killed(tmp_path: Path, bus: SharedMemoryBus) -> None:
    viewer = Viewer()
    watcher = threading.Thread(target=lambda: watch(tmp_path, [viewer]), daemon=True)
    watcher.start()
    watcher.join(0.2)
    bus.close()
    watcher.join(20)
    assert not watcher.is_alive()
    assert viewer.finished
