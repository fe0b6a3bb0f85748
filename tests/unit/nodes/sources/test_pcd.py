"""PCD files: text and binary hold the same points, and what is no whole file is refused."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.sources.pcd import read_pcd
from pipeline.core.errors import BadInput

HEADER = (
    "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z ring\nSIZE 4 4 4 2\nTYPE F F F U\nCOUNT 1 1 1 1\n"
    "WIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA "
)
POINTS = np.array(
    [(1.5, -2.0, 0.25, 3), (4.0, 5.0, 6.0, 15)], [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("ring", "<u2")]
)


def test_text_and_binary_are_read_alike() -> None:
    text = (HEADER + "ascii\n1.5 -2.0 0.25 3\n4 5 6 15\n").encode()
    assert (read_pcd(text, "a") == POINTS).all()
    assert (read_pcd((HEADER + "binary\n").encode() + POINTS.tobytes(), "b") == POINTS).all()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("ascii\n1 2 3 4\n", "truncated"),
        ("ascii\n1 2 three 4\n1 2 3 4\n", "numbers a line"),
        ("ascii\n1 2 3\n1 2 3\n", "numbers a line"),
        ("binary\nshort", "truncated"),
        ("binary_compressed\n", "binary or ascii"),
    ],
)
def test_what_is_no_whole_file_is_refused(body: str, field: str) -> None:
    with pytest.raises(BadInput, match=field):
        read_pcd((HEADER + body).encode(), "file.pcd")
