"""Messages as bytes: a fixed binary header, a small strict body, then raw array buffers, 64-byte aligned.

    header  72 bytes   magic, version, sizes, CRC of header and body, the stamp
    body    msgpack    the payload; each array replaced by [dtype, shape, offset]
    arrays  raw        little endian, C order; offsets count from the start of this section

Decoding copies nothing: arrays are read-only views into the received buffer. Every size is checked against a bound and
against the buffer before it is used; nothing here can execute what it reads.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from typing import Any

import msgspec
import numpy as np

from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT, RADAR_POINT, Message, Stamp
from pipeline.core.topics import topic_row

VERSION = 1
ALIGN = 64
MAX_BODY = 1 << 20
MAX_ARRAYS = 256 << 20  # bytes of all arrays of one message
_MAGIC = b"SYNC"
# magic, version, body size, crc32, arrays size, sensor_ns, arrival_ns, time_ns, sigma_ns, sequence, epoch, spare
_HEADER = struct.Struct("<4s I I I Q q q q q Q I I")
HEADER_SIZE = _HEADER.size
_STAMP_AT = 16  # the CRC covers everything after itself

_DTYPES = {np.dtype(code).str: np.dtype(code) for code in ("u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f4", "<f8")}
_NAMED = {"point": POINT, "radar_point": RADAR_POINT}
_NAME_OF = {dtype: name for name, dtype in _NAMED.items()}

Buffer = bytes | bytearray | memoryview


def encode(message: Message) -> list[Buffer]:
    """The parts of a message in order: header and body as one, then each array (and padding) as raw memory.

    The arrays are not copied: the returned views are valid while the message lives.

    Raises:
        ValueError: larger than can be received, a payload that is not the topic's, a stamp out of range.
        KeyError: a topic that the topics table does not have.
    """
    if type(message.payload) is not (kind := topic_row(message.topic).payload):
        raise ValueError(f"{message.topic}: expected {kind.__name__}, found {type(message.payload).__name__}")
    parts: list[Buffer] = []
    size = 0

    def take(array: Any) -> list[Any]:
        nonlocal size
        if not isinstance(array, np.ndarray):
            raise NotImplementedError(f"cannot encode {type(array)}")
        offset = size
        raw = np.frombuffer(np.ascontiguousarray(array), np.uint8).data if array.size else memoryview(b"")
        padding = -raw.nbytes % ALIGN
        parts.append(raw)
        if padding:
            parts.append(bytes(padding))
        size += raw.nbytes + padding
        return [dtype_code(array), list(array.shape), offset]

    body = msgspec.msgpack.Encoder(enc_hook=take).encode(message.payload)
    if len(body) > MAX_BODY or size > MAX_ARRAYS:
        raise ValueError(f"{message.topic}: message too large: body {len(body)}, arrays {size} bytes")
    stamp = message.stamp
    fields = (size, stamp.sensor_ns, stamp.arrival_ns, stamp.time_ns, stamp.sigma_ns, stamp.sequence, stamp.epoch, 0)
    try:
        head = bytearray(_HEADER.pack(_MAGIC, VERSION, len(body), 0, *fields))
    except struct.error as error:
        raise ValueError(f"{message.topic}: {stamp}: {error}") from error
    struct.pack_into("<I", head, 12, zlib.crc32(body, zlib.crc32(memoryview(head)[_STAMP_AT:])))
    head += body
    head += bytes(-len(head) % ALIGN)
    return [head, *parts]


def encode_bytes(message: Message) -> bytes:
    """`encode`, joined into one block."""
    return b"".join(encode(message))


def digest(message: Message) -> str:
    """Hex hash of topic, time_ns and payload: equal exactly when two runs said the same, whenever they said it."""
    body = hashlib.blake2b(f"{message.topic} {message.stamp.time_ns} ".encode(), digest_size=16)
    for part in encode(
        Message(message.topic, Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0), message.payload)
    ):
        body.update(part)
    return body.hexdigest()


def decode(topic: str, data: Buffer, arrays: Buffer | None = None) -> Message:
    """A message from one block as `encode_bytes` makes it. Arrays are read-only views into ``data``.

    arrays: the section of arrays, where it is kept apart from header and body (a recording keeps it where other tools
    read it; the padding after its last array may be missing).

    Raises:
        BadInput: unknown topic, wrong magic, version or checksum, a size beyond its bound or the block, a field that
            does not fit the payload's type.
    """
    try:
        kind = topic_row(topic).payload
    except KeyError as error:
        raise BadInput(topic, "topic", "a topic of the table", topic) from error
    view = memoryview(data).toreadonly().cast("B")
    if len(view) < HEADER_SIZE:
        raise BadInput(topic, "header", f"at least {HEADER_SIZE} bytes", len(view))
    magic, version, body_size, crc, arrays_size, sensor, arrival, time, sigma, sequence, epoch, _ = _HEADER.unpack_from(
        view
    )
    if magic != _MAGIC or version != VERSION:
        raise BadInput(topic, "header", f"magic {_MAGIC!r} version {VERSION}", f"{magic!r} version {version}")
    start = HEADER_SIZE + body_size
    start += -start % ALIGN
    apart = memoryview(arrays).toreadonly().cast("B") if arrays is not None else None
    fits = len(view) == start + arrays_size if apart is None else len(view) >= HEADER_SIZE + body_size
    if body_size > MAX_BODY or arrays_size > MAX_ARRAYS or not fits:
        raise BadInput(topic, "sizes", f"body and arrays of {len(view)} bytes", f"{body_size} + {arrays_size}")
    body = view[HEADER_SIZE : HEADER_SIZE + body_size]
    if zlib.crc32(body, zlib.crc32(view[_STAMP_AT:HEADER_SIZE])) != crc:
        raise BadInput(topic, "checksum", f"{crc:#010x}", "another")
    section = view[start : start + arrays_size] if apart is None else apart[:arrays_size]

    def give(wanted: type, value: Any) -> Any:
        if wanted is not np.ndarray:
            raise NotImplementedError(f"cannot decode {wanted}")
        return read_array(section, value)

    try:
        payload = msgspec.msgpack.Decoder(kind, dec_hook=give).decode(body)
        stamp = Stamp(
            sensor_ns=sensor, arrival_ns=arrival, time_ns=time, sigma_ns=sigma, sequence=sequence, epoch=epoch
        )
    except (msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        problem, _, field = str(error).partition(" - at ")
        raise BadInput(topic, field.strip("`") or "body", f"a valid {kind.__name__}", problem) from error
    return Message(topic, stamp, payload)


def dtype_code(array: np.ndarray) -> str:
    """How an array's dtype is named in a body."""
    return _NAME_OF.get(array.dtype) or array.dtype.str


def read_array(arrays: memoryview, value: Any) -> np.ndarray:
    """Array from its [dtype, shape, offset] in ``arrays``; every number is checked before memory is touched.

    Raises:
        ValueError, TypeError: the three are not what `encode` writes, or leave ``arrays``.
    """
    code, shape, offset = value
    dtype = _NAMED.get(code) or _DTYPES.get(code)
    if dtype is None:
        raise ValueError(f"array dtype {code!r} is not one of {sorted(_DTYPES) + sorted(_NAMED)}")
    if not (isinstance(shape, list) and len(shape) <= 4 and all(isinstance(n, int) and n >= 0 for n in shape)):
        raise ValueError(f"array shape {shape!r} is not up to four sizes")
    count = math.prod(shape)
    if not isinstance(offset, int) or offset < 0 or offset % ALIGN or offset + count * dtype.itemsize > len(arrays):
        raise ValueError(f"array of {count} x {dtype.itemsize} bytes at {offset} leaves the {len(arrays)} bytes sent")
    return np.frombuffer(arrays, dtype, count, offset).reshape(shape)
