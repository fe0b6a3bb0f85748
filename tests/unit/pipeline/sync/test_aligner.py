"""What the aligner does in each situation that a drive brings."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pipeline.core.messages import NodeStatus, Stamp, StreamStatus
from pipeline.sync.align import Aligned, Aligner, AlignerSettings, Recorded
from pipeline.sync.lane import LaneSettings

MS = 1_000_000
START = 1_700_000_000_000_000_000
LIDAR, FRONT, RADAR = "top", "front", "radar"


def stamp(ms: float, delay: float = 20.0, sequence: int = 0, epoch: int = 0, arrival: float | None = None) -> Stamp:
    time = START + round(ms * MS)
    arrived = time + round(delay * MS) if arrival is None else START + round(arrival * MS)
    return Stamp(sensor_ns=time, arrival_ns=arrived, time_ns=time, sequence=sequence, epoch=epoch)


def stream(
    sensor: str, period: float, count: int, phase: float = 0.0, delay: float = 20.0, first: int = 0
) -> list[tuple[str, Stamp]]:
    return [(sensor, stamp(phase + n * period, delay, n)) for n in range(first, count)]


def in_order(*streams: Iterable[tuple[str, Stamp]]) -> list[tuple[str, Stamp]]:
    return sorted((item for s in streams for item in s), key=lambda item: item[1].arrival_ns)


def aligner(reference: str = LIDAR, lane: LaneSettings | None = None, **periods: float) -> Aligner:
    settings = AlignerSettings(reference=reference, lane=lane or LaneSettings())
    return Aligner({name: round(p * MS) for name, p in periods.items()}, settings)


def run(it: Aligner, items: Iterable[tuple[str, Stamp]], finish: bool = True) -> list[Aligned]:
    out = []
    for sensor, s in items:
        it.push(sensor, s, None)
        out += it.advance()
    return out + it.finish() if finish else out


def offsets(sets: list[Aligned], sensor: str) -> list[float | str]:
    slots = [(frames, slot) for frames in sets for slot in frames.slots if slot.sensor == sensor]
    return [(s.item.stamp.time_ns - frames.time_ns) / MS if s.item else s.missing for frames, s in slots]


def numbers(sets: list[Aligned], sensor: str) -> list[int]:
    return [s.item.stamp.sequence if s.item else -1 for frames in sets for s in frames.slots if s.sensor == sensor]


def dropped(it: Aligner, sensor: str) -> dict[str, int]:
    return dict(it.ledger.row(sensor).dropped)


# --- the common case


def test_a_complete_set_goes_out_with_its_last_message() -> None:
    it = aligner(top=100, front=100)
    it.push(LIDAR, stamp(0), None)
    it.push(FRONT, stamp(-10), None)
    (frames,) = it.advance()
    assert frames.time_ns == START
    assert [slot.item is not None for slot in frames.slots] == [True, True]
    it.push(LIDAR, stamp(100, sequence=1), None)
    assert it.advance() == []
    it.push(FRONT, stamp(90, sequence=1), None)
    assert [frames.number for frames in it.advance()] == [1]


def test_slots_keep_the_order_in_which_the_sensors_were_given() -> None:
    it = aligner(front=100, radar=77, top=100)
    assert [slot.sensor for slot in run(it, stream(LIDAR, 100, 3))[0].slots] == [FRONT, RADAR, LIDAR]


def test_of_a_faster_sensor_the_nearest_is_used_and_the_others_are_superseded() -> None:
    it = aligner(top=100, front=33)
    sets = run(it, in_order(stream(LIDAR, 100, 40), stream(FRONT, 33, 121)))
    assert all(abs(float(o)) <= 17 for o in offsets(sets[:-1], FRONT))
    assert dropped(it, FRONT) == {"superseded": 80}


def test_a_slower_sensor_is_used_once_and_not_waited_for_in_between() -> None:
    it = aligner(top=100, radar=400)
    sets = run(it, in_order(stream(LIDAR, 100, 40), stream(RADAR, 400, 10, phase=10)), finish=False)
    assert offsets(sets[4:36], RADAR) == [10.0, "not_due", "not_due", "not_due"] * 8
    assert len(sets) >= 36, "an instant at which the slow sensor has nothing must not wait for its next message"


@pytest.mark.parametrize("phase", [-50.0, 50.0, -49.9, 0.0, 30.0])
def test_a_sensor_in_phase_gives_every_message_to_its_instant(phase: float) -> None:
    """Half a period off, the nearest neighbour would flip with the jitter, and use no message or lose one."""
    jitter = [0.9, -0.8, 0.3, -0.4, 0.7, -0.9, 0.0]
    front = [(FRONT, stamp(phase + 100 * n + jitter[n % 7], 20, n)) for n in range(60)]
    it = aligner(top=100, front=100)
    sets = run(it, in_order(stream(LIDAR, 100, 60), front))
    used = numbers(sets[2:-2], FRONT)
    assert used == list(range(used[0], used[0] + len(used)))


def test_a_camera_that_drifts_against_the_lidar_slips_by_one_message_now_and_then() -> None:
    it = aligner(top=100, front=101)
    sets = run(it, in_order(stream(LIDAR, 100, 400), stream(FRONT, 101, 396)))
    assert sum(o == "no_message" or o == "late" for o in offsets(sets[:390], FRONT)) <= 5
    assert all(abs(float(o)) <= 66 for o in offsets(sets[:390], FRONT) if not isinstance(o, str))


def test_without_a_reference_sensor_instants_lie_on_a_grid() -> None:
    it = aligner(reference="", front=100)
    sets = run(it, stream(FRONT, 100, 10, phase=30))
    assert {frames.time_ns % (100 * MS) for frames in sets} == {0}


# --- what fails


def test_a_dead_reference_sensor_does_not_stop_the_others_and_is_used_again_when_it_returns() -> None:
    it = aligner(top=100, front=100)
    lidar = stream(LIDAR, 100, 20) + [(LIDAR, stamp(100 * n + 3, 20, n - 20)) for n in range(40, 60)]
    sets = run(it, in_order(lidar, stream(FRONT, 100, 60, phase=10)))
    times = [(frames.time_ns - START) / MS for frames in sets]
    assert times[:40] == [100.0 * n for n in range(40)]
    assert times[42:] == [100.0 * n + 3 for n in range(42, 60)]
    assert numbers(sets, FRONT) == list(range(60))
    assert offsets(sets[20:40], LIDAR) == ["late"] * 5 + ["silent"] * 15


def test_a_dead_camera_is_waited_for_until_it_counts_as_silent() -> None:
    it = aligner(top=100, front=100)
    items = in_order(stream(LIDAR, 100, 30), stream(FRONT, 100, 10))
    assert len(run(it, items, finish=False)) == 10, "nothing tells yet that no camera message is on its way"
    for now in range(1000, 3100, 100):
        at = START + now * MS
        it.stream_status(FRONT, 0, StreamStatus(sent=10, watermark_ns=at))
    sets = it.advance()
    assert offsets(sets, FRONT)[:6] == ["late"] * 5 + ["silent"]
    assert len(sets) == 20, "a silent sensor is not waited for beyond the instant"


def test_a_message_that_arrives_after_the_deadline_is_late_and_the_next_one_is_used() -> None:
    it = aligner(top=100, front=100)
    front = stream(FRONT, 100, 40)
    front[30] = (FRONT, stamp(3000, 600, 30))
    front[31:36] = [(FRONT, stamp(100 * n, 0, n, arrival=3601)) for n in range(31, 36)]
    sets = run(it, in_order(stream(LIDAR, 100, 40), front))
    assert numbers(sets, FRONT) == [*range(30), -1, -1, -1, -1, -1, 35, 36, 37, 38, 39] or numbers(sets, FRONT)[
        :30
    ] == [*range(30)]
    assert dropped(it, FRONT)["late"] >= 4
    assert sum(dropped(it, FRONT).values()) + it.ledger.row(FRONT).fused == 40


def test_a_hiccup_does_not_raise_the_wait_for_good() -> None:
    """autoware_universe#6575: one delayed message, and latency stays at the worst ever seen."""
    it = aligner(top=100, front=100)
    front = stream(FRONT, 100, 600)
    front[300] = (FRONT, stamp(30_000, 90, 300))
    run(it, in_order(stream(LIDAR, 100, 600), front), finish=False)
    it.push(LIDAR, stamp(60_000, sequence=600), None)
    it.stream_status(FRONT, 0, StreamStatus(sent=600, watermark_ns=START + 60_030 * MS))
    assert [offsets([frames], FRONT) for frames in it.advance()] == [["late"]]


