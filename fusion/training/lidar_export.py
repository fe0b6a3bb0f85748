"""The trained pillar network as an ONNX file that `fusion.detect.pillars` runs."""

from __future__ import annotations

from pathlib import Path

import torch

from fusion.detect.pillar_grid import BLOCKS, CHANNELS
from fusion.detect.pillar_net import PillarNet
from fusion.training.onnx_file import write_onnx


def export_onnx(net: PillarNet, path: Path) -> str:
    """Write ``net``; returns the file's SHA-256."""
    return write_onnx(net, path, {"occupied": torch.zeros(1, CHANNELS, BLOCKS, BLOCKS)}, ["grid"])
