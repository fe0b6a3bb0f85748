"""Exposures fired by a hardware pulse: each is matched to its pulse by the sensor's counter, and has the pulse's time.

The counter says which exposure it is, not which pulse: the number of the first pulse that was counted is unknown, and
it moves when the sensor misses a pulse. It is found from the delays, which must lie in a known range, and held by the
sensor's own clock, which tells one period from two at once.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from typing import NamedTuple

from pipeline.core.settings import Settings

_PULSES = 256
_RECENT = 8


class TriggerSettings(Settings, frozen=True):
    """period_ns: nominal time between pulses. counter_bits: where the exposure counter wraps.

    min_delay_ns, max_delay_ns: from pulse to arrival; when they differ by a period or more, the pulse cannot be told
    for certain, and is called ambiguous. sigma_ns: of a pulse's time. max_ahead: pulses that may be assumed before they
    are reported. confirm: exposures that must agree before the first is matched.
    """

    period_ns: int
    counter_bits: int = 32
    min_delay_ns: int = 0
    max_delay_ns: int = 0  # 0: one period after the smallest
    sigma_ns: int = 200
    max_ahead: int = 10
    confirm: int = 5

    def __post_init__(self) -> None:
        if self.period_ns <= 0 or not 0 < self.counter_bits <= 64 or self.confirm < 1:
            raise ValueError("expected period_ns > 0, counter_bits 1..64, confirm >= 1")


class Match(NamedTuple):
    """Time of the pulse of an exposure.

    ambiguous: an earlier pulse is possible too. moved: the exposures before were matched a pulse too late or too early.
    """

    time_ns: int
    sigma_ns: int
    ambiguous: bool
    moved: bool


class _Pulse(NamedTuple):
    number: int
    time_ns: int


class TriggerMatcher:
    """Pulses and exposures in, times out.

    spurious: pulses far too soon after another, ignored. unseen: pulses that were not reported, known from the time
    between their neighbours. missed: pulses that the sensor did not answer with an exposure.
    """

    def __init__(self, settings: TriggerSettings) -> None:
        self.spurious = self.unseen = self.missed = 0
        self._settings = settings
        self._max_delay_ns = settings.max_delay_ns or settings.min_delay_ns + settings.period_ns - 1
        self._pulses: deque[_Pulse] = deque(maxlen=_PULSES)
        self._last: tuple[int, int, int] | None = None  # counter (unwrapped), sensor_ns, arrival_ns
        self._shift: int | None = None  # pulse number - counter
        self._delays: deque[int] = deque(maxlen=_RECENT)  # of recent exposures, from the pulse they are matched to
        self._usual_ns: int | None = None  # smallest delay, once matched
        self._settled = 0  # exposures since the shift was found

    def pulse(self, time_ns: int) -> None:
        """A pulse was fired at this vehicle time."""
        if not self._pulses:
            self._pulses.append(_Pulse(0, time_ns))
            return
        last = self._pulses[-1]
        steps = round((time_ns - last.time_ns) / self._period_ns)
        if steps < 1:
            self.spurious += 1
            return
        self.unseen += steps - 1
        self._pulses.append(_Pulse(last.number + steps, time_ns))

    def match(self, counter: int, sensor_ns: int, arrival_ns: int) -> Match | None:
        """Time of the exposure with this counter; None: it cannot be told, or not yet.

        ``sensor_ns``: by the sensor's own clock.
        """
        if not self._pulses:
            return None
        number = self._unwrap(counter, arrival_ns)
        self._hold(number, sensor_ns)
        self._last = (number, sensor_ns, arrival_ns)
        if self._shift is None:
            self._shift = self._pulse_before(arrival_ns - self._settings.min_delay_ns) - number
        found = self._time_of(number + self._shift)
        if found is None:
            return None
        self._delays.append(arrival_ns - found[0])
        moved = self._check()
        self._settled += 1
        if self._settled < self._settings.confirm:
            return None
        time_ns, sigma_ns = self._time_of(number + self._shift) or found
        smallest_ns = min(self._delays)
        self._usual_ns = smallest_ns if self._usual_ns is None else min(self._usual_ns, smallest_ns)
        ambiguous = self._usual_ns + self._period_ns <= self._max_delay_ns
        return Match(time_ns, sigma_ns, ambiguous, moved and self._settled > self._settings.confirm)

    def restart(self) -> None:
        """The sensor's clock, and perhaps its counter, begin anew."""
        self._last = self._shift = self._usual_ns = None
        self._delays.clear()
        self._settled = 0

    # --- inside

    @property
    def _period_ns(self) -> float:
        """Mean time between the pulses lately, nominal at first."""
        if len(self._pulses) < 2:
            return self._settings.period_ns
        first, last = self._pulses[0], self._pulses[-1]
        return (last.time_ns - first.time_ns) / (last.number - first.number)

    def _unwrap(self, counter: int, arrival_ns: int) -> int:
        """The counter without its wraps: of all values it may stand for, the one that the time passed suggests."""
        if self._last is None:
            return counter
        last, _, last_arrival_ns = self._last
        turn = 1 << self._settings.counter_bits
        expected = last + (arrival_ns - last_arrival_ns) / self._period_ns
        return counter + round((expected - counter) / turn) * turn

    def _hold(self, number: int, sensor_ns: int) -> None:
        """Move the shift where the sensor's own clock shows that pulses went by that it did not count."""
        if self._last is None or self._shift is None:
            return
        last_number, last_sensor_ns, _ = self._last
        before, now = self._time_of(last_number + self._shift), self._time_of(number + self._shift)
        if before is None or now is None:
            return
        by = round(((sensor_ns - last_sensor_ns) - (now[0] - before[0])) / self._period_ns)
        if by > 0:
            self.missed += by
            self._shift += by

    def _check(self) -> bool:
        """Move the shift where the delays contradict it: none may be below the minimum, nor all a period too long."""
        assert self._shift is not None
        smallest_ns = min(self._delays)
        by = 0
        if smallest_ns < self._settings.min_delay_ns:
            by = -math.ceil((self._settings.min_delay_ns - smallest_ns) / self._period_ns)
        elif len(self._delays) == _RECENT and smallest_ns > self._max_delay_ns:
            by = math.ceil((smallest_ns - self._max_delay_ns) / self._period_ns)
        if by:
            self._shift += by
            self._delays = deque((d - round(by * self._period_ns) for d in self._delays), maxlen=_RECENT)
            self._usual_ns = None
        return by != 0

    def _pulse_before(self, time_ns: int) -> int:
        """Number of the last pulse at or before a time; beyond the reported ones, of one that must have been."""
        last = self._pulses[-1]
        return last.number + math.floor((time_ns - last.time_ns) / self._period_ns)

    def _time_of(self, number: int) -> tuple[int, int] | None:
        """Time and 1-sigma of a pulse: as reported, or from its neighbours."""
        pulses, sigma_ns = self._pulses, self._settings.sigma_ns
        last = pulses[-1]
        if number > last.number:
            ahead = number - last.number
            return (
                (last.time_ns + round(ahead * self._period_ns), 2 * sigma_ns)
                if ahead <= self._settings.max_ahead
                else None
            )
        index = bisect_left(pulses, number, key=lambda pulse: pulse.number)
        if pulses[index].number == number:
            return pulses[index].time_ns, sigma_ns
        if index == 0:
            return None
        before, after = pulses[index - 1], pulses[index]
        share = (number - before.number) / (after.number - before.number)
        return before.time_ns + round(share * (after.time_ns - before.time_ns)), 2 * sigma_ns
