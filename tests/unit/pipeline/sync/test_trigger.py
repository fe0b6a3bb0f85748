"""Exposures matched to the pulses that fired them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from pipeline.sync.trigger import TriggerMatcher, TriggerSettings

MS = 1_000_000
PERIOD = 100 * MS
START = 1_700_000_000_000_000_000


class Frame(NamedTuple):
    true_ns: int
    counter: int
    sensor_ns: int
    arrival_ns: int


def rig(
    count: int = 200,
    bits: int = 32,
    first_counter: int = 0,
    delay_ms: float = 30.0,
    jitter_ms: float = 5.0,
    unanswered: tuple[int, ...] = (),
    lost: tuple[int, ...] = (),
    warm_up: int = 5,
) -> tuple[list[int], list[Frame]]:
    """Pulses, and the exposures they fired. The sensor begins to count ``warm_up`` pulses after the first."""
    rng = np.random.default_rng(1)
    pulses = [START + n * PERIOD + int(rng.normal(0, 100)) for n in range(count)]
    frames, counter = [], first_counter
    for n, pulse in enumerate(pulses):
        if n < warm_up or n in unanswered:
            continue
        sensor_ns = 7_000_000_000 + round((pulse - START) * (1 + 60e-6))
        arrival_ns = pulse + round(delay_ms * MS + rng.exponential(jitter_ms * MS))
        if n not in lost:
            frames.append(Frame(pulse, counter % (1 << bits), sensor_ns, arrival_ns))
        counter += 1
    return pulses, frames


def match(
    matcher: TriggerMatcher, pulses: list[int], frames: list[Frame], unreported: tuple[int, ...] = ()
) -> list[int | None]:
    """Errors in ns, None where not matched; pulses are reported 1 ms after they fired."""
    events = [(p + MS, p, None) for n, p in enumerate(pulses) if n not in unreported]
    events += [(f.arrival_ns, 0, f) for f in frames]  # type: ignore[misc]
    out: list[int | None] = []
    for _, pulse, frame in sorted(events, key=lambda e: e[0]):
        if frame is None:
            matcher.pulse(pulse)
            continue
        found = matcher.match(frame.counter, frame.sensor_ns, frame.arrival_ns)
        out.append(found.time_ns - frame.true_ns if found else None)
    return out


def matcher(**changes: int) -> TriggerMatcher:
    return TriggerMatcher(TriggerSettings(period_ns=PERIOD, **changes))


def test_after_a_few_exposures_each_has_its_pulse_to_the_nanosecond() -> None:
    errors = match(matcher(), *rig())
    assert errors == [None] * 4 + [0] * 191


@pytest.mark.parametrize("first_counter", [0, 1, 17, 255])
@pytest.mark.parametrize("warm_up", [0, 1, 6])
def test_whatever_the_counter_shows_at_the_start(first_counter: int, warm_up: int) -> None:
    errors = match(matcher(counter_bits=8), *rig(bits=8, first_counter=first_counter, warm_up=warm_up))
    assert set(errors[4:]) == {0}


def test_the_counter_may_wrap_many_times() -> None:
    errors = match(matcher(counter_bits=4), *rig(bits=4, lost=tuple(range(50, 61))))
    assert set(errors[4:]) == {0}


def test_exposures_that_were_lost_are_skipped_by_the_counter() -> None:
    errors = match(matcher(), *rig(lost=(20, 21, 60, 61, 62, 63)))
    assert set(errors[4:]) == {0}


def test_a_pulse_that_the_sensor_missed_shifts_the_count_at_once() -> None:
    it = matcher()
    errors = match(it, *rig(unanswered=(30, 70, 71, 72)))
    assert set(errors[4:]) == {0}
    assert it.missed == 4


def test_a_pulse_that_was_not_reported_is_known_from_its_neighbours() -> None:
    it = matcher()
    pulses, frames = rig()
    errors = match(it, pulses, frames, unreported=(40, 90, 91, 92))
    assert max(abs(e or 0) for e in errors[4:]) <= 1_000
    assert it.unseen == 4


def test_a_pulse_that_is_reported_after_its_exposure_is_foreseen() -> None:
    it = matcher()
    pulses, frames = rig(jitter_ms=0.1, delay_ms=0.2)
    errors = match(it, pulses, frames)
    assert max(abs(e or 0) for e in errors[6:]) <= 1_000


def test_a_late_first_exposure_does_not_take_the_pulse_after_its_own() -> None:
    """Off by one at the start: the first two took longer than a period."""
    pulses, frames = rig(jitter_ms=1.0)
    frames[0] = frames[0]._replace(arrival_ns=frames[0].true_ns + 135 * MS)
    frames[1] = frames[1]._replace(arrival_ns=frames[1].true_ns + 136 * MS)
    errors = match(matcher(min_delay_ns=20 * MS), pulses, frames)
    assert set(errors) == {None, 0}


def test_with_a_delay_known_only_within_two_periods_the_match_is_called_ambiguous() -> None:
    pulses, frames = rig()
    vague, exact = matcher(max_delay_ns=180 * MS), matcher(min_delay_ns=20 * MS, max_delay_ns=115 * MS)
    for it, ambiguous in ((vague, True), (exact, False)):
        for pulse in pulses[:20]:
            it.pulse(pulse)
        found = [it.match(f.counter, f.sensor_ns, f.arrival_ns) for f in frames[:8]]
        assert found[-1] is not None
        assert found[-1].ambiguous is ambiguous


def test_a_delay_longer_than_a_period_is_found_when_the_range_says_so() -> None:
    it = matcher(min_delay_ns=200 * MS, max_delay_ns=290 * MS)
    errors = match(it, *rig(delay_ms=230))
    assert set(errors[4:]) == {0}


def test_when_the_pulses_stop_nothing_is_made_up() -> None:
    pulses, frames = rig()
    errors = match(matcher(), pulses[:50], frames)
    assert errors[60:] == [None] * (len(frames) - 60)


def test_without_pulses_or_with_spurious_ones() -> None:
    it = matcher()
    assert it.match(0, START, START) is None
    it.pulse(START)
    it.pulse(START + 3 * MS)
    assert it.spurious == 1


def test_after_a_restart_the_sensor_counts_anew() -> None:
    it = matcher()
    pulses, frames = rig()
    for pulse in pulses:
        it.pulse(pulse)
    for frame in frames[:20]:
        it.match(frame.counter, frame.sensor_ns, frame.arrival_ns)
    it.restart()
    found = [it.match(f.counter - 20, f.sensor_ns - 9_999, f.arrival_ns) for f in frames[20:30]]
    assert [m.time_ns - f.true_ns if m else None for m, f in zip(found, frames[20:], strict=False)] == [None] * 4 + [
        0
    ] * 6


def test_history_is_bounded() -> None:
    it = matcher()
    for n in range(5_000):
        it.pulse(START + n * PERIOD)
    assert len(it._pulses) == 256


@pytest.mark.parametrize(
    "wrong", [{"period_ns": 0}, {"period_ns": 1, "counter_bits": 0}, {"period_ns": 1, "confirm": 0}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        TriggerSettings(**wrong)
