"""Player: gives out a drive's messages when their time has come. Nothing is ever dropped here; what cannot go, waits.

`Player.poll` decides, `Player.play` waits between the decisions. Several players, one per topic in processes of their
own, stay together by a common ``begin_ns``.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nodes.sources.drive import Drive
from nodes.sources.events import Event
from nodes.sources.stream import FOREVER_NS, PlayedStream
from pipeline.core.clock import Clock
from pipeline.core.messages import Message, Progress
from pipeline.core.settings import Settings
from pipeline.core.topics import topic_row

logger = logging.getLogger(__name__)

_EXTEROCEPTIVE = ("camera", "lidar", "radar")  # what reference instants come from
_LAP_PAUSE_NS = 1_000_000_000
_POLL_NS = 20_000_000  # how soon a control takes effect


class PlayerSettings(Settings, frozen=True):
    """How a drive is played.

    rate: drive seconds per second; 0 = as fast as what follows can work. start_ns, end_ns: the part to play, on the
    vehicle clock. loop: begin again at the end, in a new epoch; when paced, once the end is due. time_goes_on: each
    lap's stamps lie after those of the lap before, as those of sensors would; no controls then. window: how many
    reference instants may be given out before `progress` says that they are done; 0 = no limit; not 1, since what
    belongs to an instant arrives after it.
    period_ns: between reference instants.
    stall_s: without progress for so long, one more instant is let out: what never answers must not stop the drive.
    status_every_ns: how far a stream's watermark moves between its statuses.
    lead_in_ns: `next_event` goes to so long before the event.
    """

    rate: float = 0.0
    start_ns: int | None = None
    end_ns: int | None = None
    loop: bool = False
    time_goes_on: bool = False
    window: int = 0
    period_ns: int = 100_000_000
    stall_s: float = 30.0
    status_every_ns: int = 20_000_000
    lead_in_ns: int = 500_000_000

    def __post_init__(self) -> None:
        if not 0 <= self.rate < float("inf"):
            raise ValueError(f"rate: expected 0 or more, got {self.rate}")
        if self.window < 0 or self.window == 1 or self.period_ns <= 0:
            raise ValueError(f"window, period_ns: expected 0 or >= 2, and > 0, got {self.window}, {self.period_ns}")


class Player:
    """Plays some topics of a drive.

    Args:
        topics: default: all sensors' and the truth.
        begin_ns: host time at which it begins to play; default: when the player is made.
        at_ns: drive time at which it begins, default ``start_ns``; where time goes on, in any lap.
        events: for `next_event`, in order of time.

    Raises:
        KeyError: a topic that the drive does not have.

    position_ns: drive time that has been reached, by arrival. laps: how often it has begun again. stalls: how often
    `window` had to be opened by force.
    """

    def __init__(
        self,
        drive: Drive,
        clock: Clock,
        settings: PlayerSettings | None = None,
        topics: Collection[str] | None = None,
        begin_ns: int | None = None,
        at_ns: int | None = None,
        events: Sequence[Event] = (),
    ) -> None:
        self.settings = settings or PlayerSettings()
        self.rate = self.settings.rate
        self.paused = False
        self.stalls = self.laps = 0
        played = [t for t in drive.topics if topic_row(t).role in ("sensor", "truth")] if topics is None else topics
        self._streams = [PlayedStream(drive, topic) for topic in sorted(played)]
        self._clock = clock
        self._events = events
        self._last_event_ns = -1
        self._queue: deque[Message] = deque()
        self._instants = _instants(drive, self.settings.period_ns) if self.settings.window else np.array([], np.int64)
        self._drive = drive
        self._step_times: npt.NDArray[np.int64] | None = None
        self._reference_ns = -1
        self._extra = 0  # instants let out by force since the last progress
        self._pause_after_ns: int | None = None
        self._start_ns = drive.start_ns if self.settings.start_ns is None else self.settings.start_ns
        self._end_ns = drive.end_ns if self.settings.end_ns is None else self.settings.end_ns
        self._anchor_host_ns = clock.now_ns() if begin_ns is None else begin_ns
        self._anchor_drive_ns = self.position_ns = self._start_ns if at_ns is None else at_ns
        self._waited_from_ns = self._anchor_host_ns
        self._begin(self.settings.start_ns if at_ns is None else at_ns)
        self._loops = self.settings.loop and self._head() is not None

    # --- what goes out

    @property
    def lap_ns(self) -> int:
        """From the beginning of a lap to that of the next where time goes on: nothing of one arrives in the other."""
        return self._end_ns - self._start_ns + _LAP_PAUSE_NS

    @property
    def ended(self) -> bool:
        """Everything has been given out."""
        return not self._queue and not self._loops and all(s.upcoming is None and not s.untold for s in self._streams)

    def poll(self) -> Message | None:
        """The next message that may go out now, or None.

        Messages come in order of arrival; a stream's status comes as soon as its watermark has moved, and before
        everything comes to a halt, so that what follows knows all that can be known.
        """
        if not self._queue:
            self._decide()
        return self._queue.popleft() if self._queue else None

    def play(self, keep_on: Callable[[], bool] = lambda: True) -> Iterator[Message]:
        """Give out messages as they become due, sleeping in between.

        ``keep_on`` is asked before each message and every 20 ms while waiting: the place to hand in progress and
        controls. False ends the play.
        """
        while keep_on() and not self.ended:
            message = self.poll()
            if message is not None:
                yield message
            elif not self.ended:
                now_ns = self._clock.now_ns()
                self._clock.sleep_until(min(max(self.next_due_ns(), now_ns + 1), now_ns + _POLL_NS))

    def next_due_ns(self) -> int:
        """Host time at which the next message may go; FOREVER_NS while paused, held back by the window, or ended."""
        head = self._head()
        if head is None or self._held_back(head):
            return FOREVER_NS
        return self._due_host_ns(head)

    # --- controls

    def progress(self, progress: Progress) -> None:
        """What follows has decided everything up to ``progress.reference_ns``."""
        if progress.reference_ns > self._reference_ns:
            self._reference_ns = progress.reference_ns
            self._extra = 0
            self._waited_from_ns = self._clock.now_ns()

    def pause(self) -> None:
        if not self.paused:
            self.position_ns = max(self.position_ns, self._playhead_ns())
            self.paused = True

    def pause_at(self, time_ns: int) -> None:
        """Pause once everything that arrived up to then is out: players of one drive thereby stop at one place."""
        self._pause_after_ns = time_ns

    def resume(self) -> None:
        self.paused = False
        self._pause_after_ns = None
        self._anchor(self.position_ns)

    def step(self) -> None:
        """Play to the next message of the first LiDAR (or camera, or radar) and pause there."""
        if self._step_times is None:
            self._step_times = _step_times(self._drive, [stream.topic for stream in self._streams])
        later = self._step_times[self._step_times > self.position_ns]
        self._pause_after_ns = int(later[0]) if len(later) else FOREVER_NS
        self.paused = False
        self._anchor(self._pause_after_ns if len(later) else self.position_ns)  # all of it is due at once

    def set_rate(self, rate: float) -> None:
        """Drive seconds per second; 0 = as fast as possible.

        Raises:
            ValueError: negative or not finite.
        """
        if not 0 <= rate < float("inf"):
            raise ValueError(f"rate: expected 0 or more, got {rate}")
        self.position_ns = max(self.position_ns, self._playhead_ns())
        self.rate = rate
        self._anchor(self.position_ns)

    def seek(self, time_ns: int) -> None:
        """Go to a time of the drive; every stream begins a new epoch there."""
        self._last_event_ns = time_ns - 1
        self._jump(time_ns)

    def next_event(self) -> Event | None:
        """Go to shortly before the next event; None, and nothing changes, where there is none."""
        after_ns = max(self.position_ns, self._last_event_ns)
        event = next((event for event in self._events if event.time_ns > after_ns), None)
        if event is not None:
            self._jump(event.time_ns - self.settings.lead_in_ns)
            self._last_event_ns = event.time_ns
        return event

    # --- decisions

    def _decide(self) -> None:
        """Fill the queue with what may go out now, if anything."""
        head = self._head()
        if head is None and self._loops and not self.paused:
            self._next_lap()
            head = self._head()
        now_ns = self._clock.now_ns()
        if head is None or self._held_back(head) or now_ns < self._due_host_ns(head):
            self._queue.extend(stream.status() for stream in self._streams if self._is_news(stream))
            if head is not None and self._beyond_window(head):
                self._wait_for_progress(now_ns)
            return
        self.position_ns = max(self.position_ns, head.due_ns)
        self._waited_from_ns = now_ns
        self._queue.extend(head.take())
        every_ns = self.settings.status_every_ns
        self._queue.extend(s.status() for s in self._streams if self._is_news(s) and s.status_is_due(every_ns))

    def _is_news(self, stream: PlayedStream) -> bool:
        """Whether a status would say something: at the end of a lap, only the next one says how it goes on."""
        return stream.untold and not (self._loops and stream.upcoming is None)

    def _head(self) -> PlayedStream | None:
        """The stream whose next message arrived first."""
        head = min(self._streams, key=lambda stream: stream.due_ns, default=None)
        return head if head is not None and head.upcoming else None

    def _held_back(self, head: PlayedStream) -> bool:
        if self._pause_after_ns is not None and head.due_ns > self._pause_after_ns:
            self.position_ns = max(self.position_ns, self._pause_after_ns)
            self.paused, self._pause_after_ns = True, None
        return self.paused or self._beyond_window(head)

    def _beyond_window(self, head: PlayedStream) -> bool:
        if not self.settings.window:
            return False
        period_ns = self.settings.period_ns
        decided = int(np.searchsorted(self._instants, self._reference_ns // period_ns, side="right"))
        last = decided + self.settings.window + self._extra - 1
        return last < len(self._instants) and head.due_ns // period_ns > self._instants[last]

    def _wait_for_progress(self, now_ns: int) -> None:
        if self.paused or now_ns - self._waited_from_ns < self.settings.stall_s * 1e9:
            return
        self.stalls += 1
        self._extra += 1
        self._waited_from_ns = now_ns
        logger.warning("no progress for %g s at %d: going on by one instant", self.settings.stall_s, self.position_ns)

    def _due_host_ns(self, head: PlayedStream) -> int:
        ahead_ns = max(head.due_ns - self._anchor_drive_ns, 0)
        return self._anchor_host_ns + (round(ahead_ns / self.rate) if self.rate else 0)

    def _playhead_ns(self) -> int:
        """Drive time now, between messages too; where played as fast as possible, that of the last message."""
        if self.paused or not self.rate:
            return self.position_ns
        return self._anchor_drive_ns + round(max(self._clock.now_ns() - self._anchor_host_ns, 0) * self.rate)

    def _anchor(self, drive_ns: int) -> None:
        self._anchor_drive_ns = drive_ns
        self._anchor_host_ns = self._waited_from_ns = self._clock.now_ns()

    def _jump(self, time_ns: int | None) -> None:
        self._reference_ns = -1 if time_ns is None else min(self._reference_ns, time_ns - 1)
        self._extra = 0
        self._open(time_ns)
        due = [stream.due_ns for stream in self._streams if stream.upcoming]
        self.position_ns = min(due, default=self.position_ns) if time_ns is None else time_ns
        self._anchor(self.position_ns)

    def _next_lap(self) -> None:
        self.laps += 1
        if self.settings.time_goes_on:
            self._open(self.settings.start_ns, self.laps * self.lap_ns)
            return
        host_ns, ahead_ns = self._anchor_host_ns, self._end_ns - self._anchor_drive_ns
        self._jump(self.settings.start_ns)
        if self.rate:  # players of one drive stay together
            self._anchor_host_ns = host_ns + round(ahead_ns / self.rate)

    def _begin(self, at_ns: int | None) -> None:
        if at_ns is not None and self.settings.loop and self.settings.time_goes_on:
            self.laps, gone_ns = divmod(at_ns - self._start_ns, self.lap_ns)
            if gone_ns > self._end_ns - self._start_ns:  # in the pause before the next
                self.laps, gone_ns = self.laps + 1, 0
            self._open(self._start_ns + gone_ns, self.laps * self.lap_ns)
        else:
            self._open(at_ns)

    def _open(self, start_ns: int | None, shift_ns: int = 0) -> None:
        for stream in self._streams:
            self._queue.extend(stream.open(start_ns, self.settings.end_ns, shift_ns))


def _instants(drive: Drive, period_ns: int) -> npt.NDArray[np.int64]:
    """(K,) int64: numbers of the periods in which a camera, LiDAR or radar message arrived. A gap has none."""
    topics = [topic for topic in drive.topics if topic.partition("/")[0] in _EXTEROCEPTIVE]
    arrivals = np.concatenate([drive.arrivals(topic) for topic in topics] or [np.array([], np.int64)])
    return np.unique(arrivals // period_ns)


def _step_times(drive: Drive, topics: Sequence[str]) -> npt.NDArray[np.int64]:
    """(K,) int64: arrivals of the topic whose messages are the frames that one steps by."""
    for kind in ("lidar", "camera", "radar"):
        for topic in (*topics, *drive.topics):
            if topic.partition("/")[0] == kind:
                return drive.arrivals(topic)
    return drive.arrivals(topics[0]) if topics else np.array([], np.int64)
