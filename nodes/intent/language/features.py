"""What the classifier sees of a sentence: hashed n-grams of characters and words, weighed and of unit length."""

from __future__ import annotations

import itertools
import re
import zlib

import numpy as np
import numpy.typing as npt

BUCKETS = 1 << 15

_TOKEN = re.compile(r"[\u3400-\u9fff]+|[^\s\u3400-\u9fff]+")


def grams(text: str) -> list[str]:
    """Of each word its characters by 3, 4 and 5 with its borders, of Chinese by 1, 2, 3 and 4; words alone and by 2."""
    tokens = _TOKEN.findall(re.sub(r"\d+", "0", text))
    found = []
    for token in tokens:
        if "\u3400" <= token[0] <= "\u9fff":
            edged = f"^{token}$"
            found += [edged[i : i + n] for n in (1, 2, 3, 4) for i in range(len(edged) - n + 1)]
        else:
            edged = f"<{token}>"
            found.append(f"w {token}")
            found += [edged[i : i + n] for n in (3, 4, 5) for i in range(len(edged) - n + 1)]
    words = ["^", *(t for t in tokens if t != ","), "$"]
    found += [f"b {a} {b}" for a, b in itertools.pairwise(words)]
    return found


def hashed(text: str, buckets: int = BUCKETS) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Buckets (n,) int64, each once, and how often they occur, as 1 + log count (n,) float32; empty text gives none."""
    rows = np.array([zlib.crc32(g.encode()) % buckets for g in grams(text)], np.int64)
    buckets_found, counts = np.unique(rows, return_counts=True)
    return buckets_found, (1 + np.log(counts)).astype(np.float32)