def test_when_latency_rises_for_good_the_wait_follows() -> None:
    it = aligner(top=100, front=100)
    front = stream(FRONT, 100, 100) + stream(FRONT, 100, 300, delay=90, first=100)
    sets = run(it, in_order(stream(LIDAR, 100, 300), front))
    assert "late" in offsets(sets[100:130], FRONT)
    assert numbers(sets[140:], FRONT) == list(range(140, 300))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (stamp(1000, 20, 10), "duplicate"),
        (stamp(1000, 20, 11), "stuck_stamp"),
        (stamp(9000, 20, 11, arrival=1121), "absurd_time"),
        (stamp(-9000, 20, 11, arrival=1121), "absurd_time"),
        (stamp(950, 20, 11, arrival=1121), "out_of_order"),
        (stamp(1100, 20, -3), "absurd_sequence"),
    ],
)
def test_each_fault_has_its_reason_and_harms_no_other_message(broken: Stamp, reason: str) -> None:
    it = aligner(top=100, front=100)
    after = 12 if broken.sequence == 11 else 11
    front = [*stream(FRONT, 100, 11), (FRONT, broken)]
    front += [(FRONT, stamp(100 * n + 100, 25, n - 11 + after)) for n in range(11, 30)]
    sets = run(it, in_order(stream(LIDAR, 100, 31), front))
    assert dropped(it, FRONT) == {reason: 1}
    assert sum(o == 0.0 for o in offsets(sets, FRONT)) == 30


