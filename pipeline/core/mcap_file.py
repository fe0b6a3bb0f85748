"""An MCAP file's bytes: records, chunks and their messages, each checked before it is believed. https://mcap.dev/spec

Sizes are checked against the file before memory is taken, chunks against their CRC.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, MetadataIndex, Schema

from pipeline.core.errors import BadInput
from pipeline.core.mcap_writer import CHUNK, MAGIC, MESSAGE

RECORD = struct.Struct("<B Q")  # opcode, length
LENGTH = struct.Struct("<Q")
INDEX = struct.Struct("<B Q H I")  # a message index: opcode, length, channel, size of the entries
ENTRY = struct.Struct("<Q Q")  # log time, offset in the chunk
MAX_CHUNK = 1 << 30
_ID = struct.Struct("<H")


class RawMessage(NamedTuple):
    """A message record. Ordered by log time, then topic, then place in the file."""

    log_time: int
    topic: str
    chunk: int
    offset: int
    channel: int
    publish_time: int
    data: memoryview


class Index:
    """What is in a file, and where. end: offset behind the last whole record of the data section."""

    def __init__(self) -> None:
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.chunks: list[ChunkIndex] = []
        self.counts: dict[int, int] = {}
        self.metadata: list[MetadataIndex] = []
        self.end = len(MAGIC)


class McapFile:
    """An open file.

    Raises:
        BadInput: not readable, or no MCAP file; from every method: what it is asked for is not there or not sound.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BadInput(path, "file", "a readable recording", error.strerror) from error
        self.size = os.fstat(self._file).st_size
        start = os.pread(self._file, len(MAGIC), 0)
        if start != MAGIC:
            self.close()
            raise BadInput(path, "magic at offset 0", f"{MAGIC!r}, an MCAP file", start)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def read(self, offset: int, size: int) -> bytes:
        """Exactly these bytes."""
        data = os.pread(self._file, size, offset) if 0 <= offset <= offset + size <= self.size else b""
        if len(data) != size:
            raise BadInput(self.path, f"offset {offset}", f"{size} bytes", f"{max(self.size - offset, 0)} to the end")
        return data

    def head(self, offset: int) -> tuple[int, int]:
        """Opcode and length of the record there; 0, 0 where the file ends before."""
        if offset + RECORD.size > self.size:
            return 0, 0
        opcode, size = RECORD.unpack(self.read(offset, RECORD.size))
        return opcode, size

    def parse(self, kind: Any, body: bytes) -> Any:
        """A record of the ``mcap`` package from the bytes behind its length."""
        try:
            return kind.read(ReadDataStream(BytesIO(body)))
        except (McapError, struct.error, UnicodeDecodeError) as error:
            raise BadInput(self.path, kind.__name__, "a sound record", repr(error)) from error

    def indexed(self, chunk: ChunkIndex) -> dict[int, int]:
        """Messages by channel id as the chunk's message index counts them."""
        heads = {channel: self.head(at)[1] for channel, at in chunk.message_index_offsets.items()}
        return {channel: max(size - 6, 0) // ENTRY.size for channel, size in heads.items()}

    def log_times(self, chunk: ChunkIndex, channel: int) -> list[int]:
        """Log times of one channel's messages in a chunk, from its message index."""
        at, count = chunk.message_index_offsets[channel], self.indexed(chunk)[channel]
        return [time for time, _ in ENTRY.iter_unpack(self.read(at + INDEX.size, ENTRY.size * count))]

    def messages(self, chunk: ChunkIndex, index: Index) -> Iterator[RawMessage]:
        """Messages as they stand in the chunk, once its CRC is right; ``index`` learns the channels it declares."""
        records = memoryview(self.load(chunk))
        at = 0
        while at < len(records):
            size = RECORD.unpack_from(records, at)[1] if at + RECORD.size <= len(records) else len(records)
            end = at + RECORD.size + size
            if end > len(records):
                raise BadInput(self.path, f"record at {at} of chunk", f"within {len(records)} bytes", end)
            opcode = records[at]
            if opcode == Opcode.MESSAGE and end - at >= MESSAGE.size:
                _, _, number, _, log_time, publish_time = MESSAGE.unpack_from(records, at)
                channel = index.channels.get(number)
                if channel is None:
                    raise BadInput(self.path, f"record at {at} of chunk", "a declared channel", number)
                data = records[at + MESSAGE.size : end]
                yield RawMessage(log_time, channel.topic, chunk.chunk_start_offset, at, number, publish_time, data)
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL) and size >= _ID.size:
                kind, known = (Schema, index.schemas) if opcode == Opcode.SCHEMA else (Channel, index.channels)
                (number,) = _ID.unpack_from(records, at + RECORD.size)
                if number not in known:
                    known[number] = self.parse(kind, bytes(records[at + RECORD.size : end]))
            at = end

    def load(self, chunk: ChunkIndex) -> bytes | memoryview:
        """A chunk's records, uncompressed, CRC checked."""
        raw = self.read(chunk.chunk_start_offset, chunk.chunk_length)
        where = f"chunk at offset {chunk.chunk_start_offset}"
        if len(raw) < CHUNK.size:
            raise BadInput(self.path, where, f"at least {CHUNK.size} bytes", len(raw))
        opcode, _, _, _, size, crc, name_size = CHUNK.unpack_from(raw)
        start = CHUNK.size + name_size + LENGTH.size
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


def _decompress(name: bytes, data: memoryview, size: int) -> bytes | memoryview:
    """Exactly ``size`` bytes, never more.

    Raises:
        ValueError, RuntimeError, ZstdError: not that compression, or another size.
    """
    records: bytes | memoryview
    if name == b"":
        records = data
    elif name == b"zstd":
        records = zstandard.ZstdDecompressor().stream_reader(data).read(size)
    elif name == b"lz4":
        records = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size)
    else:
        raise ValueError("unknown compression")
    if len(records) != size:
        raise ValueError(f"{len(records)} bytes")
    return records
