"""Writing MCAP so that a killed process loses at most its open chunks. https://mcap.dev/spec

Messages gather in an open chunk per lane. A lane has one compression, so that images, which are compressed already, go
to the file as they are, and a reader of one lane never reads the others. A chunk declares the channels it uses, under
its CRC, so that it can be read whatever became of the rest of the file. It goes out with its message index in one
write; a write that fails is cut off again, so that what is in the file is always whole records.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import lz4.frame
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from pipeline.core.errors import BadInput

MAGIC = b"\x89MCAP0\r\n"
Compression: TypeAlias = Literal["zstd", "lz4", "none"]
Buffer: TypeAlias = bytes | bytearray | memoryview
MAX_TIME = (1 << 63) - 1  # the format's times are unsigned, ours signed: what lies outside both is clamped

MESSAGE = struct.Struct("<B Q H I Q Q")  # opcode, length, channel, sequence, log time, publish time
CHUNK = struct.Struct("<B Q Q Q Q I I")  # opcode, length, start, end, uncompressed size, crc, size of the name
_INDEX = struct.Struct("<B Q H I")  # opcode, length, channel, size of the entries
_ENTRY = struct.Struct("<Q Q")  # log time, offset in the chunk
_LENGTH = struct.Struct("<Q")
_ZSTD_LEVEL = 1


class _Chunk:
    """An open chunk: message records, and where each one starts."""

    def __init__(self, compression: Compression) -> None:
        self.compression = compression
        self.records = bytearray()
        self.index: dict[int, list[tuple[int, int]]] = {}
        self.start = self.end = 0

    def declare(self, channel: int, records: bytes) -> None:
        if channel not in self.index:
            self.records += records

    def add(self, channel: int, sequence: int, log_time: int, publish_time: int, parts: Iterable[Buffer]) -> None:
        self.start = min(self.start, log_time) if self.index else log_time
        self.end = max(self.end, log_time) if self.index else log_time
        offset = len(self.records)
        self.index.setdefault(channel, []).append((log_time, offset))
        self.records += MESSAGE.pack(Opcode.MESSAGE, 0, channel, sequence, log_time, publish_time)
        for part in parts:
            self.records += part
        _LENGTH.pack_into(self.records, offset + 1, len(self.records) - offset - 9)

    def compressed(self) -> tuple[str, Buffer]:
        if self.compression == "zstd":
            return "zstd", zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(self.records)
        if self.compression == "lz4":
            return "lz4", lz4.frame.compress(self.records)
        return "", self.records


class McapWriter:
    """One MCAP file, being written.

    Args:
        path: a file that does not exist yet.
        chunk_bytes: a chunk goes out when it holds this much.
        chunk_ns: or when its messages span this much log time.

    Raises:
        BadInput: the file exists already.
        OSError: from any method that writes. What was written before stays whole.

    size: bytes in the file. counts: messages in the file, by channel id; those in open chunks are not.
    """

    def __init__(self, path: Path, chunk_bytes: int, chunk_ns: int, profile: str = "", library: str = "") -> None:
        self.path = path
        self._chunk_bytes = chunk_bytes
        self._chunk_ns = chunk_ns
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError as error:
            raise BadInput(path, "file", "a new file", "one that exists") from error
        self.size = 0
        self._open: dict[str, _Chunk] = {}
        self._schemas: dict[tuple[str, str, bytes], Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._declarations: dict[int, bytes] = {}
        self._chunks: list[ChunkIndex] = []
        self.counts: dict[int, int] = defaultdict(int)
        self._write([MAGIC, _record(Header(profile, library))])

    def add_channel(
        self, topic: str, encoding: str, schema_name: str, schema_encoding: str, schema: bytes, metadata: dict[str, str]
    ) -> int:
        """A new channel's id. The file hears of it with its first message."""
        key = (schema_name, schema_encoding, schema)
        row = self._schemas.setdefault(key, Schema(len(self._schemas) + 1, schema, schema_encoding, schema_name))
        channel = Channel(len(self._channels) + 1, topic, encoding, metadata, row.id)
        self._channels[channel.id] = channel
        self._declarations[channel.id] = _record(row) + _record(channel)
        return channel.id

    def add(
        self,
        channel: int,
        sequence: int,
        log_time: int,
        publish_time: int,
        parts: Iterable[Buffer],
        lane: str,
        compression: Compression,
    ) -> None:
        """Copy one message into the lane's open chunk; write the chunk out when it is full."""
        chunk = self._open.get(lane)
        if chunk is None:
            chunk = self._open[lane] = _Chunk(compression)
        chunk.declare(channel, self._declarations[channel])
        chunk.add(channel, sequence & 0xFFFFFFFF, _clamp(log_time), _clamp(publish_time), parts)
        if len(chunk.records) >= self._chunk_bytes or chunk.end - chunk.start >= self._chunk_ns:
            self._close_chunk(lane)

    @property
    def open_bytes(self) -> int:
        """Bytes in open chunks: what a kill would lose."""
        return sum(len(chunk.records) for chunk in self._open.values())

    def flush(self, to_disk: bool = False) -> None:
        """Write all open chunks out; ``to_disk``: and wait until the disk has them."""
        for lane in list(self._open):
            self._close_chunk(lane)
        if to_disk:
            os.fdatasync(self._file)

    def close(self, name: str, values: dict[str, str]) -> None:
        """Write what is open, a metadata record and the index, and close the file.

        Where a chunk finds no place the others and the index are written all the same, and the error is raised then.
        """
        failed: OSError | None = None
        try:
            for lane in list(self._open):
                try:
                    self._close_chunk(lane)
                except OSError as error:  # noqa: PERF203
                    failed = error
            metadata = metadata_record(name, values)
            index = MetadataIndex(length=len(metadata), offset=self.size, name=name)
            at = self.size + len(metadata)
            schemas, channels = self._schemas.values(), self._channels.values()
            self._write([metadata, summary(at, schemas, channels, self._chunks, [index], self.counts)])
            os.fdatasync(self._file)
        finally:
            self.abandon()
        if failed:
            raise failed

    def abandon(self) -> None:
        """Close the file as it is, without open chunks and summary."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _close_chunk(self, lane: str) -> None:
        chunk = self._open[lane]
        name, data = chunk.compressed()
        body_size = CHUNK.size - 9 + len(name) + _LENGTH.size + len(data)
        crc = zlib.crc32(chunk.records)
        head = CHUNK.pack(Opcode.CHUNK, body_size, chunk.start, chunk.end, len(chunk.records), crc, len(name))
        head += name.encode() + _LENGTH.pack(len(data))
        index_at = self.size + len(head) + len(data)
        index = bytearray()
        offsets = {}
        for channel, entries in chunk.index.items():
            offsets[channel] = index_at + len(index)
            index += message_index(channel, entries)
        reference = ChunkIndex(
            chunk_length=len(head) + len(data),
            chunk_start_offset=self.size,
            compression=name,
            compressed_size=len(data),
            message_end_time=chunk.end,
            message_index_length=len(index),
            message_index_offsets=offsets,
            message_start_time=chunk.start,
            uncompressed_size=len(chunk.records),
        )
        del self._open[lane]  # lost where the write fails: the caller is told by the error
        self._write([head, data, index])
        self._chunks.append(reference)
        for channel, entries in chunk.index.items():
            self.counts[channel] += len(entries)

    def _write(self, parts: list[Buffer]) -> None:
        """All of it, or nothing and an OSError."""
        views = [memoryview(part) for part in parts if len(part)]
        start = self.size
        try:
            while views:
                written = os.writev(self._file, views)
                self.size += written
                while views and written >= views[0].nbytes:
                    written -= views.pop(0).nbytes
                if written:
                    views[0] = views[0][written:]
        except OSError:
            os.ftruncate(self._file, start)
            os.lseek(self._file, start, os.SEEK_SET)
            self.size = start
            raise


def metadata_record(name: str, values: dict[str, str]) -> bytes:
    return _record(Metadata(name=name, metadata=values))


def message_index(channel: int, entries: list[tuple[int, int]]) -> bytes:
    """The index record of one channel's messages in one chunk: (log time, offset in the chunk) each."""
    size = _ENTRY.size * len(entries)
    head = _INDEX.pack(Opcode.MESSAGE_INDEX, 6 + size, channel, size)
    return head + b"".join(_ENTRY.pack(*entry) for entry in sorted(entries))


