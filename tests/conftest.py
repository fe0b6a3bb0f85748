"""Fixtures that every test may use: recorded drives and models beside the checkout, where there are any."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def _beside_the_checkout(name: str) -> Path:
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no recorded {name} at ../shared/{name}")
    return folder


@pytest.fixture(scope="session")
def drives_folder() -> Path:
    """Recorded drives; a test that uses them is marked `drives`."""
    return _beside_the_checkout("drives")


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """Small pretrained weights."""
    return _beside_the_checkout("models")
