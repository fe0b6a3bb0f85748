"""What an ONNX file says of itself, for engines that do not pass it on."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnx

from pipeline.core.errors import BadInput


@cache
def notes(path: Path) -> dict[str, str]:
    """The metadata of the file.

    Raises:
        BadInput: not an ONNX file.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's errors share no other base
        raise BadInput(path, "file", "an ONNX model", error) from error
    return {entry.key: entry.value for entry in model.metadata_props}
