"""Weights to begin with: the network answers as the file that they come from, in evaluation and in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from fusion.detect.centre_net import CentreNet
from fusion.training.camera_export import export_onnx
from fusion.training.start import start_from
from pipeline.core.errors import BadInput


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose normalisations have seen something."""
    torch.manual_seed(3)
    net = CentreNet(10, 8).train()
    for _ in range(3):
        net(255.0 * torch.rand(4, 3, 64, 96))
    path = tmp_path_factory.mktemp("weights") / "net.onnx"
    export_onnx(net, path, 64, 96)
    return path


def test_answers_as_the_file_does(trained: Path) -> None:
    torch.manual_seed(4)
    batch = 255.0 * torch.rand(4, 3, 64, 96)
    session = onnxruntime.InferenceSession(str(trained), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"image": image[None].numpy()})[0] for image in batch])
    net = CentreNet(10, 8)
    net.load_state_dict(start_from(CentreNet(10, 8), trained, batch))
    for mode in (net.eval(), net.train()):
        with torch.no_grad():
            assert np.abs(mode(batch).numpy() - wanted).max() < 2e-3


def test_another_network_is_refused_by_name_of_the_layer(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"stem.0.0.weight"):
        start_from(CentreNet(10, 16), trained, torch.zeros(1, 3, 64, 96))
    (tmp_path / "no.onnx").write_bytes(b"no network")
    with pytest.raises(BadInput, match="ONNX"):
        start_from(CentreNet(10, 8), tmp_path / "no.onnx", torch.zeros(1, 3, 64, 96))
