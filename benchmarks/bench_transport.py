"""Hand-over of a frame from one process to another: from just before `publish` until the decoded message is there.

Beside it, measured between the same messages in the writing process: one copy of as many bytes by numpy, from the same
buffer to the same buffer every time, so warm: the least that a hand-over by value can cost. The hand-over itself is not
warm: the ring goes round through all its slots. Both processes are started as the processes of a run are, with
`LARGE_COPIES`; the last row is the same copy in a process without. Peer rows: the same bus when the reader takes a copy
of its own, and plain pyzmq over ipc without copies. Both processes read the same monotonic clock.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zmq

from pipeline.core.messages import CameraImage, Message, Stamp
from pipeline.core.wire import decode, encode
from pipeline.transport.ring import LARGE_COPIES
from pipeline.transport.shared_memory import SharedMemoryBus, SharedMemorySettings

SIZES = {"0.2 MB": 200_000, "1 MB": 1_000_000, "6.2 MB": 6_220_800}
WAYS = {
    "shared memory": {"max_borrowed": 2},
    "shared memory, reader copies": {"max_borrowed": 0},
    "pyzmq ipc copy=False": None,
}
TOPIC = "camera/front"
MESSAGES, WARM_UP = 300, 50
PAUSE_S = 0.003
PATIENCE_S = 20.0

T = TypeVar("T")


def run() -> list[dict[str, Any]]:
    rows = []
    for size_name, size in SIZES.items():
        for way, options in WAYS.items():
            times_us, copy_us = in_process_of_a_run(hand_over, size, options)
            p50, p99 = np.percentile(times_us, (50, 99))
            for what, value, unit, limit in (
                ("p50", p50, "µs", copy_us),
                ("p99", p99, "µs", copy_us),
                ("rate", size / p50 / 1e3, "GB/s", size / copy_us / 1e3),
            ):
                name = f"{way}, {size_name}, {what}"
                ratio = float(value / limit)
                numbers = {"value": float(value), "unit": unit, "limit": float(limit), "ratio": ratio}
                rows.append({"name": name, **numbers, "limit_name": "one warm numpy copy, median"})
        with_us, without_us = in_process_of_a_run(copies, size), copies(size)
        numbers = {"value": without_us, "unit": "µs", "limit": with_us, "ratio": without_us / with_us}
        rows.append({"name": f"numpy copy by default, {size_name}", **numbers, "limit_name": "with LARGE_COPIES"})
    return rows


def in_process_of_a_run(function: Callable[..., T], *arguments: Any) -> T:
    """Call ``function`` in a process of its own, started with the environment that a run's processes have."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    before = {name: os.environ.get(name) for name in LARGE_COPIES}
    os.environ.update(LARGE_COPIES)
    try:
        process = context.Process(target=send_result, args=(there, function, arguments))
        process.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    there.close()
    result: T = here.recv()
    process.join()
    here.close()
    return result


def send_result(results: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    results.send(function(*arguments))


def copies(size: int) -> float:
    """Median time of one warm copy, µs, with the pauses of the hand-over."""
    frame = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    target = np.zeros_like(frame)
    times_us = []
    for _ in range(MESSAGES):
        time.sleep(2 * PAUSE_S)
        times_us.append(timed_copy_us(target, frame))
    return float(np.median(times_us[WARM_UP:]))


def timed_copy_us(target: np.ndarray, frame: np.ndarray) -> float:
    started = time.perf_counter_ns()
    np.copyto(target, frame)
    return (time.perf_counter_ns() - started) / 1e3


def hand_over(size: int, options: dict[str, int] | None) -> tuple[np.ndarray, float]:
    """Times of the hand-over in µs, and the median time of one copy of as many bytes, taken between the messages."""
    context = multiprocessing.get_context("spawn")
    frame = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    target = np.zeros_like(frame)
    times_us, copies_us = [], []
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        open_writer, read = (zmq_writer, zmq_reader) if options is None else (bus_writer, bus_reader)
        with open_writer(folder, options) as (wait_for_reader, publish):
            here, there = context.Pipe()
            reader = context.Process(target=read, args=(folder, options, there))
            reader.start()
            there.close()
            wait_for_reader()
            for k in range(MESSAGES):
                time.sleep(PAUSE_S)
                copies_us.append(timed_copy_us(target, frame))
                time.sleep(PAUSE_S)
                payload = CameraImage(height=1, width=1, encoding="png", data=frame)
                stamp = Stamp(sensor_ns=0, arrival_ns=time.perf_counter_ns(), time_ns=0, sequence=k)
                publish(Message(TOPIC, stamp, payload))
                times_us.append(here.recv() / 1e3)
            reader.join()
            here.close()
    return np.array(times_us[WARM_UP:]), float(np.median(copies_us[WARM_UP:]))


def measure(receive: Callable[[], Message], results: Connection) -> None:
    for k in range(MESSAGES):
        message = receive()
        taken_ns = time.perf_counter_ns() - message.stamp.arrival_ns
        assert message.stamp.sequence == k
        results.send(taken_ns)


def bus_settings(folder: str, options: dict[str, int]) -> SharedMemorySettings:
    return SharedMemorySettings(folder=folder, **options)


@contextlib.contextmanager
def bus_writer(folder: str, options: dict[str, int]) -> Iterator[tuple[Callable[[], Any], Callable[[Message], None]]]:
    with contextlib.closing(SharedMemoryBus("bench", "writer", bus_settings(folder, options))) as bus:
        yield lambda: bus.wait_for_subscribers(TOPIC, 1, PATIENCE_S), bus.publish


def bus_reader(folder: str, options: dict[str, int], results: Connection) -> None:
    def receive() -> Message:
        message = subscription.receive(PATIENCE_S)
        assert message is not None
        return message

    with contextlib.closing(SharedMemoryBus("bench", "reader", bus_settings(folder, options))) as bus:
        subscription = bus.subscribe([TOPIC])
        measure(receive, results)


@contextlib.contextmanager
def zmq_writer(folder: str, _: None) -> Iterator[tuple[Callable[[], Any], Callable[[Message], Any]]]:
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.bind(f"ipc://{folder}/peer")
        yield socket.recv, lambda message: socket.send_multipart(encode(message), copy=False)


def zmq_reader(folder: str, _: None, results: Connection) -> None:
    def receive() -> Message:
        head, arrays, *_padding = socket.recv_multipart(copy=False)
        return decode(TOPIC, head.buffer, arrays.buffer)

    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.subscribe(b"")
        socket.connect(f"ipc://{folder}/peer")
        measure(receive, results)


if __name__ == "__main__":
    for each in run():
        print(f"{each['name']:50} {each['value']:10.1f} {each['unit']:5} {each['limit']:10.1f} {each['ratio']:7.2f}")
