"""Recordings: MCAP files of messages, exact for us and readable by Foxglove and every other MCAP tool.

Write with `RecordingWriter`, read with `RecordingReader` (all parts of a run with `pipeline.core.run_recording`), mend
with `repair`. How a message becomes a record stands in
`pipeline.core.record_form`, the file format in `pipeline.core.mcap_writer` and `pipeline.core.mcap_reader`.
MCAP's log time is arrival_ns and its publish time is time_ns; the stamp itself is kept whole beside them. What is about
the run itself bears the host's time, which in a replay is years from the drive's: its log time is that of the newest
data, so that it stands in every viewer beside what it is about.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from mcap.records import Channel, ChunkIndex, MetadataIndex

from calibration.rig import Rig
from pipeline.core import record_form
from pipeline.core.errors import BadInput
from pipeline.core.mcap_reader import Damage, McapReader
from pipeline.core.mcap_writer import MAX_TIME, metadata_record, summary
from pipeline.core.messages import Message, RunInfo
from pipeline.core.recording_writer import (
    INFO_TOPIC,
    OURS,
    SPANS,
    RecordingSettings,
    RecordingWriter,
    TopicSpan,
    include,
    rig_of,
    span_texts,
    spans_of,
)

__all__ = [
    "INFO_TOPIC",
    "RecordingReader",
    "RecordingSettings",
    "RecordingWriter",
    "Repair",
    "TopicSpan",
    "repair",
]


class RecordingReader:
    """A recording to read from. A damaged or unfinished one is read as far as it goes; see `damage`.

    Args:
        strict: raise at the first damage instead.

    Raises:
        BadInput: not readable or not an MCAP file; where strict: damaged or unfinished.
    """

    def __init__(self, path: Path, strict: bool = False) -> None:
        self.path = path
        self._file = McapReader(path, strict)
        self._spans = self._read_spans()
        self._info = next(self.messages([INFO_TOPIC]), None) if INFO_TOPIC in self.counts else None

    @property
    def info_message(self) -> Message:
        """Raises BadInput where run/info is lost."""
        if self._info is None:
            raise BadInput(self.path, INFO_TOPIC, "the first message of a recording", "none")
        return self._info

    @property
    def info(self) -> RunInfo:
        assert isinstance(self.info_message.payload, RunInfo)
        return self.info_message.payload

    @property
    def rig(self) -> Rig:
        return rig_of(self.info_message, self.path)

    @property
    def complete(self) -> bool:
        """Closed properly, with a sound index."""
        return self._file.complete

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What could not be read so far."""
        return tuple(self._file.damage)

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(sorted(self.counts))

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages per topic, from the index."""
        counts: dict[str, int] = {}
        for number, channel in self._file.index.channels.items():
            if _is_ours(channel) and self._file.index.counts.get(number):
                counts[channel.topic] = counts.get(channel.topic, 0) + self._file.index.counts[number]
        return counts

    @property
    def spans(self) -> Mapping[str, TopicSpan]:
        """Times of each topic. A recording that was not closed is read through to learn them."""
        if self._spans is None:
            self._spans = {}
            for chunk in self._file.index.chunks:
                _measure(self._spans, self._file, self._file.check(chunk) or {})
        return self._spans

    def arrivals(self, topic: str) -> npt.NDArray[np.int64]:
        """(K,) int64: log times of a topic's messages in order, from the index."""
        times = self._file.log_times(lambda channel: _is_ours(channel) and channel.topic == topic)
        return np.sort(np.array(times, dtype=np.int64))

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """Messages of these topics (default: all) in order of log time, then topic, with log time in [start, end).

        MCAP's times begin at 0: a negative one counts as 0 here.

        Reads by the index; holds only the chunks that overlap in time.

        Raises:
            KeyError: a topic that the recording does not have.
        """
        return (message for _, message in self.logged(topics, start_ns, end_ns))

    def messages_by_time(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """As `messages`, but with time_ns in [start, end); still in order of log time."""
        return (message for _, message in self.logged_by_time(topics, start_ns, end_ns))

    def logged(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[tuple[int, Message]]:
        """As `messages`, each with its log time."""
        return self._read(topics, (start_ns, end_ns), (None, None))

    def logged_by_time(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[tuple[int, Message]]:
        """As `messages_by_time`, each with its log time."""
        spans = (
            [] if start_ns is end_ns is None else [s for t, s in self.spans.items() if topics is None or t in topics]
        )
        first = None if start_ns is None else start_ns + min((s.least_lag_ns for s in spans), default=0)
        last = None if end_ns is None else end_ns + max((s.most_lag_ns for s in spans), default=0)
        return self._read(topics, (first, last), (start_ns, end_ns))

    def _read(self, topics: Collection[str] | None, logged: Window, timed: Window) -> Iterator[tuple[int, Message]]:
        """Messages with log time and time_ns in these windows; what lies outside is not decoded."""
        unknown = sorted(set(topics or ()) - set(self.counts))
        if unknown:
            raise KeyError(f"{self.path}: no topic {', '.join(unknown)}; it has {', '.join(self.topics)}")
        first, last = _clamped(timed)
        for raw in self._file.messages(
            lambda c: _is_ours(c) and (topics is None or c.topic in topics), *_clamped(logged)
        ):
            if not first <= raw.publish_time < last:
                continue
            try:
                message = record_form.decode(
                    raw.topic, self._file.index.channels[raw.channel].message_encoding, raw.data
                )
            except BadInput as error:
                self._file.note(Damage(raw.chunk, raw.data.nbytes, str(error), {raw.topic: 1}), error)
                continue
            yield raw.log_time, message

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_spans(self) -> dict[str, TopicSpan] | None:
        if not self._file.complete:
            return None
        for index in self._file.index.metadata:
            if index.name == SPANS:
                return spans_of(self._file.read_metadata(index))
        return None


class Repair(msgspec.Struct, frozen=True):
    """What `repair` found. messages: now in the index. cut_bytes: the broken end, moved to ``cut_path``."""

    was_complete: bool
    messages: int
    chunks: int
    damage: tuple[Damage, ...]
    cut_bytes: int = 0
    cut_path: str = ""


def repair(path: Path) -> Repair:
    """Give a recording that was not closed, or whose index is damaged, a new index, in place.

    Every chunk is checked. Damaged chunks stay in the file but out of the index. What follows the last whole record is
    moved to a file beside it (`.cut`): nothing is thrown away.

    Raises:
        BadInput: not an MCAP file.
        OSError: cannot be written.
    """
    reader = McapReader(path)
    try:
        sound: list[ChunkIndex] = []
        counts: dict[int, int] = {}
        spans: dict[str, TopicSpan] = {}
        for chunk in reader.index.chunks:
            found = reader.check(chunk)
            if found is None:
                continue
            if found.keys() != chunk.message_index_offsets.keys():  # its index was cut off
                chunk.message_index_offsets, chunk.message_index_length = {}, 0
            sound.append(chunk)
            for channel, times in found.items():
                counts[channel] = counts.get(channel, 0) + len(times)
            _measure(spans, reader, found)
        messages = sum(n for channel, n in counts.items() if _is_ours(reader.index.channels[channel]))
        done = Repair(reader.complete, messages, len(sound), tuple(reader.damage))
        if done.was_complete and not done.damage:
            return done
        cut = b"" if done.was_complete else reader.read_tail()
        metadata = metadata_record(SPANS, span_texts(spans))
        index = MetadataIndex(length=len(metadata), offset=reader.index.end, name=SPANS)
        end = summary(
            reader.index.end + len(metadata),
            reader.index.schemas.values(),
            reader.index.channels.values(),
            sound,
            [index],
            counts,
        )
    finally:
        reader.close()
    cut_path = path.with_name(path.name + ".cut") if cut else None
    if cut_path is not None:
        cut_path.write_bytes(cut)
    with path.open("r+b") as file:
        file.truncate(reader.index.end)
        file.seek(reader.index.end)
        file.write(metadata + end)
        file.flush()
        os.fsync(file.fileno())
    return msgspec.structs.replace(done, cut_bytes=len(cut), cut_path=str(cut_path or ""))


Window: TypeAlias = tuple[int | None, int | None]  # [start, end) in ns; None = open


def _clamped(window: Window) -> tuple[int, int]:
    """Bounds for MCAP's times, in which everything below 0 has become 0 and everything beyond MAX_TIME that."""
    start, end = window
    return max(start or 0, 0), 1 << 64 if end is None or end > MAX_TIME else max(end, 1)


def _is_ours(channel: Channel) -> bool:
    return OURS.items() <= channel.metadata.items()


def _measure(spans: dict[str, TopicSpan], reader: McapReader, found: Mapping[int, list[tuple[int, int]]]) -> None:
    """Take in the times of one checked chunk."""
    for channel, times in found.items():
        if _is_ours(reader.index.channels[channel]):
            for log_time, publish_time in times:
                include(spans, reader.index.channels[channel].topic, publish_time, log_time - publish_time)
