"""Which engine a network is opened with."""

from __future__ import annotations

from pathlib import Path

from fusion.engines.engine import Engine, EngineSettings
from fusion.engines.onnx_runtime import OnnxRuntime
from fusion.engines.openvino import OpenVino
from fusion.engines.tensorrt import TensorRt
from fusion.engines.torch_engine import Torch
from pipeline.core.errors import BadInput


def open_engine(path: Path, settings: EngineSettings | None = None) -> Engine:
    """The network of an ONNX file, ready to run.

    Raises:
        BadInput: no ONNX file, an operator that the engine does not have, or an engine that is not installed.
    """
    settings = settings or EngineSettings()
    if not path.is_file():
        raise BadInput(path, "file", "an ONNX model", "no such file")
    match settings.name:
        case "openvino":
            return OpenVino(path, settings)
        case "tensorrt":
            return TensorRt(path, settings)
        case "torch":
            return Torch(path, settings)
        case _:
            return OnnxRuntime(path, settings)
