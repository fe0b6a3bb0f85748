"""Any message of any topic comes back from a recording exactly as it went in."""

from __future__ import annotations

import math
import tempfile
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibration.rig import Rig
from pipeline.core import messages as m
from pipeline.core.arrays import Payload, array_specs
from pipeline.core.messages import Message, Stamp
from pipeline.core.recording import RecordingReader, RecordingWriter
from pipeline.core.settings import to_yaml
from pipeline.core.topics import TOPICS
from pipeline.core.wire import digest

INT64 = st.integers(-(2**63), 2**63 - 1)
STAMPS = st.builds(
    Stamp,
    sensor_ns=INT64,
    arrival_ns=INT64,
    time_ns=INT64,
    sigma_ns=INT64,
    sequence=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 2**32 - 1),
)
FLOATS = st.floats(allow_nan=False) | st.sampled_from([float("nan"), -float("nan")])  # other NaN bits: see record_form
NAMES = st.text("abcdefghij_0123456789", min_size=1, max_size=8)


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a plain annotation as payloads use them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Payload):
        return payloads(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(of_type(a) for a in arguments))
    if origin is dict:
        return st.dictionaries(of_type(arguments[0]), of_type(arguments[1]), max_size=3)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(of_type(a) for a in arguments))
    return {int: INT64, float: FLOATS, str: st.text(max_size=20), bool: st.booleans(), type(None): st.none()}[hint]


@st.composite
def payloads(draw: st.DrawFn, kind: type[Payload]) -> Payload:
    """A payload with named array sizes that agree."""
    hints = typing.get_type_hints(kind)
    specs = dict(array_specs(kind))
    sizes: dict[str, int] = {}
    values: dict[str, Any] = {}
    for field in kind.__struct_fields__:
        if field in specs:
            for name in specs[field].shape:
                if isinstance(name, str) and name not in sizes:
                    sizes[name] = draw(st.integers(0, 4))
            shape = tuple(n if isinstance(n, int) else sizes[n] for n in specs[field].shape)
            size = math.prod(shape) * specs[field].dtype.itemsize
            raw = np.random.default_rng(draw(st.integers(0, 255))).bytes(size)  # any bits: NaN of every kind included
            values[field] = np.frombuffer(raw, specs[field].dtype).reshape(shape)
        else:
            values[field] = draw(of_type(hints[field]))
    return kind(**values)


def info() -> Message:
    stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)
    fields = {name: "" for name, hint in typing.get_type_hints(m.RunInfo).items() if hint is str}
    payload = msgspec.convert({**fields, "rig_yaml": to_yaml(Rig(vehicle="none", sensors=()))}, m.RunInfo)
    return Message("run/info", stamp, payload)


@pytest.mark.parametrize("row", [r for r in TOPICS if r.payload is not m.RunInfo], ids=lambda r: r.payload.__name__)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_payload_comes_back_exactly(row: Any, data: st.DataObject) -> None:
    topic = row.pattern.replace("*", data.draw(NAMES))
    sent = Message(topic, data.draw(STAMPS), data.draw(payloads(row.payload)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.mcap"
        with RecordingWriter(path, info()) as writer:
            writer.write(sent)
        with RecordingReader(path, strict=True) as reader:
            [received] = reader.messages([topic])
    assert received.stamp == sent.stamp
    assert digest(received) == digest(sent)
