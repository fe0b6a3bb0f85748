"""OpenVINO: the engine for x86 processors with instructions for INT8 (VNNI, AMX).

Compiling a network takes long beside running it once; what was compiled is kept as a plan (`plans.py`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fusion.engines.engine import Array, EngineSettings, Port, check_feed
from fusion.engines.onnx_notes import notes, precision
from fusion.engines.plans import PlanKey, Plans, this_processor
from pipeline.core.errors import BadInput

_ARITHMETIC = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVino:
    """Raises:
    BadInput: OpenVINO is not installed, not an ONNX model, or one with operators or arithmetic that it cannot run here.
    """

    def __init__(self, path: Path, settings: EngineSettings, plans: Plans | None = None) -> None:
        core, version = _core()
        able = {"FP32", *core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")}
        if settings.arithmetic.upper() not in able:
            raise BadInput(
                path, "arithmetic", f"one of this processor's: {', '.join(sorted(able))}", settings.arithmetic
            )
        options = {
            "INFERENCE_NUM_THREADS": settings.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _ARITHMETIC[settings.arithmetic],
            "ENABLE_CPU_PINNING": False,  # each process would pin its threads to the same cores
        }

        def build() -> bytes:
            plan = io.BytesIO()
            try:
                core.compile_model(str(path), "CPU", options).export_model(plan)
            except Exception as error:  # its errors share no other base
                raise BadInput(path, "file", "an ONNX model that OpenVINO can run", error) from error
            return plan.getvalue()

        key = PlanKey.of(path, "openvino", version, this_processor(), repr(sorted(options.items())))
        compiled = core.import_model((plans or Plans()).get(key, build), "CPU", options)
        self._path = path
        self._request = compiled.create_infer_request()
        self.inputs: Mapping[str, Port] = _ports(compiled.inputs)
        self.outputs: Mapping[str, Port] = _ports(compiled.outputs)
        self.metadata: Mapping[str, str] = notes(path)
        self.describe = f"OpenVINO {version}, {_precision(path, settings)}, threads {settings.threads}"

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        check_feed(self._path, self.inputs, feed)
        self._request.infer(dict(feed), share_inputs=True)
        return {name: np.array(self._request.get_output_tensor(k).data) for k, name in enumerate(self.outputs)}


def _precision(path: Path, settings: EngineSettings) -> str:
    return precision(path).replace("FP32", settings.arithmetic.upper())


@cache
def _core() -> tuple[Any, str]:
    """OpenVINO, once for the process since each costs a tenth of a second, and its version."""
    try:
        import openvino
    except ImportError as error:
        raise BadInput("openvino", "engine", "the package `openvino` to be installed", error) from error
    return openvino.Core(), openvino.__version__.partition("-")[0]


def _ports(entries: list[Any]) -> dict[str, Port]:
    return {
        entry.get_any_name(): Port(
            tuple(int(size.get_length()) if size.is_static else None for size in entry.get_partial_shape()),
            np.dtype(entry.get_element_type().to_dtype()),
        )
        for entry in entries
    }
