"""What a calibration says instead of giving a wrong answer."""

from __future__ import annotations


class CannotCalibrate(ValueError):
    """The data does not determine the answer.

    Args:
        why: what is missing or contradicts, with numbers.
        record: what to record instead so that it does.
    """

    def __init__(self, why: str, record: str) -> None:
        self.why = why
        self.record = record
        super().__init__(f"{why}. Record instead: {record}.")
