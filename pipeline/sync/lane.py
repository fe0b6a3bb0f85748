"""One sensor's side of the alignment: which message belongs to a reference instant, and until when to wait for it.

Every decision here depends on the restored stream (`pipeline.sync.sequence`) and on earlier decisions, hence on stamps
only. The one exception, `Lane.force`, is for a live run that must go on, and leaves its mark in the slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pipeline.core.messages import Stamp
from pipeline.core.settings import Settings
from pipeline.sync.deadline import RunningQuantile, Wait, WaitSettings
from pipeline.sync.ledger import Account
from pipeline.sync.sequence import FOREVER_NS, Arrival, Sequencer, jumps_back

_LOCK_WITHIN = 1 / 8  # relative: a sensor whose period is this near to the reference's is held in phase with it
_SLIP_AT = 0.6  # of a period: beyond it the phase is counted from the neighbouring message
_PHASE_GAIN = 0.2
_SAMPLE = 3  # of so many messages, one is enough to know the period by
_PERIODS, _ENOUGH_PERIODS = 15, 5
_FADE = 32


class Item(NamedTuple):
    """A stamped message of a sensor; ``value`` is whatever travels with it."""

    stamp: Stamp
    value: Any


class Slot(NamedTuple):
    """A sensor's place in a frame set: the item, or why there is none.

    missing: ``late`` = nothing had arrived by the deadline; ``no_message`` = the stream went on without one for this
    instant; ``not_due`` = a slow sensor whose turn it is not; ``silent`` = nothing arrived for long, so it was not
    waited for; ``late_processing`` = what had arrived was not handed in before the wall clock ended the wait.
    """

    sensor: str
    item: Item | None
    missing: str


class LaneSettings(Settings, frozen=True):
    """What holds for every sensor.

    wait: how long after the instant a message may arrive; measured as arrival_ns - time_ns.
    max_offset_ns: a message further before its instant is not used. silent_after_ns: a sensor from which nothing
    arrived for so long is not waited for. max_age_ns, max_future_ns: a time_ns so far before or after arrival_ns is
    absurd. reorder_depth: one message more than these behind a missing one, and it is lost; every bus of ours keeps the
    order of a topic, so 0; more where several workers share a sensor.
    processing: where the wall clock counts, how long a message may take from arrival to here; measured.
    """

    wait: WaitSettings = WaitSettings()
    max_offset_ns: int = 100_000_000
    silent_after_ns: int = 500_000_000
    max_age_ns: int = 5_000_000_000
    max_future_ns: int = 100_000_000
    reorder_depth: int = 0
    processing: WaitSettings = WaitSettings(margin_ns=20_000_000, initial_ns=2_000_000_000, max_ns=2_000_000_000)


class Lane:
    """One sensor.

    Args:
        period_ns: nominal; replaced by the measured one once that is known.
        journal: called with sensor, stamp and outcome (``fused`` or a reason) whenever a message's fate is decided.
    """

    def __init__(
        self,
        sensor: str,
        period_ns: int,
        settings: LaneSettings,
        journal: Callable[[str, Stamp, str], None] | None = None,
    ) -> None:
        self.sensor = sensor
        self.account = Account(sensor)
        self.stream: Sequencer[Item] = Sequencer(settings.reorder_depth)
        self.period_ns = period_ns
        self.deadline_ns = 0
        self.final = True
        self.lag = Wait(settings.processing)
        self._settings = settings
        self._journal = journal
        self._wait = Wait(settings.wait)
        self._periods = RunningQuantile(0.5, _PERIODS)
        self._lead_ns = 0  # how far after its instant a message may be: largest offset lately, fading
        self._phase: int | None = None
        self._last: Stamp | None = None  # last scanned
        self._used_ns: int | None = None
        self._alive_ns: int | None = None
        self._timeline = 0  # how often time has jumped back in this stream
        self._wanted_timeline = 0
        # the open slot
        self._instant_ns = self._lower_ns = self._upper_ns = self._reference_period_ns = 0
        self._chosen: Item | None = None
        self._before: list[Item] = []  # scanned, earlier than the slot's window
        self._missing = ""
        self._silent = self._forced = self._locked = False
        self._recorded = False
        self._wanted: tuple[int, int] | None = None  # epoch and sequence, where an earlier run decided
        # the slot before it
        self._was_filled = self._was_forced = False
        self._was_deadline_ns = self._was_upper_ns = -1

    def push(self, item: Item) -> None:
        """Hand in one message."""
        arrival = self.stream.push(item)
        if arrival is Arrival.NEW:
            self.account.take(item.stamp.sequence)
        elif arrival is Arrival.GIVEN_UP:
            self.account.take(item.stamp.sequence)
            self._drop(item, "late_processing")
        else:
            reason = "duplicate" if arrival is Arrival.DUPLICATE else "absurd_sequence"
            self.account.refuse(reason)
            if self._journal:
                self._journal(self.sensor, item.stamp, reason)

    # --- the reference sensor: when is the next instant?

    def first_after(self, lower_ns: int, upper_ns: int, deadline_ns: int) -> int | None:
        """Time of the first message in [lower, upper) that arrived by the deadline; 0: none; None: not known yet."""
        last = self._last
        for item in self.stream.ready:
            stamp = item.stamp
            if jumps_back(last, stamp):
                return 0
            last = stamp
            if self._refusal(stamp):
                continue
            if stamp.arrival_ns > deadline_ns or stamp.time_ns >= upper_ns:
                return 0
            if stamp.time_ns >= lower_ns:
                return stamp.time_ns
        return 0 if self.stream.known_ns >= deadline_ns else None

    def deadline_for(self, instant_ns: int) -> int:
        """Until when a message that belongs to the instant must have arrived; no wait for a sensor that is silent."""
        if self._alive_ns is None:
            self._alive_ns = instant_ns
        if instant_ns - self._alive_ns > self._settings.silent_after_ns:
            return instant_ns
        expected_ns = min(self.period_ns, self._reference_period_ns) // 2 if self._phase is None else self._phase
        lead_ns = expected_ns if expected_ns > self._lead_ns else self._lead_ns
        return instant_ns + self._wait.ns + (lead_ns if lead_ns > 0 else 0)

    @property
    def jumped(self) -> bool:
        """Whether the next message begins a new timeline, as far as this sensor alone can tell."""
        ready = self.stream.ready
        return bool(ready) and jumps_back(self._last, ready[0].stamp)

    @property
    def over(self) -> bool:
        """Whether nothing more will come on this timeline."""
        return self.jumped if self.stream.ready else self.stream.known_ns == FOREVER_NS

    def wake(self) -> None:
        """At a new start no sensor counts as silent."""
        self._alive_ns = None

    def head(self) -> Stamp | None:
        """Stamp of the first message that can be used at all."""
        return next((item.stamp for item in self.stream.ready if not self._refusal(item.stamp)), None)

    # --- the slot of one instant: open, scan until final, close

    def open(self, instant_ns: int, reference_period_ns: int, timeline: int) -> None:
        """Begin to look for the message that belongs to the instant of the timeline, the number of jumps back so far.

        It is the first one, in the order of the stream, in a window of one period around the instant, or around the
        sensor's own phase to the reference where both have the same rate: so a sensor that is half a period off does
        not flip from one neighbour to the other. First in the window means nearest for a regular stream, and needs no
        look at the message after it.
        """
        self._wanted_timeline = timeline
        if self.stream.ready and self._last is not None and self.jumped:
            alone = instant_ns - self._last.arrival_ns > self._settings.silent_after_ns
            if alone or timeline > self._timeline:  # alone: time goes on for the others; this one only began again
                self._turn()
        half = self.period_ns // 2
        phase = self._phase or 0
        slow = self.period_ns * 2 > reference_period_ns * 3
        spacing = self.period_ns - reference_period_ns // 2 if slow else half
        lower = instant_ns + phase - half
        if lower < instant_ns - self._settings.max_offset_ns:
            lower = instant_ns - self._settings.max_offset_ns
        if self._used_ns is not None and lower < self._used_ns + spacing:
            lower = self._used_ns + spacing
        self._instant_ns, self._lower_ns, self._reference_period_ns = instant_ns, lower, reference_period_ns
        self._locked = abs(self.period_ns - reference_period_ns) <= _LOCK_WITHIN * reference_period_ns
        self._upper_ns = instant_ns + phase + reference_period_ns // 2
        self._chosen, self._missing = None, ""
        self._forced = False
        self.deadline_ns = self.deadline_for(instant_ns)
        self._silent = self.deadline_ns == instant_ns
        self.final = lower >= self._upper_ns
        if self.final:
            self._missing = "not_due"
        elif self.stream.ready or self.stream.known_ns >= self.deadline_ns:
            self.scan()

    def scan(self) -> bool:
        """Look at what is there; True once the slot can change no more."""
        if self._wanted is not None:
            return self._scan_recorded(self._wanted)
        ready = self.stream.ready
        while ready and not self.final:
            item = ready[0]
            stamp = item.stamp
            if self._last is not None and stamp.epoch != self._last.epoch and jumps_back(self._last, stamp):
                if self._timeline < self._wanted_timeline:
                    self._turn()
                    continue
                self._missing, self.final = "late", True
                break
            refusal = "old_epoch" if self._timeline < self._wanted_timeline else self._refusal(stamp)
            if refusal:
                ready.popleft()
                self._drop(item, refusal)
            elif stamp.arrival_ns > self.deadline_ns or stamp.time_ns >= self._upper_ns:
                self._missing = "late" if stamp.arrival_ns > self.deadline_ns else "no_message"
                self.final = True
            else:
                ready.popleft()
                self._learn(stamp)
                if stamp.time_ns >= self._lower_ns:
                    self._chosen = item
                    self.final = True
                else:
                    self._before.append(item)
        if not self.final:
            known_ns = self.stream.known_ns
            if known_ns >= self.deadline_ns and (self._timeline == self._wanted_timeline or known_ns == FOREVER_NS):
                self._missing, self.final = "late", True
        return self.final

    def open_recorded(self, instant_ns: int, decision: tuple[int, int] | str) -> None:
        """Look for exactly the message, (epoch, sequence), that an earlier run used; or take over why it used none."""
        self._instant_ns, self._chosen, self._forced = instant_ns, None, False
        self._recorded = True
        self._wanted = None if isinstance(decision, str) else decision
        self._missing = decision if isinstance(decision, str) else ""
        self.final = self._wanted is None
        self.scan()

    def _scan_recorded(self, wanted: tuple[int, int]) -> bool:
        ready = self.stream.ready
        while ready and not self.final:
            key = (ready[0].stamp.epoch, ready[0].stamp.sequence)
            if key > wanted:
                break
            item = ready.popleft()
            if key == wanted:
                self._chosen, self.final = item, True
            else:
                self._before.append(item)
        if not self.final and (ready or self.stream.known_ns == FOREVER_NS):
            self._missing, self.final = "not_replayed", True
        return self.final

    def force(self) -> None:
        """Decide now, although more may come that would have counted. Depends on the wall clock: for live runs only."""
        self.stream.give_up(self.deadline_ns)
        if not self.scan():
            self._missing = "late_processing"
            self._forced = self.final = True

    def close(self) -> Slot:
        """The decided slot. What was looked at and not used is dropped with its reason."""
        item = self._chosen
        if item is None and self._before and not self._recorded:
            earliest = self._instant_ns - self._settings.max_offset_ns
            item = max(self._before, key=lambda i: i.stamp.time_ns)
            if item.stamp.time_ns < earliest or (self._used_ns is not None and item.stamp.time_ns < self._used_ns):
                item = None
        for other in self._before:
            if other is not item:
                self._drop(other, self._why_unused(other.stamp))
        self._before.clear()
        self._was_filled, self._was_forced = item is not None, self._forced
        self._was_deadline_ns, self._was_upper_ns = self.deadline_ns, self._upper_ns
        if item is None:
            return Slot(self.sensor, None, "silent" if self._silent else self._missing)
        self._use(item.stamp)
        self.account.fuse()
        if self._journal:
            self._journal(self.sensor, item.stamp, "fused")
        return Slot(self.sensor, item, "")

    def drop_rest(self, reason: str) -> None:
        """Give up everything that is still here: at the end of a run."""
        for item in (*self._before, *self.stream.ready):
            self._drop(item, reason)
        self._before.clear()
        self.stream.ready.clear()

    # --- inside

    def _refusal(self, stamp: Stamp) -> str:
        """Why a message's time cannot be used at all; empty where it can."""
        age = stamp.arrival_ns - stamp.time_ns
        if not -self._settings.max_future_ns <= age <= self._settings.max_age_ns:
            return "absurd_time"
        last = self._last
        if last is not None and stamp.time_ns == last.time_ns and stamp.epoch == last.epoch:
            return "stuck_stamp"
        return ""

    def _turn(self) -> None:
        """Time jumped back: nothing of before compares with what comes."""
        self._timeline = self._wanted_timeline
        self._last = self._used_ns = self._alive_ns = self._phase = None
        self._was_upper_ns = -1

    def _learn(self, stamp: Stamp) -> None:
        """Measure delay and period on a message that is taken from the stream."""
        last = self._last
        if last is not None and last.epoch != stamp.epoch:  # times of two epochs do not compare
            for item in self._before:
                self._drop(item, "old_epoch")
            self._before.clear()
            self._phase = self._used_ns = None
            self._lead_ns = 0
        elif last is not None and stamp.time_ns > last.time_ns and stamp.sequence % _SAMPLE == 0:
            period_ns = self._periods.add(stamp.time_ns - last.time_ns)
            if len(self._periods) >= _ENOUGH_PERIODS:
                self.period_ns = period_ns or 1
        self._last = stamp
        self._alive_ns = stamp.arrival_ns
        self._wait.add(stamp.arrival_ns - stamp.time_ns)

    def _use(self, stamp: Stamp) -> None:
        """Follow the phase of what is used."""
        self._used_ns = stamp.time_ns
        offset = stamp.time_ns - self._instant_ns
        self._lead_ns = offset if offset > self._lead_ns else self._lead_ns + (offset - self._lead_ns) // _FADE
        if not self._locked:
            self._phase = None
            return
        if self._phase is None or abs(offset - self._phase) > self.period_ns // 4:
            phase = offset
        else:
            phase = self._phase + round(_PHASE_GAIN * (offset - self._phase))
        slip = _SLIP_AT * self.period_ns
        self._phase = phase + (self.period_ns if phase < -slip else -self.period_ns if phase > slip else 0)

    def _why_unused(self, stamp: Stamp) -> str:
        if self._used_ns is not None and stamp.time_ns < self._used_ns:
            return "out_of_order"
        if stamp.time_ns < self._was_upper_ns and not self._was_filled:  # it belonged to the slot before
            if stamp.arrival_ns > self._was_deadline_ns:
                return "late"
            if self._was_forced:
                return "late_processing"
        return "superseded"

    def _drop(self, item: Item, reason: str) -> None:
        self.account.drop(reason)
        if self._journal:
            self._journal(self.sensor, item.stamp, reason)
