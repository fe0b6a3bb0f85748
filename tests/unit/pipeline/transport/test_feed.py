"""Raw datagrams over UDP and ZeroMQ: bounded, counted, never raising for what a peer does."""

from __future__ import annotations

import contextlib
import socket

import pytest
import zmq

from nodes.sources.live.driver import FeedSettings
from pipeline.core.errors import BadInput
from pipeline.transport.feed import UdpFeed, ZmqFeed, open_feed

WAIT_S = 10.0


@pytest.fixture
def sender():
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as udp:
        yield udp


def test_udp_datagrams_come_as_they_were_sent(sender):
    with contextlib.closing(UdpFeed(FeedSettings(address="127.0.0.1:0"))) as feed:
        assert feed.receive(0.0) is None
        for data in (b"one", b"", bytes(1206)):
            sender.sendto(data, feed.address)
        assert [feed.receive(WAIT_S) for _ in range(3)] == [b"one", b"", bytes(1206)]
        assert feed.receive(0.0) is None
        assert feed.losses == {}


def test_udp_datagrams_over_the_bound_or_of_another_sender_are_counted(sender):
    with contextlib.closing(UdpFeed(FeedSettings(address="127.0.0.1:0", max_bytes=100))) as feed:
        sender.sendto(bytes(101), feed.address)
        assert feed.receive(WAIT_S) is None
        assert feed.losses == {"too_large": 1}
    with contextlib.closing(UdpFeed(FeedSettings(address="127.0.0.1:0", sender="192.0.2.1"))) as feed:
        sender.sendto(b"x", feed.address)
        assert feed.receive(WAIT_S) is None
        assert feed.losses == {"other_sender": 1}


def test_what_the_system_dropped_is_told(sender):
    with contextlib.closing(UdpFeed(FeedSettings(address="127.0.0.1:0", buffer_bytes=4096))) as feed:
        for _ in range(200):
            sender.sendto(bytes(1206), feed.address)
        received = 0
        while feed.receive(0.0) is not None:
            received += 1
        sender.sendto(b"after", feed.address)  # the system tells with the next one
        assert feed.receive(WAIT_S) == b"after"
        assert received + feed.losses["queue_full"] == 200


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "192.0.2.1:5000", ":", ""])
def test_a_bad_udp_address_is_said(address):
    with pytest.raises(BadInput, match="address"):
        open_feed(FeedSettings(address=address))


@pytest.mark.parametrize(("kind", "peer"), [("zmq_pull", zmq.PUSH), ("zmq_sub", zmq.PUB)])
def test_zeromq_messages_are_datagrams(kind, peer):
    with zmq.Context() as context, context.socket(peer) as gateway:
        gateway.linger = 0
        port = gateway.bind_to_random_port("tcp://127.0.0.1")
        settings = FeedSettings(transport=kind, address=f"tcp://127.0.0.1:{port}", max_bytes=2000)
        with contextlib.closing(open_feed(settings)) as feed:
            first = None
            while first is None:  # a publisher drops what it sends before the subscription has arrived
                gateway.send(b"hello")
                first = feed.receive(0.05)
            assert first == b"hello"
            gateway.send_multipart([b"a", b"b"])
            gateway.send(b"last")
            while (data := feed.receive(WAIT_S)) != b"last":
                assert data in (None, b"hello")
            assert feed.losses == {"several_parts": 1}


def test_a_zeromq_feed_may_bind_and_is_bounded():
    settings = FeedSettings(transport="zmq_pull", address="tcp://127.0.0.1:*", bind=True, max_bytes=1000)
    with contextlib.closing(ZmqFeed(settings)) as feed, zmq.Context() as context:
        for data in (bytes(1001), b"small"):
            with context.socket(zmq.PUSH) as gateway:
                gateway.linger = 1000
                gateway.connect(feed.address)
                gateway.send(data)
        assert feed.receive(WAIT_S) == b"small"  # the other ended its connection


def test_a_bad_zeromq_address_is_said():
    with pytest.raises(BadInput, match="address"):
        open_feed(FeedSettings(transport="zmq_sub", address="127.0.0.1:5600"))
