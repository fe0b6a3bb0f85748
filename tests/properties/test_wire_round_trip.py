"""Any message of any topic comes back from its bytes exactly; any other bytes give BadInput and nothing else."""

from __future__ import annotations

import struct
import types
import typing
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.core.arrays import Payload, array_specs
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, Stamp
from pipeline.core.topics import TOPICS, Topic
from pipeline.core.wire import decode, digest, encode_bytes

INT64 = st.integers(-(2**63), 2**63 - 1)
STAMPS = st.builds(
    Stamp,
    sensor_ns=INT64,
    arrival_ns=INT64,
    time_ns=INT64,
    sigma_ns=INT64,
    sequence=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**32 - 1),
)
EVERY_TOPIC = pytest.mark.parametrize("row", TOPICS, ids=lambda row: row.pattern.replace("/*", ""))
FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a plain annotation as payloads use them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Payload):
        return payloads(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values, arguments))
    return {int: INT64, float: st.floats(), str: st.text(), bool: st.booleans(), type(None): st.none()}[hint]


@st.composite
def payloads(draw: st.DrawFn, kind: type[Payload]) -> Payload:
    """Any payload of this type: arrays of any content, sizes of one name alike."""
    hints, specs = typing.get_type_hints(kind), dict(array_specs(kind))
    names = {n for spec in specs.values() for n in spec.shape if isinstance(n, str)}
    sizes = {name: draw(st.integers(0, 3)) for name in sorted(names)}
    fields: dict[str, Any] = {}
    for field in kind.__struct_fields__:
        if field in specs:
            shape = tuple(sizes.get(n, n) for n in specs[field].shape)  # type: ignore[call-overload]
            fields[field] = draw(hnp.arrays(specs[field].dtype, shape, fill=st.nothing()))
        else:
            fields[field] = draw(values(hints[field]))
    return kind(**fields)


@st.composite
def messages(draw: st.DrawFn, row: Topic) -> Message:
    name = draw(st.text("abcdefghij_-0123456789", min_size=1, max_size=8))
    return Message(row.pattern.replace("*", name), draw(STAMPS), draw(payloads(row.payload)))


def same(one: Any, other: Any) -> bool:
    """Equal to the bit, NaN included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Payload):
        return all(same(getattr(one, f), getattr(other, f)) for f in one.__struct_fields__)
    return bool(one == other)


@EVERY_TOPIC
@FEW
@given(data=st.data())
def test_decode_undoes_encode(row: Topic, data: st.DataObject) -> None:
    sent = data.draw(messages(row))
    block = encode_bytes(sent)
    received = decode(sent.topic, block)
    assert received.topic == sent.topic
    assert received.stamp == sent.stamp
    assert same(received.payload, sent.payload)
    assert encode_bytes(received) == block
    assert digest(received) == digest(sent)


@EVERY_TOPIC
@FEW
@given(data=st.data())
def test_damaged_blocks_are_refused_or_decode_to_something_valid(row: Topic, data: st.DataObject) -> None:
    message = data.draw(messages(row))
    block = bytearray(encode_bytes(message))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(block)))
        width = data.draw(st.integers(0, 4))
        block[where : where + width] = data.draw(st.binary(max_size=4))
    if data.draw(st.booleans()):
        mend_checksum(block)  # so that the damage reaches the body's decoder
    decodes_or_bad_input(message.topic, bytes(block))


@FEW
@given(topic=st.text() | st.sampled_from([r.pattern.replace("*", "x") for r in TOPICS]), block=st.binary(max_size=300))
def test_random_bytes_are_refused(topic: str, block: bytes) -> None:
    with pytest.raises(BadInput):
        decode(topic, block)


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
ARRAY_LIKE = st.tuples(
    st.sampled_from(["point", "radar_point", "<f4", "|u1", "<i8", "O", ">f4"]) | ANY_VALUE,
    st.lists(st.integers(-2, 2**63), max_size=5) | ANY_VALUE,
    st.sampled_from([0, 64, 1, -1]) | ANY_VALUE,
)


@EVERY_TOPIC
@FEW
@given(data=st.data())
def test_bodies_of_anything_are_refused_or_decode_to_something_valid(row: Topic, data: st.DataObject) -> None:
    fields = st.fixed_dictionaries({}, optional=dict.fromkeys(row.payload.__struct_fields__, ARRAY_LIKE | ANY_VALUE))
    body = msgspec.msgpack.encode(data.draw(fields | ANY_VALUE))
    arrays = bytes(64 * data.draw(st.integers(0, 2)))
    head = struct.pack("<4s I I I Q q q q q Q I I", b"SYNC", 1, len(body), 0, len(arrays), 0, 0, 0, 0, 0, 0, 0)
    block = bytearray(head + body)
    block += bytes(-len(block) % 64) + arrays
    mend_checksum(block)
    decodes_or_bad_input(row.pattern.replace("*", "x"), bytes(block))


def mend_checksum(block: bytearray) -> None:
    if len(block) >= 72:
        (body_size,) = struct.unpack_from("<I", block, 8)
        struct.pack_into("<I", block, 12, zlib.crc32(block[72 : 72 + body_size], zlib.crc32(block[16:72])))


def decodes_or_bad_input(topic: str, block: bytes) -> None:
    try:
        received = decode(topic, block)
    except BadInput:
        return
    assert same(decode(topic, encode_bytes(received)).payload, received.payload)
