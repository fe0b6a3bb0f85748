from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage, Message, Stamp
from pipeline.transport.keys import generate_keys, load_allowed, load_secret
from pipeline.transport.tcp import TcpBus, TcpSettings

OpenBus = Callable[..., TcpBus]


def image(sequence: int, size: int = 100_000) -> Message:
    data = np.full(size, sequence % 251, "u1")
    stamp = Stamp(sensor_ns=1, arrival_ns=2, time_ns=3, sequence=sequence)
    return Message("camera/front", stamp, CameraImage(height=1, width=1, encoding="jpeg", data=data))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("car", "desk"):
        generate_keys(tmp_path / "keys", name)
    return tmp_path / "keys"


@pytest.fixture
def open_bus(keys: Path) -> Iterator[OpenBus]:
    opened: list[TcpBus] = []

    def open_one(node: str, folder: Path = keys, **settings: object) -> TcpBus:
        opened.append(TcpBus(node, TcpSettings(keys=str(folder), **settings)))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for bus in opened:
        bus.close()


def test_messages_cross_and_nothing_is_lost(open_bus: OpenBus) -> None:
    car = open_bus("car")
    assert car.address.startswith("tcp://127.0.0.1:")
    subscription = open_bus("desk", peers={"car": car.address}).subscribe(["camera/*"])
    assert car.wait_for_subscribers("camera/front", 1, 10)
    for k, size in enumerate((0, 1, 1000, 3_000_000)):
        car.publish(image(k, size))
        received = subscription.receive(10)
        assert received is not None
        assert received.stamp.sequence == k
        assert isinstance(received.payload, CameraImage)
        assert np.array_equal(received.payload.data, np.full(size, k, "u1"))
    assert subscription.losses == {}


