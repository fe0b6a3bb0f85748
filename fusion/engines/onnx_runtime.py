"""ONNX Runtime on the processor: runs everywhere, and is what results are held against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from fusion.engines.engine import Array, EngineSettings, Port, check_feed
from fusion.engines.onnx_notes import precision
from pipeline.core.errors import BadInput

_DTYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(bool)": np.bool_,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
}  # fmt: skip


class OnnxRuntime:
    """Raises:
    BadInput: not an ONNX model, one that ONNX Runtime cannot run, or arithmetic other than fp32.
    """

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        if settings.arithmetic != "fp32":
            expected = "fp32: ONNX Runtime computes as the file says; write the file in other arithmetic instead"
            raise BadInput(path, "arithmetic", expected, settings.arithmetic)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # what it warns of, such as nodes it folds away, is not for our users
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting must not cost a core
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no other base
            raise BadInput(path, "file", "an ONNX model that ONNX Runtime can run", error) from error
        self._path = path
        self.inputs: Mapping[str, Port] = _ports(path, self._session.get_inputs())
        self.outputs: Mapping[str, Port] = _ports(path, self._session.get_outputs())
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.describe = f"ONNX Runtime {onnxruntime.__version__}, {precision(path)}, threads {settings.threads}"
        self._names = list(self.outputs)

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        check_feed(self._path, self.inputs, feed)
        answers = self._session.run(self._names, dict(feed))
        return {name: np.asarray(answer) for name, answer in zip(self._names, answers, strict=True)}


def _ports(path: Path, entries: list[onnxruntime.NodeArg]) -> dict[str, Port]:
    ports = {}
    for entry in entries:
        if entry.type not in _DTYPES:
            raise BadInput(path, entry.name, f"one of {', '.join(_DTYPES)}", entry.type)
        shape = tuple(size if isinstance(size, int) else None for size in entry.shape)
        ports[entry.name] = Port(shape, np.dtype(_DTYPES[entry.type]))
    return ports
