"""What `doctor` finds."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at; ``wrong`` makes doctor's exit code 1."""

    subject: str
    verdict: Literal["ok", "note", "wrong"]
    text: str