def test_a_peer_whose_key_is_not_listed_is_refused(
    open_bus: OpenBus, keys: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    car = open_bus("car")
    generate_keys(tmp_path / "other", "stranger")
    (tmp_path / "other" / "car.public").write_bytes((keys / "car.public").read_bytes())
    with caplog.at_level(logging.WARNING):
        subscription = open_bus("stranger", tmp_path / "other", peers={"car": car.address}).subscribe(["camera/*"])
        while not caplog.records:
            assert not car.wait_for_subscribers("camera/front", 1, 0.05)
        assert not car.wait_for_subscribers("camera/front", 1, 0.2)
    assert [r.message.startswith("refused a subscriber") for r in caplog.records] == [True]
    car.publish(image(0))
    assert subscription.receive(0.1) is None


def test_a_peer_that_was_refused_is_let_in_once_it_is_listed(open_bus: OpenBus, keys: Path, tmp_path: Path) -> None:
    car = open_bus("car")
    generate_keys(tmp_path / "other", "stranger")
    (tmp_path / "other" / "car.public").write_bytes((keys / "car.public").read_bytes())
    address = car.address
    subscription = open_bus("stranger", tmp_path / "other", peers={"car": address}).subscribe(["camera/*"])
    assert not car.wait_for_subscribers("camera/front", 1, 0.2)
    car.close()
    (keys / "stranger.public").write_bytes((tmp_path / "other" / "stranger.public").read_bytes())
    car = open_bus("car", bind=address)
    while not car.wait_for_subscribers("camera/front", 1, 0):
        subscription.receive(0.05)
    car.publish(image(0))
    assert subscription.receive(10) is not None


def test_a_publisher_with_another_key_than_expected_is_not_believed(
    open_bus: OpenBus, keys: Path, tmp_path: Path
) -> None:
    generate_keys(tmp_path / "forged", "car")
    (tmp_path / "forged" / "desk.public").write_bytes((keys / "desk.public").read_bytes())
    forged = open_bus("car", tmp_path / "forged")
    open_bus("desk", peers={"car": forged.address}).subscribe(["camera/*"])
    assert not forged.wait_for_subscribers("camera/front", 1, 0.3)


def test_one_without_encryption_hears_nothing_and_harms_nothing(open_bus: OpenBus) -> None:
    car = open_bus("car")
    host, _, port = car.address.removeprefix("tcp://").partition(":")
    with socket.create_connection((host, int(port))) as intruder:
        intruder.sendall(b"\xff" + bytes(8) + b"\x7f" + os.urandom(100_000))
        subscription = open_bus("desk", peers={"car": car.address}).subscribe(["camera/*"])
        assert car.wait_for_subscribers("camera/front", 1, 10)
        assert not car.wait_for_subscribers("camera/front", 2, 0.1)
        car.publish(image(7))
        received = subscription.receive(10)
        assert received is not None
        assert received.stamp.sequence == 7


def test_a_message_beyond_the_receivers_bound_is_never_taken(open_bus: OpenBus) -> None:
    car = open_bus("car")
    subscription = open_bus("desk", peers={"car": car.address}, max_message_bytes=50_000).subscribe(["camera/*"])
    assert car.wait_for_subscribers("camera/front", 1, 10)
    car.publish(image(0, 1000))
    car.publish(image(1, 100_000))
    first = subscription.receive(10)
    assert first is not None
    assert first.stamp.sequence == 0
    while car.wait_for_subscribers("camera/front", 1, 0):
        subscription.receive(0.05)  # until the connection is cut
    while not car.wait_for_subscribers("camera/front", 1, 0):
        subscription.receive(0.05)  # and made again
    car.publish(image(2, 1000))
    second = subscription.receive(10)
    assert second is not None
    assert second.stamp.sequence == 2
    assert subscription.losses == {("camera/front", "queue_full"): 1}


def test_a_message_beyond_the_senders_bound_is_refused_there(open_bus: OpenBus) -> None:
    with pytest.raises(ValueError, match="at most 50000"):
        open_bus("car", max_message_bytes=50_000).publish(image(0))


def test_a_restarted_host_is_heard_again_and_what_was_missed_is_counted(open_bus: OpenBus) -> None:
    first = open_bus("car")
    address = first.address
    subscription = open_bus("desk", peers={"car": address}).subscribe(["camera/*"])
    assert first.wait_for_subscribers("camera/front", 1, 10)
    first.publish(image(0))
    assert subscription.receive(10) is not None
    first.close()
    second = open_bus("car", bind=address)
    for k in range(3):
        second.publish(image(k))
    while not second.wait_for_subscribers("camera/front", 1, 0):
        subscription.receive(0.05)
    second.publish(image(3))
    received = subscription.receive(10)
    assert received is not None
    assert received.stamp.sequence == 3
    assert subscription.losses == {("camera/front", "not_connected"): 3}


def test_an_address_in_use_is_refused(open_bus: OpenBus) -> None:
    with pytest.raises(BadInput, match="bind"):
        open_bus("desk", bind=open_bus("car").address)


def test_a_peer_without_a_key_is_refused(open_bus: OpenBus) -> None:
    with pytest.raises(BadInput, match="'roof'"):
        open_bus("car", peers={"roof": "tcp://127.0.0.1:1"})


def test_keys_are_kept_from_others_and_never_replaced(keys: Path) -> None:
    assert (keys / "car.secret").stat().st_mode & 0o777 == 0o600
    public, _ = load_secret(keys, "car")
    assert load_allowed(keys)["car"] == public
    with pytest.raises(BadInput, match="has none yet"):
        generate_keys(keys, "car")
    with pytest.raises(BadInput, match="key name"):
        generate_keys(keys, "../car")
    (keys / "car.secret").chmod(0o640)
    with pytest.raises(BadInput, match="0600"):
        load_secret(keys, "car")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 41, b"\x00" * 40, b"\xff" * 40])
def test_what_is_no_key_is_refused(keys: Path, content: bytes) -> None:
    (keys / "desk.public").write_bytes(content)
    with pytest.raises(BadInput, match="Z85"):
        load_allowed(keys)
    with pytest.raises(BadInput, match="readable file"):
        load_secret(keys, "nobody")
