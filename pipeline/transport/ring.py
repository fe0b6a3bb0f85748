"""A ring of messages in shared memory: one writer, any number of readers, nobody waits, no frame is ever torn.

A ring is a file in the run's folder, mapped by writer and readers:

    header       64 bytes                magic, version, slots, capacity
    generations  8 bytes per slot        which message the slot holds; the highest bit says: not yet
    data         capacity bytes per slot, each from the middle of a page

Each slot is guarded by a kernel lock on one byte of the file (open file description locks: shared for readers,
exclusive for the writer, never waited for). So the three hard cases need no protocol of our own:

- A reader *borrows* a slot and its arrays stay views of shared memory for as long as they live: the lock keeps the
  writer away, which goes on with the next slot. Once a reader holds `max_borrowed` messages it gets copies instead.
- A reader or writer that is killed loses its locks with its last breath.
- On processors that reorder memory accesses the lock calls are the barriers.

Borrowing is what makes the hand-over of a frame cost one copy (into the ring) instead of two. A message is announced
when its first part (the head) lies in its slot, so that the news travels while the rest is copied; a reader that is
there first makes of the head what it can, then waits for the lock, but not for long: it looks again and again, giving
way to others each time, for about as long as a copy takes, and from then on naps in between.

Slots begin in the middle of a page because large arrays begin at its start: a copy to just beyond where it comes from,
modulo 4 kB, takes up to four times as long, as the processor holds up loads that look as if they were of what is just
being stored.

`LARGE_COPIES` tells glibc to write copies of 2 MiB and more past the caches: else each line of a slot, long out of
them, is first read from memory only to be overwritten. glibc does so by itself where it knows the size of the cache; a
virtual machine is often shown the cache of its whole host.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from pipeline.core.errors import BadInput
from pipeline.core.wire import Buffer

MAX_SLOTS = 1 << 16
MAX_CAPACITY = 1 << 30
_MAGIC, _VERSION = b"SYNCRING", 1
_HEADER = struct.Struct("<8s I I Q")
_GENERATIONS_AT = 64
_PAGE = mmap.PAGESIZE
_ROUND = 16 * _PAGE
_LEAD = _PAGE // 2
_WRITING = 1 << 63
_WAKEFUL_NS, _PATIENCE_NS, _NAP_S = 2_000_000, 400_000_000, 1e-6  # naps take about 60 µs in truth
LARGE_COPIES = {"GLIBC_TUNABLES": "glibc.cpu.x86_non_temporal_threshold=0x200000"}
"""For the environment in which processes of a run are started; says nothing to other processors or C libraries."""

T = TypeVar("T")
_LOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid


class Place(NamedTuple):
    """Where a message lies: file number, slot in it, the generation written there, bytes."""

    segment: int
    slot: int
    generation: int
    size: int


class Segment:
    """One mapped ring file. Closed when the last array that was borrowed from it is gone."""

    def __init__(self, descriptor: int, slots: int, capacity: int, protection: int) -> None:
        self.descriptor, self.slots, self.capacity = descriptor, slots, capacity
        weakref.finalize(self, os.close, descriptor).atexit = False
        self.map = mmap.mmap(descriptor, _data_at(slots) + slots * capacity, mmap.MAP_SHARED, protection)
        self.memory = memoryview(self.map)
        self.generations = self.memory[_GENERATIONS_AT : _GENERATIONS_AT + 8 * slots].cast("Q")

    def offset(self, slot: int) -> int:
        return _data_at(self.slots) + slot * self.capacity

    def lock(self, slot: int, kind: int) -> bool:
        """Take or give back (`F_UNLCK`) the lock of a slot; False when someone else's is in the way."""
        try:
            fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, slot, 1, 0))
        except BlockingIOError:
            return False
        return True


