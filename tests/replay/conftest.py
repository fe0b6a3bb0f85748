"""What is golden is so on every machine: networks run in float, not in what the machine is best at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fusion.engines.choice import FLOAT_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def in_float() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FLOAT_VARIABLE, "1")
        yield
