"""Restores a stream to the order in which its source sent it, and knows which numbers are missing and why.

Messages of one sensor may reach us in any order, twice, or never. Everything that decides works on the restored stream
only, and on what is known about its future; so the order of processing can change when a decision is made, never what
it is (a process network: Kahn, "The semantics of a simple language for parallel programming", 1974).
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar

from pipeline.core.messages import Stamp, StreamStatus

FOREVER_NS = 2**63 - 1
_MAX_HOLES = 64
_MAX_STATUSES = 64
_NOTHING_SAID = StreamStatus(sent=0, watermark_ns=0)


def jumps_back(last: Stamp | None, stamp: Stamp) -> bool:
    """Whether a new timeline begins: a new epoch that arrived before the old one, as when a replay loops or seeks."""
    return last is not None and stamp.epoch > last.epoch and stamp.arrival_ns < last.arrival_ns


class Stamped(Protocol):
    @property
    def stamp(self) -> Stamp: ...


T = TypeVar("T", bound=Stamped)


class Arrival(Enum):
    """What a message turned out to be when it was handed in."""

    NEW = "new"
    DUPLICATE = "duplicate"
    GIVEN_UP = "given up"  # it comes after the wait for it was given up
    ABSURD = "absurd"  # a sequence number that no stream can have


class Numbers(NamedTuple):
    """What became of the sequence numbers given out so far: known = arrived + lost + awaited + those in ``source``.

    source: given up by the source itself, by reason. lost: no longer waited for. awaited: may still come.
    """

    known: int
    lost: int
    awaited: int
    source: Counter[str]


class _Hole(NamedTuple):
    """Numbers start..end-1 of an epoch that were passed over; counted: the source is known to have given them out."""

    epoch: int
    start: int
    end: int
    counted: bool


class Sequencer(Generic[T]):
    """One stream in order of (epoch, sequence), in `ready`, for its owner to take from the left.

    A missing number holds back what follows it until it comes; or the source's own count shows that all it published is
    here, so that the number was never sent; or more than ``depth`` later messages wait, which on a transport that keeps
    order means that it is lost. Memory is bounded by ``depth`` and fixed limits.
    """

    def __init__(self, depth: int) -> None:
        self.ready: deque[T] = deque()
        self.epoch = 0
        self.next = 0  # number that is to follow in `ready`
        self._depth = depth
        self._first = 0  # of this epoch
        self._passed = 0  # numbers of this epoch before `next` that were passed over
        self._early: dict[tuple[int, int], T] = {}
        self._statuses: dict[int, StreamStatus] = {}
        self._holes: deque[_Hole] = deque(maxlen=_MAX_HOLES)
        self._closed = Numbers(0, 0, 0, Counter())  # of epochs that are over
        self._over = False

    # --- what comes in

    def push(self, message: T) -> Arrival:
        """Hand in one message; `ready` grows by every message that is now in order."""
        stamp = message.stamp
        number, epoch = stamp.sequence, stamp.epoch
        if number == self.next and epoch == self.epoch and not self._early:  # as a rule
            self.ready.append(message)
            self.next = number + 1
            return Arrival.NEW
        if number < 0 or epoch < 0:
            return Arrival.ABSURD
        key = (epoch, number)
        if key < (self.epoch, self.next):
            return Arrival.GIVEN_UP if self._fill(epoch, number) else Arrival.DUPLICATE
        if key in self._early:
            return Arrival.DUPLICATE
        self._early[key] = message
        self._restore()
        return Arrival.NEW

    def status(self, epoch: int, status: StreamStatus) -> None:
        """Take in the source's own count of an epoch; what is older than the newest known is ignored."""
        known = self._statuses.get(epoch, _NOTHING_SAID)
        if epoch < self.epoch or (known.watermark_ns, known.sent) > (status.watermark_ns, status.sent):
            return
        self._statuses[epoch] = status
        if len(self._statuses) > _MAX_STATUSES:
            del self._statuses[max(self._statuses)]
        if epoch == self.epoch:
            self._start_at(status.first_sequence)
        self._restore()

    def give_up(self, arrival_ns: int) -> None:
        """Wait no longer for what is missing in front of messages that arrived at or before ``arrival_ns``."""
        while any(message.stamp.arrival_ns <= arrival_ns for message in self._early.values()):
            self._pass_to(*min(self._early))
            self._restore()

    def close(self) -> None:
        """Nothing will be handed in any more: what is missing now is lost."""
        while self._early:
            self._pass_to(*min(self._early))
            self._restore()
        for epoch in sorted(self._statuses):
            self._pass_to(epoch, 0)
        self._pass_to(self.epoch, self.next + self._missing())
        self._over = True

    # --- what is known

    @property
    def known_ns(self) -> int:
        """Every message with arrival_ns at or before this is, or was, in `ready`; `FOREVER_NS`: none will follow."""
        if self._over:
            return FOREVER_NS
        status = self._statuses.get(self.epoch)
        if status is None or self.outstanding:
            return -1
        return FOREVER_NS if status.ended and status.next_epoch < 0 else status.watermark_ns - 1

    @property
    def outstanding(self) -> bool:
        """Whether something is known to have been sent that is not in order yet."""
        return bool(self._early) or self._awaited() > 0

    @property
    def numbers(self) -> Numbers:
        """The account of the sequence numbers of all epochs so far."""
        here = self._here()
        later = len(self._early) - self._early_here()
        known, lost, _, source = self._closed
        return Numbers(known + here.known + later, lost + here.lost, here.awaited, source + here.source)

    # --- inside

    def _restore(self) -> None:
        """Move to `ready` all that is in order now."""
        while True:
            message = self._early.pop((self.epoch, self.next), None)
            if message is not None:
                self.ready.append(message)
                self.next += 1
                continue
            if self._awaited() == 0:
                if self._early_here():
                    self._pass_to(*min(self._early))  # the source itself lost what is missing
                    continue
                following = self._statuses.get(self.epoch, _NOTHING_SAID).next_epoch
                if following > self.epoch:
                    self._pass_to(following, 0)
                    continue
            if len(self._early) <= self._depth:
                return
            self._pass_to(*min(self._early))

    def _pass_to(self, epoch: int, number: int) -> None:
        """Pass over all before (epoch, number): it is the next to follow."""
        if epoch > self.epoch:
            end = self.next + self._missing()
            here = self._here()
            self._closed = Numbers(
                self._closed.known + here.known,
                self._closed.lost + here.lost + here.awaited,
                0,
                self._closed.source + here.source,
            )
            self._holes.append(_Hole(self.epoch, self.next, end, counted=True))
            self._holes.append(_Hole(self.epoch, end, FOREVER_NS, counted=False))
            self._statuses = {e: status for e, status in self._statuses.items() if e >= epoch}
            self.epoch, self._passed = epoch, 0
            self._first = self.next = self._statuses.get(epoch, _NOTHING_SAID).first_sequence
        if number > self.next:
            self._holes.append(_Hole(epoch, self.next, number, counted=True))
            self._passed += number - self.next
            self.next = number

    def _start_at(self, first: int) -> None:
        """The source says that numbers below ``first`` were never given out."""
        if first > self._first:
            self._passed = max(0, self._passed - (first - self._first))
            self._first = first
            self.next = max(self.next, first)

    def _fill(self, epoch: int, number: int) -> bool:
        """A message that was passed over came after all; False where it was not, so that it is a duplicate."""
        hole = next((h for h in self._holes if h.epoch == epoch and h.start <= number < h.end), None)
        if hole is None:
            return False
        self._holes.remove(hole)
        for part in (hole._replace(end=number), hole._replace(start=number + 1)):
            if part.start < part.end:
                self._holes.append(part)
        if epoch == self.epoch:
            self._passed -= 1
        elif hole.counted and self._closed.lost > 0:
            self._closed = self._closed._replace(lost=self._closed.lost - 1)
        else:
            self._closed = self._closed._replace(known=self._closed.known + 1)
        return True

    def _early_here(self) -> int:
        return sum(epoch == self.epoch for epoch, _ in self._early) if self._early else 0

    def _missing(self) -> int:
        """Numbers of this epoch from `next` on that were given out, as far as is known, and are not here."""
        status = self._statuses.get(self.epoch, _NOTHING_SAID)
        own = sum(status.losses.values())
        end = max(self.next, self._first + status.sent + own)
        early = 0
        for epoch, number in self._early:
            if epoch == self.epoch:
                early += 1
                end = max(end, number + 1)
        return max(end - self.next - early, own - self._passed)

    def _awaited(self) -> int:
        """Of the missing, those that the source did not give up itself."""
        own = sum(self._statuses.get(self.epoch, _NOTHING_SAID).losses.values())
        return max(0, self._missing() - max(0, own - self._passed))

    def _here(self) -> Numbers:
        """The account of this epoch."""
        source = Counter(self._statuses.get(self.epoch, _NOTHING_SAID).losses)
        missing, awaited = self._missing(), self._awaited()
        lost = self._passed + missing - awaited - source.total()
        return Numbers(self.next - self._first + self._early_here() + missing, lost, awaited, source)
