"""Reading MCAP by its index, or by walking through a file whose index is missing or wrong. https://mcap.dev/spec

Nothing here trusts the file: sizes are checked against the file before memory is taken, chunks against their CRC.
"""

from __future__ import annotations

import heapq
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Metadata, MetadataIndex, Schema, Statistics

from pipeline.core.errors import BadInput
from pipeline.core.mcap_writer import CHUNK, MAGIC, MESSAGE

MAX_CHUNK = 1 << 30
_MAX_SUMMARY = 1 << 30
_RECORD = struct.Struct("<B Q")  # opcode, length
_FOOTER = struct.Struct("<B Q Q Q I")  # opcode, length, summary at, offsets at, crc
_LENGTH = struct.Struct("<Q")
_ID = struct.Struct("<H")
_ENTRY = struct.Struct("<Q Q")  # of a message index: log time, offset in the chunk
_INDEX_HEAD = 15  # bytes of a message index before its entries
_DATA_END_SIZE = 13
_BLOCK = 1 << 20
_OVERLAP = 64  # more than what _CHUNK_LIKE matches
# A chunk record: opcode, a length below 4 GiB, two times, sizes, CRC, the name of a compression.
_CHUNK_LIKE = re.compile(rb"\x06.{4}\0{4}.{28}(?:\0{4}|\x03\0{3}lz4|\x04\0{3}zstd)", re.DOTALL)


class Damage(NamedTuple):
    """Something in the file that could not be read: where, how many bytes, what is wrong, which messages are lost."""

    offset: int
    size: int
    what: str
    messages: Mapping[str, int] = {}  # by topic, as far as the index tells


class RawMessage(NamedTuple):
    """A message record. Ordered by log time, then topic, then place in the file."""

    log_time: int
    topic: str
    chunk: int
    offset: int
    channel: int
    publish_time: int
    data: memoryview


