"""What a person sees while a run goes on: one bar, and what went wrong."""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.core import messages as m
from pipeline.run.config import RunConfig
from pipeline.run.supervise import RunState


class Pace(NamedTuple):
    """How fast a run went, s: the drive's length; wall time until its processes were ready, and from then on."""

    drive: float
    start_up: float
    run: float

    def __str__(self) -> str:
        start_up = f", after {self.start_up:.0f} s of start-up" if self.start_up else ""
        return f"{self.drive / self.run:.2f} x real time: {self.drive:.1f} s of driving in {self.run:.1f} s{start_up}"


class RunDisplay:
    """A progress bar in drive seconds, fed by a supervisor (`state`) or by a run in one process (`message`)."""

    def __init__(self, config: RunConfig, quiet: bool) -> None:
        self._start_ns = config.start_ns
        self._seconds = (config.end_ns - config.start_ns) / 1e9
        self._progress = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:6.1f}/{task.total:.1f} s"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=quiet,
            transient=False,
        )
        self._task = self._progress.add_task("starting", total=self._seconds)
        self._told: set[str] = set()

    def __enter__(self) -> RunDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._progress.update(self._task, completed=self._seconds, description="done")
        self._progress.stop()

    def state(self, state: RunState) -> None:
        if not state.started:
            self._progress.update(self._task, description=f"{len(state.ready)}/{len(state.names)} nodes ready")
            return
        self._advance(state.index, state.reference_ns)
        for name, count in state.restarts.items():
            self._tell(f"{name} {count}", f"[yellow]{name} died and was started again ({count})[/yellow]")
        for name, code in state.given_up.items():
            self._tell(f"{name} dead", f"[red]{name} stays dead, exit code {code}[/red]")
        for name, status in state.status.items():
            if status.failed:
                self._tell(f"{name} failed", f"[yellow]{name}: {status.last_error}[/yellow]")

    def message(self, message: m.Message) -> None:
        if isinstance(message.payload, m.Progress):
            self._advance(message.payload.index, message.payload.reference_ns)

    def _advance(self, index: int, reference_ns: int) -> None:
        if index >= 0:
            done = min(max((reference_ns - self._start_ns) / 1e9, 0.0), self._seconds)
            self._progress.update(self._task, completed=done, description=f"frame set {index}")

    def _tell(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._progress.console.print(text)
