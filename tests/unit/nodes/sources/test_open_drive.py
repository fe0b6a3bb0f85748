"""`open_drive`: what it says when it cannot help, and what it makes of each recorded drive."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.sources.open_drive import LAYOUTS, open_drive
from pipeline.core.errors import BadInput


def test_an_unknown_folder_gets_a_list_of_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(BadInput) as error:
        open_drive(tmp_path)
    assert "holiday.jpg" in error.value.found
    for layout in LAYOUTS:
        assert layout.sign in error.value.expected


def test_an_empty_folder_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="an empty folder"):
        open_drive(tmp_path)


def test_a_path_to_nothing_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing there"):
        open_drive(tmp_path / "drive")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.touch()
    with pytest.raises(BadInput, match=r"a file notes\.txt"):
        open_drive(path)


def test_garbage_with_the_right_suffix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    path.write_bytes(b"garbage" * 100)
    with pytest.raises(BadInput):
        open_drive(path)


@pytest.mark.drives
@pytest.mark.parametrize(
    ("folder", "name", "sensors"),
    [
        ("pandaset_002", "pandaset_002", {"front", "front_left", "front_right", "pandar64", "pandargt"}),
        ("astyx", "astyx", {"front", "vlp16", "front_radar"}),
        ("kitti_raw_0002", "kitti_2011_09_26_drive_0002", {"image_02", "velodyne", "oxts", "oxts_gnss"}),
    ],
)
def test_recorded_drives_open(drives_folder: Path, folder: str, name: str, sensors: set[str]) -> None:
    drive = open_drive(drives_folder / folder)
    assert drive.name == name
    assert {sensor.name for sensor in drive.rig.sensors} == sensors
    for topic in drive.topics:
        assert len(drive.arrivals(topic)) == drive.counts[topic]
