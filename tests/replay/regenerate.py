"""Write the golden files anew: `make golden`. Look at the difference before you commit it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.replay.summary import GOLDEN, run_street, save, summary

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        save(summary(run_street(Path(folder))))
    print(f"wrote {GOLDEN}")
