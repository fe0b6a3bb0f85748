"""Command that explains: `why` a fused object was where it was, trusted whom it did, or was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.cli.results import eval_config_for
from pipeline.core.errors import BadInput
from pipeline.evaluate.objects import unconfirmed
from pipeline.evaluate.pairing import truth_of
from pipeline.evaluate.run_log import RunLog, load_run
from pipeline.why.answer import Answer, answer
from pipeline.why.picture import draw
from pipeline.why.place import Nothing, Seen, near, nothing_near, tracks_of
from pipeline.why.words import nothing, told

_LISTED = 20


def why(
    run: Annotated[Path, typer.Argument(help="Run folder or .mcap file, made by a replay.")],
    track: Annotated[int, typer.Option("--track", "-t", help="Id of a track, as in the viewer and the report.")] = 0,
    at: Annotated[float | None, typer.Option("--at", help="Seconds into the run.")] = None,
    place: Annotated[str, typer.Option("--near", help="X,Y: metres ahead and to the left of the vehicle then.")] = "",
    picture: Annotated[Path | None, typer.Option(help="Write a picture (PNG).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON, nothing else.")] = False,
) -> None:
    """Say what each sensor contributed to an object, what was rejected and why, and where it was lost.

    The fusion of the run is repeated on its own frame sets and looked into; the answer says whether the scenes came out
    as recorded. Without --track and --near: the tracks that were lost for longest.

    Example: syncline why out/replay --at 12.3 --near 25,-3 --picture why.png
    """
    log = load_run(run)
    config = eval_config_for(log.rig)
    confirmed = config.confirmed_existence
    seen = tracks_of(log)
    console = Console()
    if not track and not place:
        _list(console, log, seen, confirmed, as_json)
        return
    others: list[tuple[int, float]] = []
    if not track:
        found = _near(log, run, seen, place, at)
        if isinstance(found, Nothing):
            print(_json(found) if as_json else nothing(found))
            raise typer.Exit(1)
        (track, _), *others = found
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("repeating the fusion", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        said: Answer = answer(log, run, track, at, confirmed, show)
    if picture is not None:
        draw(said, log, run, truth_of(log, config), config, picture)
    if as_json:
        print(_json(said))
        return
    print(told(said))
    if others:
        print("\nalso near: " + ", ".join(f"track {number} ({apart:.1f} m)" for number, apart in others))
    if picture is not None:
        console.print(f"wrote {picture}", highlight=False)


def _near(
    log: RunLog, run: Path, seen: dict[int, Seen], place: str, at: float | None
) -> list[tuple[int, float]] | Nothing:
    try:
        x, y = (float(part) for part in place.split(","))
    except ValueError as error:
        raise BadInput("why", "--near", "two numbers, such as 25,-3", place) from error
    if at is None:
        raise BadInput("why", "--near", "--at with it", "none")
    if not log.frames:
        raise BadInput(run, "topics", "frame sets, which a replay records", "none")
    time_ns = log.start_ns + round(at * 1e9)
    frame = min(log.frames, key=lambda f: abs(f.time_ns - time_ns))
    there = (frame.ego @ np.array([x, y, 0.0]))[:2]
    return near(seen, there, frame.time_ns) or nothing_near(log, run, frame, there)


def _list(console: Console, log: RunLog, seen: dict[int, Seen], confirmed: float, as_json: bool) -> None:
    """The confirmed tracks, those that were lost for longest first."""
    rows = []
    for track in seen.values():
        if track.existence.max() >= confirmed:
            lost = unconfirmed(track.time_ns.tolist(), track.existence.tolist(), confirmed)
            first = (track.time_ns[lost[0][0]] - log.start_ns) / 1e9 if lost else float("nan")
            seconds = sum((track.time_ns[r[-1]] - track.time_ns[r[0]]) / 1e9 for r in lost)
            rows.append((track, len(lost), first, seconds))
    rows.sort(key=lambda row: (-row[3], -row[1], row[0].track_id))
    if as_json:
        names = ("track", "class", "from_s", "to_s", "lost", "lost_first_s", "lost_s")
        values = [(t.track_id, t.class_name, *_span(t, log), n, first, s) for t, n, first, s in rows]
        print(_json([dict(zip(names, row, strict=True)) for row in values]))
        return
    table = Table(box=None)
    for column in ("track", "class", "from, s", "to, s", "times lost", "first at, s", "lost for, s"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for track, times, first, seconds in rows[:_LISTED]:
        begin, end = _span(track, log)
        when = f"{first:.1f}" if times else "–"
        table.add_row(str(track.track_id), track.class_name, f"{begin:.1f}", f"{end:.1f}", str(times), when,
                      f"{seconds:.1f}")  # fmt: skip
    console.print(table)
    if len(rows) > _LISTED:
        console.print(f"and {len(rows) - _LISTED} more confirmed tracks; ask about one with --track")


def _span(track: Seen, log: RunLog) -> tuple[float, float]:
    begin, end = ((int(t) - log.start_ns) / 1e9 for t in track.time_ns[[0, -1]])
    return begin, end


def _json(what: object) -> str:
    return msgspec.json.format(msgspec.json.encode(what), indent=2).decode()
