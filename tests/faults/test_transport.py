"""Processes that die, stall and come back, on the shared-memory bus: nothing torn, nothing uncounted, nothing left."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import psutil
import pytest
import zmq

from pipeline.core.messages import CameraImage, Message, Stamp
from pipeline.transport.notify import Notify
from pipeline.transport.ring import Place
from pipeline.transport.run_folder import cleanup, run_path
from pipeline.transport.shared_memory import SharedMemoryBus, SharedMemorySettings

TOPIC = "camera/front"
SPAWN = multiprocessing.get_context("spawn")
PATIENCE_S = 60.0


def frame(sequence: int, epoch: int = 0, last: bool = False) -> Message:
    """20 to 36 kB, enough for the ring, that say in every eight bytes which frame they belong to."""
    words = 2500 + sequence * 7919 % 2000
    data = np.full(words, sequence << 8 | epoch, "<u8").view("u1")
    stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=sequence, epoch=epoch)
    return Message(TOPIC, stamp, CameraImage(height=2 if last else 1, width=1, encoding="png", data=data))


def is_whole(message: Message) -> bool:
    assert isinstance(message.payload, CameraImage)
    expected = frame(message.stamp.sequence, message.stamp.epoch).payload
    assert isinstance(expected, CameraImage)
    return np.array_equal(message.payload.data, expected.data)


def open_bus(base: str, node: str, run: str = "run") -> SharedMemoryBus:
    return SharedMemoryBus(run, node, SharedMemorySettings(folder=base, inline_bytes=4096))


def write_for_ever(base: str, node: str, epoch: int, run: str = "run") -> None:
    bus = open_bus(base, node, run)
    bus.wait_for_subscribers(TOPIC, 1, PATIENCE_S)
    for k in itertools.count():
        bus.publish(frame(k, epoch))


def read_to_the_end(base: str, node: str, results: Connection) -> None:
    """Check frames until the last, then tell how many came, how many were torn, and what was lost."""
    bus = open_bus(base, node)
    subscription = bus.subscribe([TOPIC])
    results.send("ready")
    received = torn = 0
    held: list[Message] = []  # more than the ring lends, checked again when they go
    while (message := subscription.receive(PATIENCE_S)) is not None:
        assert isinstance(message.payload, CameraImage)
        if message.payload.height == 2:
            break
        received += 1
        torn += not is_whole(message)
        held.append(message)
        if len(held) > 3:
            torn += not is_whole(held.pop(0))
    rss = psutil.Process().memory_info().rss
    results.send({"received": received, "torn": torn, "lost": sum(subscription.losses.values()), "rss": rss})
    bus.close()


def acknowledge_each(base: str, node: str, results: Connection) -> None:
    bus = open_bus(base, node)
    subscription = bus.subscribe([TOPIC])
    results.send("ready")
    while (message := subscription.receive(PATIENCE_S)) is not None:
        results.send((message.stamp.sequence, is_whole(message)))
    bus.close()


class Children:
    """Child processes of a test, killed at its end."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection] = []

    def writer(self, node: str, epoch: int, run: str = "run") -> SpawnProcess:
        return self._start(write_for_ever, (self.base, node, epoch, run))

    def reader(self, node: str, what: Callable[..., None] = read_to_the_end) -> tuple[SpawnProcess, Connection]:
        here, there = SPAWN.Pipe()
        process = self._start(what, (self.base, node, there))
        there.close()
        self._pipes.append(here)
        assert here.poll(PATIENCE_S)
        assert here.recv() == "ready"
        return process, here

    def _start(self, target: object, arguments: tuple[object, ...]) -> SpawnProcess:
        process = SPAWN.Process(target=target, args=arguments)  # type: ignore[arg-type]
        process.start()
        self._processes.append(process)
        return process

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.kill()
            process.join()
            process.close()


@pytest.fixture
def base() -> Iterator[str]:
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="syncline-test-", dir=shared if shared.is_dir() else None))
    yield str(folder)
    cleanup("run", folder)
    left = list(folder.iterdir())
    shutil.rmtree(folder)
    assert left == []


@pytest.fixture
def children(base: str) -> Iterator[Children]:
    children = Children(base)
    yield children
    children.close()


def kill(process: SpawnProcess) -> None:
    process.kill()
    process.join()


def shared_bytes(base: str) -> int:
    return sum(path.stat().st_blocks * 512 for path in Path(base).rglob("*.ring"))


