"""A recording of ours as a drive: replayed like any data set, with the stamps it was recorded with."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, RunInfo
from pipeline.core.run_recording import RunRecording
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
        self._recording = RunRecording(path, files)
        self.info: RunInfo = self._recording.info
        self._counts = self._recording.counts
        sensors = [s for p in self._recording.parts for t, s in p.spans.items() if topic_row(t).role == "sensor"]
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
        return self._recording.rig

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
        return np.sort(np.concatenate([part.arrivals(topic) for part in self._recording.parts]))

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """See `Drive.messages`. Sequence numbers are the recorded ones."""
        return self._reporting(self._recording.logged_by_time(topics, start_ns, end_ns))

    @property
    def unreadable(self) -> Mapping[str, int]:
        """Messages lost to damage, by "topic damaged"; as far as the files' indexes tell."""
        lost: Counter[str] = Counter()
        for damage in self._recording.damage:
            lost.update({f"{topic} damaged": n for topic, n in damage.messages.items()})
        return lost

    def close(self) -> None:
        self._recording.close()

    def _reporting(self, logged: Iterator[tuple[int, Message]]) -> Iterator[Message]:
        yield from (message for _, message in logged)
        damage = self._recording.damage
        for note in damage[self._reported :]:
            logger.warning("%s", note.what)
        self._reported = len(damage)
