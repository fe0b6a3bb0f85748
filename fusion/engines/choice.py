"""Which form of a network to run on this machine, and on which engine, where the settings leave it open.

As the machine's profile says, where `syncline tune` made one (`profile.py`). Else in 8 bits on OpenVINO where the
processor multiplies them, OpenVINO is installed, and the weights ship with an 8-bit form; docs/engines.md says what it
costs the tracks. In float on ONNX Runtime otherwise.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from functools import cache
from pathlib import Path

import msgspec

from fusion.detect.weights import is_known, resolve, shipped
from fusion.engines.engine import EngineSettings
from fusion.engines.onnx_notes import precision
from fusion.engines.profile import this_profile

FLOAT_VARIABLE = "SYNCLINE_FLOAT"
"""Set to anything, `auto` is float on ONNX Runtime, which is the same on every machine."""
EIGHT_BITS = "_int8"
"""What the name of the 8-bit form adds to the weights' own."""

_VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")


@cache
def multiplies_8_bits() -> bool:
    """Whether this is an x86 processor with instructions that sum products of 8-bit numbers."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return any(name in flags for name in _VNNI)


def has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def best_for_8_bits() -> EngineSettings:
    """What runs Q/DQ graphs fastest here: OpenVINO on x86 where it is installed."""
    return EngineSettings(name="openvino" if has_openvino() else "onnxruntime")


def chosen(weights: str, settings: EngineSettings, folder: Path | None = None) -> tuple[Path, EngineSettings]:
    """The file to run and on what. weights: a name that `fusion.detect.weights` knows, or the path of an ONNX file.

    Raises:
        BadInput: weights that are not there.
    """
    path = resolve(weights, folder) if is_known(weights) else Path(weights)
    if settings.name != "auto":
        return path, settings
    if os.environ.get(FLOAT_VARIABLE):
        return path, msgspec.structs.replace(settings, name="onnxruntime")
    profile = this_profile()
    if profile is not None and weights in profile.networks:
        tuned = profile.networks[weights]
        return resolve(tuned.weights), tuned.engine
    eight = f"{weights}{EIGHT_BITS}"
    if eight in shipped() and multiplies_8_bits() and has_openvino():
        return resolve(eight), msgspec.structs.replace(settings, name="openvino")
    return path, msgspec.structs.replace(settings, name="onnxruntime")


def described(path: Path, settings: EngineSettings) -> str:
    """A network and what runs it, for reports: file, precision, engine and its version."""
    package = {"onnxruntime": "onnxruntime", "openvino": "openvino", "tensorrt": "tensorrt", "torch": "torch"}
    try:
        version = f" {importlib.metadata.version(package[settings.name])}" if settings.name in package else ""
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return f"{path.stem}: {precision(path)} on {settings.name}{version}, threads {settings.threads}"
