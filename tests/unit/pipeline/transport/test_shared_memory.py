from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage, LedgerRow, LedgerState, Message, Stamp
from pipeline.core.topics import topic_row
from pipeline.transport.run_folder import cleanup, run_path
from pipeline.transport.shared_memory import SharedMemoryBus, SharedMemorySettings

OpenBus = Callable[[str], SharedMemoryBus]
LARGE = 100_000


def image(sequence: int, size: int = LARGE) -> Message:
    data = np.full(size, sequence % 251, "u1")
    stamp = Stamp(sensor_ns=1, arrival_ns=2, time_ns=3, sequence=sequence)
    return Message("camera/front", stamp, CameraImage(height=1, width=1, encoding="jpeg", data=data))


def check(message: Message | None, sequence: int, size: int = LARGE) -> Message:
    assert message is not None
    assert message.stamp.sequence == sequence
    assert isinstance(message.payload, CameraImage)
    assert message.payload.data.shape == (size,)
    assert (message.payload.data == sequence % 251).all()
    return message


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("b")


@pytest.fixture
def open_bus(base: Path) -> Iterator[OpenBus]:
    opened: list[SharedMemoryBus] = []

    def open_one(node: str) -> SharedMemoryBus:
        opened.append(SharedMemoryBus("run", node, SharedMemorySettings(folder=str(base))))
        return opened[-1]

    yield open_one
    for bus in opened:
        bus.close()
    gc.collect()
    assert list(base.iterdir()) == []


def test_small_and_large_messages_arrive_in_order(open_bus: OpenBus) -> None:
    publisher, reader = open_bus("camera"), open_bus("detector")
    subscription = reader.subscribe(["camera/*"])
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    for k in range(40):
        size = 10 if k % 3 else 20_000 * k + LARGE  # grows, so that new segments are opened on the way
        publisher.publish(image(k, size))
        check(subscription.receive(10), k, size)
    assert subscription.receive(0) is None
    assert subscription.losses == {}


def test_a_large_array_does_not_go_to_just_beyond_its_place_in_a_page(open_bus: OpenBus) -> None:
    """Else its copy takes up to four times as long: see `ring.py`. Large arrays begin near the start of a page."""
    publisher, reader = open_bus("camera"), open_bus("detector")
    subscription = reader.subscribe(["camera/front"])
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    publisher.publish(image(0, 6_000_000))
    received = check(subscription.receive(10), 0, 6_000_000)
    assert isinstance(received.payload, CameraImage)
    assert 1024 <= received.payload.data.ctypes.data % 4096 <= 3072


def test_a_subscription_made_before_the_publisher_finds_it(open_bus: OpenBus) -> None:
    reader = open_bus("detector")
    subscription = reader.subscribe(["camera/front"])
    publisher = open_bus("camera")
    assert not publisher.wait_for_subscribers("camera/front", 1, 0)
    assert subscription.receive(0.3) is None  # looks around while it waits
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    publisher.publish(image(0))
    check(subscription.receive(10), 0)


def test_two_that_wait_for_each_other_meet(open_bus: OpenBus) -> None:
    one = open_bus("one")
    subscription = one.subscribe(["camera/front"])
    other = open_bus("other")
    assert not one.wait_for_subscribers("progress", 1, 0.25)  # finds the other's publisher meanwhile
    assert other.wait_for_subscribers("camera/front", 1, 10)
    other.publish(image(0))
    check(subscription.receive(10), 0)
    assert subscription.losses == {}


def test_what_a_new_publisher_said_before_the_two_met_is_counted(open_bus: OpenBus) -> None:
    subscription = open_bus("detector").subscribe(["camera/front"])
    publisher = open_bus("camera")
    for k in range(3):
        publisher.publish(image(k))
    subscription.receive(0.3)
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    publisher.publish(image(3))
    check(subscription.receive(10), 3)
    assert subscription.losses == {("camera/front", "not_connected"): 3}


def test_a_subscription_that_came_later_lost_nothing(open_bus: OpenBus) -> None:
    publisher, reader = open_bus("camera"), open_bus("detector")
    publisher.publish(image(0))
    subscription = reader.subscribe(["camera/front"])
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    publisher.publish(image(1))
    check(subscription.receive(10), 1)
    assert subscription.losses == {}


def test_a_held_message_never_changes_and_stops_nobody(open_bus: OpenBus) -> None:
    publisher, reader = open_bus("camera"), open_bus("detector")
    slow, fast = reader.subscribe(["camera/*"]), reader.subscribe(["camera/*"])
    assert publisher.wait_for_subscribers("camera/front", 2, 10)
    publisher.publish(image(0))
    held = check(slow.receive(10), 0)
    check(fast.receive(10), 0)
    received = []
    for k in range(1, 100):
        publisher.publish(image(k))
        received.append(check(fast.receive(10), k))  # all held: the ring lends two, the others are copies
    check(held, 0)
    for k, message in enumerate(received, start=1):
        check(message, k)
    publisher.close()
    reader.close()
    check(held, 0)


def test_a_slow_reader_loses_the_oldest_and_every_loss_is_counted(open_bus: OpenBus) -> None:
    publisher, reader = open_bus("camera"), open_bus("detector")
    subscription = reader.subscribe(["camera/*"])
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    for k in range(100):
        publisher.publish(image(k))
    sequences: list[int] = []
    while not sequences or sequences[-1] != 99:
        message = subscription.receive(10)
        assert message is not None
        sequences.append(check(message, message.stamp.sequence).stamp.sequence)
    assert sequences == sorted(set(sequences))
    assert len(sequences) + sum(subscription.losses.values()) == 100
    assert set(subscription.losses) <= {("camera/front", "overwritten"), ("camera/front", "queue_full")}


