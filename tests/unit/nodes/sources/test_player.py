"""The player: order, pace, flow control, controls and the streams' own counts, on a clock that the test moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nodes.sources.events import Event
from nodes.sources.player import Player, PlayerSettings
from nodes.sources.recording import RecordedDrive
from nodes.sources.stream import FOREVER_NS
from pipeline.core.clock import ManualClock
from pipeline.core.messages import Message, Progress, StreamStatus
from pipeline.core.wire import digest
from pipeline.sync.sequence import Arrival, Sequencer
from tests import recordings
from tests.recordings import PERIOD_NS, START_NS

TOPICS = ("camera/front", "lidar/top", "pose/ego", "radar/bumper", "wheel/rear")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedDrive]:
    path = tmp_path_factory.mktemp("drive") / "small.mcap"
    recorded = RecordedDrive(recordings.write_recording(path, recordings.messages()))
    yield recorded
    recorded.close()


def data(out: list[Message]) -> list[Message]:
    return [m for m in out if not m.topic.startswith("stream/")]


def statuses(out: list[Message], sensor: str) -> list[Message]:
    return [m for m in out if m.topic == f"stream/{sensor}"]


def drain(player: Player) -> list[Message]:
    """Everything that may go out without the clock moving."""
    return list(iter(player.poll, None))


def test_as_fast_as_possible_gives_the_drive_in_order_of_arrival(drive: RecordedDrive) -> None:
    out = list(Player(drive, ManualClock()).play())
    assert [digest(m) for m in data(out)] == [digest(m) for m in recordings.messages()]
    assert [m.stamp for m in data(out)] == [m.stamp for m in recordings.messages()]


def test_real_time_and_faster(drive: RecordedDrive) -> None:
    for rate in (1.0, 4.0):
        clock = ManualClock(5)
        for message in Player(drive, clock, PlayerSettings(rate=rate)).play():
            if not message.topic.startswith("stream/"):
                assert clock.now_ns() - 5 == max(round((message.stamp.arrival_ns - START_NS) / rate), 0)


def test_players_of_single_topics_keep_together(drive: RecordedDrive) -> None:
    when = {}
    for topic in TOPICS:
        clock = ManualClock(0)
        for message in data(list(Player(drive, clock, PlayerSettings(rate=2.0), [topic], begin_ns=1000).play())):
            when[message.topic, message.stamp.sequence] = message.stamp.arrival_ns
    assert len(when) == len(recordings.messages())
    clock = ManualClock(0)
    player = Player(drive, clock, PlayerSettings(rate=2.0), begin_ns=1000)
    assert not data(drain(player)), "nothing goes out before the common start"


def test_watermark_is_the_arrival_of_the_next_message(drive: RecordedDrive) -> None:
    out = list(Player(drive, ManualClock()).play())
    for sensor, topic in (("front", "camera/front"), ("ego", "pose/ego")):
        arrivals = [m.stamp.arrival_ns for m in data(out) if m.topic == topic]
        told = [m.payload for m in statuses(out, sensor)]
        assert [s.watermark_ns for s in told] == [*arrivals, FOREVER_NS]
        assert [s.sent for s in told] == list(range(len(arrivals) + 1))
        assert [s.ended for s in told] == [False] * len(arrivals) + [True]


def test_no_message_arrives_before_a_watermark_told_earlier(drive: RecordedDrive) -> None:
    watermark: dict[str, int] = {}
    settings = PlayerSettings(status_every_ns=3 * PERIOD_NS)
    for message in Player(drive, ManualClock(), settings).play():
        if isinstance(message.payload, StreamStatus):
            watermark[message.source] = message.payload.watermark_ns
        else:
            assert message.stamp.arrival_ns >= watermark[message.source]


def test_window_holds_back_until_progress(drive: RecordedDrive) -> None:
    player = Player(drive, ManualClock(), PlayerSettings(window=4))
    first = drain(player)
    assert Counter(m.topic for m in data(first))["lidar/top"] == 4
    told = statuses(first, "top")[-1].payload
    assert told.sent == 4, "what is known is told before everything halts"
    assert not drain(player)
    player.progress(Progress(reference_ns=START_NS, index=0))
    assert Counter(m.topic for m in data(drain(player)))["lidar/top"] == 1
    for i in range(1, 20):
        player.progress(Progress(reference_ns=START_NS + i * PERIOD_NS, index=i))
        drain(player)
    assert player.ended
    assert player.stalls == 0


def test_window_passes_over_a_gap_in_the_drive(tmp_path: Path) -> None:
    """Two bursts ten seconds apart: the last instant of the first is followed by the first of the second."""
    late = []
    for message in recordings.messages(frames=3):
        moved = {f: getattr(message.stamp, f) + 10**10 for f in ("time_ns", "arrival_ns")}
        moved["sequence"] = message.stamp.sequence + 3
        late.append(Message(message.topic, msgspec.structs.replace(message.stamp, **moved), message.payload))
    path = recordings.write_recording(tmp_path / "bursts.mcap", [*recordings.messages(frames=3), *late])
    player = Player(RecordedDrive(path), ManualClock(), PlayerSettings(window=2))
    instants = [START_NS + i * PERIOD_NS for i in range(3)]
    given = []
    for reference_ns in (*instants, *(t + 10**10 for t in instants)):
        given.append([m.stamp.sequence for m in drain(player) if m.topic == "lidar/top"])
        player.progress(Progress(reference_ns=reference_ns, index=0))
    drain(player)
    assert given == [[0, 1], [2], [3], [4], [5], []]
    assert player.ended


def test_silence_from_what_follows_does_not_stop_the_drive(drive: RecordedDrive) -> None:
    clock = ManualClock()
    player = Player(drive, clock, PlayerSettings(window=2, stall_s=5.0))
    out = list(player.play())
    assert len(data(out)) == len(recordings.messages())
    assert player.stalls == 18
    assert clock.now_ns() >= 18 * 5 * 10**9


def test_pause_and_resume_keep_the_pace(drive: RecordedDrive) -> None:
    clock = ManualClock(0)
    player = Player(drive, clock, PlayerSettings(rate=1.0))
    clock.sleep_until(5 * PERIOD_NS)
    before = data(drain(player))
    player.pause()
    clock.sleep_until(100 * PERIOD_NS)
    assert not drain(player)
    assert player.next_due_ns() == FOREVER_NS
    player.resume()
    assert not drain(player)
    clock.sleep_until(101 * PERIOD_NS)
    after = data(drain(player))
    assert {m.stamp.arrival_ns for m in after} == {
        m.stamp.arrival_ns
        for m in recordings.messages()
        if 5 * PERIOD_NS < m.stamp.arrival_ns - START_NS <= 6 * PERIOD_NS
    }
    assert len(before) + len(after) == len(
        [m for m in recordings.messages() if m.stamp.arrival_ns <= START_NS + 6 * PERIOD_NS]
    )


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_step_goes_frame_by_frame(drive: RecordedDrive, rate: float) -> None:
    player = Player(drive, ManualClock(), PlayerSettings(rate=rate))
    player.pause()
    assert not data(drain(player))
    for i in range(3):
        player.step()
        lidar = [m.stamp.sequence for m in data(drain(player)) if m.topic == "lidar/top"]
        assert lidar == [i]
        assert player.paused


def test_step_of_a_topic_that_sets_no_frames(drive: RecordedDrive) -> None:
    player = Player(drive, ManualClock(), topics=["camera/front"])
    player.pause()
    seen = []
    for _ in range(4):
        player.step()
        seen.append([m.stamp.sequence for m in data(drain(player))])
    assert seen == [[], [0], [1], [2]], "camera images arrive behind the sweep of their instant"


def test_from_to(drive: RecordedDrive) -> None:
    settings = PlayerSettings(start_ns=START_NS + 5 * PERIOD_NS, end_ns=START_NS + 8 * PERIOD_NS)
    out = list(Player(drive, ManualClock(), settings).play())
    assert {m.stamp.sequence for m in data(out)} == {5, 6, 7}
    last = statuses(out, "top")[-1].payload
    assert (last.first_sequence, last.sent, last.ended, last.next_epoch) == (5, 3, True, -1)


def test_seek_opens_a_new_epoch_and_says_so(drive: RecordedDrive) -> None:
    player = Player(drive, ManualClock())
    while not any(m.topic == "lidar/top" and m.stamp.sequence == 10 for m in [player.poll()] if m):
        pass
    player.seek(START_NS + 3 * PERIOD_NS)
    out = drain(player)
    assert {m.stamp.epoch for m in data(out)} == {1}
    assert [m.stamp.sequence for m in data(out) if m.topic == "lidar/top"] == list(range(3, 20))
    told = statuses(out, "top")
    ended = next(m for m in told if m.payload.ended)
    assert (ended.stamp.epoch, ended.payload.sent, ended.payload.next_epoch) == (0, 11, 1)
    begun = next(m for m in told if m.stamp.epoch == 1)
    assert (begun.payload.sent, begun.payload.first_sequence) == (0, 3)
    assert player.ended


def test_loop_begins_again_in_a_new_epoch(drive: RecordedDrive) -> None:
    player = Player(drive, ManualClock(), PlayerSettings(loop=True))
    out = []
    while len(data(out)) < 250:
        out += [m for m in [player.poll()] if m]
    epochs = Counter(m.stamp.epoch for m in data(out))
    assert epochs == {0: 100, 1: 100, 2: 50}
    assert not player.ended


@pytest.mark.parametrize("time_goes_on", [False, True])
def test_who_follows_a_loop_is_left_waiting_for_nothing(drive: RecordedDrive, time_goes_on: bool) -> None:
    player = Player(drive, ManualClock(), PlayerSettings(loop=True, time_goes_on=time_goes_on), ["lidar/top"])
    sequencer: Sequencer[Message] = Sequencer(depth=8)
    taken = 0
    while taken < 50:
        message = player.poll()
        assert message is not None
        if isinstance(message.payload, StreamStatus):
            assert not message.payload.ended or message.payload.next_epoch == message.stamp.epoch + 1
            sequencer.status(message.stamp.epoch, message.payload)
        else:
            assert sequencer.push(message) is Arrival.NEW
            taken += 1
            assert len(sequencer.ready) == taken
    assert player.laps == 2
    assert sequencer.numbers.known == 50


def test_laps_follow_each_other_in_time_where_it_goes_on(drive: RecordedDrive) -> None:
    clock = ManualClock(0)
    player = Player(drive, clock, PlayerSettings(rate=1.0, loop=True, time_goes_on=True))
    lap_ns = player.lap_ns
    clock.sleep_until(2 * lap_ns + 19 * PERIOD_NS // 2)
    out = data(drain(player))
    assert [m.stamp.arrival_ns for m in out] == sorted(m.stamp.arrival_ns for m in out)
    stamps = [m.stamp for m in out if m.topic == "camera/front"]
    assert [s.epoch for s in stamps] == [0] * 20 + [1] * 20 + [2] * 10
    for one, later in zip(stamps, stamps[20:], strict=False):
        assert (later.sensor_ns - one.sensor_ns, later.time_ns - one.time_ns) == (lap_ns, lap_ns)
        assert later.arrival_ns - one.arrival_ns == lap_ns


@pytest.mark.parametrize(("lap", "gone_ns", "first"), [(0, 5, 1), (2, 95, 10), (2, 250, 20)])
def test_who_comes_back_in_a_later_lap_goes_on_there(drive: RecordedDrive, lap: int, gone_ns: int, first: int) -> None:
    settings = PlayerSettings(loop=True, time_goes_on=True)
    lap_ns = Player(drive, ManualClock(), settings).lap_ns
    at_ns = drive.start_ns + lap * lap_ns + gone_ns * PERIOD_NS // 10
    player = Player(drive, ManualClock(), settings, ["camera/front"], at_ns=at_ns)
    message = next(m for m in player.play() if m.topic == "camera/front")
    assert message.stamp.sequence == first % 20
    assert message.stamp.time_ns >= at_ns
    assert player.laps == lap + first // 20


def test_players_of_one_drive_begin_each_lap_together(drive: RecordedDrive) -> None:
    clock = ManualClock(0)
    players = [Player(drive, clock, PlayerSettings(rate=1.0, loop=True), [t]) for t in ("lidar/top", "camera/front")]
    clock.sleep_until(4 * (drive.end_ns - drive.start_ns) + 3 * PERIOD_NS)
    positions = [(drain(player), player.laps, player.position_ns)[1:] for player in players]
    assert positions[0][0] == positions[1][0] == 4
    assert abs(positions[0][1] - positions[1][1]) < PERIOD_NS


def test_change_of_rate_goes_on_from_here(drive: RecordedDrive) -> None:
    clock = ManualClock(0)
    player = Player(drive, clock, PlayerSettings(rate=1.0))
    clock.sleep_until(5 * PERIOD_NS)
    drain(player)
    player.set_rate(10.0)
    clock.sleep_until(6 * PERIOD_NS)
    assert data(drain(player))[-1].stamp.arrival_ns <= START_NS + 15 * PERIOD_NS
    assert player.position_ns > START_NS + 14 * PERIOD_NS
    player.set_rate(0.0)
    drain(player)
    assert player.ended
    with pytest.raises(ValueError, match="rate"):
        player.set_rate(-1.0)


def test_next_event_goes_there_and_to_the_following(drive: RecordedDrive) -> None:
    times = [START_NS + 8 * PERIOD_NS, START_NS + 9 * PERIOD_NS]
    events = [Event(t, "fault", "front", "why") for t in times]
    player = Player(drive, ManualClock(), PlayerSettings(lead_in_ns=2 * PERIOD_NS), events=events)
    assert player.next_event() == events[0]
    assert data(drain(player))[0].stamp.time_ns == START_NS + 6 * PERIOD_NS
    player.seek(START_NS)
    assert [player.next_event(), player.next_event(), player.next_event()] == [*events, None]


def test_gap_in_the_drive_is_a_loss(tmp_path: Path) -> None:
    kept = [m for m in recordings.messages() if not (m.topic == "camera/front" and m.stamp.sequence in (4, 5, 9))]
    drive = RecordedDrive(recordings.write_recording(tmp_path / "gap.mcap", kept))
    last = statuses(list(Player(drive, ManualClock()).play()), "front")[-1].payload
    assert (last.first_sequence, last.sent, last.losses) == (0, 17, {"not_in_drive": 3})


def test_number_that_comes_late_or_twice_is_counted_once(tmp_path: Path) -> None:
    content = [m for m in recordings.messages() if m.topic == "camera/front"]
    arrivals = [m.stamp.arrival_ns for m in content]
    order = [0, 2, 1, 3, 3, *range(4, 20)]
    moved = [
        Message(
            content[i].topic, msgspec.structs.replace(content[i].stamp, arrival_ns=arrivals[0] + n), content[i].payload
        )
        for n, i in enumerate(order)
    ]
    drive = RecordedDrive(recordings.write_recording(tmp_path / "mixed.mcap", moved))
    out = list(Player(drive, ManualClock(), PlayerSettings(status_every_ns=0)).play())
    told = [(m.payload.sent, sum(m.payload.losses.values())) for m in statuses(out, "front")]
    assert told[:6] == [(0, 0), (1, 0), (2, 1), (3, 0), (4, 0), (4, 0)]
    assert told[-1] == (20, 0)


def test_epochs_of_the_drive_are_kept(tmp_path: Path) -> None:
    restarted = [
        Message(m.topic, msgspec.structs.replace(m.stamp, epoch=2, sequence=m.stamp.sequence - 10), m.payload)
        if m.stamp.sequence >= 10
        else m
        for m in recordings.messages()
        if m.topic == "lidar/top"
    ]
    drive = RecordedDrive(recordings.write_recording(tmp_path / "restart.mcap", restarted))
    out = list(Player(drive, ManualClock()).play())
    assert [m.stamp for m in data(out)] == [m.stamp for m in restarted]
    told = [(m.stamp.epoch, m.payload.sent, m.payload.ended, m.payload.next_epoch) for m in statuses(out, "top")]
    assert (0, 10, True, 2) in told
    assert told[-1] == (2, 10, True, -1)


@pytest.mark.parametrize("wrong", [{"rate": -1.0}, {"rate": float("nan")}, {"window": 1}, {"period_ns": 0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PlayerSettings(**wrong)


def test_unknown_topic(drive: RecordedDrive) -> None:
    with pytest.raises(KeyError, match="camera/rear"):
        Player(drive, ManualClock(), topics=["camera/rear"])


def test_arrivals_come_from_the_index(drive: RecordedDrive) -> None:
    expected = [m.stamp.arrival_ns for m in recordings.messages() if m.topic == "lidar/top"]
    np.testing.assert_array_equal(drive.arrivals("lidar/top"), expected)
