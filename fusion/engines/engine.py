"""One interface to whatever runs a network, so that a detector does not know which engine answers it.

A network is an ONNX file. What is quantised in it is said by the file itself (Q/DQ nodes); the settings say which
engine runs it and in which arithmetic the rest is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings

Array = npt.NDArray[Any]
EngineName = Literal["auto", "onnxruntime", "openvino", "tensorrt", "torch"]
Arithmetic = Literal["fp32", "bf16", "fp16"]


class EngineSettings(Settings, frozen=True):
    """name: which engine; auto: what `fusion.engines.choice` finds best here. threads: for one inference; 1 by default,
    so that two networks on two cores do not fight. arithmetic: of what the file does not quantise. Engines refuse what
    they cannot do; they never fall back in silence.
    """

    name: EngineName = "onnxruntime"
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    arithmetic: Arithmetic = "fp32"


class Port(NamedTuple):
    """An input or output. shape: None where any length will do."""

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


class Engine(Protocol):
    """A network that is ready to run. One thread uses it.

    metadata: what the ONNX file says of itself. describe: engine, version, precision, for reports.
    """

    @property
    def inputs(self) -> Mapping[str, Port]: ...

    @property
    def outputs(self) -> Mapping[str, Port]: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def describe(self) -> str: ...

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Answers by the name of the output; they are the caller's to keep.

        Raises:
            BadInput: an input is missing or unknown, or has another type or shape than the network's.
        """
        ...


def check_feed(source: object, inputs: Mapping[str, Port], feed: Mapping[str, Array]) -> None:
    """Raises BadInput where ``feed`` is not what ``inputs`` want; runtimes say so late, or read past the end."""
    if feed.keys() != inputs.keys():
        raise BadInput(source, "inputs", ", ".join(sorted(inputs)), ", ".join(sorted(feed)) or "none")
    for name, port in inputs.items():
        array = feed[name]
        fits = len(array.shape) == len(port.shape) and all(
            wanted in (None, got) for wanted, got in zip(port.shape, array.shape, strict=True)
        )
        if array.dtype != port.dtype or not fits:
            wanted = f"{port.dtype} {tuple('any' if n is None else n for n in port.shape)}"
            raise BadInput(source, f"input {name}", wanted, f"{array.dtype} {array.shape}")
