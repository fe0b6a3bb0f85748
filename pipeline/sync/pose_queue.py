"""Sensor messages that wait, in order, until the ego poses of their time are there, or are known never to come.

Whether a message gets poses, and which, depends on stamps alone: poses are looked at in the order of their stream and
only as far as a message needs. So a replay decides as the live run did. Only a live run that cannot wait any longer
goes on without (`Answer.hurried`), and leaves its mark in the detections, so that a replay can repeat it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import NamedTuple

from calibration.trajectory import Trajectory
from pipeline.core.messages import EgoPose, Message, Stamp, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.motion import PoseBuffer
from pipeline.sync.sequence import jumps_back

_MAX_COMING = 1024


class PoseQueueSettings(Settings, frozen=True):
    """patience_ns: poses that arrive later than this after the message are not waited for. hang_ns: in a live run, a
    message waits no longer than this on the clock. max_waiting: messages; one more sends the oldest on without poses.
    max_extrapolation_ns: a span that reaches this far beyond the poses there will be still gets them.
    """

    patience_ns: int = 200_000_000
    hang_ns: int = 1_000_000_000
    max_waiting: int = 64
    max_extrapolation_ns: int = 100_000_000

    def __post_init__(self) -> None:
        if self.patience_ns < 0 or self.hang_ns < 0 or self.max_waiting < 1:
            raise ValueError("patience_ns, hang_ns, max_waiting: expected >= 0, >= 0, >= 1")


class Answer(NamedTuple):
    """A message with the poses of its span, or None. hurried: none, because the wall clock or a full queue said so."""

    message: Message
    poses: Trajectory | None
    hurried: bool


class _Waiting(NamedTuple):
    message: Message
    start_ns: int
    end_ns: int
    deadline_ns: int  # poses that arrive later do not count


class PoseQueue:
    """First in, first out; each message comes back with its poses, or without.

    Args:
        expected: False where nobody publishes poses: nothing waits.
        follow: epoch and sequence of the messages that an earlier run was in a hurry with: exactly they do not wait.

    without_poses: how many messages went on without.
    """

    def __init__(
        self, settings: PoseQueueSettings, expected: bool = True, follow: Collection[tuple[int, int]] | None = None
    ) -> None:
        self.without_poses = 0
        self._settings = settings
        self._expected = expected
        self._follow = follow
        self._poses = PoseBuffer(max_extrapolation_ns=settings.max_extrapolation_ns)
        self._coming: deque[Message] = deque()  # poses that no message needed yet
        self._waiting: deque[_Waiting] = deque()
        self._looked_at: Stamp | None = None  # stamp of the last pose in the buffer
        self._newest: Stamp | None = None
        self._known_until_ns = -1  # every pose that arrived before this is here
        self._ended = False

    def pose(self, message: Message) -> None:
        """Take an ego pose."""
        if jumps_back(self._newest, message.stamp):
            self._known_until_ns = -1
        self._newest = message.stamp
        self._ended = False
        self._known_until_ns = max(self._known_until_ns, message.stamp.arrival_ns)
        self._coming.append(message)
        if len(self._coming) > _MAX_COMING:
            self._look_at_next()

    def status(self, status: StreamStatus) -> None:
        """Take what the pose stream says of itself."""
        self._known_until_ns = max(self._known_until_ns, status.watermark_ns)
        self._ended = status.ended and status.next_epoch < 0

    def put(self, message: Message, start_ns: int, end_ns: int) -> None:
        """A message that needs the poses from start to end, vehicle clock."""
        deadline_ns = message.stamp.arrival_ns + self._settings.patience_ns
        self._waiting.append(_Waiting(message, start_ns, end_ns, deadline_ns))

    def ready(self, now_ns: int = 0, everything: bool = False) -> Iterator[Answer]:
        """Messages whose wait is over, oldest first. now_ns: the run's clock, 0 = it does not count."""
        while self._waiting:
            head = self._waiting[0]
            hurried = self._follow is not None and _key(head) in self._follow
            if not (hurried or everything or self._decided(head)):
                hurried = self._follow is None and self._in_a_hurry(head, now_ns)
                if not hurried:
                    return
            covered = not hurried and self._poses.covers(head.start_ns, head.end_ns)
            self._waiting.popleft()
            self.without_poses += not covered
            poses = self._poses.trajectory(head.start_ns, head.end_ns) if covered else None
            yield Answer(head.message, poses, hurried)

    def _decided(self, head: _Waiting) -> bool:
        """Look at poses as far as the message needs; True when it has what it will ever have."""
        if not self._expected:
            return True
        while self._coming:
            stamp = self._coming[0].stamp
            if jumps_back(self._looked_at, stamp):  # as when a replay loops: is the message from before that?
                if self._is_nearer_to_the_last(head, stamp):
                    return True
            elif self._is_reached(head) or stamp.arrival_ns > head.deadline_ns:
                return True
            self._look_at_next()
        return self._is_reached(head) or self._ended or self._known_until_ns > head.deadline_ns

    def _is_reached(self, head: _Waiting) -> bool:
        newest_ns = self._poses.newest_ns
        return newest_ns is not None and newest_ns >= head.end_ns

    def _is_nearer_to_the_last(self, head: _Waiting, coming: Stamp) -> bool:
        assert self._looked_at is not None
        arrival_ns = head.message.stamp.arrival_ns
        return abs(arrival_ns - self._looked_at.arrival_ns) < abs(arrival_ns - coming.arrival_ns)

    def _look_at_next(self) -> None:
        message = self._coming.popleft()
        assert isinstance(message.payload, EgoPose)
        self._poses.add(message.stamp, message.payload)
        self._looked_at = message.stamp

    def _in_a_hurry(self, head: _Waiting, now_ns: int) -> bool:
        overdue = now_ns > 0 and now_ns > head.message.stamp.arrival_ns + self._settings.hang_ns
        return overdue or len(self._waiting) > self._settings.max_waiting


def _key(waiting: _Waiting) -> tuple[int, int]:
    return waiting.message.stamp.epoch, waiting.message.stamp.sequence
