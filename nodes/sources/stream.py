"""One topic of a drive as the player gives it out: the next message, its epoch, and the stream's own count."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nodes.sources.drive import Drive
from pipeline.core.messages import Message, Stamp, StreamStatus
from pipeline.core.topics import topic_row

FOREVER_NS = 2**63 - 1
_MAX_GAP = 100_000  # numbers; a larger jump is a fault of the counter, not that many losses


class PlayedStream:
    """One topic, read one message ahead.

    Going somewhere else in the drive opens a new epoch, so that nothing downstream mixes what was with what will be.
    All stamps can be moved by a constant, so that what is played again comes after what was played before.
    Sensor topics count themselves on `stream/<sensor>`; others, such as truth, do not.
    """

    def __init__(self, drive: Drive, topic: str) -> None:
        self.topic = topic
        self.counts_itself = topic_row(topic).role == "sensor"
        self.upcoming: Message | None = None
        self.untold = False  # something was given out since the last status
        self._drive = drive
        self._messages: Iterator[Message] = iter(())
        self._shift_ns = 0
        self._recorded_epoch = -1
        self._epoch = -1
        self._count = _EpochCount(0)
        self._statuses = 0
        self._told_ns = self._last_ns = 0

    @property
    def due_ns(self) -> int:
        """Arrival of the next message; FOREVER_NS when there is none."""
        return self.upcoming.stamp.arrival_ns if self.upcoming else FOREVER_NS

    def open(self, start_ns: int | None, end_ns: int | None, shift_ns: int = 0) -> list[Message]:
        """Go to the messages with time_ns in [start, end), from then on given out ``shift_ns`` later; returns the end
        of the epoch before, the start of this."""
        before, self._shift_ns = self._epoch, shift_ns
        self._messages = self._drive.messages([self.topic], start_ns, end_ns)
        self._recorded_epoch = -1
        self._read()
        epoch = max(self.upcoming.stamp.epoch if self.upcoming else 0, 0)
        out = [self.status(next_epoch=epoch)] if before >= 0 and self.upcoming else []
        if self.upcoming or before < 0:
            self._begin(epoch)
        return [message for message in (*out, self.status()) if message] if self.counts_itself else []

    def take(self) -> list[Message]:
        """The next message, followed by the end of its epoch where the next one belongs to another."""
        message = self.upcoming
        assert message is not None, "nothing is left to take"
        self._count.add(message.stamp.sequence)
        self._last_ns = message.stamp.arrival_ns
        self.untold = self.counts_itself
        self._read()
        out = [message]
        if self.upcoming and self.upcoming.stamp.epoch != self._epoch:
            epoch = self.upcoming.stamp.epoch
            if self.counts_itself:
                out.append(self.status(next_epoch=epoch))
            self._begin(epoch)
        return out

    def status_is_due(self, every_ns: int) -> bool:
        """Whether something was given out that no status tells, and the watermark moved by ``every_ns`` or ended."""
        return self.untold and (self.upcoming is None or self.due_ns - self._told_ns >= every_ns)

    def status(self, next_epoch: int = -1) -> Message:
        """What the stream knows of its epoch; ``next_epoch``: the one that follows it."""
        ended = next_epoch >= 0 or self.upcoming is None
        payload = StreamStatus(
            sent=self._count.given,
            watermark_ns=self.due_ns if next_epoch < 0 else max(self.due_ns, self._told_ns),
            ended=ended,
            losses={"not_in_drive": self._count.lost} if self._count.lost else {},
            first_sequence=self._count.first,
            next_epoch=next_epoch,
        )
        self.untold = False
        self._told_ns = self.due_ns
        at_ns = self._last_ns or (self.due_ns if self.upcoming else 0)
        stamp = Stamp(
            sensor_ns=at_ns, arrival_ns=at_ns, time_ns=at_ns, sequence=self._statuses, epoch=max(self._epoch, 0)
        )
        self._statuses += 1
        return Message(f"stream/{self.topic.rpartition('/')[2]}", stamp, payload)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._count = _EpochCount(self.upcoming.stamp.sequence if self.upcoming else 0)

    def _read(self) -> None:
        """Fetch the next message and give it its epoch: the recorded one, or a later one after a jump."""
        message = next(self._messages, None)
        if message is None:
            self.upcoming = None
            return
        current = self.upcoming.stamp.epoch if self.upcoming and self._recorded_epoch >= 0 else self._epoch
        recorded = message.stamp.epoch
        if recorded == self._recorded_epoch:
            epoch = current
        elif self._recorded_epoch < 0:  # after a jump
            epoch = max(recorded, self._epoch + 1)
        else:
            epoch = current + max(recorded - self._recorded_epoch, 1)
        self._recorded_epoch = recorded
        if epoch != recorded or self._shift_ns:
            message = Message(message.topic, _moved(message.stamp, self._shift_ns, epoch), message.payload)
        self.upcoming = message


def _moved(stamp: Stamp, shift_ns: int, epoch: int) -> Stamp:
    return msgspec.structs.replace(
        stamp,
        sensor_ns=stamp.sensor_ns + shift_ns,
        arrival_ns=stamp.arrival_ns + shift_ns,
        time_ns=stamp.time_ns + shift_ns,
        epoch=epoch,
    )


class _EpochCount:
    """Which sequence numbers of an epoch were given out: first .. first + given + lost - 1."""

    def __init__(self, first: int) -> None:
        self.first = self._next = first
        self.given = 0
        self._missing: set[int] = set()

    @property
    def lost(self) -> int:
        return len(self._missing)

    def add(self, sequence: int) -> None:
        """Take in a number; one that comes twice counts once, one that comes late is no longer lost."""
        if self._next <= sequence <= self._next + _MAX_GAP:
            self._missing.update(range(self._next, sequence))
            self._next = sequence + 1
            self.given += 1
        elif sequence in self._missing:
            self._missing.discard(sequence)
            self.given += 1
