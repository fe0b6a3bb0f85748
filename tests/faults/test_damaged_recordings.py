"""Recordings under attack: killed recorders, cut and flipped files, full disks. What is intact must be read."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mcap.reader import make_reader

from nodes.sources.recording import RecordedDrive
from pipeline.core.errors import BadInput
from pipeline.core.recording import RecordingReader, RecordingSettings, repair
from pipeline.core.wire import digest
from tests import recordings

SMALL_CHUNKS = RecordingSettings(chunk_bytes=20_000)


@pytest.fixture(scope="module")
def sent() -> dict[tuple[str, int], str]:
    """What was written, by topic and sequence."""
    return {(m.topic, m.stamp.sequence): digest(m) for m in recordings.messages()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = recordings.write_recording(tmp_path_factory.mktemp("whole") / "a.mcap", recordings.messages(), SMALL_CHUNKS)
    return path.read_bytes()


def read(path: Path) -> dict[tuple[str, int], str]:
    with RecordingReader(path) as reader:
        return {(m.topic, m.stamp.sequence): digest(m) for m in reader.messages() if m.topic != "run/info"}


def read_if_any(path: Path) -> dict[tuple[str, int], str] | None:
    """As `read`; None where the file is refused."""
    try:
        return read(path)
    except BadInput:
        return None


def read_by_others(path: Path) -> int:
    """Number of our data messages that the official reader finds, with every CRC checked."""
    with path.open("rb") as file:
        ours = ("camera/", "lidar/", "radar/", "pose/", "wheel/")
        return sum(c.topic.startswith(ours) for _, c, _ in make_reader(file, validate_crcs=True).iter_messages())


RECORDER = """
import sys, time
from pathlib import Path
from nodes.record import Record, RecordSettings
from pipeline.core.recording import RecordingSettings
from tests import recordings

node = Record(Path(sys.argv[1]), RecordSettings(flush_s=0.05, format=RecordingSettings(chunk_bytes=20_000)))
node.step(recordings.run_info(), 0)
for i, message in enumerate(recordings.messages(frames=100_000)):
    node.step(message, 0)
    if i % 100 == 0:
        print(i, node._writer.open_bytes, flush=True)
        time.sleep(0.002)
