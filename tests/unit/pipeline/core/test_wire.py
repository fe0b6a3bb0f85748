from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest

from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT, CameraImage, ImuSample, Message, PointCloud, Stamp, WheelSpeed
from pipeline.core.wire import ALIGN, HEADER_SIZE, MAX_ARRAYS, MAX_BODY, decode, digest, encode, encode_bytes

STAMP = Stamp(sensor_ns=-1, arrival_ns=2, time_ns=3, sigma_ns=4, sequence=5, epoch=6)
HEADER = struct.Struct("<4s I I I Q q q q q Q I I")


def cloud(n: int = 3) -> Message:
    points = np.zeros(n, POINT)
    points["x"] = np.arange(n)
    return Message("lidar/top", STAMP, PointCloud(points=points))


def forged(content: bytes, section: bytes = b"", **changed: Any) -> bytes:
    """A block with a right checksum around any body."""
    fields = {"magic": b"SYNC", "version": 1, "body": len(content), "arrays": len(section)} | changed
    head = bytearray(
        HEADER.pack(fields["magic"], fields["version"], fields["body"], 0, fields["arrays"], 1, 2, 3, 0, 0, 0, 0)
    )
    struct.pack_into("<I", head, 12, zlib.crc32(content, zlib.crc32(memoryview(head)[16:])))
    block = bytes(head) + content
    return block + bytes(-len(block) % ALIGN) + section


def points_body(value: Any) -> bytes:
    return msgspec.msgpack.encode({"points": value})


def test_stamp_and_payload_come_back() -> None:
    sent = cloud()
    received = decode("lidar/top", encode_bytes(sent))
    assert received.topic == sent.topic
    assert received.stamp == STAMP
    assert isinstance(received.payload, PointCloud)
    assert received.payload.points["x"].tolist() == [0, 1, 2]


def test_nothing_is_copied_on_the_way_out_or_in() -> None:
    sent = cloud()
    assert isinstance(sent.payload, PointCloud)
    parts = encode(sent)
    assert any(np.shares_memory(np.frombuffer(part, "u1"), sent.payload.points) for part in parts[1:])
    block = np.frombuffer(b"".join(parts), "u1")
    received = decode("lidar/top", block.data).payload
    assert isinstance(received, PointCloud)
    assert np.shares_memory(received.points, block)
    with pytest.raises(ValueError, match="read-only"):
        received.points["x"] = 1


def test_decoded_arrays_are_read_only_even_of_writable_memory() -> None:
    received = decode("lidar/top", bytearray(encode_bytes(cloud()))).payload
    assert isinstance(received, PointCloud)
    assert not received.points.flags.writeable


@pytest.mark.parametrize("strides", [slice(None, None, 2), slice(None, None, -1)])
def test_arrays_that_are_not_contiguous_are_written_in_order(strides: slice) -> None:
    data = np.arange(100, dtype="u1")[strides]
    sent = Message("camera/front", STAMP, CameraImage(height=1, width=1, encoding="png", data=data))
    received = decode("camera/front", encode_bytes(sent)).payload
    assert isinstance(received, CameraImage)
    assert received.data.tolist() == data.tolist()


def test_every_array_is_aligned() -> None:
    parts = encode(cloud(5))
    assert [len(b"".join(parts[:k])) % ALIGN for k in (0, 1)] == [0, 0]
    assert len(b"".join(parts)) % ALIGN == 0


