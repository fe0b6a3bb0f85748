from __future__ import annotations

import errno
import gc
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pipeline.transport.ring as ring_module
from pipeline.core.errors import BadInput
from pipeline.transport.ring import Place, RingReader, RingWriter

SLOTS = 4
PathOf = Callable[[int], Path]


@pytest.fixture
def path_of(tmp_path: Path) -> PathOf:
    return lambda n: tmp_path / f"{n}.ring"


def write(ring: RingWriter, value: int, size: int = 1000) -> Place:
    half = size // 2
    places: list[Place] = []
    ring.write([bytes([value]) * half, b"", bytearray([value]) * (size - half)], size, places.append)
    return places[0]


def read(ring: RingReader, place: Place) -> np.ndarray | None:
    return ring.read(ring.open(place.segment), place, as_array)


def as_array(memory: memoryview) -> np.ndarray:
    return np.frombuffer(memory, np.uint8)


def is_filled(data: np.ndarray | None, value: int, size: int = 1000) -> bool:
    return data is not None and data.shape == (size,) and bool((data == value).all())


def test_what_is_written_is_read(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    for value in range(20):
        assert is_filled(read(reader, write(writer, value)), value)


def test_the_last_messages_can_be_read_and_older_ones_are_overwritten(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    places = [write(writer, value) for value in range(10)]
    assert [read(reader, place) is not None for place in places] == [False] * 6 + [True] * 4


def test_a_borrowed_message_stays_while_it_is_in_use_and_no_longer(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    first = write(writer, 1)
    held = read(reader, first)
    part = held[10:20] if held is not None else None
    del held
    places = [write(writer, value) for value in range(2, 20)]
    assert first.slot not in {place.slot for place in places}
    assert is_filled(part, 1, 10)
    del part
    gc.collect()
    places = [write(writer, value) for value in range(20, 20 + SLOTS)]
    assert first.slot in {place.slot for place in places}


def test_beyond_its_share_a_reader_gets_copies(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    held = [read(reader, write(writer, value)) for value in range(6)]
    ring = np.frombuffer(reader.open(0).map, np.uint8)
    lent = [data is not None and np.shares_memory(data, ring) for data in held]
    assert lent == [True, True, False, False, False, False]
    for value in range(6, 30):
        write(writer, value)
    assert all(is_filled(data, value) for value, data in enumerate(held))


def test_when_every_slot_is_being_read_the_writer_opens_another_segment(path_of: PathOf, tmp_path: Path) -> None:
    writer = RingWriter(path_of, SLOTS)
    readers = [RingReader(path_of, 2) for _ in range(2)]
    held = [read(readers[k // 2], write(writer, k)) for k in range(SLOTS)]
    place = write(writer, 9)
    assert place.segment == 1
    assert is_filled(read(readers[0], place), 9)
    for value in range(3 * SLOTS):
        write(writer, value)
    assert [path.name for path in tmp_path.iterdir()] == ["1.ring"]
    assert all(is_filled(data, value) for value, data in enumerate(held))


def test_larger_messages_open_larger_segments_and_earlier_ones_can_still_be_read(
    path_of: PathOf, tmp_path: Path
) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 0)
    small = [write(writer, value) for value in range(3)]
    large = write(writer, 9, 1_000_000)
    assert large.segment == 1
    segment = reader.open(0)
    for value in range(3 * SLOTS):
        write(writer, value)
    assert [path.name for path in tmp_path.iterdir()] == ["1.ring"]
    assert all(is_filled(reader.read(segment, place, as_array), value) for value, place in enumerate(small))
    assert write(writer, 1, 1_100_000).segment == 1  # a little more fits


def test_memory_is_taken_slot_by_slot_and_bounded_by_the_largest_message(path_of: PathOf) -> None:
    writer = RingWriter(path_of, SLOTS)
    for k in range(50):
        place = write(writer, 1, 1000 + 8_000 * k)
    size = os.stat(path_of(place.segment)).st_size
    assert size <= 4096 + SLOTS * (1.25 * 1.25 * 393_000 + 65_536)
    fresh = RingWriter(lambda n: path_of(n + 100), SLOTS)
    place = write(fresh, 1, 1_000_000)
    assert os.stat(path_of(100 + place.segment)).st_blocks * 512 < 1.5e6


class Interrupted(list[bytes]):
    """Parts of a message: the first two, then something else happens before the last."""

    def __init__(self, value: int, happens: Callable[[], object]) -> None:
        super().__init__([bytes([value]) * 100, bytes([value]) * 400, bytes([value]) * 500])
        self._happens = happens

    def __iter__(self) -> Iterator[bytes]:
        yield from self[:2]
        self._happens()
        yield self[2]


def test_a_reader_that_is_there_first_waits_for_the_end_of_the_copy(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    places: queue.Queue[Place] = queue.Queue()
    go_on = threading.Event()
    writing = threading.Thread(target=writer.write, args=(Interrupted(7, go_on.wait), 1000, places.put))
    writing.start()
    going = threading.Timer(0.02, go_on.set)
    going.start()
    assert is_filled(read(reader, places.get(timeout=10)), 7)
    writing.join()
    going.join()


def test_the_head_can_be_used_before_the_rest_is_there(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    for value in range(SLOTS):
        write(writer, value)
    places: queue.Queue[Place] = queue.Queue()
    go_on = threading.Event()
    writing = threading.Thread(target=writer.write, args=(Interrupted(7, go_on.wait), 1000, places.put))
    writing.start()
    place = places.get(timeout=10)
    seen: list[bytes] = []

    def use(memory: memoryview) -> np.ndarray:
        seen.append(bytes(memory[:100]) + bytes(memory[500:]))
        go_on.set()
        return as_array(memory)

    assert is_filled(reader.read(reader.open(place.segment), place, use), 7)
    assert seen == [bytes([7]) * 100 + bytes(500)]
    writing.join()


def test_what_looks_malformed_while_it_is_overwritten_is_no_fault_of_the_message(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    place = write(writer, 1)

    def overwritten(_: memoryview) -> None:
        for value in range(SLOTS):
            write(writer, value)
        raise ValueError("not a message")

    def malformed(_: memoryview) -> None:
        raise ValueError("not a message")

    assert reader.read(reader.open(0), place, overwritten) is None
    with pytest.raises(ValueError, match="not a message"):
        reader.read(reader.open(0), write(writer, 1), malformed)
    gc.collect()
    assert {write(writer, value).slot for value in range(SLOTS)} == set(range(SLOTS))  # nothing stayed borrowed


def test_a_copy_that_ends_just_as_the_reader_looks_is_not_lost(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    places: queue.Queue[Place] = queue.Queue()
    go_on = threading.Event()
    writing = threading.Thread(target=writer.write, args=(Interrupted(7, go_on.wait), 1000, places.put))
    writing.start()
    place = places.get(timeout=10)
    segment = reader.open(place.segment)
    lock = segment.lock

    def lock_and_let_the_writer_finish(slot: int, kind: int) -> bool:
        taken = lock(slot, kind)
        go_on.set()
        writing.join()
        return taken

    segment.lock = lock_and_let_the_writer_finish  # type: ignore[method-assign]
    assert is_filled(reader.read(segment, place, as_array), 7)


def test_a_reader_does_not_wait_for_ever(path_of: PathOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "_PATIENCE_NS", 3_000_000)
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    places: list[Place] = []
    found: list[object] = []
    writer.write(Interrupted(7, lambda: found.append(read(reader, places[0]))), 1000, places.append)
    assert found == [None]
    assert is_filled(read(reader, places[0]), 7)


def test_a_writer_that_died_while_writing_leaves_nothing_to_read(path_of: PathOf) -> None:
    class Death(BaseException):
        pass

    def die() -> None:
        raise Death

    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    places = [write(writer, value) for value in range(SLOTS)]
    with pytest.raises(Death):
        writer.write(Interrupted(7, die), 1000, places.append)
    assert places[0].slot == places[-1].slot
    assert read(reader, places[0]) is None
    assert read(reader, places[-1]) is None


def test_full_shared_memory_is_an_error_not_a_crash(path_of: PathOf, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 0)

    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    for size in (1000, 1000, 200_000):  # a first segment, another slot of it, a larger segment
        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", full)
            with pytest.raises(OSError, match=r"no space.*shm_size"):
                write(writer, 2, size)
        assert is_filled(read(reader, write(writer, 3, size)), 3, size)


@pytest.mark.parametrize(
    "change",
    [{"slot": SLOTS}, {"size": 1 << 40}, {"generation": 0}],
)
def test_places_that_cannot_be_are_refused(path_of: PathOf, change: dict[str, int]) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    with pytest.raises(ValueError, match="not in a ring"):
        read(reader, write(writer, 1)._replace(**change))


def test_a_place_said_twice_does_not_free_what_is_in_use(path_of: PathOf) -> None:
    writer, reader = RingWriter(path_of, SLOTS), RingReader(path_of, 2)
    place = write(writer, 1)
    held = read(reader, place)
    with pytest.raises(ValueError, match="not in a ring"):
        read(reader, place)
    assert is_filled(held, 1)


@pytest.mark.parametrize(
    "damage", [(0, b"SINK"), (8, b"\2"), (12, b"\0"), (12, b"\5"), (16, bytes(8)), (16, b"\xff" * 8)]
)
def test_a_file_that_is_no_ring_is_refused(path_of: PathOf, damage: tuple[int, bytes]) -> None:
    write(RingWriter(path_of, SLOTS), 1)
    where, what = damage
    with path_of(0).open("r+b") as file:
        file.seek(where)
        file.write(what)
    with pytest.raises(BadInput):
        RingReader(path_of, 2).open(0)
    path_of(0).write_bytes(b"SYNC")
    with pytest.raises(BadInput):
        RingReader(path_of, 2).open(0)
    with pytest.raises(FileNotFoundError):
        RingReader(path_of, 2).open(1)
