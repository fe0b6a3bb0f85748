"""Camera files as they are: the size is read from the header and the end is checked, the pixels stay encoded.

Beside it the check of a data set's camera matrix, which every reader needs.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from statistics import mode
from typing import Literal

import numpy as np
import numpy.typing as npt

from calibration.camera import Pinhole
from pipeline.core.bounded import read_bytes
from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage

MAX_IMAGE_BYTES = 64 << 20
MAX_SIDE = 32_768

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xae\x42\x60\x82"
_JPEG_END = b"\xff\xd9"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_form(data: bytes, source: object) -> tuple[Literal["jpeg", "png"], int, int]:
    """(encoding, width, height) of an encoded image, from its header.

    Raises:
        BadInput: neither JPEG nor PNG, cut off before its end mark, or of no sensible size.
    """
    encoding, width, height = _form(data, source)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BadInput(source, "image size", f"1 to {MAX_SIDE} pixels", f"{width} x {height}")
    return encoding, width, height


def camera_image(data: bytes, source: object, *, width: int, height: int) -> CameraImage:
    """The encoded bytes as a message.

    Raises:
        BadInput: no whole JPEG or PNG of ``width`` x ``height``.
    """
    encoding, found_width, found_height = image_form(data, source)
    if (found_width, found_height) != (width, height):
        raise BadInput(source, "image size", f"{width} x {height}", f"{found_width} x {found_height}")
    return CameraImage(height=height, width=width, encoding=encoding, data=np.frombuffer(data, np.uint8))


def load_image(path: Path, width: int, height: int) -> CameraImage:
    """`camera_image` of a file; raises BadInput also where it is missing or larger than 64 MiB."""
    return camera_image(read_bytes(path, MAX_IMAGE_BYTES), path, width=width, height=height)


def usual_image_size(paths: list[Path], source: object) -> tuple[int, int]:
    """(width, height) that most of the first five readable files have: the others must have it too.

    Raises:
        BadInput: none can be read.
    """
    sizes: list[tuple[int, int]] = []
    for path in paths:
        with contextlib.suppress(BadInput):  # counted when it is its turn to be read
            sizes.append(image_form(read_bytes(path, MAX_IMAGE_BYTES), path)[1:])
        if len(sizes) == 5:
            break
    if not sizes:
        raise BadInput(source, "images", "at least one readable JPEG or PNG", f"none of {len(paths)}")
    return mode(sizes)


def pinhole(matrix: npt.ArrayLike, source: object, field: str) -> Pinhole:
    """A camera without distortion from its matrix (3, 3).

    Raises:
        BadInput: another shape, numbers that are not finite, or focal lengths that are not positive.
    """
    k = np.asarray(matrix, dtype=np.float64)
    if k.shape != (3, 3):
        raise BadInput(source, field, "a 3x3 matrix", f"shape {k.shape}")
    try:
        return Pinhole(fx=float(k[0, 0]), fy=float(k[1, 1]), cx=float(k[0, 2]), cy=float(k[1, 2]))
    except ValueError as error:
        raise BadInput(source, field, "finite numbers, focal lengths > 0", error) from error


def _form(data: bytes, source: object) -> tuple[Literal["jpeg", "png"], int, int]:
    if data[:8] == _PNG_START and data[12:16] == b"IHDR" and len(data) >= 24:
        if _PNG_END not in data[-64:]:
            raise BadInput(source, "image", "a whole PNG", f"no end mark in {len(data)} bytes: truncated")
        return "png", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] == b"\xff\xd8":
        width, height = _jpeg_size(data, source)
        if _JPEG_END not in data[-64:]:
            raise BadInput(source, "image", "a whole JPEG", f"no end mark in {len(data)} bytes: truncated")
        return "jpeg", width, height
    raise BadInput(source, "image", "JPEG or PNG", f"bytes {data[:8].hex(' ') or 'none'}")


def _jpeg_size(data: bytes, source: object) -> tuple[int, int]:
    """Walk the segments to the start of frame (ITU-T T.81, B.1.1 and B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    raise BadInput(source, "image", "a JPEG with a start of frame", f"none in {len(data)} bytes")