def end(bus: SharedMemoryBus, published: int, pipe: Connection) -> dict[str, int]:
    """Say that frame ``published`` was the last until the reader has heard, and return what it found."""
    sequence = published
    while not pipe.poll(0.02):
        bus.publish(frame(sequence, last=True))
        sequence += 1
    found: dict[str, int] = pipe.recv()
    return found


def test_a_killed_writer_that_comes_back_is_heard_again(base: str, children: Children) -> None:
    bus = open_bus(base, "reader")
    subscription = bus.subscribe([TOPIC])
    for epoch in range(3):
        writer = children.writer("writer", epoch)
        received = 0
        while received < 200:
            message = subscription.receive(PATIENCE_S)
            assert message is not None
            assert is_whole(message)
            received += message.stamp.epoch == epoch
        kill(writer)
    while (message := subscription.receive(0.3)) is not None:  # what was still on its way
        assert is_whole(message)
    lives = {path.name.split(".")[2] for path in Path(base).rglob("writer.*.ring")}
    assert len(lives) == 1  # the dead one's; those before it were removed by their successors
    assert cleanup("run", Path(base)) == {"reader"}
    assert not list(Path(base).rglob("writer.*"))
    bus.close()
    assert not list(Path(base).iterdir())


def test_a_killed_reader_holds_nothing_back(base: str, children: Children) -> None:
    bus = open_bus(base, "writer")
    reader, _ = children.reader("reader")
    assert bus.wait_for_subscribers(TOPIC, 1, PATIENCE_S)
    for k in range(500):
        bus.publish(frame(k))
    kill(reader)
    while bus.wait_for_subscribers(TOPIC, 1, 0):
        pass
    survivor, pipe = children.reader("survivor")
    assert bus.wait_for_subscribers(TOPIC, 1, PATIENCE_S)
    segments = set(Path(base).rglob("*.ring"))
    for k in range(500, 1000):
        bus.publish(frame(k))
    assert set(Path(base).rglob("*.ring")) == segments  # the dead reader's slots are free again
    found = end(bus, 1000, pipe)
    assert found["torn"] == 0
    assert found["received"] + found["lost"] == 500
    survivor.join()
    assert cleanup("run", Path(base)) == {"writer"}
    bus.close()
    assert not list(Path(base).iterdir())


def test_a_stalled_reader_neither_blocks_the_writer_nor_fills_memory(base: str, children: Children) -> None:
    bus = open_bus(base, "writer")
    reader, pipe = children.reader("reader")
    assert bus.wait_for_subscribers(TOPIC, 1, PATIENCE_S)
    for k in range(100):
        bus.publish(frame(k))
    assert reader.pid is not None
    os.kill(reader.pid, signal.SIGSTOP)
    process = psutil.Process()
    rss, shared = process.memory_info().rss, shared_bytes(base)
    for k in range(100, 10_000):
        bus.publish(frame(k))
    assert process.memory_info().rss - rss < 16 << 20
    assert shared_bytes(base) <= max(shared, 12 * 64 << 10) + 4096
    os.kill(reader.pid, signal.SIGCONT)
    found = end(bus, 10_000, pipe)
    assert found["torn"] == 0
    assert found["lost"] > 0
    assert found["received"] + found["lost"] >= 10_000
    reader.join()
    bus.close()


def test_a_reader_that_keeps_up_loses_nothing(base: str, children: Children) -> None:
    """The next frame is written the moment the last was acknowledged, so that copy and read meet in every way."""
    bus = open_bus(base, "writer")
    _, pipe = children.reader("reader", acknowledge_each)
    assert bus.wait_for_subscribers(TOPIC, 1, PATIENCE_S)
    for k in range(1000):
        bus.publish(frame(k))
        assert pipe.poll(PATIENCE_S)
        assert pipe.recv() == (k, True)
    bus.close()


def torn_frames(base: str, children: Children, frames: int) -> None:
    """One writer at full rate, two readers that it laps, one of them holding on to what it got."""
    bus = open_bus(base, "writer")
    readers = [children.reader(f"reader{k}") for k in range(2)]
    assert bus.wait_for_subscribers(TOPIC, 2, PATIENCE_S)
    process = psutil.Process()
    early = 0
    for k in range(frames):
        bus.publish(frame(k))
        if k == frames // 10:
            early = process.memory_info().rss
    assert process.memory_info().rss - early < 16 << 20
    assert shared_bytes(base) < 2 << 20
    results = [end(bus, frames, pipe) for _, pipe in readers]
    for (reader, _), found in zip(readers, results, strict=True):
        reader.join()
        assert found["torn"] == 0
        assert found["received"] > 0
        assert found["received"] + found["lost"] >= frames
        assert found["rss"] < 300 << 20
    bus.close()


