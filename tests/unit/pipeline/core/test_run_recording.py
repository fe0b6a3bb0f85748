"""The parts of a run's recording read as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import BadInput
from pipeline.core.recording import RecordingReader
from pipeline.core.run_recording import RunRecording, recording_files
from pipeline.core.topics import topic_row
from pipeline.core.wire import digest
from tests import recordings


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    content = sorted([*recordings.messages(), *recordings.perceived()], key=recordings.drive_time)
    (tmp_path / "whole").mkdir()
    return recordings.write_recording(tmp_path / "whole" / "run.mcap", content)


def test_parts_read_as_the_whole(whole: Path, tmp_path: Path) -> None:
    parts = recordings.split_run(whole.parent, tmp_path / "parts")
    with RecordingReader(whole) as one, RunRecording(parts) as several:
        assert len(several.parts) == 2
        assert several.topics == one.topics
        assert several.info.drive == "small"
        data = [topic for topic in one.topics if topic_row(topic).role != "run"]  # the run's own have no time of theirs
        middle_ns = recordings.START_NS + 10 * recordings.PERIOD_NS
        for arguments in ((data,), (["camera/front", "scene"],), (data, middle_ns), (data, None, middle_ns)):
            assert [*map(digest, several.messages(*arguments))] == [*map(digest, one.messages(*arguments))]
            timed = [(log_ns, digest(message)) for log_ns, message in several.logged_by_time(*arguments)]
            assert timed == [(log_ns, digest(message)) for log_ns, message in one.logged_by_time(*arguments)]
        with pytest.raises(KeyError, match="camera/rear"):
            several.messages(["camera/rear"])


def test_a_recorder_that_died_at_once_left_nothing_to_read(whole: Path) -> None:
    (whole.parent / "run_001.mcap").touch()
    with RunRecording(whole.parent) as recording:
        assert [part.path for part in recording.parts] == [whole]


def test_recordings_of_several_runs_are_not_one(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    folder.mkdir()
    for name in ("a.mcap", "b.mcap"):
        whole.with_name(name).write_bytes(whole.read_bytes())
        whole.with_name(name).rename(folder / name)
    with pytest.raises(BadInput, match=r"a\.mcap"):
        recording_files(folder)
    (folder / "b.mcap").unlink()
    assert recording_files(folder) == [folder / "a.mcap"]
