"""Alignment: messages of many sensors into frame sets, one per reference instant, in order.

The instants are the times of the reference sensor's messages, or a fixed rate. At each one every sensor's lane gives
the message that belongs to it (`pipeline.sync.lane`); the set is given out as soon as no lane can change its mind: at
once when all are there, else when it is known that nothing that arrived by the deadline is still to come. What belongs
to a set depends on stamps only, so any order of processing gives the same sets. A set without any message is not given
out: whether one comes at the very end would depend on who tells first that the run is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.core.messages import NodeStatus, Stamp, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.lane import Item, Lane, LaneSettings, Slot
from pipeline.sync.ledger import Ledger, LossReports


class AlignerSettings(Settings, frozen=True):
    """reference: sensor whose messages set the instants; empty = every ``period_ns``.

    start_wait_ns: how long to wait for the reference sensor at the start, and after an instant at which nothing came.
    max_held: so many messages of one sensor may wait for the others.
    detectors: sensor -> node that gives its detections, default ``detect_<sensor>``; aligner: name of this node.
    """

    reference: str = ""
    period_ns: int = 100_000_000
    start_wait_ns: int = 500_000_000
    max_held: int = 1024
    lane: LaneSettings = LaneSettings()
    detectors: dict[str, str] = {}
    aligner: str = "align"


class Aligned(NamedTuple):
    """One frame set: the slots are in the order in which the sensors were given."""

    number: int
    time_ns: int
    timeline: int  # how often time has jumped back before
    slots: tuple[Slot, ...]


class Recorded(NamedTuple):
    """A frame set of an earlier run: per sensor (epoch, sequence) of what was used, or the reason why nothing was."""

    time_ns: int
    slots: Mapping[str, tuple[int, int] | str]
    number: int


class Aligner:
    """Brings the messages of several sensors together.

    Args:
        periods_ns: nominal period of each sensor, ns; the order is that of the slots.
        follow: decisions of an earlier run, repeated exactly instead of deciding.
        journal: see `Lane`.
        begin: number of the first frame set; given where an earlier aligner of the run died, so that messages which
            came before are not this one's to account for.
    """

    def __init__(
        self,
        periods_ns: Mapping[str, int],
        settings: AlignerSettings,
        follow: Sequence[Recorded] | None = None,
        journal: Callable[[str, Stamp, str], None] | None = None,
        begin: int | None = None,
    ) -> None:
        if settings.reference and settings.reference not in periods_ns:
            raise ValueError(f"reference: expected one of {sorted(periods_ns)}, got {settings.reference!r}")
        detectors = {sensor: settings.detectors.get(sensor, f"detect_{sensor}") for sensor in periods_ns}
        self._settings = settings
        self._lanes = {name: Lane(name, period, settings.lane, journal) for name, period in periods_ns.items()}
        self._reference = self._lanes.get(settings.reference)
        self._losses = LossReports(detectors, settings.aligner)
        books = [(lane.account, lane.stream) for lane in self._lanes.values()]
        self.ledger = Ledger(books, self._losses, resumed=begin is not None)
        self._follow = deque(follow) if follow is not None else None
        self._index = begin or 0
        self._timeline = 0
        self._instant_ns: int | None = None  # of the open set
        self._last_ns: int | None = None  # of the set before; None: at the start
        self._waiting: list[Lane] = []  # of the open set, those that are not final
        self._empty = False  # nothing came for the instant before
        self._on_reference = False  # the instant before was the time of a message of the reference sensor
        self._crowded: Lane | None = None
        self._stirred = True  # something came that may decide something
        self._hurry_ns = 0  # before this the wall clock decides nothing

    # --- what comes in

    def push(self, sensor: str, stamp: Stamp, value: Any, now_ns: int | None = None) -> None:
        """Hand in one message; ``now_ns``: host time, None where the wall clock does not count.

        Raises:
            KeyError: a sensor that is not expected.
        """
        lane = self._lanes[sensor]
        if now_ns is not None:
            lane.lag.add(now_ns - stamp.arrival_ns)
        lane.push(Item(stamp, value))
        self._heard(lane)

    def stream_status(self, sensor: str, epoch: int, status: StreamStatus) -> None:
        """Hand in a source's own count of one of its epochs."""
        lane = self._lanes[sensor]
        lane.stream.status(epoch, status)
        self._heard(lane)
        self._stirred = self._stirred or self._instant_ns is None

    def node_status(self, status: NodeStatus) -> None:
        """Hand in a node's heartbeat: its losses explain messages that never come, its end that none will."""
        self._losses.take(status)
        if status.ended:
            for sensor in self._losses.served_by(status.node):
                lane = self._lanes[sensor]
                lane.stream.close()
                self._heard(lane)
                self._stirred = True

    # --- what goes out

    def advance(self, now_ns: int | None = None) -> list[Aligned]:
        """Frame sets that are decided by now.

        ``now_ns``: host time, at which what should have been handed in is no longer waited for; None: wait until it is
        known that it will not come.
        """
        out: list[Aligned] = []
        if not self._stirred and (now_ns is None or now_ns <= self._hurry_ns):
            return out  # nothing can have changed
        self._stirred = False
        while self._instant_ns is not None or self._open(self._next_instant(now_ns)):
            if self._waiting and not self._hurry(now_ns):
                break
            aligned = self._close()
            if aligned is not None:
                out.append(aligned)
        if now_ns is not None:
            self._hurry_ns = min((lane.deadline_ns + self._lag_ns(lane) for lane in self._waiting), default=0)
        return out

    def finish(self) -> list[Aligned]:
        """Nothing more will come: all that is left, and every message's end is booked."""
        for lane in self._lanes.values():
            lane.stream.close()
            self._heard(lane)
        self._stirred = True
        out = self.advance()
        for lane in self._lanes.values():
            lane.drop_rest("end_of_run")
        return out

    # --- inside

    def _heard(self, lane: Lane) -> None:
        """Something new is known of a sensor: see whether that decides anything."""
        if self._instant_ns is None:
            if lane is self._reference or self._at_start or self._follow is not None:
                self._stirred = True
        elif not lane.final and lane.scan():
            self._waiting.remove(lane)
            if not self._waiting:
                self._stirred = True
        if len(lane.stream.ready) > self._settings.max_held:
            self._crowded = lane
            self._stirred = True

    def _open(self, instant_ns: int | None) -> bool:
        """Open the set of the next instant, if that is known."""
        if instant_ns is None:
            return False
        self._instant_ns = instant_ns
        if self._follow is None:
            period_ns = self._period_ns
            for lane in self._lanes.values():
                lane.open(instant_ns, period_ns, self._timeline)
        else:
            recorded = self._follow[0].slots
            for lane in self._lanes.values():
                lane.open_recorded(instant_ns, recorded.get(lane.sensor, "not_recorded"))
        self._waiting = [lane for lane in self._lanes.values() if not lane.final]
        return True

    def _hurry(self, now_ns: int | None) -> bool:
        """Decide without what is overdue; True when nothing is waited for any more."""
        for lane in self._waiting:
            if self._overdue(lane, lane.deadline_ns, now_ns):
                lane.force()
        self._waiting = [lane for lane in self._waiting if not lane.final]
        return not self._waiting

    def _close(self) -> Aligned | None:
        assert self._instant_ns is not None
        slots = tuple([lane.close() for lane in self._lanes.values()])
        self._last_ns, self._instant_ns = self._instant_ns, None
        self._empty = all(slot.item is None for slot in slots)
        if self._follow is not None:
            self._index = self._follow.popleft().number
        elif self._empty:
            return None
        self._index += 1
        return Aligned(self._index - 1, self._last_ns, self._timeline, slots)

    @property
    def _at_start(self) -> bool:
        return self._last_ns is None or self._empty

    @property
    def _period_ns(self) -> int:
        return self._reference.period_ns if self._reference else self._settings.period_ns

    def _overdue(self, lane: Lane, deadline_ns: int, now_ns: int | None) -> bool:
        """Whether what arrived by the deadline should have been handed in by now."""
        if now_ns is not None and now_ns > deadline_ns + self._lag_ns(lane):
            return True
        return self._crowded is not None and len(self._crowded.stream.ready) > self._settings.max_held

    def _lag_ns(self, lane: Lane) -> int:
        """How long its messages may take from arrival to here; as long as the others', while that is not measured."""
        if lane.lag.measured:
            return lane.lag.ns
        return max((other.lag.ns for other in self._lanes.values() if other.lag.measured), default=lane.lag.ns)

    def _next_instant(self, now_ns: int | None) -> int | None:
        """Time of the next set; None: not known yet, or nothing is left."""
        if self._follow is not None:
            if not self._follow:
                return None
            if self._last_ns is not None and self._follow[0].time_ns < self._last_ns:
                self._timeline += 1
            return self._follow[0].time_ns
        if self._last_ns is not None and all(lane.over for lane in self._lanes.values()):
            jumped = sum(lane.jumped for lane in self._lanes.values())
            if not jumped:
                return None
            if 2 * jumped >= len(self._lanes):  # time jumped back, not one sensor that began again
                self._timeline += 1
                self._last_ns = None
        if self._at_start or self._last_ns is None:
            return self._first_instant(now_ns)
        period_ns = self._period_ns
        expected_ns = self._last_ns + period_ns
        if self._reference is None:
            return expected_ns
        deadline_ns = self._reference.deadline_for(expected_ns)
        lower_ns, upper_ns = self._last_ns + period_ns // 2, expected_ns + period_ns // 2
        if self._on_reference:
            lower_ns = self._last_ns + period_ns // 4  # no message of the reference sensor is passed over
        found_ns = self._reference.first_after(lower_ns, upper_ns, deadline_ns)
        if found_ns is None and not self._overdue(self._reference, deadline_ns, now_ns):
            return None
        self._on_reference = bool(found_ns)
        return found_ns or expected_ns  # the reference sensor is silent: go on at its period

    def _first_instant(self, now_ns: int | None) -> int | None:
        """The instant at the start, and after all was silent: that of the reference sensor if it comes soon enough."""
        heads = {name: head for name, lane in self._lanes.items() if (head := lane.head()) is not None}
        if not heads:
            return None
        first = min(heads.values(), key=lambda stamp: stamp.arrival_ns)
        horizon_ns = first.arrival_ns + self._settings.start_wait_ns
        for name, lane in self._lanes.items():
            late = lane.stream.known_ns >= horizon_ns or self._overdue(lane, horizon_ns, now_ns)
            if name not in heads and not late:
                return None
        reference = heads.get(self._settings.reference)
        chosen = reference if reference is not None and reference.arrival_ns <= horizon_ns else first
        period_ns = self._period_ns
        instant_ns = chosen.time_ns if self._reference else -(-chosen.time_ns // period_ns) * period_ns
        for lane in self._lanes.values():
            lane.wake()
        self._on_reference = chosen is reference
        if self._last_ns is not None and instant_ns <= self._last_ns:
            return self._last_ns + period_ns
        return instant_ns
