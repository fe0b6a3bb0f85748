"""The structure holds: our packages are ours, nothing escapes the layers, files stay readable."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "nodes", "fusion", "calibration")
MAX_LINES = 400  # one sitting
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_foreign_package_does_not_shadow_ours(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT)


def test_every_module_of_the_spine_stands_in_the_layer_contract() -> None:
    layers = re.search(r"layers = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert layers is not None
    named = set(re.findall(r"[\w.]+", layers.group(1)))
    inside = {f"pipeline.{path.stem}" for path in (ROOT / "pipeline").iterdir() if path.suffix in ("", ".py")}
    inside -= {"pipeline.__init__", "pipeline.__pycache__"}
    assert inside <= named, "a module of pipeline/ that no layer names"
    assert set(PACKAGES) - {"pipeline"} <= named


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("ray", "pipeline/deploy_ray.py"),
        ("zmq", "pipeline/transport/"),
        ("pickle", "nodes/sources/pandaset_convert.py"),
    ],
)
def test_a_library_is_imported_only_at_its_home(library: str, home: str) -> None:
    users = {str(p.relative_to(ROOT)) for p in SOURCES if library in {name.split(".")[0] for name in _imports(p)}}
    assert {user for user in users if not user.startswith(home)} == set()
