"""Reading MCAP in order of time, whatever state the file is in. https://mcap.dev/spec"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mcap.records import Channel, ChunkIndex, Metadata, MetadataIndex

from pipeline.core.errors import BadInput
from pipeline.core.mcap_file import RECORD, McapFile, RawMessage
from pipeline.core.mcap_index import read_summary, scan


class Damage(NamedTuple):
    """Something in the file that could not be read: where, how many bytes, what is wrong, which messages are lost."""

    offset: int
    size: int
    what: str
    messages: Mapping[str, int] = {}  # by topic, as far as the index tells


class McapReader:
    """One MCAP file.

    Args:
        strict: raise at the first damage, otherwise note it in `damage` and read on behind it.

    Raises:
        BadInput: no MCAP file, not readable, or not in chunks; where strict: damage, with the offset.

    index: what is in the file. complete: it was closed properly and its index is sound. damage: what could not be read
    so far.
    """

    def __init__(self, path: Path, strict: bool = False) -> None:
        self.path = path
        self.strict = strict
        self.damage: list[Damage] = []
        self._file = McapFile(path)
        try:
            summary = read_summary(self._file)
            self.complete = summary is not None
            self.index = summary or scan(self._file, self._note_break)
            if summary is None:
                self._count()
            if self.index.counts and not self.index.chunks:
                raise BadInput(path, "chunks", "messages in chunks, as we and most tools write them", "none")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def messages(self, wanted: Callable[[Channel], bool], start: int = 0, end: int = 1 << 64) -> Iterator[RawMessage]:
        """Messages of the wanted channels with log time in [start, end), in order.

        Memory: the chunks that overlap in log time.
        """
        pending: list[RawMessage] = []
        chosen = self._chosen(wanted)
        for chunk in sorted(self.index.chunks, key=lambda c: (c.message_start_time, c.chunk_start_offset)):
            if chunk.message_end_time < start or chunk.message_start_time >= end:
                continue
            if chunk.message_index_offsets and not chosen.intersection(chunk.message_index_offsets):
                continue
            while pending and pending[0].log_time < chunk.message_start_time:
                yield heapq.heappop(pending)
            for message in self._whole(chunk) or ():
                if message.channel in chosen and start <= message.log_time < end:
                    heapq.heappush(pending, message)
        while pending:
            yield heapq.heappop(pending)

    def log_times(self, wanted: Callable[[Channel], bool]) -> list[int]:
        """Log times of all messages of the wanted channels, from the message indexes, in no order."""
        chosen = self._chosen(wanted)
        times: list[int] = []
        for chunk in self.index.chunks:
            if not chunk.message_index_offsets:
                times += [message.log_time for message in self._whole(chunk) or () if message.channel in chosen]
            for channel in chosen & chunk.message_index_offsets.keys():
                try:
                    times += self._file.log_times(chunk, channel)
                except BadInput as error:  # noqa: PERF203
                    self.note(Damage(chunk.message_index_offsets[channel], 0, str(error)), error)
        return times

    def check(self, chunk: ChunkIndex) -> dict[int, list[tuple[int, int]]] | None:
        """Read a whole chunk: (log time, publish time) of its messages by channel id, or None where it is damaged."""
        messages = self._whole(chunk)
        if messages is None:
            return None
        found: dict[int, list[tuple[int, int]]] = {}
        for message in messages:
            found.setdefault(message.channel, []).append((message.log_time, message.publish_time))
        return found

    def read_metadata(self, index: MetadataIndex) -> dict[str, str]:
        """The values of a metadata record; empty where it is damaged."""
        try:
            record = self._file.parse(Metadata, self._file.read(index.offset, index.length)[RECORD.size :])
        except BadInput as error:
            self.note(Damage(index.offset, index.length, str(error)), error)
            return {}
        return dict(record.metadata)

    def read_tail(self) -> bytes:
        """What follows the last whole record."""
        return self._file.read(self.index.end, self._file.size - self.index.end)

    def note(self, damage: Damage, error: BadInput) -> None:
        """Remember damage; where strict, raise."""
        if self.strict:
            raise error
        if damage not in self.damage:
            self.damage.append(damage)

    def _chosen(self, wanted: Callable[[Channel], bool]) -> set[int]:
        return {number for number, channel in self.index.channels.items() if wanted(channel)}

    def _whole(self, chunk: ChunkIndex) -> list[RawMessage] | None:
        """All messages of a chunk, or None, and a note, where it is damaged."""
        try:
            return list(self._file.messages(chunk, self.index))
        except BadInput as error:
            channels = self.index.channels
            lost = {channels[c].topic: n for c, n in self._file.indexed(chunk).items() if c in channels}
            self.note(Damage(chunk.chunk_start_offset, chunk.chunk_length, str(error), lost), error)
            return None

    def _note_break(self, offset: int, size: int, error: BadInput) -> None:
        self.note(Damage(offset, size, str(error)), error)

    def _count(self) -> None:
        """Count what a scan found; chunks with channels not seen yet are read, since they declare them."""
        for chunk in self.index.chunks:
            counts = self._file.indexed(chunk)
            if not counts or not counts.keys() <= self.index.channels.keys():
                counts = {channel: len(times) for channel, times in (self.check(chunk) or {}).items()}
            for channel, count in counts.items():
                self.index.counts[channel] = self.index.counts.get(channel, 0) + count
