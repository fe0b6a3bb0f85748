"""What every dataset reader has to survive."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.sources.drive import Drive
from pipeline.core.errors import BadInput

_NOT_A_NUMBER = (b"1e999", b"-", b"NaN", b"99999999999999999999", b'"x"', b"null", b"[]", b"-5", b"0")


def _damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some changed, cut off, repeated, or one digit of their text replaced."""
    spoiled = bytearray(data)
    way = rng.choice(("change", "cut", "repeat", "digit"))
    if way == "change" and data:
        for _ in range(rng.choice((1, 3, 20))):
            spoiled[rng.randrange(len(data))] = rng.randrange(256)
    elif way == "cut":
        del spoiled[rng.randrange(len(data) + 1) :]
    elif way == "repeat":
        first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        spoiled[first:first] = spoiled[first:last]
    else:
        digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
        if digits:
            at = rng.choice(digits)
            spoiled[at : at + 1] = rng.choice(_NOT_A_NUMBER)
    return bytes(spoiled)


@pytest.fixture
def survive_damage() -> Callable[[Path, Callable[[], Drive]], None]:
    """Damages one file below a folder after the other, and reads the drive each time.

    Nothing but a `BadInput` at opening may come out of it; a drive that opens is read to its end.
    """

    def survive(folder: Path, open_it: Callable[[], Drive], trials: int = 60) -> None:
        rng = random.Random(0)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        refused = 0
        for _ in range(trials):
            path = rng.choice(files)
            whole = path.read_bytes()
            path.write_bytes(_damaged(whole, rng))
            try:
                drive = open_it()
            except BadInput:
                refused += 1
            else:
                assert sum(1 for _ in drive.messages()) <= sum(drive.counts.values())
            path.write_bytes(whole)
        assert 0 < refused < trials

    return survive
