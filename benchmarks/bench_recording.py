"""Recording and reading: MB/s of message payload beside a plain file of the same bytes, and beside memcpy.

python -m benchmarks.bench_recording
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from mcap.reader import make_reader
from mcap.writer import Writer as McapWriter

from calibration.rig import Rig
from pipeline.core.messages import POINT, CameraImage, Message, NodeStatus, PointCloud, RunInfo, Stamp
from pipeline.core.recording import RecordingReader, RecordingSettings, RecordingWriter
from pipeline.core.settings import to_yaml

REPEATS = 5
_START_NS = 1_700_000_000_000_000_000


def run() -> list[dict[str, object]]:
    """Rows of name, value, unit, limit, limit_name, ratio; medians of `REPEATS`."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, content, size, settings in (
            ("images 400 kB", images(), 400_000 * 100, RecordingSettings()),
            ("sweeps 4 MB", sweeps(), 4_000_008 * 12, RecordingSettings(compression="none")),
            ("sweeps 4 MB, lz4", sweeps(), 4_000_008 * 12, RecordingSettings()),
            ("sweeps 4 MB, zstd", sweeps(), 4_000_008 * 12, RecordingSettings(compression="zstd")),
        ):
            megabytes = size / 1e6
            plain = megabytes / seconds(lambda content=content: write_plain(place / "plain", content))
            written = megabytes / seconds(lambda c=content, s=settings: record(place / "run.mcap", c, s))
            rows.append(row(f"record {name}", written, "MB/s", plain, "plain file"))
            copied = megabytes / seconds(lambda content=content: copy(content))
            read = megabytes / seconds(lambda: read_all(place / "run.mcap"))
            rows.append(row(f"read {name}", read, "MB/s", copied, "memcpy"))
        small = statuses(4000)
        rate = len(small) / seconds(lambda: record(place / "run.mcap", small, RecordingSettings()))
        peer = len(small) / seconds(lambda: record_as_peer(place / "peer.mcap", small))
        rows.append(row("record small messages", rate, "messages/s", peer, "mcap.writer, JSON"))
        rate = len(small) / seconds(lambda: read_all(place / "run.mcap"))
        peer = len(small) / seconds(lambda: read_as_peer(place / "peer.mcap"))
        rows.append(row("read small messages", rate, "messages/s", peer, "mcap.reader, not decoded"))
    return rows


def row(name: str, value: float, unit: str, limit: float, limit_name: str) -> dict[str, object]:
    ratio = value / limit if limit else float("nan")
    return {"name": name, "value": value, "unit": unit, "limit": limit, "limit_name": limit_name, "ratio": ratio}


def images() -> list[Message]:
    """Bytes that do not compress, as a JPEG's do not."""
    data = np.random.default_rng(0).integers(0, 256, 400_000, dtype=np.uint8)
    image = CameraImage(height=1080, width=1920, encoding="jpeg", data=data)
    return [Message("camera/front", stamp(i), image) for i in range(100)]


def sweeps() -> list[Message]:
    """A street as a LiDAR sees it: rings on the ground and walls, with 2 cm of noise, resolved to 4 mm."""
    rng = np.random.default_rng(0)
    count = 166_667
    azimuth = np.tile(np.linspace(-np.pi, np.pi, count // 64 + 1), 64)[:count]
    elevation = np.repeat(np.linspace(-0.4, 0.05, 64), count // 64 + 1)[:count]
    ground = np.where(elevation < -0.01, 1.8 / np.maximum(np.sin(-elevation), 1e-3), 120.0)
    wall = 9.0 / np.maximum(np.abs(np.sin(azimuth)), 0.05)
    distance = np.round((np.minimum(ground, wall) + rng.normal(0, 0.02, count)) / 0.004) * 0.004
    points = np.zeros(count, POINT)
    points["x"] = distance * np.cos(elevation) * np.cos(azimuth)
    points["y"] = distance * np.cos(elevation) * np.sin(azimuth)
    points["z"] = distance * np.sin(elevation)
    points["intensity"] = rng.integers(0, 256, count) / 255
    points["t_ns"] = np.linspace(-100_000_000, 0, count)
    points["ring"] = np.repeat(np.arange(64), count // 64 + 1)[:count]
    return [Message("lidar/top", stamp(i), PointCloud(points=points)) for i in range(12)]


def statuses(count: int) -> list[Message]:
    status = NodeStatus(node="fuse", received=1000, published=999, failed=0, losses={"scene queue_full": 3}, cpu_s=1.5)
    return [Message("status/fuse", stamp(i), status) for i in range(count)]


def stamp(i: int) -> Stamp:
    time_ns = _START_NS + i * 100_000_000
    return Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=i)


def arrays(content: list[Message]) -> list[np.ndarray]:
    payloads = (message.payload for message in content)
    return [
        p.data if isinstance(p, CameraImage) else p.points for p in payloads if isinstance(p, CameraImage | PointCloud)
    ]


def record(path: Path, content: list[Message], settings: RecordingSettings) -> None:
    path.unlink(missing_ok=True)
    info = RunInfo(drive="bench", version="", rig_yaml=to_yaml(Rig(vehicle="none", sensors=())), graph_yaml="")
    with RecordingWriter(path, Message("run/info", stamp(0), info), settings) as writer:
        for message in content:
            writer.write(message)


def read_all(path: Path) -> None:
    with RecordingReader(path, strict=True) as reader:
        for _ in reader.messages():
            pass


def record_as_peer(path: Path, content: list[Message]) -> None:
    """The official writer, given the payload as JSON; no stamps, no views."""
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start()
        channels: dict[str, int] = {}
        for message in content:
            if message.topic not in channels:
                channels[message.topic] = writer.register_channel(message.topic, "json", 0)
            data = msgspec.json.encode(message.payload)
            writer.add_message(channels[message.topic], message.stamp.arrival_ns, data, message.stamp.time_ns)
        writer.finish()


def read_as_peer(path: Path) -> None:
    with path.open("rb") as file:
        for _ in make_reader(file, validate_crcs=True).iter_messages():
            pass


def write_plain(path: Path, content: list[Message]) -> None:
    """The payloads one behind the other, on the disk in the end as a recording is."""
    path.unlink(missing_ok=True)
    with path.open("wb", buffering=0) as file:
        for array in arrays(content):
            file.write(array.view(np.uint8).data)
        os.fdatasync(file.fileno())


def copy(content: list[Message]) -> None:
    for array in arrays(content):
        array.copy()


def seconds(work: Callable[[], None]) -> float:
    """Median time; the first run warms up."""
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    for line in run():
        print(
            f"{line['name']:<28} {line['value']:>10.0f} {line['unit']:<11}"
            f" {line['ratio']:>6.2f} of {line['limit']:.0f} ({line['limit_name']})"
        )