"""


@pytest.mark.parametrize("written", [1_000, 2_500])
def test_killed_recorder_loses_no_more_than_its_open_chunks(tmp_path: Path, written: int) -> None:
    path = tmp_path / "a.mcap"
    script = RECORDER.replace("frames=100_000", f"frames={written}")
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    given = 0
    for line in process.stdout:
        given = int(line.split()[0])
        if given >= written:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = read(path)
    expected = {(m.topic, m.stamp.sequence): digest(m) for m in recordings.messages(frames=written)}
    assert all(expected[key] == value for key, value in found.items())
    # open chunks: 20 kB each of images and clouds (12 kB a sweep, 3 kB an image), 20 kB of small messages at ~400 B
    assert len(found) >= given - 120
    with pytest.raises(BadInput, match="offset"):
        RecordingReader(path, strict=True)
    mended = repair(path)
    assert mended.messages == len(found) + 1
    with RecordingReader(path, strict=True) as reader:
        assert sum(reader.counts.values()) == len(found) + 1
    assert read_by_others(path) == len(found)


def test_cut_anywhere(tmp_path: Path, whole: bytes, sent: dict[tuple[str, int], str]) -> None:
    """What lies before the cut in whole chunks is read, and after repair every tool reads the same."""
    path = tmp_path / "a.mcap"
    chooser = random.Random(7)
    cuts = {8, 9, 20, len(whole) - 1, len(whole) - 8, len(whole) - 30, *chooser.sample(range(len(whole)), 60)}
    previous: set[tuple[str, int]] = set()
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        found = read(path)
        assert found.items() <= sent.items()
        assert previous <= found.keys(), "a longer file never gives less"
        previous = set(found)
        mended = repair(path)
        assert mended.messages == len(found) + (cut > 3000)  # run/info
        assert read(path) == found
        assert read_by_others(path) == len(found)
        if mended.cut_bytes:
            kept = Path(mended.cut_path).read_bytes()
            assert whole[:cut].endswith(kept)
            assert len(kept) == mended.cut_bytes
    assert len(previous) == len(sent)


def test_flipped_bits_cost_the_chunk_they_are_in(
    tmp_path: Path, whole: bytes, sent: dict[tuple[str, int], str]
) -> None:
    path = tmp_path / "a.mcap"
    chooser = random.Random(11)
    for _ in range(60):
        at = chooser.randrange(9, len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chooser.randrange(8)
        path.write_bytes(damaged)
        with RecordingReader(path) as reader:
            found = {(m.topic, m.stamp.sequence): digest(m) for m in reader.messages() if m.topic != "run/info"}
            lost = {topic: n for note in reader.damage for topic, n in note.messages.items()}
        assert found.items() <= sent.items(), "nothing false is given out"
        assert len(found) >= len(sent) - 60, f"flipped at {at}"
        if reader.complete and len(found) < len(sent):
            assert sum(lost.values()) == len(sent) - len(found), "the index tells how many are lost"


def test_flip_in_a_file_without_index(tmp_path: Path, whole: bytes, sent: dict[tuple[str, int], str]) -> None:
    """Also where the walk through the file breaks, it goes on at the next sound chunk."""
    path = tmp_path / "a.mcap"
    chooser = random.Random(13)
    cut = len(whole) - 4000
    path.write_bytes(whole[:cut])
    undamaged = read(path)
    for _ in range(40):
        damaged = bytearray(whole[:cut])
        at = chooser.randrange(3000, cut)
        damaged[at : at + 4] = chooser.randbytes(4)
        path.write_bytes(damaged)
        found = read(path)
        assert found.items() <= sent.items()
        assert len(found) >= len(undamaged) - 60, f"flipped at {at}"
        mended = repair(path)
        assert read(path) == found
        assert mended.messages == len(found) + 1
        assert read_by_others(path) == len(found)


def test_strict_names_file_and_offset(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.mcap"
    damaged = bytearray(whole)
    middle = whole.index(b"front", len(whole) // 2)
    damaged[middle] ^= 1
    path.write_bytes(damaged)
    with RecordingReader(path, strict=True) as reader, pytest.raises(BadInput, match=r"a\.mcap: chunk at offset \d+"):
        list(reader.messages())


def test_damage_is_told_by_the_drive(tmp_path: Path, whole: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mcap"
    damaged = bytearray(whole)
    damaged[whole.index(b"front", len(whole) // 2)] ^= 1
    path.write_bytes(damaged)
    drive = RecordedDrive(path)
    found = sum(1 for _ in drive.messages())
    assert sum(drive.unreadable.values()) == sum(drive.counts.values()) - found > 0
    assert set(drive.unreadable) == {"camera/front damaged"}
    assert "CRC" in caplog.text


def test_garbage_is_refused_without_taking_memory(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.mcap"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chooser = random.Random(5)
    for _ in range(20):
        path.write_bytes(whole[:8] + chooser.randbytes(20_000))
        with RecordingReader(path) as reader:
            assert not list(reader.messages())
            assert reader.damage
    for at in range(9, 17):  # a record that claims to be enormous
        damaged = bytearray(whole)
        damaged[at] = 0x7F
        path.write_bytes(damaged[: len(whole) - 100])
        read_if_any(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


FULL = """
import resource, sys
from pathlib import Path
from nodes.record import Record, RecordSettings
from pipeline.core.recording import RecordingSettings
from tests import recordings

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
node = Record(Path(sys.argv[1]), RecordSettings(format=RecordingSettings(chunk_bytes=40_000)))
errors = 0
for message in [recordings.run_info(), *recordings.messages(frames=60)]:
    try:
        node.step(message, 0)
    except OSError:
        errors += 1
node.finish()
print(errors, node.received.total(), node.written.total(), node.lost.total())
"""


@pytest.mark.parametrize("limit", [150_000, 300_000, 301_000])
def test_full_disk_ends_the_recording_and_keeps_it(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "a.mcap"
    command = [sys.executable, "-c", FULL, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    errors, received, written, lost = (int(word) for word in done.stdout.split())
    assert errors == 1, "it says so once"
    assert received == 301 == written + lost
    assert 0 < written < 301
    assert "recording ends" in done.stderr
    assert path.stat().st_size <= limit
    with RecordingReader(path) as reader:
        assert sum(reader.counts.values()) == written
        assert sum(1 for _ in reader.messages()) == written


def test_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "a.mcap"), "1000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.split() == ["1", "301", "0", "301"]
    with RecordingReader(tmp_path / "a.mcap") as reader:
        assert not reader.topics
        with pytest.raises(BadInput, match="run/info"):
            _ = reader.rig
