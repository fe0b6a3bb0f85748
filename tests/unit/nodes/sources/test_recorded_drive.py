"""A recording as a drive."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from calibration.rig import Rig
from nodes.sources.recording import RecordedDrive
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message
from pipeline.core.recording import RecordingWriter
from pipeline.core.settings import to_yaml
from pipeline.core.wire import digest
from tests import recordings
from tests.recordings import PERIOD_NS, START_NS


@pytest.fixture
def drive(tmp_path: Path) -> RecordedDrive:
    content = sorted([*recordings.messages(), *recordings.perceived()], key=recordings.drive_time)
    return RecordedDrive(recordings.write_recording(tmp_path / "a.mcap", content))


def test_it_is_the_drive_that_was_recorded(drive: RecordedDrive) -> None:
    assert drive.name == "small"
    assert drive.rig == recordings.small_rig()
    assert (drive.start_ns, drive.end_ns) == (START_NS, START_NS + 19 * PERIOD_NS + 1)
    assert drive.counts["lidar/top"] == 20
    assert "scene" in drive.topics
    sensors = [t for t in drive.topics if t.partition("/")[0] in recordings.LATENCY_NS]
    assert [digest(m) for m in drive.messages(sensors)] == [digest(m) for m in recordings.messages()]
    assert drive.unreadable == {}


def test_part_is_chosen_by_time_not_by_arrival(drive: RecordedDrive) -> None:
    part = list(drive.messages(["camera/front"], START_NS + 3 * PERIOD_NS, START_NS + 5 * PERIOD_NS))
    assert [m.stamp.sequence for m in part] == [3, 4]
    assert [m.stamp.sequence for m in drive.messages(["camera/front"], start_ns=START_NS + 18 * PERIOD_NS)] == [18, 19]
    assert [m.stamp.sequence for m in drive.messages(["camera/front"], end_ns=START_NS + PERIOD_NS)] == [0]


def test_unknown_topic(drive: RecordedDrive) -> None:
    with pytest.raises(KeyError, match="camera/rear"):
        drive.messages(["camera/rear"])
    with pytest.raises(KeyError, match="camera/rear"):
        drive.arrivals("camera/rear")


def test_recording_without_sensors_is_no_drive(tmp_path: Path) -> None:
    path = recordings.write_recording(tmp_path / "a.mcap", [m for m in recordings.perceived() if m.topic == "ledger"])
    with pytest.raises(BadInput, match="at least one sensor"):
        RecordedDrive(path)
    with pytest.raises(BadInput, match=r"\.mcap file"):
        RecordedDrive(tmp_path / "..")


def test_parts_of_different_rigs_are_no_drive(tmp_path: Path) -> None:
    recordings.write_recording(tmp_path / "a.mcap", recordings.messages())
    info = recordings.run_info()
    other = msgspec.structs.replace(info.payload, rig_yaml=to_yaml(Rig(vehicle="other", sensors=())))
    with RecordingWriter(tmp_path / "b.mcap", Message("run/info", info.stamp, other)) as writer:
        writer.write(recordings.messages()[0])
    with pytest.raises(BadInput, match=r"b\.mcap: run/info rig_yaml"):
        RecordedDrive(tmp_path)


def test_stamps_that_cannot_be_are_kept_and_do_not_hide_the_rest(tmp_path: Path) -> None:
    """One message of the year 2248: the window by time still finds every other one."""
    content = recordings.messages()
    first = content[0]
    absurd = msgspec.structs.replace(first.stamp, time_ns=8_800_000_000_000_000_000, sequence=99)
    path = recordings.write_recording(tmp_path / "a.mcap", [*content, Message(first.topic, absurd, first.payload)])
    drive = RecordedDrive(path)
    part = list(drive.messages([first.topic], START_NS + 3 * PERIOD_NS, START_NS + 5 * PERIOD_NS))
    assert [m.stamp.sequence for m in part] == [3, 4]
    assert sum(m.stamp == absurd for m in drive.messages([first.topic])) == 1