def test_no_frame_is_torn_under_load(base: str, children: Children) -> None:
    torn_frames(base, children, 10_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_frame_is_torn_in_a_million(base: str, children: Children) -> None:
    torn_frames(base, children, 1_000_000)


def test_two_runs_side_by_side_do_not_mix(base: str, children: Children) -> None:
    buses = [open_bus(base, "reader", run) for run in ("one", "two")]
    subscriptions = [bus.subscribe([TOPIC]) for bus in buses]
    writers = [children.writer("writer", epoch, run) for epoch, run in enumerate(("one", "two"))]
    for _ in range(100):
        for epoch, subscription in enumerate(subscriptions):
            message = subscription.receive(PATIENCE_S)
            assert message is not None
            assert message.stamp.epoch == epoch
            assert is_whole(message)
    for writer in writers:
        kill(writer)
    for bus in buses:
        bus.close()
    assert not list(Path(base).iterdir())


def test_garbage_from_a_peer_is_counted_and_the_rest_goes_on(base: str) -> None:
    reader, writer = open_bus(base, "reader"), open_bus(base, "writer")
    folder = run_path("run", Path(base))
    (folder / "evil.camera~front.0000000000000001.0.ring").write_bytes(b"SYNCRING" + bytes(100))
    (folder / "evil.camera~front.0000000000000001.1.ring").write_bytes(b"")
    garbage = [
        [b""],
        [b"\0"],
        [b"camera/front\0"],
        [b"camera/front\0evil\0"],
        [b"camera/front\0evil\0" + bytes(39)],
        [b"camera/front\0evil\0" + bytes(41)],
        [b"camera/front\0../../etc\0" + bytes(40)],
        [b"camera/\xff\0evil\0" + bytes(40)],
        [b"camera/a/b\0evil\0" + bytes(40)],
        [b"camera/front\0" + os.urandom(60)],
        [Notify(TOPIC, "evil", 1, 0, None).pack()],  # neither a place nor data
        [Notify(TOPIC, "evil", 1, 1, None).pack(), b"x", b"y"],
        [Notify(TOPIC, "evil", 1, 2, None).pack(), b"not a message"],
        [Notify(TOPIC, "evil", 1, 3, Place(0, 0, 1, 100)).pack()],  # not a ring
        [Notify(TOPIC, "evil", 1, 4, Place(1, 0, 1, 100)).pack()],  # empty
        [Notify(TOPIC, "evil", 1, 5, Place(2, 0, 1, 100)).pack()],  # no such file
        [Notify(TOPIC, "evil", 1, 5, Place(2, 0, 1, 100)).pack()],  # said twice
        [Notify(TOPIC, "evil", 1, 6, Place(0, 2**32 - 1, 2**64 - 1, 2**64 - 1)).pack()],
    ]
    with zmq.Context() as context, context.socket(zmq.PUB) as evil:
        evil.linger = 0
        evil.bind(f"ipc://{folder}/evil.sock")
        subscription = reader.subscribe([TOPIC, "camera/*"])
        assert writer.wait_for_subscribers(TOPIC, 1, PATIENCE_S)
        writer.publish(frame(0))
        assert subscription.receive(PATIENCE_S) is not None
        reached = 0
        while not reached:  # until its connection stands
            evil.send(b"camera/front\0hello")
            subscription.receive(0.05)
            reached = subscription.losses.get(("*", "malformed"), 0)
        while subscription.receive(0.2) is not None:
            pass
        before = subscription.losses[("*", "malformed")]
        for frames in garbage:
            evil.send_multipart(frames)
        writer.publish(frame(1))
        received = []
        while not received or sum(subscription.losses.values()) - before < len(garbage) - 2:
            if message := subscription.receive(0.05):
                received.append(message.stamp.sequence)
    assert received == [1]
    losses = dict(subscription.losses)
    assert losses.pop(("*", "malformed")) - before == 9  # the first two are not even for this subscription
    assert losses == {(TOPIC, "malformed"): 6, (TOPIC, "overwritten"): 1}
    reader.close()
    writer.close()
