"""Point Cloud Library files (.pcd), binary or text, in memory: header checked, then one structured array."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import BadInput

_MAX_HEADER_BYTES = 4096
_MAX_POINTS = 50_000_000
_KINDS = {"F": "f", "I": "i", "U": "u"}
_SIZES = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}


def read_pcd(data: bytes, source: object) -> npt.NDArray[Any]:
    """(N,) structured array with the file's own field names and types.

    Raises:
        BadInput: no PCD header, a field of unknown type, data compressed, or truncated.
    """
    header, body = _split(data, source)
    names, sizes, kinds = (header.get(key, []) for key in ("FIELDS", "SIZE", "TYPE"))
    counts = header.get("COUNT", ["1"] * len(names))
    if not names or len({len(names), len(sizes), len(kinds), len(counts)}) != 1 or len(set(names)) != len(names):
        raise BadInput(source, "FIELDS", "as many different names as SIZE, TYPE and COUNT", header)
    if set(counts) != {"1"} or any(int_of(s) not in _SIZES.get(k, ()) for k, s in zip(kinds, sizes, strict=True)):
        raise BadInput(source, "TYPE", "F, I or U of 1 to 8 bytes, COUNT 1", f"{kinds} {sizes} {counts}")
    if header.get("DATA") not in (["binary"], ["ascii"]):
        raise BadInput(source, "DATA", "binary or ascii", header.get("DATA"))
    dtype = np.dtype([(n, f"<{_KINDS[k]}{s}") for n, k, s in zip(names, kinds, sizes, strict=True)])
    count = int_of(*header.get("POINTS", []))
    if not 0 <= count <= _MAX_POINTS:
        raise BadInput(source, "POINTS", f"0 to {_MAX_POINTS}", header.get("POINTS"))
    if header["DATA"] == ["ascii"]:
        return _from_text(body, dtype, count, source)
    if len(body) < count * dtype.itemsize:
        raise BadInput(source, "data", f"{count * dtype.itemsize} bytes", f"{len(body)}: truncated")
    return np.frombuffer(body, dtype, count)


def _from_text(body: bytes, dtype: np.dtype[Any], count: int, source: object) -> npt.NDArray[Any]:
    try:
        points = np.loadtxt(io.StringIO(body.decode("latin-1")), dtype, max_rows=count, ndmin=1)
    except ValueError as error:
        raise BadInput(source, "data", f"{len(dtype.names or ())} numbers a line", error) from error
    if len(points) != count:
        raise BadInput(source, "data", f"{count} lines", f"{len(points)}: truncated")
    return np.asarray(points)


def int_of(*words: str) -> int:
    """The one word as a number; -1 where there is none."""
    return int(words[0]) if len(words) == 1 and words[0].isascii() and words[0].isdigit() else -1


def _split(data: bytes, source: object) -> tuple[dict[str, list[str]], bytes]:
    header: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in header:
        end = data.find(b"\n", at, _MAX_HEADER_BYTES)
        if end < 0:
            raise BadInput(source, "header", f"a line DATA within {_MAX_HEADER_BYTES} bytes", data[:32])
        words = data[at:end].decode("latin-1").split()
        if words:
            header[words[0]] = words[1:]
        at = end + 1
    return header, data[at:]
