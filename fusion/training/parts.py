"""Training data on disk: a folder of `.npz` parts, each of which appears under its name only when it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import BadInput

_PARTIAL = ".partial.npz"


def part_names(folder: Path) -> list[Path]:
    """The parts of a folder, in order.

    Raises:
        BadInput: there is none.
    """
    parts = sorted(path for path in folder.glob("*.npz") if not path.name.endswith(_PARTIAL))
    if not parts:
        raise BadInput(folder, "parts", "at least one .npz", "none")
    return parts


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """One part, uncompressed."""
    partial = path.with_suffix(_PARTIAL)
    np.savez(partial, **arrays)
    partial.replace(path)