def summary(
    at: int,
    schemas: Iterable[Schema],
    channels: Iterable[Channel],
    chunks: list[ChunkIndex],
    metadata: list[MetadataIndex],
    counts: dict[int, int],
) -> bytes:
    """Everything from the end of the data section, which is at offset ``at``, to the end of the file."""
    end_of_data = _record(DataEnd(0))
    schemas, channels = list(schemas), list(channels)
    statistics = Statistics(
        attachment_count=0,
        channel_count=len(channels),
        channel_message_counts=counts,
        chunk_count=len(chunks),
        message_count=sum(counts.values()),
        message_end_time=max((c.message_end_time for c in chunks), default=0),
        message_start_time=min((c.message_start_time for c in chunks), default=0),
        metadata_count=len(metadata),
        schema_count=len(schemas),
    )
    groups: list[tuple[Opcode, list[McapRecord]]] = [
        (Opcode.SCHEMA, list(schemas)),
        (Opcode.CHANNEL, list(channels)),
        (Opcode.STATISTICS, [statistics]),
        (Opcode.CHUNK_INDEX, list(chunks)),
        (Opcode.METADATA_INDEX, list(metadata)),
    ]
    start = at + len(end_of_data)
    out = bytearray()
    offsets = []
    for opcode, records in groups:
        group_start = len(out)
        for record in records:
            out += _record(record)
        if records:
            offsets.append(SummaryOffset(opcode, start + group_start, len(out) - group_start))
    offsets_at = start + len(out)
    for offset in offsets:
        out += _record(offset)
    crc = zlib.crc32(out)
    crc = zlib.crc32(struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offsets_at), crc)
    return end_of_data + bytes(out) + _record(Footer(start, offsets_at, crc)) + MAGIC


def _record(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())  # type: ignore[no-untyped-call]


def _clamp(time_ns: int) -> int:
    return min(max(time_ns, 0), MAX_TIME)
