"""TensorRT: the engine for Jetson and other NVIDIA devices. Networks are strongly typed: the file says what is INT8 or
FP16, and nothing else decides.

Building takes minutes. The plan is kept (`plans.py`), and so are the timings of kernels, from which the next network's
build starts. Written after TensorRT's documentation for 10.x and 11.x; docs/engines.md says what of it was run.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from fusion.engines.engine import Arithmetic, Array, EngineSettings, Port, check_feed
from fusion.engines.onnx_notes import notes, precision
from fusion.engines.plans import PlanKey, Plans
from fusion.engines.tensorrt_support import check
from fusion.quantise.half import in_half
from pipeline.core.errors import BadInput

WORKSPACE_BYTES = 256 << 20
"""Scratch memory that a build may use: a Jetson's is shared with everything else on it."""
_ALWAYS_TYPED = 11  # from this version on all networks are strongly typed, and the flag is deprecated


class TensorRt:
    """Raises:
    BadInput: TensorRT or CUDA is not there, operators or types that TensorRT does not take, or inputs of open size.
    """

    def __init__(self, path: Path, settings: EngineSettings, plans: Plans | None = None) -> None:
        trt, cuda = _library("tensorrt", path), _library("torch", path).cuda
        if not cuda.is_available():
            raise BadInput(path, "engine", "a CUDA device that torch sees", "none")
        plans, arithmetic = plans or Plans(), settings.arithmetic
        device = f"{cuda.get_device_name()} {cuda.get_device_capability()}"
        key = PlanKey.of(path, "tensorrt", trt.__version__, device, f"workspace {WORKSPACE_BYTES} {arithmetic}")
        timings = plans.folder / f"timings-{_timings(trt, device)}.cache"
        plan = plans.get(key, lambda: build(trt, path, timings, arithmetic))
        self._engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(plan)
        if self._engine is None:
            raise BadInput(path, "plan", "one that TensorRT can load", "none")
        self._path, self._torch = path, _library("torch", path)
        self._context = self._engine.create_execution_context()
        self._stream = cuda.Stream()
        names = [self._engine.get_tensor_name(k) for k in range(self._engine.num_io_tensors)]
        of = {name: self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self.inputs: Mapping[str, Port] = {n: self._port(trt, n) for n in names if of[n]}
        self.outputs: Mapping[str, Port] = {n: self._port(trt, n) for n in names if not of[n]}
        self._held = {n: self._tensor(port) for n, port in (*self.inputs.items(), *self.outputs.items())}
        for name, tensor in self._held.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        self.metadata: Mapping[str, str] = notes(path)
        self.describe = f"TensorRT {trt.__version__}, {precision(path).replace('FP32', arithmetic.upper())}"

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        check_feed(self._path, self.inputs, feed)
        with self._torch.cuda.stream(self._stream):
            for name, array in feed.items():
                self._held[name].copy_(self._torch.from_numpy(np.ascontiguousarray(array)))
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise RuntimeError(f"{self._path}: TensorRT could not run the network")
            answers = {name: self._held[name].cpu() for name in self.outputs}
        self._stream.synchronize()
        return {name: np.array(answer.numpy()) for name, answer in answers.items()}

    def _port(self, trt: Any, name: str) -> Port:
        shape = tuple(int(size) for size in self._engine.get_tensor_shape(name))
        return Port(shape, np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))))

    def _tensor(self, port: Port) -> Any:
        return self._torch.from_numpy(np.zeros([size or 0 for size in port.shape], port.dtype)).cuda()


def build(trt: Any, path: Path, timings: Path, arithmetic: Arithmetic = "fp32") -> bytes:
    """The plan of the network in ``path``. timings: file of kernel timings, read where it is there and written anew.
    arithmetic: of what the file does not quantise; strong typing has no other way than to write it so.

    Raises:
        BadInput: the file is no network that TensorRT takes; what it says of it is in the message.
    """
    data = path.read_bytes()
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's errors share no other base
        raise BadInput(path, "file", "an ONNX model", error) from error
    if arithmetic != "fp32":
        model = in_half(model, arithmetic, path)
        data = model.SerializeToString()
    check(model, path)
    for value in model.graph.input:
        if any(not size.dim_value for size in value.type.tensor_type.shape.dim):
            raise BadInput(path, f"input {value.name}", "a fixed size", "a size that is open")
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(creation_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data):
        told = "; ".join(str(parser.get_error(k)) for k in range(parser.num_errors))
        raise BadInput(path, "file", "a network that TensorRT can read", told)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    before = timings.read_bytes() if timings.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(before), False) and before:
        config.set_timing_cache(config.create_timing_cache(b""), False)  # of another device or version
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BadInput(path, "file", "a network that TensorRT can build", "no plan")
    try:
        timings.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        timings.write_bytes(bytes(config.get_timing_cache().serialize()))
    except OSError:
        pass  # the next build takes longer
    return bytes(plan)


def creation_flags(trt: Any) -> int:
    """Strong typing, which 10.x has to be asked for and 11.x always has."""
    if int(trt.__version__.split(".")[0]) >= _ALWAYS_TYPED:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _timings(trt: Any, device: str) -> str:
    return PlanKey("", "tensorrt", trt.__version__, device, "timings").digest[:16]


def _library(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInput(path, "engine", f"the package `{name}` to be installed", error) from error
