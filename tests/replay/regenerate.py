"""Write the golden files anew: `make golden`. Look at the difference before you commit it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fusion.engines.choice import FLOAT_VARIABLE
from tests.replay.summary import GOLDEN, run_street, save, summary

if __name__ == "__main__":
    os.environ[FLOAT_VARIABLE] = "1"
    with tempfile.TemporaryDirectory() as folder:
        save(summary(run_street(Path(folder))))
    print(f"wrote {GOLDEN}")
