"""Reading files that others wrote: every size is checked before memory is taken, every fault is a `BadInput`."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import BadInput

T = TypeVar("T")

MAX_FILE_BYTES = 256 << 20


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The whole file.

    Raises:
        BadInput: missing, not readable, or larger than ``limit`` bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BadInput(path, "file", "a readable file", error.strerror or error) from error
    if len(data) > limit:
        raise BadInput(path, "file size", f"at most {limit} bytes", f"more than {limit}")
    return data


def read_text(path: Path, limit: int = 16 << 20) -> str:
    """The whole file as UTF-8. Raises BadInput as `read_bytes`, and where it is no text."""
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(path, "text", "UTF-8", error) from error


def read_json(path: Path, kind: type[T], limit: int = MAX_FILE_BYTES) -> T:
    """JSON checked against ``kind`` (a msgspec struct, or builtin containers of such).

    Raises:
        BadInput: not readable, too large, no JSON, or a field that is missing or of the wrong type.
    """
    try:
        return msgspec.json.decode(read_bytes(path, limit), type=kind)
    except msgspec.ValidationError as error:
        problem, _, field = str(error).partition(" - at ")
        raise BadInput(path, field.strip("`") or "$", f"a valid {kind}", problem) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(path, "file", "JSON", error) from error


def read_npz(
    path: Path,
    fields: Mapping[str, tuple[str, tuple[int | None, ...]]],
    limit: int = MAX_FILE_BYTES,
    same_length: bool = True,
) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a numpy .npz archive, without pickle and without believing its headers.

    Args:
        fields: name -> (dtype, shape); None in a shape is any size up to the limit.
        limit: bytes of any one array. same_length: all must be as long as each other.

    Returns:
        name -> array of that dtype and shape.

    Raises:
        BadInput: no archive, truncated, a field missing, of another dtype or shape, too large, or lengths differ.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name, (dtype, shape) in fields.items():
                if f"{name}.npy" not in archive.namelist():
                    raise BadInput(path, name, "an array of this name", ", ".join(archive.namelist())[:200])
                with archive.open(f"{name}.npy") as member:
                    arrays[name] = _read_npy(path, name, member, np.dtype(dtype), shape, limit)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(path, "file", "a whole .npz archive", error) from error
    lengths = {name: len(array) for name, array in arrays.items() if same_length}
    if len(set(lengths.values())) > 1:
        raise BadInput(path, "lengths", "as many of each field", lengths)
    return arrays


def _read_npy(
    path: Path, name: str, member: IO[bytes], dtype: np.dtype[Any], shape: tuple[int | None, ...], limit: int
) -> npt.NDArray[Any]:
    version = np.lib.format.read_magic(member)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found_shape, fortran, found_dtype = read_header(member)
    fits = len(found_shape) == len(shape) and all(w in (None, s) for w, s in zip(shape, found_shape, strict=False))
    if found_dtype != dtype or not fits:
        raise BadInput(path, name, f"{dtype} {shape}", f"{found_dtype} {found_shape}")
    size = math.prod(found_shape) * dtype.itemsize
    if size > limit:
        raise BadInput(path, name, f"at most {limit} bytes", size)
    data = member.read(size)
    if len(data) != size:
        raise BadInput(path, name, f"{size} bytes", f"{len(data)}: truncated")
    return np.frombuffer(data, dtype).reshape(found_shape, order="F" if fortran else "C")
