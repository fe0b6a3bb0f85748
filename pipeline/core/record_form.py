"""A message as one record of a recording: exact for us, readable for others, with nothing large stored twice.

Two forms. A message that Foxglove can draw is Foxglove's own protobuf, followed by one more field that Foxglove does
not know and skips:

    Foxglove's fields | its large field, the image or the points | field OURS: header and body [arrays] footer

where header and body are `pipeline.core.wire`'s, the footer says where the arrays lie in the record (Foxglove's large
field, or behind our body), and is found from the record's end. Every other message is JSON, which Foxglove plots, with
arrays as [dtype, shape, base64] and numbers that JSON lacks as "nan", "inf", "-inf".
"""

from __future__ import annotations

import base64
import binascii
import functools
import math
import struct
from typing import Any, NamedTuple

import msgspec
import numpy as np

from pipeline.core import wire
from pipeline.core.arrays import Payload
from pipeline.core.errors import BadInput
from pipeline.core.foxglove_view import View, field_prefix, view
from pipeline.core.messages import Message, Stamp
from pipeline.core.topics import topic_row

OURS = 20260  # number of our protobuf field; Foxglove's schemas use small ones
MAX_JSON = 64 << 20
_FOOTER = struct.Struct("<Q I Q Q 4s")  # header and body: at, size; arrays: at, size; magic
_MAGIC = b"SYNF"


class Form(NamedTuple):
    """How a channel says what its records are: message encoding, schema name, schema encoding, schema."""

    encoding: str
    schema_name: str
    schema_encoding: str
    schema: bytes


def encode(message: Message) -> tuple[Form, list[wire.Buffer]]:
    """The record as parts in order. Large arrays are not copied: the parts are valid while the message lives."""
    seen = view(message)
    if seen is None:
        return json_form(type(message.payload)), [_to_json(message)]
    head, *arrays = wire.encode(message)
    return view_form(seen), list(_view_record(seen, head, arrays))


def view_form(seen: View) -> Form:
    return Form("protobuf", seen.schema.name, seen.schema.encoding, seen.schema.data)


@functools.cache
def json_form(kind: type[Payload]) -> Form:
    envelope = msgspec.defstruct("Recorded", [("stamp", Stamp), ("payload", kind)])
    schema = msgspec.json.schema(envelope, schema_hook=lambda _: {"type": "array"})
    definitions = schema["$defs"]
    inline = {**definitions.pop("Recorded"), "$defs": definitions}  # Foxglove wants an object at the top
    return Form("json", f"syncline.{kind.__name__}", "jsonschema", msgspec.json.encode(inline))


def _view_record(seen: View, head: wire.Buffer, arrays: list[wire.Buffer]) -> list[wire.Buffer]:
    parts: list[wire.Buffer] = [seen.head]
    at = len(seen.head)
    if seen.data_field:
        prefix = field_prefix(seen.data_field, seen.data.nbytes)
        parts += [prefix, seen.data]
        at += len(prefix)
        ours = field_prefix(OURS, len(head) + _FOOTER.size)
        head_at = at + seen.data.nbytes + len(ours)
        return [*parts, ours, head, _FOOTER.pack(head_at, len(head), at, seen.data.nbytes, _MAGIC)]
    size = sum(memoryview(part).nbytes for part in arrays)
    ours = field_prefix(OURS, len(head) + size + _FOOTER.size)
    head_at = at + len(ours)
    return [*parts, ours, head, *arrays, _FOOTER.pack(head_at, len(head), head_at + len(head), size, _MAGIC)]


def decode(topic: str, encoding: str, record: memoryview) -> Message:
    """The message of a record. Its arrays are a copy of their own, aligned, read-only.

    Raises:
        BadInput: not a record that `encode` wrote.
    """
    if encoding == "json":
        return _from_json(topic, record)
    if encoding != "protobuf":
        raise BadInput(topic, "message encoding", "protobuf or json", encoding)
    end = len(record) - _FOOTER.size
    if end < 0:
        raise BadInput(topic, "record", f"at least {_FOOTER.size} bytes", len(record))
    head_at, head_size, at, size, magic = _FOOTER.unpack_from(record, end)
    if magic != _MAGIC or head_at + head_size > end or at + size > end:
        raise BadInput(topic, "record footer", f"{_MAGIC!r} and parts within {end} bytes", (magic, head_at, at, size))
    return wire.decode(topic, record[head_at : head_at + head_size], bytes(record[at : at + size]))


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stamp: Stamp
    payload: msgspec.Raw


def _to_json(message: Message) -> bytes:
    payload: Any = message.payload
    body = _encode_json(payload)
    if b"null" in body:  # how msgspec writes what JSON lacks; a field that is None looks the same
        body = _encode_json(_spell_non_finite(msgspec.to_builtins(payload, enc_hook=_array_to_json)))
    stamp = msgspec.json.encode(message.stamp)
    return b'{"stamp":' + stamp + b',"payload":' + body + b"}"


def _encode_json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=_array_to_json)


def _array_to_json(array: Any) -> list[Any]:
    if not isinstance(array, np.ndarray):
        raise NotImplementedError(f"cannot encode {type(array)}")
    raw = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return [wire.dtype_code(array), list(array.shape), raw]


def _array_from_json(wanted: type, value: Any) -> np.ndarray:
    if wanted is not np.ndarray:
        raise NotImplementedError(f"cannot decode {wanted}")
    code, shape, raw = value
    return wire.read_array(memoryview(base64.b64decode(raw, validate=True)), [code, shape, 0])


def _spell_non_finite(value: Any) -> Any:
    """NaN and infinities as the text that a lax decoder turns back; of a NaN the sign is kept, other bits are not."""
    if isinstance(value, float) and not math.isfinite(value):
        sign = "-" if math.copysign(1.0, value) < 0 else ""
        return sign + ("nan" if math.isnan(value) else "inf")
    if isinstance(value, dict):
        return {key: _spell_non_finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spell_non_finite(item) for item in value]
    return value


def _from_json(topic: str, record: memoryview) -> Message:
    if len(record) > MAX_JSON:
        raise BadInput(topic, "record", f"at most {MAX_JSON} bytes of JSON", len(record))
    try:
        kind = topic_row(topic).payload
        envelope = msgspec.json.decode(record, type=_Envelope)
        payload = msgspec.json.decode(envelope.payload, type=kind, strict=False, dec_hook=_array_from_json)
    except KeyError as error:
        raise BadInput(topic, "topic", "a topic of the table", topic) from error
    except (msgspec.DecodeError, ValueError, TypeError, binascii.Error) as error:
        raise BadInput(topic, "record", "JSON of its payload", error) from error
    return Message(topic, envelope.stamp, payload)
