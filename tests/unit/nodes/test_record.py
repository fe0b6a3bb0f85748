"""The recorder node: what it takes, what it waits for, how it splits, and what it says when it cannot go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.record import Record, RecordSettings
from nodes.sources.recording import RecordedDrive
from pipeline.core.clock import ManualClock
from pipeline.core.messages import Message, Progress
from pipeline.core.recording import RecordingReader, RecordingSettings
from pipeline.core.run_recording import recording_parts
from pipeline.core.wire import digest
from tests import recordings


def feed(node: Record, content: list[Message]) -> None:
    for message in content:
        assert list(node.step(message, 0)) == []


def test_records_what_the_table_says(tmp_path: Path) -> None:
    node = Record(tmp_path / "a.mcap")
    sent = recordings.messages()
    progress = Message("progress", sent[0].stamp, Progress(reference_ns=0, index=0))
    feed(node, [recordings.run_info(), progress, *sent])
    node.finish()
    with RecordingReader(tmp_path / "a.mcap", strict=True) as reader:
        assert [digest(m) for m in reader.messages() if m.topic != "run/info"] == [digest(m) for m in sent]
    assert node.received == node.written
    assert not node.lost
    assert "progress" not in node.received


def test_a_recorder_that_was_started_again_goes_on_in_the_next_part(tmp_path: Path) -> None:
    sent = recordings.messages()
    died = Record(tmp_path / "run.mcap", RecordSettings(flush_s=0.0))
    feed(died, [recordings.run_info(), *sent[:200]])
    node = Record(tmp_path / "run.mcap", first_part=len(recording_parts(tmp_path)))
    feed(node, [recordings.run_info(), *sent[200:]])
    node.finish()
    assert recording_parts(tmp_path) == [tmp_path / "run.mcap", tmp_path / "run_001.mcap"]
    drive = RecordedDrive(tmp_path)
    there = [digest(m) for m in drive.messages([t for t in drive.topics if t != "run/info"])]
    assert sorted(there) == sorted(digest(m) for m in sent)
    drive.close()
    died.finish()


def test_only_the_chosen_roles(tmp_path: Path) -> None:
    node = Record(tmp_path / "a.mcap", RecordSettings(roles=("run",)))
    feed(node, [recordings.run_info(), *recordings.messages()])
    node.finish()
    with RecordingReader(tmp_path / "a.mcap") as reader:
        assert reader.topics == ("run/info",)


def test_waits_for_the_rig_and_ignores_its_repetition(tmp_path: Path) -> None:
    node = Record(tmp_path / "a.mcap")
    sent = recordings.messages()
    feed(node, [*sent[:30], recordings.run_info(), *sent[30:60], recordings.run_info(host_ns=5), *sent[60:]])
    node.finish()
    with RecordingReader(tmp_path / "a.mcap", strict=True) as reader:
        assert [digest(m) for m in reader.messages() if m.topic != "run/info"] == [digest(m) for m in sent]
        assert reader.counts["run/info"] == 1
        assert reader.info_message.stamp == recordings.run_info().stamp


def test_what_comes_long_before_the_rig_is_counted(tmp_path: Path) -> None:
    node = Record(tmp_path / "a.mcap", RecordSettings(hold_bytes=40_000))
    sent = recordings.messages()
    feed(node, [*sent, recordings.run_info()])
    node.finish()
    assert node.lost.total() > 0
    assert {reason for _, reason in node.lost} == {"early"}
    assert node.received.total() == node.written.total() + node.lost.total()
    with RecordingReader(tmp_path / "a.mcap", strict=True) as reader:
        assert sum(reader.counts.values()) == node.written.total()


def test_without_a_rig_there_is_no_recording(tmp_path: Path) -> None:
    node = Record(tmp_path / "a.mcap")
    feed(node, recordings.messages())
    node.finish()
    assert node.lost.total() == len(recordings.messages())
    assert not (tmp_path / "a.mcap").exists()


def test_splits_into_parts_that_play_as_one(tmp_path: Path) -> None:
    settings = RecordSettings(max_bytes=100_000, format=RecordingSettings(chunk_bytes=10_000))
    node = Record(tmp_path / "a.mcap", settings)
    sent = recordings.messages(frames=60)
    feed(node, [recordings.run_info(), *sent])
    node.finish()
    parts = sorted(tmp_path.glob("*.mcap"))
    assert [p.name for p in parts][:3] == ["a.mcap", "a_001.mcap", "a_002.mcap"]
    assert all(part.stat().st_size < 150_000 for part in parts)
    assert node.received == node.written
    drive = RecordedDrive(tmp_path)
    assert [digest(m) for m in drive.messages() if m.topic != "run/info"] == [digest(m) for m in sent]
    assert len(drive.arrivals("lidar/top")) == 60


def test_what_is_old_enough_is_in_the_file(tmp_path: Path) -> None:
    clock = ManualClock(0)
    node = Record(tmp_path / "a.mcap", RecordSettings(flush_s=1.0), clock)
    feed(node, [recordings.run_info(), *recordings.messages(frames=2)])
    clock.sleep_until(1_500_000_000)
    node.tick(0)
    with RecordingReader(tmp_path / "a.mcap") as reader:
        assert reader.counts["camera/front"] == 2
    node.finish()


def test_leaves_room_on_the_disk(tmp_path: Path) -> None:
    clock = ManualClock(0)
    node = Record(tmp_path / "a.mcap", RecordSettings(min_free_bytes=1 << 60), clock)
    sent = recordings.messages()
    feed(node, [recordings.run_info(), *sent[:50]])
    clock.sleep_until(2_000_000_000)
    with pytest.raises(OSError, match="bytes free"):
        node.step(sent[50], 0)
    feed(node, sent[51:])
    node.finish()
    assert node.written.total() == 52
    assert node.lost.total() == 49
    with RecordingReader(tmp_path / "a.mcap", strict=True) as reader:
        assert sum(reader.counts.values()) == 52
