"""From what a person names to a drive: a path of any known layout, a run's folder, or `simulated:SCENARIO`.

Any of them may be given faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nodes.sources.drive import Drive
from nodes.sources.faults.drive import FaultyDrive
from nodes.sources.open_drive import open_drive
from pipeline.core.run_recording import recording_parts


def open_named(name: str, faults: Sequence[str] = (), fault_seed: int = 0) -> Drive:
    """The drive, with these faults on it where there are any; see `nodes.sources.faults`.

    Raises:
        BadInput: no such path, no known layout, a fault in the data, numbers that are none, or faults that cannot be.
    """
    drive = _open(name)
    return FaultyDrive(drive, faults, fault_seed) if faults else drive


def _open(name: str) -> Drive:
    if name.startswith("simulated:"):
        from nodes.simulator.named import open_simulated  # ray casting and rendering take long to import

        return open_simulated(name)
    recording = recording_of(Path(name))
    return open_drive(recording or Path(name))


def recording_of(path: Path) -> Path | None:
    """The recording that a path means: an .mcap file, or the one in a run's folder; None where it is neither."""
    parts = recording_parts(path)
    if parts:
        return parts[0] if len(parts) == 1 else path
    return path if path.suffix == ".mcap" else None
