"""Where the checkout's own files are, and how a name on the command line becomes one of them."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"


def config_file(kind: str, name: str) -> Path:
    """``name`` as a path, or `configs/<kind>/<name>.yaml`.

    Raises:
        BadInput: neither exists; the message lists what does.
    """
    as_path = Path(name)
    if as_path.suffix == ".yaml" and as_path.is_file():
        return as_path
    inside = CONFIGS / kind / f"{name}.yaml"
    if inside.is_file():
        return inside
    have = ", ".join(sorted(path.stem for path in (CONFIGS / kind).glob("*.yaml")))
    raise BadInput(CONFIGS / kind, name, f"a YAML file or one of: {have}", "neither")
