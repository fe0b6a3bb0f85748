"""What became of one track, from its accounts: where it was lost, and which sensor's part of the evidence went missing.

A track is lost where its existence falls below what counts as confirmed. Existence is a sum of log-odds in which every
sensor has its share (`fusion.account`), so the blame is a difference: what each sensor brought in the second before the
fall, minus what it brought during it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from fusion.account import Account, Contribution
from pipeline.evaluate.objects import unconfirmed

_SECOND = 1_000_000_000
_BEFORE_NS = _SECOND  # what the fall is compared with
_LOOK_BACK_NS = 2 * _SECOND  # in which the highest existence before the fall is looked for
_STILL_HIGH = 0.75  # of the log-odds between the threshold and that highest: the fall begins after the last so high
_COUNTS = 0.2  # of all that went missing, from which share on a sensor is named
NETWORK = "network"
"""Stands for the weigher's own opinion among the sensors."""


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor's part in a fall. before, during: log-odds per frame set, mean. what: what it did during the fall, in
    frame sets, such as {"missing: late": 4}. scores: of its detections that were used, mean before and during, NaN
    where there were none. kept: existence that the track would have kept at its lowest, had the sensor brought what it
    did before, the rest being as it was; of the network NaN.
    """

    sensor: str
    before: float
    during: float
    what: dict[str, int]
    scores: tuple[float, float] = (float("nan"), float("nan"))
    kept: float

    @property
    def lost(self) -> float:
        return self.before - self.during


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Existence fell from ``high`` at ``falls_ns`` below the threshold at ``start_ns``, down to ``low``. end_ns: it was
    confirmed again for good, -1 = never. frames: frame sets in which it was not. ending: why the track ended in it, ""
    where it did not. blames: the greatest first. dropped: what the ledger gave up meanwhile, by sensor and reason.
    """

    falls_ns: int
    start_ns: int
    end_ns: int
    frames: int
    high: float
    low: float
    ending: str
    blames: tuple[Blame, ...]
    dropped: dict[str, dict[str, int]] = {}


class SensorSum(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor over a track's life. did: frame sets by what it did. weight, evidence: means over all frame sets.
    faults: what was said to ail it, from its first frame set to its last, ns.
    """

    sensor: str
    modality: str
    did: dict[str, int]
    weight: float
    evidence: float
    faults: tuple[tuple[str, int, int], ...]


def deed(one: Contribution) -> str:
    """What a sensor did, with the reason where there is one."""
    return f"{one.what}: {one.reason}" if one.reason else one.what


def losses(life: Sequence[Account], confirmed: float) -> list[Loss]:
    """Where a track that was confirmed ceased to be."""
    out = [_loss(life, rows, confirmed) for rows in unconfirmed([a.time_ns for a in life], [a.existence for a in life],
                                                                confirmed)]  # fmt: skip
    last = life[-1]
    if last.ending and last.existence >= confirmed:  # it ended though it was believed in
        out.append(Loss(
            falls_ns=last.time_ns, start_ns=last.time_ns, end_ns=-1, frames=0, high=last.existence, low=last.existence,
            ending=last.ending, blames=(),
        ))  # fmt: skip
    return out


def _loss(life: Sequence[Account], rows: Sequence[int], confirmed: float) -> Loss:
    first, after = rows[0], rows[-1] + 1
    low = min(rows, key=lambda i: life[i].existence)
    back = [i for i in range(first) if life[i].time_ns >= life[first].time_ns - _LOOK_BACK_NS] or [first - 1]
    high = max(back, key=lambda i: life[i].existence)
    bar = _odds(confirmed) + _STILL_HIGH * (_odds(life[high].existence) - _odds(confirmed))
    falls = max(i for i in back if _odds(life[i].existence) >= bar) + 1
    before = [a for a in life[:falls] if a.time_ns > life[falls - 1].time_ns - _BEFORE_NS]
    return Loss(
        falls_ns=life[falls].time_ns,
        start_ns=life[first].time_ns,
        end_ns=life[after].time_ns if after < len(life) else -1,
        frames=sum(life[i].existence < confirmed for i in rows),
        high=life[high].existence,
        low=life[low].existence,
        ending=life[-1].ending if after == len(life) else "",
        blames=_blames(before, life[falls : low + 1]),
    )


def _blames(before: Sequence[Account], during: Sequence[Account]) -> tuple[Blame, ...]:
    found = []
    for sensor in dict.fromkeys(c.sensor for a in (*before, *during) for c in a.contributions):
        was, is_ = _of(before, sensor), _of(during, sensor)
        usual, now = (float(np.mean([c.brought for c in cs])) if cs else 0.0 for cs in (was, is_))
        what = dict(Counter(deed(c) for c in is_).most_common())
        scores, kept = (_score(was), _score(is_)), _kept(during, sensor, usual)
        found.append(Blame(sensor=sensor, before=usual, during=now, what=what, scores=scores, kept=kept))
    usual, now = (float(np.mean([a.opinion for a in accounts])) for accounts in (before, during))
    found.append(Blame(sensor=NETWORK, before=usual, during=now, what={}, kept=float("nan")))
    total = sum(max(b.lost, 0.0) for b in found)
    return tuple(sorted((b for b in found if b.lost > max(_COUNTS * total, 1e-3)), key=lambda b: -b.lost))


def _kept(during: Sequence[Account], sensor: str, usual: float) -> float:
    """The least existence, had ``sensor`` brought its usual log-odds in each of these frame sets."""
    added, least = 0.0, 1.0
    for account in during:
        (one,) = _of([account], sensor) or (None,)
        missed = usual - (one.brought if one else 0.0)
        added = (1.0 - account.news) * added + account.news * account.gain * missed
        least = min(least, float(1.0 / (1.0 + np.exp(-(_odds(account.existence) + added)))))
    return least


def sums(life: Sequence[Account]) -> list[SensorSum]:
    """Each sensor over all of these frame sets."""
    out = []
    for sensor in dict.fromkeys(c.sensor for a in life for c in a.contributions):
        own = [(a.time_ns, c) for a in life for c in a.contributions if c.sensor == sensor]
        named = [list(same) for _, same in itertools.groupby(own, key=lambda x: x[1].fault)]
        out.append(SensorSum(
            sensor=sensor,
            modality=own[0][1].modality,
            did=dict(Counter(deed(c) for _, c in own).most_common()),
            weight=float(np.mean([c.weight for _, c in own])),
            evidence=float(np.mean([c.evidence for _, c in own])),
            faults=tuple((x[0][1].fault, x[0][0], x[-1][0]) for x in named if x[0][1].fault),
        ))  # fmt: skip
    return out


def _of(accounts: Sequence[Account], sensor: str) -> list[Contribution]:
    return [c for a in accounts for c in a.contributions if c.sensor == sensor]


def _score(contributions: Sequence[Contribution]) -> float:
    scores = [c.detection.score for c in contributions if c.what == "used" and c.detection is not None]
    return float(np.mean(scores)) if scores else float("nan")


def _odds(probability: float) -> float:
    bounded = min(max(probability, 1e-9), 1.0 - 1e-9)
    return float(np.log(bounded / (1.0 - bounded)))
