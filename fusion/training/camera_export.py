"""The trained camera network as an ONNX file that `fusion.detect.centre_points` runs."""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path

import torch

from fusion.detect.centre_net import DEEPEST, CentreNet
from fusion.training.onnx_file import without_origins


def export_onnx(net: CentreNet, path: Path, height: int, width: int) -> str:
    """Write ``net`` for images of ``height`` x ``width``; returns the file's SHA-256.

    Raises:
        ValueError: a side that is no multiple of 32.
    """
    if height % DEEPEST or width % DEEPEST:
        raise ValueError(f"height, width: expected multiples of {DEEPEST}, got {height}, {width}")
    net = net.eval().cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():  # the exporter's own, about torch's internals
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, height, width),),
            str(path),
            input_names=["image"],
            output_names=["grid"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    without_origins(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
