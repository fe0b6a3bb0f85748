"""A tracker's state as bytes: msgpack with raw little-endian arrays, versioned, checked, never pickle."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np

from fusion.measurements import FloatArray
from fusion.per_sensor import PerSensor
from fusion.tracks import Tracks, no_tracks

_KIND = "syncline.tracker"
_VERSION = 4
_DTYPES = {"<f8", "<i8"}


class _RawArray(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class _Memory(msgspec.Struct, frozen=True, array_like=True):
    names: list[str]
    values: _RawArray


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    version: int
    next_id: int
    time_ns: int
    odom: int
    tracks: dict[str, _RawArray]
    sensors: _Memory
    visibility: _Memory
    pose: tuple[float, float, float]


class State(NamedTuple):
    """All of a tracker that changes. pose (3,): x, y, yaw of the vehicle."""

    tracks: Tracks
    sensors: PerSensor
    visibility: PerSensor
    next_id: int
    time_ns: int
    odom: int
    pose: FloatArray


def pack(state: State) -> bytes:
    tracks = {name: _raw(column) for name, column in vars(state.tracks).items()}
    sensors, visibility = (_Memory(m.names, _raw(m.values)) for m in (state.sensors, state.visibility))
    x, y, yaw = state.pose.tolist()
    return msgspec.msgpack.encode(
        _File(_KIND, _VERSION, state.next_id, state.time_ns, state.odom, tracks, sensors, visibility, (x, y, yaw))
    )


def unpack(snapshot: bytes, sensors: PerSensor, visibility: PerSensor, memory: int) -> State:
    """The state; what it remembers of the sensors is of the kinds of ``sensors`` and ``visibility``, left as they are,
    and of each track ``memory`` numbers.

    Raises:
        ValueError: the bytes are not a snapshot of this kind and version, or do not fit together.
    """
    try:
        file = msgspec.msgpack.decode(snapshot, type=_File)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a tracker snapshot: {error}") from error
    if (file.kind, file.version) != (_KIND, _VERSION):
        raise ValueError(f"expected a snapshot of {_KIND} version {_VERSION}, found {file.kind} {file.version}")
    pattern = vars(no_tracks(memory))
    if sorted(file.tracks) != sorted(pattern):
        raise ValueError(f"tracker snapshot: expected columns {tuple(pattern)}, found {tuple(file.tracks)}")
    found = {name: _array(raw) for name, raw in file.tracks.items()}
    for name, wanted in pattern.items():
        if found[name].dtype != wanted.dtype or found[name].shape != (len(found["id"]), *wanted.shape[1:]):
            raise ValueError(f"tracker snapshot: column {name} is {found[name].dtype} {found[name].shape}")
    return State(
        Tracks(**found),
        sensors.replaced(file.sensors.names, _array(file.sensors.values)),
        visibility.replaced(file.visibility.names, _array(file.visibility.values)),
        file.next_id,
        file.time_ns,
        file.odom,
        np.array(file.pose),
    )


def _raw(array: np.ndarray) -> _RawArray:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return _RawArray(little.dtype.str, array.shape, little.tobytes())


def _array(raw: _RawArray) -> np.ndarray:
    if raw.dtype not in _DTYPES or any(n < 0 for n in raw.shape) or math.prod(raw.shape) * 8 != len(raw.data):
        raise ValueError(f"tracker snapshot: an array of {raw.dtype} {raw.shape} in {len(raw.data)} bytes")
    return np.frombuffer(raw.data, raw.dtype).reshape(raw.shape).copy()
