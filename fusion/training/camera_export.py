"""The trained camera network as an ONNX file that `fusion.detect.centre_points` runs."""

from __future__ import annotations

from pathlib import Path

import torch

from fusion.detect.centre_net import DEEPEST, CentreNet
from fusion.training.onnx_file import write_onnx


def export_onnx(net: CentreNet, path: Path, height: int, width: int) -> str:
    """Write ``net`` for images of ``height`` x ``width``; returns the file's SHA-256.

    Raises:
        ValueError: a side that is no multiple of 32.
    """
    if height % DEEPEST or width % DEEPEST:
        raise ValueError(f"height, width: expected multiples of {DEEPEST}, got {height}, {width}")
    return write_onnx(net, path, {"image": torch.zeros(1, 3, height, width)}, ["grid"])
