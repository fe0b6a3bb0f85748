"""The index of an MCAP file: the one at its end, or one made by walking through a file that has none to be trusted."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Metadata, MetadataIndex, Schema, Statistics

from pipeline.core.errors import BadInput
from pipeline.core.mcap_file import ENTRY, INDEX, LENGTH, RECORD, Index, McapFile
from pipeline.core.mcap_writer import CHUNK, MAGIC

_FOOTER = struct.Struct("<B Q Q Q I")  # opcode, length, summary at, offsets at, crc
_DATA_END_SIZE = 13
_MAX_SUMMARY = 1 << 30
_MAX_SMALL = 16 << 20  # of a record in the data section that is no chunk
_BLOCK = 1 << 20
_OVERLAP = 64  # more than what _CHUNK_LIKE matches
# A chunk record: opcode, a length below 4 GiB, two times, sizes, CRC, the name of a compression.
_CHUNK_LIKE = re.compile(rb"\x06.{4}\0{4}.{28}(?:\0{4}|\x03\0{3}lz4|\x04\0{3}zstd)", re.DOTALL)


def read_summary(file: McapFile) -> Index | None:
    """The index at the end of the file; None where there is none, or one that cannot be trusted."""
    footer_at = file.size - len(MAGIC) - _FOOTER.size
    if footer_at < len(MAGIC) or file.read(file.size - len(MAGIC), len(MAGIC)) != MAGIC:
        return None
    opcode, _, start, _, crc = _FOOTER.unpack(file.read(footer_at, _FOOTER.size))
    if opcode != Opcode.FOOTER or not len(MAGIC) <= start <= footer_at or footer_at - start > _MAX_SUMMARY:
        return None
    raw = file.read(start, footer_at - start + _FOOTER.size)
    if crc and zlib.crc32(raw[:-4]) != crc:
        return None
    index = Index()
    at = 0
    try:
        while at + RECORD.size <= footer_at - start:
            opcode, size = RECORD.unpack_from(raw, at)
            _take(index, file, opcode, raw[at + RECORD.size : at + RECORD.size + size])
            at += RECORD.size + size
    except BadInput:
        return None
    used = index.counts.keys() | {channel for chunk in index.chunks for channel in chunk.message_index_offsets}
    index.end = start - _DATA_END_SIZE
    return index if used <= index.channels.keys() else None


def _take(index: Index, file: McapFile, opcode: int, body: bytes) -> None:
    """Take in one record of the summary."""
    if opcode == Opcode.SCHEMA:
        schema = file.parse(Schema, body)
        index.schemas[schema.id] = schema
    elif opcode == Opcode.CHANNEL:
        channel = file.parse(Channel, body)
        index.channels[channel.id] = channel
    elif opcode == Opcode.CHUNK_INDEX:
        index.chunks.append(file.parse(ChunkIndex, body))
    elif opcode == Opcode.METADATA_INDEX:
        index.metadata.append(file.parse(MetadataIndex, body))
    elif opcode == Opcode.STATISTICS:
        index.counts = dict(file.parse(Statistics, body).channel_message_counts)


def scan(file: McapFile, note: Callable[[int, int, BadInput], None]) -> Index:
    """Walk through the data section record by record; behind what is broken, go on at the next sound chunk.

    Channels are declared inside chunks and are not known yet. ``note``: told offset, size and fault of what is broken.
    """
    index = Index()
    at = len(MAGIC)
    while at < file.size:
        opcode, size = file.head(at)
        end = at + RECORD.size + size
        if opcode == Opcode.DATA_END and size == 4:
            index.end = at
            return index
        if not 0 < opcode < Opcode.DATA_END or end > file.size or not _walk(index, file, opcode, at, end):
            _forget_message_index(index)
            end = _next_chunk(file, at + 1)
            found = f"opcode {opcode}, {size} bytes"
            note(at, end - at, BadInput(file.path, f"offset {at}", "a whole record", found))
            if end == file.size:
                index.end = at
                return index
        at = end
    _forget_message_index(index)
    note(at, 0, BadInput(file.path, f"offset {at}", "the index of a closed recording", "the end of the file"))
    index.end = at
    return index


def _walk(index: Index, file: McapFile, opcode: int, at: int, end: int) -> bool:
    """Take in one record of the data section; False where it is not sound."""
    if opcode == Opcode.CHUNK:
        chunk = _chunk(file, at, end)
        if chunk is not None:
            index.chunks.append(chunk)
        return chunk is not None
    if end - at > _MAX_SMALL:
        return False
    if opcode == Opcode.MESSAGE_INDEX:
        if end - at < INDEX.size or not index.chunks:
            return False
        _, _, channel, size = INDEX.unpack(file.read(at, INDEX.size))
        if INDEX.size + size != end - at or size % ENTRY.size:
            return False
        index.chunks[-1].message_index_offsets[channel] = at
        index.chunks[-1].message_index_length += end - at
        return True
    if opcode == Opcode.METADATA:
        try:
            name = file.parse(Metadata, file.read(at + RECORD.size, end - at - RECORD.size)).name
        except BadInput:
            return False
        index.metadata.append(MetadataIndex(length=end - at, offset=at, name=name))
    return True


def _chunk(file: McapFile, at: int, end: int) -> ChunkIndex | None:
    """The chunk record at an offset, if its sizes agree with each other."""
    head = file.read(at, min(CHUNK.size + 16, end - at))
    if len(head) < CHUNK.size:
        return None
    _, _, start, stop, size, _, name_size = CHUNK.unpack_from(head)
    data_at = CHUNK.size + name_size
    if name_size > 4 or len(head) < data_at + LENGTH.size:
        return None
    (data_size,) = LENGTH.unpack_from(head, data_at)
    if data_at + LENGTH.size + data_size != end - at:
        return None
    name = head[CHUNK.size : data_at].decode("latin-1")
    return ChunkIndex(
        chunk_length=end - at,
        chunk_start_offset=at,
        compression=name,
        compressed_size=data_size,
        message_end_time=stop,
        message_index_length=0,
        message_index_offsets={},
        message_start_time=start,
        uncompressed_size=size,
    )


def _forget_message_index(index: Index) -> None:
    """That of the chunk before a break may be cut off: without any, the chunk itself is read."""
    if index.chunks:
        index.chunks[-1].message_index_offsets.clear()
        index.chunks[-1].message_index_length = 0


def _next_chunk(file: McapFile, at: int) -> int:
    """Offset of the next thing that looks like a chunk record and has the right CRC, or the end of the file."""
    while at < file.size:
        block = file.read(at, min(_BLOCK, file.size - at))
        for match in _CHUNK_LIKE.finditer(block):
            candidate = at + match.start()
            end = candidate + RECORD.size + RECORD.unpack_from(block, match.start())[1]
            chunk = _chunk(file, candidate, end) if end <= file.size else None
            if chunk is not None and _sound(file, chunk):
                return candidate
        at += len(block) - _OVERLAP if at + len(block) < file.size else len(block)
    return file.size


def _sound(file: McapFile, chunk: ChunkIndex) -> bool:
    try:
        file.load(chunk)
    except BadInput:
        return False
    return True