class McapReader:
    """One MCAP file.

    Args:
        strict: raise at the first damage, otherwise note it in `damage` and read on behind it.

    Raises:
        BadInput: no MCAP file, or not readable; where strict: damage, with the offset.

    complete: the file was closed properly and its index is sound. damage: what could not be read so far.
    end: offset behind the last whole record of the data section.
    """

    def __init__(self, path: Path, strict: bool = False) -> None:
        self.path = path
        self.strict = strict
        self.damage: list[Damage] = []
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.chunks: list[ChunkIndex] = []
        self.counts: dict[int, int] = {}
        self.metadata: list[MetadataIndex] = []
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._file).st_size
        except OSError as error:
            raise BadInput(path, "file", "a readable recording", error.strerror) from error
        try:
            if self._read(0, min(len(MAGIC), self.size)) != MAGIC:
                raise BadInput(path, "magic at offset 0", f"{MAGIC!r}, an MCAP file", self._read(0, min(8, self.size)))
            self.end = self.size
            self.complete = self._read_summary()
            if not self.complete:
                self._scan()
            if self.counts and not self.chunks:
                raise BadInput(path, "chunks", "messages in chunks, as we and most tools write them", "none")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def messages(self, wanted: Callable[[Channel], bool], start: int = 0, end: int = 1 << 64) -> Iterator[RawMessage]:
        """Messages of the wanted channels with log time in [start, end), in order.

        Memory: the chunks that overlap in log time.
        """
        pending: list[RawMessage] = []
        chosen = {channel.id for channel in self.channels.values() if wanted(channel)}
        for chunk in sorted(self.chunks, key=lambda c: (c.message_start_time, c.chunk_start_offset)):
            if chunk.message_end_time < start or chunk.message_start_time >= end:
                continue
            if chunk.message_index_offsets and not chosen.intersection(chunk.message_index_offsets):
                continue
            while pending and pending[0].log_time < chunk.message_start_time:
                yield heapq.heappop(pending)
            for message in self._chunk_messages(chunk, chosen):
                if start <= message.log_time < end:
                    heapq.heappush(pending, message)
        while pending:
            yield heapq.heappop(pending)

    def log_times(self, wanted: Callable[[Channel], bool]) -> list[int]:
        """Log times of all messages of the wanted channels, from the message indexes, in no order."""
        chosen = {channel.id for channel in self.channels.values() if wanted(channel)}
        times: list[int] = []
        for chunk in self.chunks:
            if not chunk.message_index_offsets:
                found = self.check(chunk) or {}
                times += [log_time for channel in chosen & found.keys() for log_time, _ in found[channel]]
            for channel in chosen & chunk.message_index_offsets.keys():
                at, count = chunk.message_index_offsets[channel], self._indexed(chunk)[channel]
                try:
                    entries = self._read(at + _INDEX_HEAD, 16 * count)
                except BadInput as error:
                    self.note(Damage(at, 16 * count, str(error)), error)
                    continue
                times += [entry[0] for entry in _ENTRY.iter_unpack(entries)]
        return times

    def read_metadata(self, index: MetadataIndex) -> dict[str, str]:
        """The values of a metadata record; empty where it is damaged."""
        try:
            record = self._parse(Metadata, self._read(index.offset, index.length)[_RECORD.size :])
        except BadInput as error:
            self.note(Damage(index.offset, index.length, str(error)), error)
            return {}
        return dict(record.metadata)

    def read_tail(self) -> bytes:
        """What follows the last whole record."""
        return self._read(self.end, self.size - self.end)

    def check(self, chunk: ChunkIndex) -> dict[int, list[tuple[int, int]]] | None:
        """Read a whole chunk: (log time, publish time) of its messages by channel id, or None where it is damaged."""
        found: dict[int, list[tuple[int, int]]] = {}
        try:
            for message in self._parse_chunk(chunk):
                found.setdefault(message.channel, []).append((message.log_time, message.publish_time))
        except BadInput as error:
            self._note_chunk(chunk, error)
            return None
        return found

    def note(self, damage: Damage, error: BadInput) -> None:
        """Remember damage; where strict, raise."""
        if self.strict:
            raise error
        if damage not in self.damage:
            self.damage.append(damage)

    def _chunk_messages(self, chunk: ChunkIndex, chosen: set[int]) -> list[RawMessage]:
        try:
            return [message for message in self._parse_chunk(chunk) if message.channel in chosen]
        except BadInput as error:
            self._note_chunk(chunk, error)
            return []

    def _note_chunk(self, chunk: ChunkIndex, error: BadInput) -> None:
        lost = {self.channels[c].topic: n for c, n in self._indexed(chunk).items() if c in self.channels}
        self.note(Damage(chunk.chunk_start_offset, chunk.chunk_length, str(error), lost), error)

    def _indexed(self, chunk: ChunkIndex) -> dict[int, int]:
        """Messages by channel id as the chunk's message index counts them."""
        counts = {}
        for channel, at in chunk.message_index_offsets.items():
            head = self._read(at, _RECORD.size) if at + _RECORD.size <= self.size else bytes(_RECORD.size)
            counts[channel] = max(_RECORD.unpack(head)[1] - 6, 0) // 16
        return counts

    def _parse_chunk(self, chunk: ChunkIndex) -> Iterator[RawMessage]:
        """Messages as they stand in the chunk, once its CRC is found right."""
        records = memoryview(self._load(chunk))
        at = 0
        while at < len(records):
            size = _RECORD.unpack_from(records, at)[1] if at + _RECORD.size <= len(records) else len(records)
            end = at + _RECORD.size + size
            if end > len(records):
                raise BadInput(self.path, f"record at {at} of chunk", f"within {len(records)} bytes", end)
            opcode = records[at]
            if opcode == Opcode.MESSAGE and end - at >= MESSAGE.size:
                _, _, channel, _, log_time, publish_time = MESSAGE.unpack_from(records, at)
                if channel not in self.channels:
                    raise BadInput(self.path, f"record at {at} of chunk", "a declared channel", channel)
                data = records[at + MESSAGE.size : end]
                topic = self.channels[channel].topic
                yield RawMessage(log_time, topic, chunk.chunk_start_offset, at, channel, publish_time, data)
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL) and size >= _ID.size:
                known = self.schemas if opcode == Opcode.SCHEMA else self.channels
                if _ID.unpack_from(records, at + _RECORD.size)[0] not in known:
                    self._take(opcode, bytes(records[at + _RECORD.size : end]))
            at = end

    def _load(self, chunk: ChunkIndex) -> bytes | memoryview:
        """A chunk's records, uncompressed, CRC checked."""
        raw = self._read(chunk.chunk_start_offset, chunk.chunk_length)
        where = f"chunk at offset {chunk.chunk_start_offset}"
        if len(raw) < CHUNK.size:
            raise BadInput(self.path, where, f"at least {CHUNK.size} bytes", len(raw))
        opcode, _, _, _, size, crc, name_size = CHUNK.unpack_from(raw)
        start = CHUNK.size + name_size + _LENGTH.size
        if opcode != Opcode.CHUNK or start > len(raw) or size > MAX_CHUNK:
            raise BadInput(self.path, where, "a chunk record", f"opcode {opcode}, {size} bytes")
        name, data = raw[CHUNK.size : CHUNK.size + name_size], memoryview(raw)[start:]
        try:
            records = _decompress(name, data, size)
        except (zstandard.ZstdError, RuntimeError, ValueError) as error:
            raise BadInput(self.path, where, f"{size} bytes of {name!r}", error) from error
        if crc and zlib.crc32(records) != crc:
            raise BadInput(self.path, where, f"CRC {crc:#010x}", f"{zlib.crc32(records):#010x}")
        return records

    def _read_summary(self) -> bool:
        """Take the index at the end of the file; False where there is none, or one that cannot be trusted."""
        footer_at = self.size - len(MAGIC) - _FOOTER.size
        if footer_at < len(MAGIC) or self._read(self.size - len(MAGIC), len(MAGIC)) != MAGIC:
            return False
        opcode, _, start, _, crc = _FOOTER.unpack(self._read(footer_at, _FOOTER.size))
        if opcode != Opcode.FOOTER or not len(MAGIC) <= start <= footer_at or footer_at - start > _MAX_SUMMARY:
            return False
        raw = self._read(start, footer_at - start + _FOOTER.size)
        if crc and zlib.crc32(raw[:-4]) != crc:
            return False
        at = 0
        while at + _RECORD.size <= footer_at - start:
            opcode, size = _RECORD.unpack_from(raw, at)
            self._take(opcode, raw[at + _RECORD.size : at + _RECORD.size + size])
            at += _RECORD.size + size
        known = self.channels.keys()
        if self.counts.keys() <= known and all(c.message_index_offsets.keys() <= known for c in self.chunks):
            self.end = start - _DATA_END_SIZE
            return True
        self.chunks, self.metadata, self.counts = [], [], {}
        return False

    def _take(self, opcode: int, body: bytes) -> None:
        """Remember a record of the index."""
        try:
            if opcode == Opcode.SCHEMA:
                schema = self._parse(Schema, body)
                self.schemas[schema.id] = schema
            elif opcode == Opcode.CHANNEL:
                channel = self._parse(Channel, body)
                self.channels[channel.id] = channel
            elif opcode == Opcode.CHUNK_INDEX:
                self.chunks.append(self._parse(ChunkIndex, body))
            elif opcode == Opcode.METADATA_INDEX:
                self.metadata.append(self._parse(MetadataIndex, body))
            elif opcode == Opcode.STATISTICS:
                self.counts = dict(self._parse(Statistics, body).channel_message_counts)
        except BadInput as error:
            self.note(Damage(0, len(body), str(error)), error)

    def _scan(self) -> None:
        """Build the index from the data section, record by record, looking for the next chunk behind what is broken."""
        at = len(MAGIC)
        whole = False
        while at < self.size:
            opcode, size = _RECORD.unpack(self._read(at, _RECORD.size)) if at + _RECORD.size <= self.size else (0, 0)
            end = at + _RECORD.size + size
            if opcode == Opcode.DATA_END and size == 4:
                whole = True
                break
            if not 0 < opcode < Opcode.DATA_END or end > self.size or not self._scan_record(opcode, at, end):
                self._forget_last_index()
                end = self._next_chunk(at + 1)
                error = BadInput(self.path, f"offset {at}", "a whole record", f"opcode {opcode}, {size} bytes")
                self.note(Damage(at, end - at, str(error)), error)
                if end == self.size:
                    break
            at = end
        self.end = at
        if not whole and not (self.damage and self.damage[-1].offset == at):
            self._forget_last_index()
            error = BadInput(self.path, f"offset {at}", "the index of a closed recording", "the end of the file")
            self.note(Damage(at, 0, str(error)), error)
        for chunk in self.chunks:
            counts = self._indexed(chunk)
            if not counts or not counts.keys() <= self.channels.keys():  # channels are declared inside chunks
                counts = {channel: len(times) for channel, times in (self.check(chunk) or {}).items()}
            for channel, count in counts.items():
                self.counts[channel] = self.counts.get(channel, 0) + count

    def _forget_last_index(self) -> None:
        """The message index of the chunk before a break may be cut off: without any, the chunk itself is read."""
        if self.chunks:
            self.chunks[-1].message_index_offsets.clear()
            self.chunks[-1].message_index_length = 0

    def _scan_record(self, opcode: int, at: int, end: int) -> bool:
        """Take one record of the data section; False where it is not sound."""
        if opcode == Opcode.CHUNK:
            head = self._read(at, min(CHUNK.size + 16, end - at))
            if len(head) < CHUNK.size:
                return False
            _, _, start, stop, size, _, name_size = CHUNK.unpack_from(head)
            data_at = CHUNK.size + name_size
            if name_size > 4 or len(head) < data_at + _LENGTH.size:
                return False
            (data_size,) = _LENGTH.unpack_from(head, data_at)
            if data_at + _LENGTH.size + data_size != end - at:
                return False
            name = head[CHUNK.size : data_at].decode("latin-1")
            self.chunks.append(ChunkIndex(end - at, at, name, data_size, stop, 0, {}, start, size))
        elif opcode == Opcode.MESSAGE_INDEX and self.chunks:
            if end - at < _RECORD.size + 6:
                return False
            (channel,) = _ID.unpack(self._read(at + _RECORD.size, _ID.size))
            self.chunks[-1].message_index_offsets[channel] = at
            self.chunks[-1].message_index_length += end - at
        elif opcode == Opcode.METADATA:
            self.metadata.append(MetadataIndex(length=end - at, offset=at, name=""))
        return True

    def _next_chunk(self, at: int) -> int:
        """Offset of the next thing that looks like a chunk record and has the right CRC, or the end of the file."""
        while at < self.size:
            block = self._read(at, min(_BLOCK, self.size - at))
            for match in _CHUNK_LIKE.finditer(block):
                candidate = at + match.start()
                end = candidate + _RECORD.size + _RECORD.unpack_from(block, match.start())[1]
                if end <= self.size and self._scan_record(Opcode.CHUNK, candidate, end):
                    chunk = self.chunks.pop()
                    try:
                        self._load(chunk)
                    except BadInput:
                        continue
                    return candidate
            at += len(block) - _OVERLAP if at + len(block) < self.size else len(block)
        return self.size

    def _read(self, offset: int, size: int) -> bytes:
        """Exactly these bytes."""
        data = os.pread(self._file, size, offset) if 0 <= offset <= offset + size <= self.size else b""
        if len(data) != size:
            raise BadInput(self.path, f"offset {offset}", f"{size} bytes", f"{max(self.size - offset, 0)} to the end")
        return data

    def _parse(self, kind: Any, body: bytes) -> Any:
        try:
            return kind.read(ReadDataStream(BytesIO(body)))
        except (McapError, struct.error, UnicodeDecodeError) as error:
            raise BadInput(self.path, kind.__name__, "a sound record", repr(error)) from error


def _decompress(name: bytes, data: memoryview, size: int) -> bytes | memoryview:
    """Exactly ``size`` bytes, never more.

    Raises:
        ValueError, RuntimeError, ZstdError: not that compression, or another size.
    """
    records: bytes | memoryview
    if name == b"":
        records = data
    elif name == b"zstd":
        reader = zstandard.ZstdDecompressor().stream_reader(data)
        records = reader.read(size)
    elif name == b"lz4":
        records = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size)
    else:
        raise ValueError("unknown compression")
    if len(records) != size:
        raise ValueError(f"{len(records)} bytes")
    return records