def test_overwritten_while_it_waited_is_counted_as_such(open_bus: OpenBus) -> None:
    publisher, reader = open_bus("camera"), open_bus("detector")
    subscription = reader.subscribe(["camera/*"])
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    depth = topic_row("camera/front").depth
    for k in range(depth):
        publisher.publish(image(k))
    while len(subscription._inbox) < depth:  # heard of, not yet read
        subscription._drain()
    for k in range(depth, 3 * depth):
        publisher.publish(image(k))
    assert subscription._next() is None
    assert subscription.losses == {("camera/front", "overwritten"): depth}


def test_latest_topic_gives_the_newest_only(open_bus: OpenBus) -> None:
    publisher, reader = open_bus("align"), open_bus("view")
    subscription = reader.subscribe(["ledger"])
    assert publisher.wait_for_subscribers("ledger", 1, 10)
    for k in range(50):
        row = LedgerRow(sensor="x" * 40_000 * (k % 2), received=k, fused=k, in_flight=0, dropped={})
        publisher.publish(
            Message("ledger", Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=k), LedgerState(rows=(row,)))
        )
    last = -1
    received = 0
    while last != 49:
        message = subscription.receive(10)
        assert message is not None
        assert message.stamp.sequence > last
        last = message.stamp.sequence
        received += 1
    assert received < 50
    assert subscription.losses == {}


def test_subscribers_are_counted_as_they_come_and_go(open_bus: OpenBus) -> None:
    publisher, reader = open_bus("camera"), open_bus("detector")
    first, _second = reader.subscribe(["camera/*", "camera/front"]), reader.subscribe(["camera/front", "lidar/*"])
    assert publisher.wait_for_subscribers("camera/front", 2, 10)
    assert not publisher.wait_for_subscribers("camera/front", 3, 0.01)
    assert not publisher.wait_for_subscribers("camera/left", 2, 0.01)
    first.close()
    assert first.receive(10) is None
    while publisher.wait_for_subscribers("camera/front", 2, 0):
        pass
    assert publisher.wait_for_subscribers("camera/front", 1, 0)


def test_messages_said_before_close_can_be_read_after_it(open_bus: OpenBus) -> None:
    publisher, reader = open_bus("camera"), open_bus("detector")
    subscription = reader.subscribe(["camera/*"])
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    for k in range(5):
        publisher.publish(image(k))
    publisher.close()
    for k in range(5):
        check(subscription.receive(10), k)


def test_runs_do_not_mix(base: Path) -> None:
    settings = SharedMemorySettings(folder=str(base))
    buses = [SharedMemoryBus(run, node, settings) for run in ("one", "two") for node in ("camera", "detector")]
    subscriptions = [buses[1].subscribe(["camera/*"]), buses[3].subscribe(["camera/*"])]
    for k, subscription in enumerate(subscriptions):
        assert buses[2 * k].wait_for_subscribers("camera/front", 1, 10)
        assert not buses[2 * k].wait_for_subscribers("camera/front", 2, 0.01)
        buses[2 * k].publish(image(k))
        check(subscription.receive(10), k)
        assert subscription.receive(0) is None
    for bus in buses:
        bus.close()


def test_a_node_name_is_taken_while_its_bus_is_open(open_bus: OpenBus, base: Path) -> None:
    first = open_bus("camera")
    with pytest.raises(BadInput, match="node name"):
        open_bus("camera")
    first.close()
    open_bus("camera")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a.b", "x" * 49, "a\0b"])
def test_names_that_are_none_are_refused(name: str, base: Path) -> None:
    settings = SharedMemorySettings(folder=str(base))
    with pytest.raises(BadInput, match="node name"):
        SharedMemoryBus("run", name, settings)


@pytest.mark.parametrize("run", ["", "..", "out/drive 1.5", "/a/very" + "/long" * 100, "夜间 行驶"])
def test_a_run_may_be_called_anything(run: str, base: Path) -> None:
    settings = SharedMemorySettings(folder=str(base))
    SharedMemoryBus(run, "camera", settings).close()
    assert list(base.iterdir()) == []


def test_a_folder_open_to_others_is_refused(base: Path) -> None:
    run_path("run", base).mkdir(mode=0o755)
    run_path("run", base).chmod(0o755)
    with pytest.raises(BadInput, match="mode 0700"):
        SharedMemoryBus("run", "camera", SharedMemorySettings(folder=str(base)))


def test_cleanup_leaves_the_living_alone(open_bus: OpenBus, base: Path) -> None:
    publisher, reader = open_bus("camera"), open_bus("detector")
    subscription = reader.subscribe(["camera/*"])
    assert publisher.wait_for_subscribers("camera/front", 1, 10)
    (run_path("run", base) / "dead.lock").touch()
    (run_path("run", base) / "dead.camera~x.0.0.ring").touch()
    assert cleanup("run", base) == {"camera", "detector"}
    assert not list(run_path("run", base).glob("dead*"))
    publisher.publish(image(0))
    check(subscription.receive(10), 0)
    assert cleanup("never-was", base) == frozenset()
