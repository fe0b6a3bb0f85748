"""A replay's keyboard: single keys from the terminal become `Control` messages. Without a terminal it is silent."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from pathlib import Path
from types import TracebackType

from nodes.sources.events import events
from pipeline.core.errors import BadInput
from pipeline.core.messages import Control
from pipeline.core.run_recording import RunRecording
from pipeline.run.config import RunConfig
from pipeline.run.drives import recording_of
from pipeline.run.supervise import RunState

HELP = "space pause · s step · , . second back/on · e next event · + - speed · q end"
_SECOND_NS = 1_000_000_000
_LEAD_IN_NS = 500_000_000
_PAUSE_AHEAD_NS = 200_000_000  # sources are ahead of fusion by no more than this at any sensible rate


class Keys:
    """What the keys ask for. `poll` answers at once; a live run cannot be controlled and listens to q alone."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._open = contextlib.ExitStack()
        self._terminal: int | None = None
        self._paused = False
        self._rate = config.rate
        self._events_ns: list[int] | None = None
        self._sought_ns = -1

    def __enter__(self) -> Keys:
        if sys.stdin.isatty():
            self._terminal = sys.stdin.fileno()
            before = termios.tcgetattr(self._terminal)
            self._open.callback(termios.tcsetattr, self._terminal, termios.TCSADRAIN, before)
            tty.setcbreak(self._terminal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def poll(self, state: RunState) -> Control | None:
        """The control that the next key asks for, if one was pressed."""
        if self._terminal is None or not select.select([self._terminal], [], [], 0.0)[0]:
            return None
        return self.control(os.read(self._terminal, 1).decode(errors="replace"), state.reference_ns)

    def control(self, key: str, reference_ns: int) -> Control | None:
        """The control for one key while fusion has come to ``reference_ns``; None for a key that asks for nothing."""
        if key == "q":
            raise KeyboardInterrupt
        if self._config.live or reference_ns <= 0:
            return None
        if key == " ":
            self._paused = not self._paused
            if self._paused:
                return Control(command="pause", time_ns=reference_ns + _PAUSE_AHEAD_NS)
            return Control(command="resume")
        if key == "s":
            self._paused = True
            return Control(command="step")
        if key in ",.":
            return self._seek(reference_ns + (_SECOND_NS if key == "." else -_SECOND_NS))
        if key in "+-":
            self._rate = (self._rate or 1.0) * (2.0 if key == "+" else 0.5)
            return Control(command="rate", rate=self._rate)
        if key == "e":
            after_ns = max(reference_ns, self._sought_ns)
            later = [time_ns for time_ns in self._known_events() if time_ns - _LEAD_IN_NS > after_ns]
            if later:
                self._sought_ns = later[0] - _LEAD_IN_NS
                return self._seek(self._sought_ns)
        return None

    def _seek(self, time_ns: int) -> Control:
        return Control(command="seek", time_ns=min(max(time_ns, self._config.start_ns), self._config.end_ns - 1))

    def _known_events(self) -> list[int]:
        """Times of the events of the recording that is played; none where the drive is no recording."""
        if self._events_ns is None:
            self._events_ns = []
            path = recording_of(Path(self._config.drive))
            if path is not None:
                with contextlib.suppress(BadInput), RunRecording(path) as recording:
                    self._events_ns += [event.time_ns for event in events(recording)]
        return self._events_ns
