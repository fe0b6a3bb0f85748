"""Sensor messages that wait, in order, until the ego poses of their time are there, or are known never to come.

Whether a message gets poses depends on stamps alone, so that a replay decides as the live run did. Only a pose stream
that hangs without a word is given up by the clock of a live run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from calibration.trajectory import Trajectory
from pipeline.core.messages import EgoPose, Message, StreamStatus
from pipeline.core.settings import Settings
from pipeline.sync.motion import PoseBuffer


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


class _Waiting(NamedTuple):
    message: Message
    start_ns: int
    end_ns: int


class PoseQueue:
    """First in, first out; each message comes back with the poses of its span, or with None.

    Args:
        expected: False where nobody publishes poses: nothing waits.

    without_poses: how many messages went on without.
    """

    def __init__(self, settings: PoseQueueSettings, expected: bool = True) -> None:
        self.without_poses = 0
        self._settings = settings
        self._expected = expected
        self._poses = PoseBuffer(max_extrapolation_ns=settings.max_extrapolation_ns)
        self._waiting: deque[_Waiting] = deque()
        self._oldest_ns: int | None = None  # first pose of this epoch: none from before it will come
        self._known_until_ns = -1  # every pose that arrived before this is here
        self._ended = False

    def pose(self, message: Message) -> None:
        """Take an ego pose."""
        assert isinstance(message.payload, EgoPose)
        newest_epoch = self._poses.add(message.stamp, message.payload) == "" and len(self._poses) == 1
        if newest_epoch or self._oldest_ns is None:
            self._oldest_ns = message.stamp.time_ns
        self._ended = False
        self._known_until_ns = max(self._known_until_ns, message.stamp.arrival_ns)

    def status(self, status: StreamStatus) -> None:
        """Take what the pose stream says of itself."""
        self._known_until_ns = max(self._known_until_ns, status.watermark_ns)
        self._ended = status.ended and status.next_epoch < 0

    def put(self, message: Message, start_ns: int, end_ns: int) -> None:
        """A message that needs the poses from start to end, vehicle clock."""
        self._waiting.append(_Waiting(message, start_ns, end_ns))

    def ready(self, now_ns: int = 0, everything: bool = False) -> Iterator[tuple[Message, Trajectory | None]]:
        """Messages whose wait is over, oldest first. now_ns: the run's clock, 0 = it does not count."""
        while self._waiting:
            head = self._waiting[0]
            if not (self._bracketed(head) or everything or self._hopeless(head, now_ns)):
                return
            covered = self._poses.covers(head.start_ns, head.end_ns)
            self._waiting.popleft()
            self.without_poses += not covered
            yield head.message, self._poses.trajectory(head.start_ns, head.end_ns) if covered else None

    def _bracketed(self, head: _Waiting) -> bool:
        """Whether there are poses on both sides of the span: more of them would change nothing."""
        oldest_ns, newest_ns = self._oldest_ns, self._poses.newest_ns
        if oldest_ns is None or newest_ns is None:
            return False
        return oldest_ns <= head.start_ns and head.end_ns <= newest_ns

    def _hopeless(self, head: _Waiting, now_ns: int) -> bool:
        arrival_ns = head.message.stamp.arrival_ns
        return (
            not self._expected
            or self._ended
            or (self._oldest_ns is not None and head.start_ns < self._oldest_ns)
            or self._known_until_ns > arrival_ns + self._settings.patience_ns
            or (now_ns > 0 and now_ns > arrival_ns + self._settings.hang_ns)
            or len(self._waiting) > self._settings.max_waiting
        )
