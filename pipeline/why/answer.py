"""The answer to `syncline why`: a track's life in a recorded run, where it was lost, and whose evidence went missing.

which track -> repeat the fusion with its accounts -> losses and their blames -> what the ledger gave up meanwhile
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from fusion.account import Account
from pipeline.core.errors import BadInput
from pipeline.core.run_recording import RunRecording
from pipeline.evaluate.gaps import dropped_during
from pipeline.evaluate.run_log import RunLog
from pipeline.why.place import REACH_M, REACH_NS, Seen, tracks_of
from pipeline.why.repeat import repeat
from pipeline.why.story import Loss, SensorSum, losses, sums

_ENDS = "time_jump"
"""Ending of a track that a gap in time or another epoch of the ego poses cut off, beside those of `fusion.tracker`."""


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """Another track that came before or after at the same place. gap_s: without either; distance_m: between where one
    would have been and where the other was."""

    track_id: int
    class_name: str
    gap_s: float
    distance_m: float


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """About one track. start_ns: time 0 of the run, as the report counts. confirmed: existence from which on a track
    counts. differs_at: index of the first repeated scene that is not as recorded, -1 = all are, so that the accounts
    are what the run thought. at: index into ``life`` of the instant that was asked about.
    """

    run: str
    track_id: int
    start_ns: int
    confirmed: float
    differs_at: int
    at: int
    sensors: tuple[SensorSum, ...]
    losses: tuple[Loss, ...]
    before: Neighbour | None
    after: Neighbour | None
    merged_into: int
    life: tuple[Account, ...]

    @property
    def moment(self) -> Account:
        return self.life[self.at]


def answer(
    run: RunLog,
    path: Path,
    track_id: int,
    at_s: float | None,
    confirmed: float,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Answer:
    """Why track ``track_id`` was as it was; at_s: seconds of the run, None = in the middle of its worst loss.

    Raises:
        BadInput: no such track in the run, or it cannot be repeated (`pipeline.why.repeat`).
    """
    seen = tracks_of(run)
    if track_id not in seen:
        raise BadInput(path, "--track", f"one of {len(seen)} tracks, such as {sorted(seen)[:8]}", track_id)
    with RunRecording(path) as recording:
        accounts, differs_at = repeat(recording, [track_id], on_progress)
    if track_id not in accounts:
        raise BadInput(path, "--track", "one that the repeated run has too", f"none; scenes differ from {differs_at}")
    life = accounts[track_id]
    last_ns = max((m.stamp.time_ns for m in run.scenes), default=0)
    if not life[-1].ending and life[-1].time_ns < last_ns:
        life = [*life[:-1], msgspec.structs.replace(life[-1], ending=_ENDS)]
    found = [_with_ledger(loss, run, life) for loss in losses(life, confirmed)]
    return Answer(
        run=str(path),
        track_id=track_id,
        start_ns=run.start_ns,
        confirmed=confirmed,
        differs_at=differs_at,
        at=_instant(life, found, run.start_ns, at_s),
        sensors=tuple(sums(life)),
        losses=tuple(found),
        before=_neighbour(seen, track_id, life[0].time_ns, -1),
        after=_neighbour(seen, track_id, life[-1].time_ns, 1),
        merged_into=_merged_into(seen, life),
        life=tuple(life),
    )


def _with_ledger(loss: Loss, run: RunLog, life: list[Account]) -> Loss:
    end_ns = loss.end_ns if loss.end_ns >= 0 else life[-1].time_ns
    return msgspec.structs.replace(loss, dropped=dropped_during(run, loss.falls_ns, end_ns))


def _instant(life: list[Account], found: list[Loss], start_ns: int, at_s: float | None) -> int:
    if at_s is not None:
        time_ns = start_ns + round(at_s * 1e9)
        return min(range(len(life)), key=lambda i: abs(life[i].time_ns - time_ns))
    if found:
        worst = max(found, key=lambda loss: loss.high - loss.low)
        if not worst.frames:
            return len(life) - 1
        stretch = [i for i, a in enumerate(life) if a.time_ns >= worst.start_ns]
        return min(
            (i for i in stretch if worst.end_ns < 0 or life[i].time_ns < worst.end_ns), key=lambda i: life[i].existence
        )
    return len(life) // 2


def _neighbour(seen: dict[int, Seen], track_id: int, edge_ns: int, way: int) -> Neighbour | None:
    """The track that ended (way -1) or began (1) nearest to where this one did the other."""
    mine = seen[track_id]
    found = []
    for other in seen.values():
        gap_ns = way * (int(other.time_ns[0 if way > 0 else -1]) - edge_ns)
        if other.track_id != track_id and 0 <= gap_ns <= REACH_NS:
            meet_ns = edge_ns + way * gap_ns
            apart = float(np.hypot(*(mine.at(meet_ns) - other.at(meet_ns))))
            if apart < REACH_M:
                found.append(Neighbour(
                    track_id=other.track_id, class_name=other.class_name, gap_s=gap_ns / 1e9, distance_m=apart
                ))  # fmt: skip
    return min(found, key=lambda n: n.distance_m, default=None)


def _merged_into(seen: dict[int, Seen], life: list[Account]) -> int:
    """The track that this one repeated when it ended for that reason: the nearest, 0 = it did not."""
    last = life[-1]
    if last.ending != "repeats_another":
        return 0
    others = [t for t in seen.values() if t.track_id != last.track_id and t.away_ns(last.time_ns) == 0]
    place = np.array(last.position[:2])
    return min(others, key=lambda t: float(np.hypot(*(t.at(last.time_ns) - place)))).track_id if others else 0
