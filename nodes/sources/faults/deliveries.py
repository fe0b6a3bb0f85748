"""Faults of a link, and of a sensor that repeats itself: which messages come, with which payload, and when.

All is decided from the arrivals alone, before anything is read, so that every part of a drive is read the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

_BURST = 2
_LONGEST_WAIT = 5  # periods


class Deliveries(NamedTuple):
    """M deliveries in order of arrival. stamp, payload: (M,) which messages of the clean stream, counted from 0 in
    order of arrival, give them. arrival_ns: (M,)."""

    stamp: Ints
    payload: Ints
    arrival_ns: Ints

    @staticmethod
    def clean(arrivals_ns: Ints) -> Deliveries:
        order = np.arange(len(arrivals_ns), dtype=np.int64)
        return Deliveries(order, order, np.asarray(arrivals_ns, dtype=np.int64))

    def only(self, kept: Bools) -> Deliveries:
        return Deliveries(self.stamp[kept], self.payload[kept], self.arrival_ns[kept])

    def in_order(self) -> Deliveries:
        order = np.argsort(self.arrival_ns, kind="stable")
        return Deliveries(self.stamp[order], self.payload[order], self.arrival_ns[order])

    @property
    def period_ns(self) -> int:
        return int(np.median(np.diff(self.arrival_ns))) if len(self.arrival_ns) > 1 else 0


DeliveryFault = Callable[[Deliveries, Bools, float, np.random.Generator], Deliveries]


def dead(d: Deliveries, active: Bools, seconds: float, rng: np.random.Generator) -> Deliveries:
    return d.only(~active)


def lost(d: Deliveries, active: Bools, probability: float, rng: np.random.Generator) -> Deliveries:
    return d.only(~(active & (rng.random(len(active)) < probability)))


def frozen(d: Deliveries, active: Bools, seconds: float, rng: np.random.Generator) -> Deliveries:
    return _repeating(d, active)


def stale(d: Deliveries, active: Bools, probability: float, rng: np.random.Generator) -> Deliveries:
    return _repeating(d, active & (rng.random(len(active)) < probability))


def duplicate(d: Deliveries, active: Bools, probability: float, rng: np.random.Generator) -> Deliveries:
    twice = active & (rng.random(len(active)) < probability)
    later = rng.uniform(0.0, 0.5 * d.period_ns, len(active)).astype(np.int64)
    again = Deliveries(d.stamp, d.payload, d.arrival_ns + later).only(twice)
    return Deliveries(*(np.concatenate(pair) for pair in zip(d, again, strict=True))).in_order()


def reorder(d: Deliveries, active: Bools, probability: float, rng: np.random.Generator) -> Deliveries:
    """A chosen message comes just after its successor, which is then not chosen itself."""
    arrival_ns = d.arrival_ns.copy()
    chosen = active & (rng.random(len(active)) < probability)
    for i in np.flatnonzero(chosen[:-1]):
        if i == 0 or not chosen[i - 1]:
            arrival_ns[i] = d.arrival_ns[i + 1] + max(d.period_ns // 20, 1)
        else:
            chosen[i] = False
    return d._replace(arrival_ns=arrival_ns).in_order()


def delay(d: Deliveries, active: Bools, milliseconds: float, rng: np.random.Generator) -> Deliveries:
    return d._replace(arrival_ns=d.arrival_ns + np.where(active, round(milliseconds * 1e6), 0)).in_order()


def bandwidth(d: Deliveries, active: Bools, share: float, rng: np.random.Generator) -> Deliveries:
    """A bucket of two messages that fills at this share of the stream's own rate (generic cell rate algorithm)."""
    arrival_ns, kept = d.arrival_ns.copy(), np.ones(len(active), dtype=bool)
    need_ns = round(d.period_ns / share)
    due_ns = 0  # when the next message is due at the rate of the link
    for i in np.flatnonzero(active).tolist():
        leaves_ns = max(int(arrival_ns[i]), due_ns - (_BURST - 1) * need_ns)
        if leaves_ns - arrival_ns[i] > _LONGEST_WAIT * d.period_ns:
            kept[i] = False
            continue
        arrival_ns[i] = leaves_ns
        due_ns = max(due_ns, leaves_ns) + need_ns
    return d._replace(arrival_ns=arrival_ns).only(kept).in_order()


def _repeating(d: Deliveries, again: Bools) -> Deliveries:
    """Where ``again``, the payload of the last delivery before it; the first has none before it and is as it is."""
    own = np.where(again, 0, np.arange(len(again)))
    return d._replace(payload=d.payload[np.maximum.accumulate(own)] if len(own) else d.payload)


DELIVERY_FAULTS: dict[str, DeliveryFault] = {
    "dead": dead,
    "gnss_loss": dead,
    "missing": lost,
    "packet_loss": lost,
    "frozen": frozen,
    "stale": stale,
    "duplicate": duplicate,
    "reorder": reorder,
    "delay": delay,
    "bandwidth": bandwidth,
}
"""By the names of the table."""
