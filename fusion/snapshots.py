"""A tracker's state as bytes: msgpack with raw little-endian arrays, versioned, checked, never pickle."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import numpy as np

from fusion.kalman import FloatArray
from fusion.tracks import Tracks, no_tracks

_KIND = "syncline.tracker"
_VERSION = 1
_DTYPES = {"<f8", "<i8"}


class _RawArray(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    version: int
    next_id: int
    time_ns: int | None
    tracks: dict[str, _RawArray]
    factors: dict[str, _RawArray]
    looks: dict[str, _RawArray]


class State(msgspec.Struct, frozen=True):
    tracks: Tracks
    factors: dict[str, FloatArray]
    looks: dict[str, FloatArray]
    next_id: int
    time_ns: int | None


def pack(
    tracks: Tracks, factors: dict[str, FloatArray], looks: dict[str, FloatArray], next_id: int, time_ns: int | None
) -> bytes:
    columns = {field.name: _raw(getattr(tracks, field.name)) for field in dataclasses.fields(tracks)}
    named = [{name: _raw(array) for name, array in sorted(table.items())} for table in (factors, looks)]
    return msgspec.msgpack.encode(_File(_KIND, _VERSION, next_id, time_ns, columns, *named))


def unpack(snapshot: bytes) -> State:
    """Raises ValueError where the bytes are not a snapshot of this kind and version, or do not fit together."""
    try:
        file = msgspec.msgpack.decode(snapshot, type=_File)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a tracker snapshot: {error}") from error
    if (file.kind, file.version) != (_KIND, _VERSION):
        raise ValueError(f"expected a snapshot of {_KIND} version {_VERSION}, found {file.kind} {file.version}")
    pattern = no_tracks()
    names = [field.name for field in dataclasses.fields(pattern)]
    if sorted(file.tracks) != sorted(names):
        raise ValueError(f"tracker snapshot: expected columns {sorted(names)}, found {sorted(file.tracks)}")
    columns = {name: _array(raw) for name, raw in file.tracks.items()}
    rows = len(columns["id"])
    for name in names:
        wanted, found = getattr(pattern, name), columns[name]
        if found.dtype != wanted.dtype or found.shape != (rows, *wanted.shape[1:]):
            raise ValueError(f"tracker snapshot: column {name} is {found.dtype} {found.shape}")
    return State(
        Tracks(**columns),
        {name: _array(raw) for name, raw in file.factors.items()},
        {name: _array(raw) for name, raw in file.looks.items()},
        file.next_id,
        file.time_ns,
    )


def _raw(array: np.ndarray) -> _RawArray:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return _RawArray(little.dtype.str, array.shape, little.tobytes())


def _array(raw: _RawArray) -> np.ndarray:
    if raw.dtype not in _DTYPES or any(n < 0 for n in raw.shape) or math.prod(raw.shape) * 8 != len(raw.data):
        raise ValueError(f"tracker snapshot: an array of {raw.dtype} {raw.shape} in {len(raw.data)} bytes")
    return np.frombuffer(raw.data, raw.dtype).reshape(raw.shape).copy()
