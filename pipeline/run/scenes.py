"""The scenes of a run as they come: of one that goes on, or of a recording played at its own pace; and its time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, RunInfo, Scene
from pipeline.core.run_recording import RunRecording
from pipeline.run.config import RunClock
from pipeline.run.process import run_name
from pipeline.transport.shared_memory import SharedMemoryBus

_POLL_S = 0.1


class SceneFeed:
    """Scenes of one run for whoever looks on. `now_ns` may be asked from any thread.

    now_ns: vehicle time. While a paced run goes on that is the run's own clock, so that a run which falls behind is
    seen to; of one without a pace it is the newest scene's time and what has passed on the host since it came.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._run_clock = RunClock(self._clock)
        self._newest: tuple[int, int] | None = None  # its time, and the host's when it came

    def now_ns(self) -> int:
        if now_ns := self._run_clock.now_ns():
            return now_ns
        if self._newest is None:
            return 0
        return self._newest[0] + self._clock.now_ns() - self._newest[1]

    def follow(self, folder: Path, see: Callable[[Message], None], stopping: Callable[[], bool]) -> None:
        """Hand on the scenes of the run that goes on in ``folder`` until ``stopping``."""
        with contextlib.closing(SharedMemoryBus(run_name(folder), f"talk-{os.getpid()}")) as bus:
            heard = bus.subscribe(["scene", "run/info"])
            while not stopping():
                message = heard.receive(_POLL_S)
                if message is None:
                    continue
                if isinstance(message.payload, RunInfo):
                    info = message.payload
                    self._run_clock.start(info.started_ns, info.start_ns, info.rate)
                elif isinstance(message.payload, Scene):
                    self._take(message, see)

    def play(self, run: Path, see: Callable[[Message], None], stopping: Callable[[], bool]) -> None:
        """Hand on the scenes of a recorded run at the pace at which they were made, once.

        Raises:
            BadInput: it holds no scene.
        """
        scenes = recorded_scenes(run)
        first_ns, begun_ns = scenes[0].stamp.time_ns, self._clock.now_ns()
        for message in scenes:
            due_ns = begun_ns + message.stamp.time_ns - first_ns
            while self._clock.now_ns() < due_ns and not stopping():
                self._clock.sleep_until(min(due_ns, self._clock.now_ns() + 100_000_000))
            if stopping():
                return
            self._take(message, see)

    def _take(self, message: Message, see: Callable[[Message], None]) -> None:
        self._newest = (message.stamp.time_ns, self._clock.now_ns())
        see(message)


def recorded_scenes(run: Path) -> list[Message]:
    """All scenes of a recorded run, in order. Raises BadInput: it holds none."""
    with RunRecording(run) as recording:
        found = list(recording.messages(["scene"])) if "scene" in recording.topics else []
    scenes = [message for message in found if isinstance(message.payload, Scene)]
    if not scenes:
        raise BadInput(run, "scene", "a run with fused scenes", "none")
    return scenes
