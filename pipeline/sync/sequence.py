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
_MAX_EPOCHS = 16
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


class _Epoch:
    """The numbers of one epoch: ``first`` up to but without ``next`` were taken, except those in ``holes``.

    missing counts what is in the holes; of those only the newest `_MAX_HOLES` are remembered.
    """

    def __init__(self) -> None:
        self.first = self.next = self.missing = 0
        self.holes: deque[tuple[int, int]] = deque(maxlen=_MAX_HOLES)
        self.status = _NOTHING_SAID

    def take(self, number: int) -> bool:
        """Enter a number; False where it was there before."""
        if number >= self.next:
            self.pass_to(number)
            self.next = number + 1
            return True
        hole = next((hole for hole in self.holes if hole[0] <= number < hole[1]), None)
        if hole is None:
            return False
        self.holes.remove(hole)
        self.holes.extend(part for part in ((hole[0], number), (number + 1, hole[1])) if part[0] < part[1])
        self.missing -= 1
        return True

    def pass_to(self, number: int) -> None:
        """Leave out what is before the number."""
        if number > self.next:
            self.holes.append((self.next, number))
            self.missing += number - self.next
            self.next = number

    def tell(self, status: StreamStatus) -> None:
        """What the source says, unless it said something newer before."""
        if (status.watermark_ns, status.sent) < (self.status.watermark_ns, self.status.sent):
            return
        self.status = status
        never_given_out = status.first_sequence - self.first
        if never_given_out > 0:
            self.missing = max(0, self.missing - never_given_out)
            self.first = status.first_sequence
            self.next = max(self.next, self.first)

    def ahead(self, early: int, end: int) -> int:
        """Numbers from ``next`` on that were given out and are not here; ``early`` of them, all below ``end``, are."""
        own = sum(self.status.losses.values())
        end = max(self.next, end, self.first + self.status.sent + own)
        return max(end - self.next - early, own - self.missing)

    def awaited(self, early: int, end: int) -> int:
        """Of those, the ones that the source did not give up itself."""
        return max(0, self.ahead(early, end) - max(0, sum(self.status.losses.values()) - self.missing))

    def numbers(self, early: int, end: int) -> Numbers:
        """The account."""
        ahead, awaited = self.ahead(early, end), self.awaited(early, end)
        own = Counter(self.status.losses)
        lost = self.missing + ahead - awaited - own.total()
        return Numbers(self.next - self.first + early + ahead, lost, awaited, own)


class Sequencer(Generic[T]):
    """One stream in order of (epoch, sequence), in `ready`, for its owner to take from the left.

    A missing number holds back what follows it until it comes; or the source's own count shows that all it published is
    here, so that the number was never sent; or more than ``depth`` later messages wait, which on a transport that keeps
    order means that it is lost. Memory is bounded by ``depth`` and fixed limits.
    """

    def __init__(self, depth: int) -> None:
        self.ready: deque[T] = deque()
        self.epoch = 0
        self._depth = depth
        self._here = _Epoch()
        self._epochs = {0: self._here}  # this one, the last ones before it, and those of which only a status is known
        self._early: dict[tuple[int, int], T] = {}
        self._folded = Numbers(0, 0, 0, Counter())  # the account of epochs that are forgotten
        self._over = False

    # --- what comes in

    def push(self, message: T) -> Arrival:
        """Hand in one message; `ready` grows by every message that is now in order."""
        stamp = message.stamp
        number, epoch = stamp.sequence, stamp.epoch
        here = self._here
        if number == here.next and epoch == self.epoch and not self._early and not self._over:  # as a rule
            self.ready.append(message)
            here.next = number + 1
            return Arrival.NEW
        if number < 0 or epoch < 0:
            return Arrival.ABSURD
        key = (epoch, number)
        if key < (self.epoch, here.next):
            known = self._book(epoch)
            return Arrival.GIVEN_UP if known is not None and known.take(number) else Arrival.DUPLICATE
        if key in self._early:
            return Arrival.DUPLICATE
        self._over = False  # what was believed to be over goes on
        self._early[key] = message
        self._restore()
        return Arrival.NEW

    def status(self, epoch: int, status: StreamStatus) -> None:
        """Take in the source's own count of an epoch; what is older than the newest known is ignored."""
        known = self._book(epoch)
        if known is not None:
            known.tell(status)
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
        self._begin(max(self._epochs))
        self._over = True

    # --- what is known

    @property
    def known_ns(self) -> int:
        """Every message with arrival_ns at or before this is, or was, in `ready`; `FOREVER_NS`: none will follow."""
        if self._over:
            return FOREVER_NS
        status = self._here.status
        if status is _NOTHING_SAID or self.outstanding:
            return -1
        return FOREVER_NS if status.ended and status.next_epoch < 0 else status.watermark_ns - 1

    @property
    def outstanding(self) -> bool:
        """Whether something is known to have been sent that is not in order yet."""
        return bool(self._early) or self._here.awaited(0, 0) > 0

    @property
    def numbers(self) -> Numbers:
        """The account of the sequence numbers of all epochs so far."""
        known, lost, awaited, source = self._folded
        for epoch, book in self._epochs.items():
            part = book.numbers(*self._early_in(epoch))
            past = epoch < self.epoch or self._over
            known += part.known
            lost += part.lost + (part.awaited if past else 0)
            awaited += 0 if past else part.awaited
            source = source + part.source
        known += sum(epoch not in self._epochs for epoch, _ in self._early)
        return Numbers(known, lost, awaited, source)

    # --- inside

    def _restore(self) -> None:
        """Move to `ready` all that is in order now."""
        while True:
            here = self._here
            message = self._early.pop((self.epoch, here.next), None)
            if message is not None:
                self.ready.append(message)
                here.next += 1
                continue
            early = self._early_in(self.epoch)
            if here.awaited(*early) == 0:
                if early[0]:
                    self._pass_to(*min(self._early))  # the source itself lost what is missing
                    continue
                if here.status.next_epoch > self.epoch:
                    self._begin(here.status.next_epoch)
                    continue
            if len(self._early) <= self._depth:
                return
            self._pass_to(*min(self._early))

    def _pass_to(self, epoch: int, number: int) -> None:
        """Pass over all before (epoch, number): it is the next to follow."""
        self._begin(epoch)
        self._here.pass_to(number)

    def _begin(self, epoch: int) -> None:
        """All before this epoch is past."""
        self._here = self._epochs.setdefault(epoch, _Epoch())
        self.epoch = epoch
        while len(self._epochs) > _MAX_EPOCHS:
            self._fold(min(self._epochs))

    def _fold(self, epoch: int) -> None:
        known, lost, awaited, source = self._epochs.pop(epoch).numbers(0, 0)
        before = self._folded
        self._folded = Numbers(before.known + known, before.lost + lost + awaited, 0, before.source + source)

    def _book(self, epoch: int) -> _Epoch | None:
        """The account of an epoch, past, present or to come; None where it is forgotten or too far ahead to keep."""
        book = self._epochs.get(epoch)
        if book is None and len(self._epochs) < _MAX_EPOCHS and epoch > min(self._epochs):
            book = self._epochs[epoch] = _Epoch()
        return book

    def _early_in(self, epoch: int) -> tuple[int, int]:
        """How many messages of an epoch wait, and the end of their numbers."""
        if not self._early:
            return 0, 0
        numbers = [number for of, number in self._early if of == epoch]
        return len(numbers), max(numbers, default=-1) + 1
