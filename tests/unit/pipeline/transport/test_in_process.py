from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.core.messages import CameraImage, ImuSample, LedgerState, Message, Payload, Progress, Stamp, WheelSpeed
from pipeline.core.topics import topic_row
from pipeline.transport.in_process import InProcessBus


def message(topic: str, sequence: int, payload: Payload | None = None) -> Message:
    payload = payload or ImuSample(angular_velocity=(0.0, 0.0, 1.0), linear_acceleration=(0.0, 0.0, 9.8))
    return Message(topic, Stamp(sensor_ns=1, arrival_ns=2, time_ns=3, sequence=sequence), payload)


@pytest.fixture
def bus() -> Iterator[InProcessBus]:
    bus = InProcessBus()
    yield bus
    bus.close()


def test_messages_of_several_topics_come_in_the_order_published(bus: InProcessBus) -> None:
    subscription = bus.subscribe(["imu/*", "progress"])
    for k in range(3):
        bus.publish(message("imu/a", k))
        bus.publish(message("progress", k, Progress(reference_ns=k, index=k)))
        bus.publish(message("wheel/rear", k, WheelSpeed(speed=1.0)))  # not subscribed, so of no concern here
    received = [subscription.receive(0) for _ in range(7)]
    assert [(m.topic, m.stamp.sequence) for m in received if m] == [
        (topic, k) for k in range(3) for topic in ("imu/a", "progress")
    ]
    assert received[-1] is None
    assert subscription.losses == {}


def test_only_what_comes_after_subscribing_is_seen(bus: InProcessBus) -> None:
    bus.publish(message("imu/a", 0))
    subscription = bus.subscribe(["imu/a"])
    bus.publish(message("imu/a", 1))
    bus.publish(message("imu/ab", 2))
    received = subscription.receive(0)
    assert received is not None
    assert received.stamp.sequence == 1
    assert subscription.receive(0) is None


def test_lossless_topic_loses_its_oldest_beyond_its_depth_and_counts(bus: InProcessBus) -> None:
    subscription = bus.subscribe(["imu/*"])
    depth = topic_row("imu/a").depth
    for k in range(depth + 5):
        bus.publish(message("imu/a", k))
    bus.publish(message("imu/b", 0))
    received = list(iter(lambda: subscription.receive(0), None))
    assert [m.stamp.sequence for m in received] == [*range(5, depth + 5), 0]
    assert subscription.losses == {("imu/a", "queue_full"): 5}


def test_latest_topic_keeps_only_the_newest_and_calls_that_no_loss(bus: InProcessBus) -> None:
    subscription = bus.subscribe(["ledger"])
    for k in range(5):
        bus.publish(message("ledger", k, LedgerState(rows=())))
    received = subscription.receive(0)
    assert received is not None
    assert received.stamp.sequence == 4
    assert subscription.receive(0) is None
    assert subscription.losses == {}


def test_receiver_holds_what_was_said_at_publish_and_cannot_change_it(bus: InProcessBus) -> None:
    first, second = bus.subscribe(["camera/*"]), bus.subscribe(["camera/front"])
    data = np.arange(12, dtype="u1")
    bus.publish(message("camera/front", 0, CameraImage(height=2, width=2, encoding="bgr8", data=data)))
    data[:] = 0
    for subscription in (first, second):
        received = subscription.receive(0)
        assert received is not None
        assert isinstance(received.payload, CameraImage)
        assert received.payload.data.tolist() == list(range(12))
        with pytest.raises(ValueError, match="read-only"):
            received.payload.data[0] = 1


@pytest.mark.parametrize("topics", [["nonsense"], ["lidar/*", "nonsense/*"], ["*"], [""]])
def test_unknown_topics_are_refused(bus: InProcessBus, topics: list[str]) -> None:
    with pytest.raises(KeyError):
        bus.subscribe(topics)


def test_wait_for_subscribers_counts_the_open_ones(bus: InProcessBus) -> None:
    assert not bus.wait_for_subscribers("imu/a", 1, 0)
    first = bus.subscribe(["imu/*", "imu/a"])
    assert bus.wait_for_subscribers("imu/a", 1, 0)
    assert not bus.wait_for_subscribers("imu/a", 2, 0)
    assert not bus.wait_for_subscribers("progress", 1, 0)
    first.close()
    assert not bus.wait_for_subscribers("imu/a", 1, 0)
    late = threading.Timer(0.01, lambda: bus.subscribe(["imu/a"]))
    late.start()
    assert bus.wait_for_subscribers("imu/a", 1, 10)
    late.join()


def test_threads_lose_nothing_and_a_waiting_receiver_wakes(bus: InProcessBus) -> None:
    subscription = bus.subscribe(["imu/*"])

    def publish(name: str) -> None:
        for k in range(100):
            bus.publish(message(f"imu/{name}", k))

    threads = [threading.Thread(target=publish, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    received = [subscription.receive(10) for _ in range(400)]
    for thread in threads:
        thread.join()
    for name in "abcd":
        assert [m.stamp.sequence for m in received if m and m.source == name] == list(range(100))


def test_close_wakes_a_waiting_receiver(bus: InProcessBus) -> None:
    subscription = bus.subscribe(["imu/*"])
    closing = threading.Timer(0.01, bus.close)
    closing.start()
    assert subscription.receive(10) is None
    closing.join()