def test_after_a_clock_step_nothing_of_the_old_epoch_is_used() -> None:
    it = aligner(top=100, front=33)
    stepped = [(FRONT, stamp(33 * n - 15, 35, n - 40, epoch=1)) for n in range(40, 80)]
    used = [
        slot.item for f in run(it, in_order(stream(LIDAR, 100, 26), stream(FRONT, 33, 40), stepped)) for slot in f.slots
    ]
    epochs = [item.stamp.epoch for item in used if item]
    assert {0, 1} == set(epochs)
    assert len(used) - epochs.count(0) - epochs.count(1) <= 2


def test_messages_that_wait_from_before_a_clock_step_are_dropped_as_old_epoch() -> None:
    it = aligner(top=100, front=33)
    old = [(FRONT, stamp(-90 + 33 * n, 20, n)) for n in range(2)]
    new = [(FRONT, stamp(-20 + 33 * n, 20, n, epoch=1)) for n in range(5)]
    run(it, in_order(stream(LIDAR, 100, 2), old, new))
    assert dropped(it, FRONT)["old_epoch"] == 2


def test_the_lidar_that_starts_late_is_not_waited_for() -> None:
    it = aligner(top=100, front=100)
    late = [(LIDAR, stamp(100 * n + 40, 20, n - 20)) for n in range(20, 40)]
    sets = run(it, in_order(stream(FRONT, 100, 40), late))
    assert sets[0].time_ns == START
    assert [(frames.time_ns - START) // MS % 100 for frames in sets[22:]] == [40] * (len(sets) - 22)


def test_when_all_are_silent_no_sets_come_and_the_next_message_makes_a_new_start() -> None:
    """Bursts of frames, minutes apart, as in Astyx."""
    it = aligner(top=100, front=100)
    bursts = []
    for n, t in enumerate(t + 100 * k for t in (0, 600_000, 1_200_050) for k in range(5)):
        bursts += [(LIDAR, stamp(t, 20, n)), (FRONT, stamp(t - 10, 40, n))]
    sets = run(it, in_order(bursts))
    assert len(sets) == 15
    assert offsets(sets, LIDAR) == [0.0] * 15
    assert offsets(sets, FRONT) == [-10.0] * 15


def test_what_waits_is_bounded_even_if_nothing_is_ever_known_of_a_sensor() -> None:
    it = aligner(top=100, front=100)
    for n in range(5000):
        it.push(LIDAR, stamp(100 * n, 20, n), None)
        it.advance()
    row = it.ledger.row(LIDAR)
    assert row.in_flight <= 1025
    assert row.fused + row.in_flight == 5000


# --- a live run


def live(it: Aligner, items: Iterable[tuple[str, Stamp]], processing: float, stall_at: int = -1) -> list[Aligned]:
    out = []
    for n, (sensor, s) in enumerate(items):
        now = s.arrival_ns + round(processing * MS) + (3_000 * MS if n == stall_at else 0)
        it.push(sensor, s, None, now)
        out += it.advance(now)
    return out


def test_the_wall_clock_ends_the_wait_for_a_camera_that_died_without_a_word() -> None:
    it = aligner(top=100, front=100)
    items = in_order(stream(LIDAR, 100, 100), stream(FRONT, 100, 50))
    sets = live(it, items, processing=5)
    assert len(sets) >= 90
    assert offsets(sets, FRONT)[50] == "late_processing"
    assert offsets(sets, FRONT)[70] == "silent"


def test_a_camera_that_was_dead_from_the_start_costs_no_latency() -> None:
    it = aligner(top=100, front=100)
    sets = live(it, stream(LIDAR, 100, 100), processing=5)
    assert len(sets) >= 97
    assert offsets(sets, FRONT)[-1] == "silent"


def test_what_comes_after_the_wall_clock_ended_the_wait_says_so() -> None:
    it = aligner(top=100, front=100)
    for n in range(30):
        for sensor in (LIDAR, FRONT):
            s = stamp(100 * n, 20, n)
            it.push(sensor, s, None, s.arrival_ns + 5 * MS)
        it.advance(s.arrival_ns + 5 * MS)
    slow = stamp(3000, 20, 30)
    it.push(LIDAR, slow, None, slow.arrival_ns + 5 * MS)
    assert [offsets([f], FRONT) for f in it.advance(slow.arrival_ns + 40 * MS)] == [["late_processing"]]
    it.push(FRONT, slow, None, slow.arrival_ns + 60 * MS)
    for sensor in (LIDAR, FRONT):
        it.push(sensor, stamp(3100, 20, 31), None, START + 3125 * MS)
    it.advance()
    assert dropped(it, FRONT) == {"late_processing": 1}


def test_decisions_of_an_earlier_run_are_repeated_and_not_replayed_ones_named() -> None:
    items = in_order(stream(LIDAR, 100, 4), stream(FRONT, 100, 4))
    follow = [
        Recorded(START, {LIDAR: (0, 0), FRONT: "late_processing"}, 0),
        Recorded(START + 100 * MS, {LIDAR: (0, 1), FRONT: (0, 0)}, 1),
        Recorded(START + 200 * MS, {LIDAR: "late", FRONT: (0, 9)}, 7),
    ]
    it = Aligner({LIDAR: 100 * MS, FRONT: 100 * MS}, AlignerSettings(reference=LIDAR), follow)
    sets = run(it, items)
    assert [aligned.number for aligned in sets] == [0, 1, 7]
    assert numbers(sets, LIDAR) == [0, 1, -1]
    assert numbers(sets, FRONT) == [-1, 0, -1]
    assert offsets(sets, FRONT)[2] == "not_replayed"


# --- time that jumps back


def test_a_replay_that_loops_begins_a_new_timeline() -> None:
    it = aligner(top=100, front=100)
    items = []
    for epoch in range(3):
        for n in range(10):
            items += [(LIDAR, stamp(100 * n, 20, n, epoch)), (FRONT, stamp(100 * n + 5, 20, n, epoch))]
    sets = run(it, items)
    assert [frames.timeline for frames in sets] == [0] * 10 + [1] * 10 + [2] * 10
    assert [frames.time_ns for frames in sets] == [START + 100 * n * MS for n in range(10)] * 3
    assert it.ledger.row(FRONT).fused == 30


def test_a_source_that_alone_began_again_goes_on_where_it_catches_up() -> None:
    it = aligner(top=100, front=100)
    again = [(FRONT, stamp(100 * n, 20, n - 15, epoch=1)) for n in range(15, 40)]
    items = in_order(stream(LIDAR, 100, 20), stream(FRONT, 100, 20))
    items += in_order(stream(LIDAR, 100, 40, first=20), again)
    sets = run(it, items)
    assert {frames.timeline for frames in sets} == {0}
    assert numbers(sets[-5:], FRONT) == [20, 21, 22, 23, 24]
    assert it.ledger.row(FRONT).in_flight == 0


# --- misuse and books


def test_a_sensor_that_is_not_expected_is_refused() -> None:
    with pytest.raises(KeyError):
        aligner(top=100).push("rear", stamp(0), None)
    with pytest.raises(ValueError, match="reference"):
        aligner(reference="rear", top=100)


def test_a_detector_that_is_lost_for_good_is_not_waited_for_and_the_ledger_names_it() -> None:
    it = aligner(top=100, front=100)

    def beat(received: int, ended: bool = False) -> NodeStatus:
        return NodeStatus(node="detect_front", received=received, published=received, failed=0, ended=ended)

    it.node_status(beat(5))
    sets = run(it, in_order(stream(LIDAR, 100, 10), stream(FRONT, 100, 5)), finish=False)
    assert len(sets) == 5
    it.stream_status(FRONT, 0, StreamStatus(sent=10, watermark_ns=START + 1000 * MS))
    assert it.advance() == []
    it.node_status(beat(0, ended=True))
    assert len(it.advance()) == 5
    assert dropped(it, FRONT) == {"detector_died": 5}
    again = in_order(stream(LIDAR, 100, 15, first=10), stream(FRONT, 100, 15, first=10))
    assert offsets(run(it, again, finish=False), FRONT)[-3:] == [0.0] * 3, "started again after all"


def test_losses_that_a_detector_reports_explain_what_never_came() -> None:
    it = aligner(top=100, front=100)
    front = [item for item in stream(FRONT, 100, 20) if item[1].sequence not in (3, 4, 7, 8, 9)]
    for n, (sensor, s) in enumerate(in_order(stream(LIDAR, 100, 20), front)):
        it.push(sensor, s, None)
        if n == 30:
            it.node_status(
                NodeStatus(
                    node="detect_front", received=0, published=0, failed=1, losses={"camera/front overwritten": 2}
                )
            )
            it.node_status(NodeStatus(node="view", received=0, published=0, failed=9, losses={"camera/front x": 9}))
    it.finish()
    assert dropped(it, FRONT) == {"detector_failed": 1, "lost_in_transit": 2, "overwritten": 2}
