"""Who runs the processes of a run: `ForkedCrew` starts them here, `AbsentCrew` leaves that to others, such as
containers that join it (`join.py`)."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

import msgspec

from pipeline.core.clock import Clock
from pipeline.core.node import Life
from pipeline.run.process import run_process
from pipeline.transport.ring import LARGE_COPIES

CURRENT_FILE = "current"
"""Beside the folders of runs that others join: the name of the one that goes on."""
_PROGRESS_FILE = "progress.json"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
_ENVIRONMENT = _ONE_THREAD | LARGE_COPIES
_STOP_TIMEOUT_NS = 20_000_000_000


class Crew(Protocol):
    """sees: whether it knows who dies."""

    sees: bool

    def start(self, name: str, life: Life) -> None: ...

    def exit_code(self, name: str) -> int | None:
        """None before it is started, while it lives, and where it is not seen."""
        ...

    def progress(self, epoch: int, number: int) -> None:
        """Fusion has come to this frame set: what a process must know that is started again from now on."""
        ...

    def terminate(self, names: Iterable[str]) -> None:
        """Ask them to end in order."""
        ...

    def end(self, clock: Clock) -> None:
        """Whatever still runs is asked to end, then made to."""
        ...


class ForkedCrew:
    """Processes of this machine, forked from a server that has imported everything once: fifteen start in the time of
    one."""

    sees = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, ForkServerProcess] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([run_process.__module__])
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)

    def start(self, name: str, life: Life) -> None:
        process = self._context.Process(target=run_process, args=(self._folder, name, life), name=name)
        process.start()
        self._processes[name] = process

    def exit_code(self, name: str) -> int | None:
        return self._processes[name].exitcode if name in self._processes else None

    def pid(self, name: str) -> int | None:
        return self._processes[name].pid

    def progress(self, epoch: int, number: int) -> None:
        pass

    def terminate(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._processes and self._processes[name].exitcode is None:
                self._processes[name].terminate()

    def end(self, clock: Clock) -> None:
        self.terminate(self._processes)
        give_up_ns = clock.now_ns() + _STOP_TIMEOUT_NS
        for process in self._processes.values():
            process.join(max((give_up_ns - clock.now_ns()) / 1e9, 0.1))
            if process.exitcode is None:
                process.kill()
                process.join()


class AbsentCrew:
    """Processes that others start, each by itself, once they read in ``folder``'s parent that this run goes on. Whoever
    runs them starts them again; that they are ready and have ended is heard on the bus."""

    sees = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, name: str, life: Life) -> None:
        _replace(self._folder.parent / CURRENT_FILE, self._folder.name.encode())

    def exit_code(self, name: str) -> int | None:
        return None

    def progress(self, epoch: int, number: int) -> None:
        _replace(self._folder / _PROGRESS_FILE, msgspec.json.encode((epoch, number)))

    def terminate(self, names: Iterable[str]) -> None:
        (self._folder.parent / CURRENT_FILE).unlink(missing_ok=True)

    def end(self, clock: Clock) -> None:
        self.terminate(())


def current_run(runs: Path) -> Path | None:
    """Folder of the run that goes on among ``runs``; None: there is none."""
    try:
        name = (runs / CURRENT_FILE).read_text(encoding="utf-8")
    except OSError:
        return None
    return runs / name if name.isalnum() and (runs / name).is_dir() else None


def newest_frame(folder: Path) -> tuple[int, int]:
    """Epoch and number of the newest frame set of a run with an `AbsentCrew`; number -1: none yet."""
    try:
        epoch, number = msgspec.json.decode((folder / _PROGRESS_FILE).read_bytes(), type=tuple[int, int])
    except (OSError, msgspec.DecodeError):
        return 0, -1
    return epoch, number


def _replace(path: Path, data: bytes) -> None:
    """A reader sees the old or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
