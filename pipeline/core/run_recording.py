"""The recording of a run as one, be it a file or the parts of one that was split or whose recorder died."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from calibration.rig import Rig
from pipeline.core.errors import BadInput
from pipeline.core.mcap_reader import Damage
from pipeline.core.messages import Message, RunInfo
from pipeline.core.recording import RecordingReader

RECORDING_FILE = "run.mcap"


def recording_parts(folder: Path) -> list[Path]:
    """The files of a run's recording in order; more than one where it was split or its recorder died."""
    return [p for p in [folder / RECORDING_FILE, *sorted(folder.glob("run_*.mcap"))] if p.is_file()]


def recording_files(path: Path) -> list[Path]:
    """The file itself; of a run's folder its parts, of another folder the one recording in it.

    Raises:
        BadInput: there is none, or several that are not parts of one run.
    """
    if path.is_file():
        return [path]
    found = recording_parts(path) or sorted(path.glob("*.mcap"))
    if not found or (len(found) > 1 and not recording_parts(path)):
        raise BadInput(path, "recording", f"{RECORDING_FILE} or one .mcap file", [f.name for f in found] or "none")
    return found


class RunRecording:
    """Reads what a `RecordingReader` reads, from all parts.

    Args:
        path: an `.mcap` file or a run's folder. files: its parts in order; default: `recording_files`.

    Raises:
        BadInput: no recording, a part that is none or has another rig.

    parts: readers of the files. A part whose recorder died before it wrote a byte is left out.
    """

    def __init__(self, path: Path, files: Sequence[Path] = ()) -> None:
        self.path = path
        files = files or recording_files(path)
        self.parts = tuple(RecordingReader(file) for file in files if len(files) == 1 or file.stat().st_size)
        for part in self.parts:
            if part.info.rig_yaml != self.info.rig_yaml:
                raise BadInput(part.path, "run/info rig_yaml", f"the rig of {files[0].name}", "another")

    @property
    def info(self) -> RunInfo:
        return self.parts[0].info

    @property
    def rig(self) -> Rig:
        return self.parts[0].rig

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(sorted(self.counts))

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages per topic, from the indexes."""
        total: Counter[str] = Counter()
        for part in self.parts:
            total.update(part.counts)
        return total

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What could not be read so far."""
        return tuple(damage for part in self.parts for damage in part.damage)

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """See `RecordingReader.messages`."""
        return (message for _, message in self.logged(topics, start_ns, end_ns))

    def logged(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[tuple[int, Message]]:
        """As `messages`, each with its log time."""
        wanted = self._wanted(topics)
        return _merged([part.logged(names, start_ns, end_ns) for part, names in wanted])

    def logged_by_time(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[tuple[int, Message]]:
        """See `RecordingReader.logged_by_time`."""
        wanted = self._wanted(topics)
        return _merged([part.logged_by_time(names, start_ns, end_ns) for part, names in wanted])

    def close(self) -> None:
        for part in self.parts:
            part.close()

    def __enter__(self) -> RunRecording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wanted(self, topics: Collection[str] | None) -> list[tuple[RecordingReader, set[str]]]:
        """Of each part that has any of them, those that it has. Raises KeyError for a topic that none has."""
        wanted = set(self.counts if topics is None else topics)
        unknown = sorted(wanted - set(self.counts))
        if unknown:
            raise KeyError(f"{self.path}: no topic {', '.join(unknown)}; it has {', '.join(self.topics)}")
        return [(part, names) for part in self.parts if (names := wanted & set(part.counts))]


def _merged(parts: Sequence[Iterator[tuple[int, Message]]]) -> Iterator[tuple[int, Message]]:
    return heapq.merge(*parts, key=lambda logged: (logged[0], logged[1].topic))
