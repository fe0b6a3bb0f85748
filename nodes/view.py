"""Looking: `view_recording` shows a recording, `View` is the node that shows a run while it goes on.

Rerun (extra ``view``) draws; what it needs is imported only when something is to be seen, so that a vehicle without it
runs all the same. The page is served on loopback; see `nodes.view_page`. For Foxglove's app see `nodes.view_foxglove`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from calibration.rig import Rig
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, RunInfo
from pipeline.core.recording_writer import rig_of
from pipeline.core.run_recording import RunRecording
from pipeline.core.settings import Settings

if TYPE_CHECKING:
    from nodes.view_rerun import RerunLog

logger = logging.getLogger(__name__)

_APPLICATION = "syncline"


class ViewSettings(Settings, frozen=True):
    """max_points: of a sweep that are drawn. port: of the page, 0 = any free one. data_port: of what it shows live.
    address: to listen at; anything but loopback belongs behind what keeps others out, such as a container whose ports
    are published on loopback. memory: what a live view keeps. tracks: ids of those whose existence and weights get a
    panel of their own."""

    max_points: int = 40_000
    port: int = 0
    data_port: int = 0
    address: str = "127.0.0.1"
    memory: str = "2GB"
    tracks: tuple[int, ...] = ()


class View:
    """Node that shows what it hears, live, on a page and optionally in an .rrd file too.

    Args:
        rig: None: taken from `run/info`, before which nothing is shown.
        save: .rrd file to write instead of serving a page.

    Raises:
        BadInput: Rerun is not installed, or its server does not start.

    url: of the page; empty where it only saves.
    """

    def __init__(self, rig: Rig | None = None, settings: ViewSettings | None = None, save: Path | None = None) -> None:
        _require_rerun()
        import rerun  # takes seconds: only who looks pays

        self._settings = settings or ViewSettings()
        self._open = contextlib.ExitStack()
        self._save = save
        self._stream = rerun.RecordingStream(_APPLICATION)
        self._server_url = self.url = ""
        self._log: RerunLog | None = None
        if save is None:
            from nodes.view_page import Page, RerunServer

            of = self._settings
            server = self._open.enter_context(RerunServer(of.memory, port=of.data_port, address=of.address))
            self._server_url = server.url
            self.url = self._open.enter_context(Page(server, port=of.port, address=of.address)).url
        if rig is not None:
            self._begin(rig)

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        if self._log is None and isinstance(message.payload, RunInfo):
            self._begin(rig_of(message, message.topic))
        if self._log is not None:
            self._log.log(message)
        return []

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        """Everything is on the page or in the file; the page stays until `close`."""
        if self._log is not None:
            self._stream.flush()
        return []

    def begin_anew(self) -> None:
        """What comes belongs to another run: the page turns to it."""
        import rerun

        self._stream.disconnect()
        self._stream, self._log = rerun.RecordingStream(_APPLICATION), None

    def close(self) -> None:
        self._stream.disconnect()
        self._open.close()

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, rig: Rig) -> None:
        from nodes.view_blueprint import blueprint
        from nodes.view_rerun import RerunLog

        tracks = self._settings.tracks
        if self._save is not None:
            self._stream.save(self._save, default_blueprint=blueprint(rig, tracks=tracks))
        else:
            self._stream.connect_grpc(self._server_url, default_blueprint=blueprint(rig, live=True, tracks=tracks))
        self._log = RerunLog(self._stream, rig, self._settings.max_points, tracks)


def save_view(
    recording: Path,
    target: Path,
    settings: ViewSettings | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Turn a recording (an .mcap file or a run's folder), or what has log times in [start, end), into an .rrd file.

    ``on_progress`` is told messages done and in all.

    Raises:
        BadInput: no recording, no rig in it, or Rerun is not installed.
    """
    with RunRecording(recording) as reader, View(reader.rig, settings, save=target) as view:
        total = sum(reader.counts.values())
        for done, message in enumerate(reader.messages(None, start_ns, end_ns)):
            view.step(message, 0)
            if done % 100 == 0:
                on_progress(done, total)
        view.finish()
        on_progress(total, total)
        for note in reader.damage:
            logger.warning("%s", note.what)


class RecordingPage:
    """A recording on a page, on loopback, until `close`.

    Args:
        recording: .mcap, a run's folder, or an .rrd that `save_view` made.

    Raises:
        BadInput: as `save_view`; or the port is taken.

    url: to open in a browser.
    """

    def __init__(
        self,
        recording: Path,
        settings: ViewSettings | None = None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        _require_rerun()
        from nodes.view_page import Page, RerunServer

        settings = settings or ViewSettings()
        with contextlib.ExitStack() as opening:
            shown = recording
            if recording.suffix != ".rrd":
                folder = opening.enter_context(tempfile.TemporaryDirectory(prefix="view-"))
                shown = Path(folder) / "run.rrd"
                save_view(recording, shown, settings, on_progress=on_progress)
            with RerunServer() as server:
                self.url = opening.enter_context(Page(server, shown, settings.port)).url
            self._open = opening.pop_all()

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> RecordingPage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def view_recording(
    recording: Path,
    settings: ViewSettings | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> RecordingPage:
    """Show a recording on a page of this machine; close what is returned to end that."""
    return RecordingPage(recording, settings, on_progress)


def _require_rerun() -> None:
    if importlib.util.find_spec("rerun") is None:
        raise BadInput("viewer", "rerun", "installed: pip install 'syncline[view]'", "not installed")
