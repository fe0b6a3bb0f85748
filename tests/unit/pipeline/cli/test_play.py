"""`syncline replay`: what it opens, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from nodes.sources.drive import Drive
from nodes.sources.recording import RecordedDrive
from pipeline.cli.app import app
from pipeline.core.errors import BadInput
from pipeline.run import drives
from tests import recordings


def test_a_run_in_one_process_opens_its_drive_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = recordings.write_recording(tmp_path / "drive.mcap", recordings.messages(frames=3))
    opened: list[Path] = []

    def open_drive(path: Path) -> Drive:
        opened.append(path)
        return RecordedDrive(path)

    monkeypatch.setattr(drives, "open_drive", open_drive)
    arguments = [
        "replay",
        str(drive),
        "--graph",
        "simulated",
        "--one-process",
        "--no-page",
        "--out",
        str(tmp_path / "out"),
    ]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert opened == [drive]


def test_a_run_in_one_process_cannot_loop(tmp_path: Path) -> None:
    drive = recordings.write_recording(tmp_path / "drive.mcap", recordings.messages(frames=3))
    with pytest.raises(BadInput, match="--loop"):
        CliRunner().invoke(app, ["replay", str(drive), "--one-process", "--loop"], catch_exceptions=False)
