"""A part of the processes of runs that someone else conducts: started when a run begins, again when one dies, ended
with it. What a container of `docker-compose.yml` does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.core.clock import Clock
from pipeline.core.errors import BadInput
from pipeline.core.node import Life
from pipeline.graph import source_of
from pipeline.run.config import load_config
from pipeline.run.crew import ForkedCrew, current_run, newest_frame

logger = logging.getLogger(__name__)

RECORDER = "record"
_POLL_NS = 200_000_000


def join(
    runs: Path,
    names: Sequence[str],
    clock: Clock,
    stopping: Callable[[], bool] = lambda: False,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Be the processes ``names`` of every run among ``runs``, one run after the other, until ``stopping``.

    Args:
        names: of the plan's processes, of sources (`source_<sensor>`), or `RECORDER`. alive: called some times a
            second.

    Raises:
        BadInput: a run has no such process.
    """
    done: Path | None = None
    while not stopping():
        alive()
        folder = current_run(runs)
        if folder is None or folder == done:
            clock.sleep_until(clock.now_ns() + _POLL_NS)
            continue
        _check(folder, names)
        _one_run(folder, names, clock, stopping, alive)
        done = folder


def _one_run(
    folder: Path, names: Sequence[str], clock: Clock, stopping: Callable[[], bool], alive: Callable[[], None]
) -> None:
    """Until all have ended, or the run is no longer the one that goes on."""
    crew = ForkedCrew(folder)
    lives = {name: _Lives(folder, name) for name in names}
    running = [name for name in names if not lives[name].over]
    for name in running:
        crew.start(name, lives[name].next())
    while running and not stopping() and current_run(folder.parent) == folder:
        alive()
        for name in tuple(running):
            code = crew.exit_code(name)
            if code == 0:
                lives[name].end()
                running.remove(name)
            elif code is not None:
                logger.warning("%s died with exit code %s: started again", name, code)
                crew.start(name, lives[name].next())
        clock.sleep_until(clock.now_ns() + _POLL_NS)
    crew.end(clock)


class _Lives:
    """How often a process of a run was started, and whether it has ended: in the run's folder, which outlives us."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._count = folder / "lives" / name
        self._count.parent.mkdir(exist_ok=True)

    @property
    def over(self) -> bool:
        return self._count.with_suffix(".ended").exists()

    def end(self) -> None:
        self._count.with_suffix(".ended").touch()

    def next(self) -> Life:
        before = len(self._count.read_bytes()) if self._count.exists() else 0
        with self._count.open("ab") as file:
            file.write(b".")  # one for each life
        return Life(before, *newest_frame(self._folder)) if before else Life()


def _check(folder: Path, names: Sequence[str]) -> None:
    config = load_config(folder)
    there = {*config.plan().processes, *map(source_of, config.topics), RECORDER}
    for name in names:
        if name not in there:
            raise BadInput(folder, "process", f"one of {', '.join(sorted(there))}", name)
