"""Judging what words are taken to mean in a scene: which object was meant by the truth, and what was answered.

A question names a kind and a side. By the truth it means one object, several between which one has to ask, or none:

    those of the kind, on that side, within reach; ahead and behind those in the own lane where there are any;
    of these the nearest, unless another is less than a third farther and they are not one behind the other in the lane
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

REACH_M = 100.0
_LANE_M = 2.0
_NEARER = 0.75
_SLOPE = 0.6
_DOUBT_M = 0.5
_MATCH_M = 3.0

Side: TypeAlias = Literal["ahead", "behind", "left", "right"]
SIDES: tuple[Side, ...] = ("ahead", "behind", "left", "right")
Outcome: TypeAlias = Literal["right", "wrong", "asked", "none", "cannot_tell"]


class Thing(NamedTuple):
    """An object by the truth, or a track: metres forward and left of the ego's rear axle."""

    number: int
    kind: str
    forward: float
    left: float
    hidden: bool = False

    @property
    def distance(self) -> float:
        return math.hypot(self.forward, self.left)

    @property
    def side(self) -> Side:
        if abs(self.left) <= abs(self.forward) * _SLOPE:
            return "ahead" if self.forward > 0 else "behind"
        return "left" if self.left > 0 else "right"


class Asked(NamedTuple):
    """One question: what it means by the truth, whether that is beyond doubt, and what came of it.

    perceived: on that side the tracks of that kind are of objects of that kind, one each, and all that is meant has
    one; a wrong answer is then not the fault of perception.
    """

    meant: tuple[int, ...]
    clear: bool
    perceived: bool
    outcome: Outcome


def meant(things: Iterable[Thing], kinds: Collection[str], side: Side) -> tuple[int, ...]:
    """Numbers of what is meant, nearest first; several: one has to ask."""
    found = sorted(
        (t for t in things if t.kind in kinds and t.side == side and t.distance <= REACH_M), key=lambda t: t.distance
    )
    if side in ("ahead", "behind"):
        found = [t for t in found if abs(t.left) < _LANE_M] or found
    if len(found) < 2 or all(abs(t.left) < _LANE_M for t in found):
        return tuple(t.number for t in found[:1])
    return tuple(t.number for t in found if found[0].distance > _NEARER * t.distance)


def is_clear(things: Sequence[Thing], kinds: Collection[str], side: Side, seed: int = 0) -> bool:
    """Whether the meaning is the same with every object half a metre elsewhere, and with or without those hidden."""
    rng = np.random.default_rng(seed)
    wanted = set(meant([t for t in things if not t.hidden], kinds, side))
    if set(meant(things, kinds, side)) != wanted:
        return False
    for _ in range(12):
        moves = rng.uniform(-_DOUBT_M, _DOUBT_M, (len(things), 2))
        moved = [
            t._replace(forward=t.forward + dx, left=t.left + dy) for t, (dx, dy) in zip(things, moves, strict=True)
        ]
        if set(meant([t for t in moved if not t.hidden], kinds, side)) != wanted:
            return False
    return True


def matched(track: Thing, things: Iterable[Thing]) -> int:
    """Number of the object that a track is of: the nearest within three metres; -1: of none."""
    near = min(things, key=lambda t: math.hypot(t.forward - track.forward, t.left - track.left), default=None)
    if near is None or math.hypot(near.forward - track.forward, near.left - track.left) > _MATCH_M:
        return -1
    return near.number


def outcome(wanted: tuple[int, ...], answered: Sequence[int], asks: bool, cannot_tell: bool) -> Outcome:
    """What came of a question. answered: objects that the answer speaks of, -1 for none. asks: it is a question."""
    if cannot_tell:
        return "cannot_tell"
    if asks:
        return "right" if len(wanted) > 1 and set(answered) & set(wanted) else "asked"
    if not answered:
        return "none" if wanted else "right"
    return "right" if len(wanted) == 1 and answered[0] == wanted[0] else "wrong"


def figures(asked: Iterable[Asked]) -> dict[str, float]:
    """Shares of questions answered rightly: the object, a question back where there are several, none where none is.

    ``_perceived`` are those of which perception told what is there.
    """
    rows = list(asked)
    found: dict[str, float] = {"questions": float(len(rows)), "unclear": float(sum(not row.clear for row in rows))}
    for name, wanted in (("one", 1), ("several", 2), ("none", 0)):
        of = [row for row in rows if row.clear and min(len(row.meant), 2) == wanted]
        for suffix, chosen in (("", of), ("_perceived", [row for row in of if row.perceived])):
            if wanted == 0 and suffix:
                continue
            counts = Counter(row.outcome for row in chosen)
            found[f"{name}{suffix}"] = float(len(chosen))
            found[f"{name}{suffix}_right"] = counts["right"] / max(len(chosen), 1)
    guessed = [row for row in rows if row.clear and len(row.meant) > 1 and row.perceived]
    found["guessed"] = sum(row.outcome == "wrong" for row in guessed) / max(len(guessed), 1)
    return found