class RingWriter:
    """Writes messages into slots, oldest first, passing over slots that are being read.

    path_of: file for the n-th segment. A message larger than all before opens a new segment with larger slots; the old
    file stays until its messages would have been overwritten anyway.
    """

    def __init__(self, path_of: Callable[[int], Path], slots: int) -> None:
        self._path_of = path_of
        self._slots = slots
        self._segment: Segment | None = None
        self._number = -1
        self._unlinked = 0  # segments below this number have no file any more
        self._used: set[int] = set()  # slots of this segment that have memory behind them
        self._slot = -1
        self._generation = 0
        self._written = 0  # messages in this segment

    def write(self, parts: Sequence[Buffer], size: int, announce: Callable[[Place], None]) -> None:
        """Copy ``parts``, ``size`` bytes together, into the next free slot; announce where after the first of them.

        Raises:
            OSError: shared memory is full.
        """
        segment, slot = self._claim(size)
        self._generation += 1
        try:
            if slot not in self._used:
                _take_memory(segment.descriptor, segment.offset(slot), segment.capacity)
                self._used.add(slot)
            segment.generations[slot] = self._generation | _WRITING
            start = segment.offset(slot)
            for k, part in enumerate(parts):
                segment.memory[start : start + len(part)] = part
                start += len(part)
                if k == 0:
                    announce(Place(self._number, slot, self._generation, size))
            segment.generations[slot] = self._generation
        finally:
            segment.lock(slot, fcntl.F_UNLCK)
        self._slot = slot
        self._written += 1
        if self._written == self._slots:
            self._unlink_below(self._number)

    def _claim(self, size: int) -> tuple[Segment, int]:
        """A segment with room and a slot of it that is locked for writing."""
        segment = self._segment
        if segment is not None and size <= segment.capacity:
            for step in range(1, self._slots + 1):
                slot = (self._slot + step) % self._slots
                if segment.lock(slot, fcntl.F_WRLCK):
                    return segment, slot
        segment = self._segment = self._grow(size)
        segment.lock(0, fcntl.F_WRLCK)
        return segment, 0

    def _grow(self, size: int) -> Segment:
        self._unlink_below(self._number)  # a reader is given two segments, not more
        largest = self._segment.capacity if self._segment else 0
        capacity = largest if size <= largest else _round_up(size + size // 4, _ROUND)
        path = self._path_of(self._number + 1)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _take_memory(descriptor, 0, _data_at(self._slots))
            os.ftruncate(descriptor, _data_at(self._slots) + self._slots * capacity)
            os.pwrite(descriptor, _HEADER.pack(_MAGIC, _VERSION, self._slots, capacity), 0)
        except BaseException:
            os.close(descriptor)
            path.unlink()
            raise
        self._number += 1
        self._used.clear()
        self._written = 0
        return Segment(descriptor, self._slots, capacity, mmap.PROT_READ | mmap.PROT_WRITE)

    def _unlink_below(self, number: int) -> None:
        for n in range(self._unlinked, number):
            with contextlib.suppress(FileNotFoundError):
                self._path_of(n).unlink()
        self._unlinked = max(self._unlinked, number)


class RingReader:
    """Reads what one `RingWriter` writes.

    path_of: file of the n-th segment. max_borrowed: how many messages may stay in the ring for as long as they are in
    use; any further one is copied.
    """

    def __init__(self, path_of: Callable[[int], Path], max_borrowed: int) -> None:
        self._path_of = path_of
        self._max_borrowed = max_borrowed
        self._newest: tuple[int, Segment] | None = None
        self._borrowed: set[tuple[int, int]] = set()  # segment, slot

    def open(self, number: int) -> Segment:
        """The n-th segment. To open it as soon as it is heard of is to have it whatever becomes of its file.

        Raises:
            FileNotFoundError: it is no more.
            BadInput: the file is not a ring of the size it says.
        """
        if self._newest is None or self._newest[0] != number:
            self._newest = number, _open(self._path_of(number))
        return self._newest[1]

    def read(self, segment: Segment, place: Place, use: Callable[[memoryview], T]) -> T | None:
        """What ``use`` makes of the message's bytes, or None when they were overwritten.

        They lie in shared memory, and their slot is kept from being overwritten while anything refers to them; or they
        are a copy when `max_borrowed` messages are held already. ``use`` is called while all but the first part may
        still be on its way: it can refer to the rest, not look at it.

        Raises:
            ValueError: a place that cannot be; what ``use`` raised.
        """
        key = place.segment, place.slot
        fits = place.slot < segment.slots and place.size <= segment.capacity and 0 < place.generation < _WRITING
        if not fits or key in self._borrowed:
            raise ValueError(f"{place} is not in a ring of {segment.slots} slots of {segment.capacity} bytes")
        view = np.frombuffer(segment.map, np.uint8, place.size, segment.offset(place.slot))
        if len(self._borrowed) >= self._max_borrowed:
            if not self._lock(segment, place):
                return None
            copied = view.copy()
            segment.lock(place.slot, fcntl.F_UNLCK)
            return use(copied.data)
        made = problem = None
        try:
            made = use(view.data)
        except ValueError as error:  # of the message, or because it is no more
            problem = error
        if not self._lock(segment, place):
            return None
        self._borrowed.add(key)
        weakref.finalize(view, self._give_back, segment, key).atexit = False
        if problem is not None:
            raise problem
        return made

    def _lock(self, segment: Segment, place: Place) -> bool:
        """Wait for the end of the copy and keep the slot from the writer; False when the message is no more."""
        began_ns = time.monotonic_ns()
        while not segment.lock(place.slot, fcntl.F_RDLCK):
            waited_ns = time.monotonic_ns() - began_ns
            if segment.generations[place.slot] & ~_WRITING != place.generation or waited_ns > _PATIENCE_NS:
                return False
            if waited_ns < _WAKEFUL_NS:
                os.sched_yield()
            else:  # a lock that blocks could not give up on a writer that was stopped in mid-copy
                time.sleep(_NAP_S)
        if segment.generations[place.slot] == place.generation:
            return True
        segment.lock(place.slot, fcntl.F_UNLCK)
        return False

    def _give_back(self, segment: Segment, key: tuple[int, int]) -> None:
        segment.lock(key[1], fcntl.F_UNLCK)
        self._borrowed.discard(key)


def _take_memory(descriptor: int, start: int, size: int) -> None:
    """Ask for memory before it is touched: a page that the host does not have would kill the process."""
    try:
        os.posix_fallocate(descriptor, start, size)
    except OSError as error:
        problem = f"no {size} bytes of shared memory for a ring: {error.strerror}; enlarge /dev/shm (docker: shm_size)"
        raise OSError(error.errno, problem) from error


def _open(path: Path) -> Segment:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        slots, capacity = _read_header(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return Segment(descriptor, slots, capacity, mmap.PROT_READ)


def _read_header(path: Path, descriptor: int) -> tuple[int, int]:
    header = os.pread(descriptor, _HEADER.size, 0)
    if len(header) < _HEADER.size:
        raise BadInput(path, "header", f"{_HEADER.size} bytes", len(header))
    magic, version, slots, capacity = _HEADER.unpack(header)
    if magic != _MAGIC or version != _VERSION or not 0 < slots <= MAX_SLOTS or not 0 < capacity <= MAX_CAPACITY:
        raise BadInput(path, "header", "a ring", header)
    if (size := os.fstat(descriptor).st_size) != _data_at(slots) + slots * capacity:
        raise BadInput(path, "size", f"{slots} slots of {capacity} bytes", size)
    return slots, capacity


def _data_at(slots: int) -> int:
    return _round_up(_GENERATIONS_AT + 8 * slots, _PAGE) + _LEAD


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
