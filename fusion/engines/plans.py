"""Plans: what an engine made of a network for one device, kept so that the next start does not build it again.

A plan is only as good as its key: the network's hash, engine and version, device, options. The file's name is the key's
hash; the file begins with the hash of the plan itself. One that does not hold is built anew, never loaded: engines
trust their plans, and a foreign or damaged one crashes them or answers nonsense.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"SYNCPLAN1"
_DIGEST = 32
_MAX_BYTES = 1 << 30


class PlanKey(NamedTuple):
    """model: SHA-256 of the ONNX file. options: everything else that the engine was told."""

    model: str
    engine: str
    version: str
    device: str
    options: str

    @classmethod
    def of(cls, path: Path, engine: str, version: str, device: str, options: str) -> PlanKey:
        return cls(hashlib.sha256(path.read_bytes()).hexdigest(), engine, version, device, options)

    @property
    def digest(self) -> str:
        return hashlib.sha256("\0".join(self).encode()).hexdigest()


class Plans:
    """A folder of plans, by default in the user's cache. A folder that cannot be written to only costs the time."""

    def __init__(self, folder: Path | None = None) -> None:
        base = os.environ.get("XDG_CACHE_HOME")
        self.folder = folder or (Path(base) if base else Path.home() / ".cache") / "syncline" / "plans"

    def get(self, key: PlanKey, build: Callable[[], bytes]) -> bytes:
        """The plan of ``key``, built where there is none that holds. Raises what ``build`` raises."""
        path = self.folder / f"{key.engine}-{key.digest}.plan"
        plan = _read(path, key)
        if plan is None:
            plan = build()
            _write(path, key, plan)
        return plan


def this_processor() -> str:
    """The processor as far as it decides what a plan may hold: its kind, and its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return f"{platform.machine()} {hashlib.sha256(' '.join(sorted(set(told))).encode()).hexdigest()[:16]}"


def _read(path: Path, key: PlanKey) -> bytes | None:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    head, plan = data[: len(_MAGIC) + _DIGEST], data[len(_MAGIC) + _DIGEST :]
    return plan if head == _head(key, plan) else None


def _write(path: Path, key: PlanKey, plan: bytes) -> None:
    """Under its name only when it is whole; two processes that build the same plan do not meet."""
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            partial = Path(file.name)
            file.write(_head(key, plan))
            file.write(plan)
        partial.replace(path)
    except OSError:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _head(key: PlanKey, plan: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(key.digest.encode() + plan).digest()
