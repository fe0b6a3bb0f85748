"""The speaker: what is to be said, in order of urgency, given out block by block as a sound card asks for it.

An urgent warning cuts off whatever is being said within one block; what was cut off is not taken up again, since by
then it is old. A caution waits for the end of a sentence, goes before waiting replies, and replaces one that waits.
"""

from __future__ import annotations

import threading
from collections import deque
from enum import IntEnum

import numpy as np

from nodes.voice.audio import RATE, Samples

_FADE = RATE // 200  # 5 ms, so that cutting off does not click
_WAITING = 8


class Urgency(IntEnum):
    REPLY = 0
    CAUTION = 1
    URGENT = 2


class Speaker:
    """Threads may call `say` and `read`; neither waits for the other longer than a copy takes.

    cut_off, dropped: sentences that a warning ended, and those that never found a place.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Samples = np.zeros(0, np.float32)
        self._urgency = Urgency.REPLY
        self._waiting: deque[tuple[Urgency, Samples]] = deque()
        self.cut_off = self.dropped = 0

    @property
    def is_speaking(self) -> bool:
        with self._lock:
            return bool(len(self._now) or self._waiting)

    def say(self, samples: Samples, urgency: Urgency = Urgency.REPLY) -> None:
        """Say it now where it is urgent, in its turn otherwise."""
        with self._lock:
            if urgency == Urgency.URGENT:
                tail = self._now[:_FADE] * np.linspace(1, 0, min(_FADE, len(self._now)), dtype=np.float32)
                self.cut_off += len(self._now) > 0
                self.dropped += len(self._waiting)
                self._waiting.clear()
                started = samples.copy()
                started[: len(tail)] += tail[: len(started)]
                self._now, self._urgency = started, urgency
                return
            if urgency == Urgency.CAUTION:
                kept = [one for one in self._waiting if one[0] != Urgency.CAUTION]
                self.dropped += len(self._waiting) - len(kept)
                self._waiting = deque([(urgency, samples), *kept])
            else:
                self._waiting.append((urgency, samples))
            while len(self._waiting) > _WAITING:
                self._waiting.pop()
                self.dropped += 1

    def stop(self) -> None:
        """Someone speaks: be silent, except for an urgent warning (barge-in)."""
        with self._lock:
            if self._urgency != Urgency.URGENT or not len(self._now):
                self.cut_off += len(self._now) > 0
                self._now = self._now[:_FADE] * np.linspace(1, 0, min(_FADE, len(self._now)), dtype=np.float32)
            self._waiting = deque(one for one in self._waiting if one[0] != Urgency.REPLY)

    def read(self, count: int) -> Samples:
        """The next ``count`` samples, zeros where nothing is to be said."""
        out = np.zeros(count, np.float32)
        filled = 0
        with self._lock:
            while filled < count:
                if not len(self._now):
                    if not self._waiting:
                        break
                    self._urgency, self._now = self._waiting.popleft()
                taken = min(count - filled, len(self._now))
                out[filled : filled + taken] = self._now[:taken]
                self._now = self._now[taken:]
                filled += taken
        return out