def test_digest_is_of_what_was_said_not_of_when_it_travelled() -> None:
    one = cloud()
    later = Message(
        one.topic, msgspec.structs.replace(STAMP, sensor_ns=9, arrival_ns=9, sequence=9, epoch=9), one.payload
    )
    assert digest(one) == digest(later)
    moved = Message(one.topic, msgspec.structs.replace(STAMP, time_ns=9), one.payload)
    elsewhere = Message("lidar/side", STAMP, one.payload)
    assert len({digest(one), digest(moved), digest(elsewhere), digest(cloud(4))}) == 4


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (Message("lidar/top", STAMP, WheelSpeed(speed=1.0)), "expected PointCloud, found WheelSpeed"),
        (Message("wheel/rear", msgspec.structs.replace(STAMP, sequence=-1), WheelSpeed(speed=1.0)), "sequence=-1"),
        (Message("wheel/rear", msgspec.structs.replace(STAMP, time_ns=2**63), WheelSpeed(speed=1.0)), "wheel/rear"),
    ],
)
def test_what_cannot_travel_is_refused_where_it_is_sent(message: Message, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        encode(message)


def test_too_large_is_refused_where_it_is_sent() -> None:
    data = np.broadcast_to(np.zeros(1, "u1"), (MAX_ARRAYS + 1,))  # claims the size without the memory

    sent = Message("camera/front", STAMP, CameraImage(height=1, width=1, encoding="png", data=data))
    with pytest.raises(ValueError, match="too large"):
        encode(sent)


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(KeyError):
        encode(Message("nonsense", STAMP, WheelSpeed(speed=1.0)))
    with pytest.raises(BadInput, match="topic"):
        decode("nonsense", encode_bytes(cloud()))


@pytest.mark.parametrize(
    ("field", "block"),
    [
        ("header", b""),
        ("header", encode_bytes(cloud())[: HEADER_SIZE - 1]),
        ("header", forged(points_body(["point", [0], 0]), magic=b"SINK")),
        ("header", forged(points_body(["point", [0], 0]), version=2)),
        ("sizes", encode_bytes(cloud())[:-1]),
        ("sizes", encode_bytes(cloud()) + b"\0"),
        ("sizes", forged(b"", body=2**32 - 1)),
        ("sizes", forged(b"", arrays=2**32)),
        ("sizes", forged(b"", arrays=2**64 - 1)),
        ("sizes", forged(bytes(MAX_BODY + 1))),
        ("checksum", encode_bytes(cloud()).replace(b"points", b"pointz")),
        ("body", forged(b"")),
        ("body", forged(b"\xc1")),
        ("body", forged(b"\x91" * 100_000)),
        ("body", forged(msgspec.msgpack.encode({"points": ["point", [0], 0], "extra": 1}))),
        ("body", forged(msgspec.msgpack.encode({}))),
        ("body", forged(b"\x81\xa6points" + b"\x91" * 1_000_000)),  # deeper than the stack
        ("$.motion_compensated", forged(msgspec.msgpack.encode({"motion_compensated": 1}))),
        ("$.points", forged(points_body(None))),
        ("$.points", forged(points_body("abc"))),
        ("$.points", forged(points_body(["point", [0]]))),
        ("$.points", forged(points_body(["O", [0], 0]))),
        ("$.points", forged(points_body([["point"], [0], 0]))),
        ("$.points", forged(points_body(["point", 1, 0]), bytes(64))),
        ("$.points", forged(points_body(["point", [1.0], 0]), bytes(64))),
        ("$.points", forged(points_body(["point", [-1], 0]), bytes(64))),
        ("$.points", forged(points_body(["point", [-1, -1], 0]), bytes(64))),
        ("$.points", forged(points_body(["point", [1] * 5, 0]), bytes(64))),
        ("$.points", forged(points_body(["point", [3], 0]), bytes(64))),
        ("$.points", forged(points_body(["point", [1], 64]), bytes(64))),
        ("$.points", forged(points_body(["point", [1], 1]), bytes(64))),
        ("$.points", forged(points_body(["point", [1], -64]), bytes(64))),
        ("$.points", forged(points_body(["point", [2**62], 0]), bytes(64))),
        ("$.points", forged(points_body(["point", [2**62, 0], 0]), bytes(64))),
        ("body", forged(points_body(["point", [1, 1], 0]), bytes(64))),  # fits the block, not the payload
        ("body", forged(points_body(["<f4", [1], 0]), bytes(64))),
    ],
)
def test_garbage_is_refused_by_field(field: str, block: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        decode("lidar/top", block)
    assert caught.value.source == "lidar/top"
    assert caught.value.field == field


def test_a_claim_of_four_gigabytes_costs_nothing() -> None:
    blocks = [
        forged(points_body(["point", [2**32 // POINT.itemsize], 0]), bytes(64)),
        forged(points_body(["point", [1], 0]), bytes(64), arrays=2**32),
        forged(points_body(["point", [1], 0]), bytes(64), body=2**32 - 1),
        forged(b"\x81\xa6points\xdd\xff\xff\xff\xff"),  # a list of 2^32 - 1
        forged(b"\x81\xa6points\xc6\xff\xff\xff\xff"),  # 2^32 - 1 bytes
        forged(b"\xdf\xff\xff\xff\xff"),
    ]
    tracemalloc.start()
    try:
        for block in blocks:
            with pytest.raises(BadInput):
                decode("lidar/top", block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_arrays_may_be_kept_apart() -> None:
    sent = cloud()
    head, *rest = encode(sent)
    arrays = b"".join(rest)
    received = decode("lidar/top", head, arrays[: 3 * POINT.itemsize]).payload
    assert isinstance(received, PointCloud)
    assert received.points["x"].tolist() == [0, 1, 2]
    with pytest.raises(BadInput):
        decode("lidar/top", head, arrays[: 3 * POINT.itemsize - 1])


def test_nan_and_negative_zero_keep_their_bits() -> None:
    sample = ImuSample(angular_velocity=(float("nan"), -0.0, 5e-324), linear_acceleration=(float("inf"), 0.0, 1.0))
    received = decode("imu/a", encode_bytes(Message("imu/a", STAMP, sample))).payload
    assert isinstance(received, ImuSample)
    assert struct.pack("<3d", *received.angular_velocity) == struct.pack("<3d", *sample.angular_velocity)
    assert received.linear_acceleration == sample.linear_acceleration
