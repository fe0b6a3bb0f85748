"""One error for everything wrong that comes from outside."""

from __future__ import annotations


class BadInput(ValueError):
    """Something given to us is not what it must be.

    Args:
        source: file, address or topic it came from.
        field: which part of it.
        expected: what would have been right.
        found: what was there.
        line: of the source where it is text, from 1; None where unknown.
    """

    def __init__(self, source: object, field: str, expected: str, found: object, line: int | None = None) -> None:
        self.source = str(source)
        self.field = field
        self.expected = expected
        self.found = str(found)
        self.line = line
        where = self.source if line is None else f"{self.source}:{line}"
        super().__init__(f"{where}: {field}: expected {expected}, found {self.found[:200]}")
