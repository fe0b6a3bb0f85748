"""Raw stamps in, stamped messages and the stream's own account out."""

from __future__ import annotations

import pytest

from calibration.rig import Clock
from nodes.sources.stamp import EPOCHS_PER_RESTART, Stamper, StampSettings
from pipeline.core.messages import ClockState, Message, StreamStatus, WheelSpeed

MS = 1_000_000
START = 1_700_000_000_000_000_000
WHEEL = WheelSpeed(speed=3.0)


def stamper(discipline: str = "free", restart: int = 0) -> Stamper:
    return Stamper("wheel/rear", Clock(discipline=discipline), StampSettings(), restart)  # type: ignore[arg-type]


def feed(it: Stamper, times: list[int], delay: int = 20 * MS, offset: int = 0) -> list[Message]:
    return [m for t in times for m in it.take(WHEEL, t + offset, t + delay)]


def steady(count: int, first: int = 0) -> list[int]:
    return [START + 100 * MS * n for n in range(first, first + count)]


def of(messages: list[Message], topic: str) -> list[Message]:
    return [m for m in messages if m.topic == f"{topic}/rear"]


def test_messages_are_numbered_and_stamped_by_all_three_clocks() -> None:
    out = of(feed(stamper("vehicle"), steady(3)), "wheel")
    assert [(m.stamp.sequence, m.stamp.epoch) for m in out] == [(0, 0), (1, 0), (2, 0)]
    assert out[1].stamp.sensor_ns == out[1].stamp.time_ns == START + 100 * MS
    assert out[1].stamp.arrival_ns == START + 120 * MS
    assert out[1].payload is WHEEL


def test_what_is_refused_keeps_its_number_and_is_counted_at_once() -> None:
    it = stamper("vehicle")
    before = feed(it, steady(5))
    refused = it.take(WHEEL, 15_567_552_000_000_000_000, START + 520 * MS)
    after = feed(it, steady(1, first=6))
    assert of(refused, "wheel") == []
    told = of(refused, "stream")[-1].payload
    assert isinstance(told, StreamStatus)
    assert (told.sent, told.losses) == (5, {"out_of_range": 1})
    numbers = [m.stamp.sequence for m in of(before + after, "wheel")]
    assert numbers == [0, 1, 2, 3, 4, 6]


def test_a_clock_step_ends_the_epoch_and_names_the_next() -> None:
    it = stamper("free")
    out = feed(it, steady(50)) + feed(it, steady(10, first=50), offset=5_000 * MS)
    sent = of(out, "wheel")
    assert [m.stamp.epoch for m in sent] == [0] * 50 + [1] * 8
    assert [m.stamp.sequence for m in sent][-8:] == list(range(8))
    (end,) = [m for m in of(out, "stream") if isinstance(m.payload, StreamStatus) and m.payload.ended]
    told = end.payload
    assert isinstance(told, StreamStatus)
    assert (end.stamp.epoch, told.sent, told.losses, told.next_epoch) == (0, 50, {"clock_jump": 2}, 1)
    order = [m.topic for m in out if m is end or m is sent[50]]
    assert order == ["stream/rear", "wheel/rear"], "the end is told before the new epoch begins"
    alarms = [m.payload.alarm for m in of(out, "clock") if isinstance(m.payload, ClockState)]
    assert any("jumped" in alarm for alarm in alarms)


def test_a_stream_that_falls_silent_still_tells_that_nothing_came() -> None:
    it = stamper("vehicle")
    feed(it, steady(3))
    (status,) = of(it.tick(START + 400 * MS), "stream")
    assert isinstance(status.payload, StreamStatus)
    assert (status.payload.sent, status.payload.watermark_ns) == (3, START + 400 * MS)
    assert it.tick(START + 401 * MS) == []


def test_the_watermark_is_kept() -> None:
    """No message arrives before what a status has said, not even where the host's clock says so."""
    it = stamper("vehicle")
    out = [*feed(it, steady(2)), *it.tick(START + 900 * MS), *feed(it, steady(3, first=2))]
    marks = 0
    for message in out:
        if isinstance(message.payload, StreamStatus):
            marks = max(marks, message.payload.watermark_ns)
        elif message.topic == "wheel/rear":
            assert message.stamp.arrival_ns >= marks


def test_the_end_says_that_nothing_follows() -> None:
    it = stamper("vehicle")
    feed(it, steady(3))
    status = it.finish(START + 900 * MS)[0].payload
    assert isinstance(status, StreamStatus)
    assert (status.ended, status.next_epoch, status.sent, status.watermark_ns) == (True, -1, 3, 2**63 - 1)


@pytest.mark.parametrize("restart", [1, 3])
def test_a_source_that_was_started_again_begins_above_all_its_epochs(restart: int) -> None:
    it = stamper("free", restart)
    feed(it, steady(50))
    feed(it, steady(10, first=50), offset=5_000 * MS)
    assert it.epoch == restart * EPOCHS_PER_RESTART + 1


def test_states_come_at_a_steady_rate() -> None:
    out = feed(stamper("free"), steady(101))
    assert len(of(out, "clock")) == 11
    assert len(of(out, "stream")) == 101
    fast = []
    it = stamper("free")
    for n in range(1000):
        fast += it.take(WHEEL, START + n * MS, START + n * MS + 5 * MS)
    assert len(of(fast, "stream")) == 20


def test_what_the_driver_gave_up_has_its_numbers() -> None:
    it = stamper("vehicle")
    before = feed(it, steady(2))
    it.lose("malformed", 3)
    after = feed(it, steady(1, first=5))
    assert [m.stamp.sequence for m in of(before + after, "wheel")] == [0, 1, 5]
    told = of(after, "stream")[-1].payload
    assert isinstance(told, StreamStatus)
    assert (told.sent, told.losses) == (3, {"malformed": 3})


def test_a_triggered_sensor_takes_pulses() -> None:
    it = Stamper("wheel/rear", Clock(discipline="trigger", trigger_period_ns=100 * MS), StampSettings())
    out = []
    for n, t in enumerate(steady(20)):
        it.pulse(t)
        out += it.take(WHEEL, t - START + 77, t + 20 * MS, counter=n)
    last = of(out, "wheel")[-1].stamp
    assert last.time_ns == START + 1900 * MS
    assert last.sigma_ns == 200
