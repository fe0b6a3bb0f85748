"""The trained pillar network as an ONNX file that `fusion.detect.pillars` runs."""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path

import torch

from fusion.detect.pillar_grid import BLOCKS, CHANNELS
from fusion.detect.pillar_net import PillarNet
from fusion.training.onnx_file import without_origins


def export_onnx(net: PillarNet, path: Path) -> str:
    """Write ``net``; returns the file's SHA-256."""
    net = net.eval().cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():  # the exporter's own, about torch's internals
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, CHANNELS, BLOCKS, BLOCKS),),
            str(path),
            input_names=["occupied"],
            output_names=["grid"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    without_origins(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
