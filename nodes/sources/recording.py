"""A recording of ours as a drive: replayed like any data set, with the stamps it was recorded with."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, RunInfo
from pipeline.core.recording import RecordingReader
from pipeline.core.topics import topic_row

logger = logging.getLogger(__name__)


class RecordedDrive:
    """One recording, or the parts of one that was split.

    Args:
        path: an `.mcap` file, or a folder in which every `.mcap` file is a part.

    Raises:
        BadInput: not readable as a recording, no sensor data, or parts with different rigs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        files = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
        if not files:
            raise BadInput(path, "folder", "at least one .mcap file", "none")
        self._parts = [RecordingReader(file) for file in files]
        self.info: RunInfo = self._parts[0].info
        for part in self._parts:
            if part.info.rig_yaml != self.info.rig_yaml:
                raise BadInput(part.path, "run/info rig_yaml", f"the rig of {files[0].name}", "another")
        self._rig = self._parts[0].rig
        self._counts = _sum(part.counts for part in self._parts)
        sensors = [s for p in self._parts for t, s in p.spans.items() if topic_row(t).role == "sensor"]
        if not sensors:
            raise BadInput(path, "topics", "at least one sensor", ", ".join(self._counts))
        self._start_ns = min(span.first_ns for span in sensors)
        self._end_ns = max(span.last_ns for span in sensors) + 1
        self._reported = 0

    @property
    def name(self) -> str:
        return self.info.drive or self.path.stem

    @property
    def rig(self) -> Rig:
        return self._rig

    @property
    def start_ns(self) -> int:
        return self._start_ns

    @property
    def end_ns(self) -> int:
        return self._end_ns

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(sorted(self._counts))

    @property
    def counts(self) -> Mapping[str, int]:
        return self._counts

    def arrivals(self, topic: str) -> npt.NDArray[np.int64]:
        if topic not in self._counts:
            raise KeyError(f"{self.path}: no topic {topic}; it has {', '.join(self.topics)}")
        return np.sort(np.concatenate([part.arrivals(topic) for part in self._parts]))

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """See `Drive.messages`. Sequence numbers are the recorded ones."""
        wanted = set(self._counts if topics is None else topics)
        unknown = sorted(wanted - set(self._counts))
        if unknown:
            raise KeyError(f"{self.path}: no topic {', '.join(unknown)}; it has {', '.join(self.topics)}")
        parts = [
            part.logged_by_time(wanted & set(part.counts), start_ns, end_ns)
            for part in self._parts
            if wanted & set(part.counts)
        ]
        return self._reporting(heapq.merge(*parts, key=lambda logged: (logged[0], logged[1].topic)))

    @property
    def unreadable(self) -> Mapping[str, int]:
        """Messages lost to damage, by "topic damaged"; as far as the files' indexes tell."""
        return _sum({f"{t} damaged": n for t, n in d.messages.items()} for part in self._parts for d in part.damage)

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def _reporting(self, logged: Iterator[tuple[int, Message]]) -> Iterator[Message]:
        yield from (message for _, message in logged)
        damage = [note for part in self._parts for note in part.damage]
        for note in damage[self._reported :]:
            logger.warning("%s", note.what)
        self._reported = len(damage)


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for key, n in count.items():
            total[key] = total.get(key, 0) + n
    return total
