"""The trained heads as an ONNX file that `fusion.heads.heads` runs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import Dim

from fusion.heads.features import FEATURES
from fusion.heads.network import REMEMBERED, HeadsNetwork, HeadsOutput
from fusion.training.onnx_file import write_onnx


def export(net: HeadsNetwork, path: Path) -> str:
    """Write the heads for any number of tracks, but at least one; returns the file's SHA-256."""
    example = {"features": torch.zeros(5, len(FEATURES)), "memory": torch.zeros(5, REMEMBERED)}
    tracks = Dim("tracks", max=65536)
    return write_onnx(net, path, example, HeadsOutput._fields, {name: {0: tracks} for name in example})
