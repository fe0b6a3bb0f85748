"""Whatever is done to the player: streams stay in order, their own counts true, nothing is dropped or invented."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.sources.player import Player, PlayerSettings
from nodes.sources.recording import RecordedDrive
from pipeline.core.clock import ManualClock
from pipeline.core.messages import Message, Progress, StreamStatus
from tests import recordings
from tests.recordings import PERIOD_NS, START_NS

FRAMES = 8
CONTROLS = st.lists(
    st.one_of(
        st.tuples(st.just("poll"), st.integers(1, 30)),
        st.tuples(st.just("wait"), st.integers(1, 3 * PERIOD_NS)),
        st.tuples(st.just("seek"), st.integers(-1, FRAMES - 1)),
        st.tuples(st.just("rate"), st.sampled_from([0.0, 0.5, 1.0, 10.0])),
        st.tuples(st.just("progress"), st.integers(-1, FRAMES + 1)),
        st.tuples(st.sampled_from(["pause", "resume", "step"]), st.just(0)),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedDrive]:
    content = recordings.messages(frames=FRAMES, image_bytes=10, points=3)
    recorded = RecordedDrive(recordings.write_recording(tmp_path_factory.mktemp("drive") / "a.mcap", content))
    yield recorded
    recorded.close()


class Listener:
    """What a node would conclude from what it hears; asserts that nothing contradicts."""

    def __init__(self) -> None:
        self.given: dict[tuple[str, int], list[Message]] = defaultdict(list)
        self.told: dict[tuple[str, int], StreamStatus] = {}
        self.ended: set[tuple[str, int]] = set()
        self.epoch: dict[str, int] = {}

    def hear(self, message: Message) -> None:
        key = (message.source, message.stamp.epoch)
        assert message.stamp.epoch >= self.epoch.get(message.source, 0), "epochs rise"
        self.epoch[message.source] = message.stamp.epoch
        if isinstance(message.payload, StreamStatus):
            assert message.payload.sent == len(self.given[key])
            if self.given[key]:
                assert message.payload.first_sequence == self.given[key][0].stamp.sequence
            if message.payload.ended:
                self.ended.add(key)
            self.told[key] = message.payload
            return
        assert key not in self.ended, "nothing follows the end of an epoch"
        assert message.stamp.arrival_ns >= self.told[key].watermark_ns, "the watermark holds"
        before = self.given[key]
        assert not before or message.stamp.sequence == before[-1].stamp.sequence + 1, "nothing is dropped"
        before.append(message)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(controls=CONTROLS, window=st.sampled_from([0, 2, 4]), rate=st.sampled_from([0.0, 1.0]))
def test_streams_stay_true_whatever_is_done(
    drive: RecordedDrive, controls: list[tuple[str, int]], window: int, rate: float
) -> None:
    clock = ManualClock(0)
    player = Player(drive, clock, PlayerSettings(rate=rate, window=window, status_every_ns=PERIOD_NS // 3))
    listener = Listener()
    for control, value in controls:
        if control == "poll":
            for _ in range(value):
                paused = player.paused
                message = player.poll()
                if message is not None:
                    listener.hear(message)
                    assert not paused or isinstance(message.payload, StreamStatus)
        elif control == "wait":
            clock.sleep_until(clock.now_ns() + value)
        elif control == "seek":
            player.seek(START_NS + value * PERIOD_NS)
        elif control == "rate":
            player.set_rate(value)
        elif control == "progress":
            player.progress(Progress(reference_ns=START_NS + value * PERIOD_NS, index=0))
        else:
            getattr(player, control)()
    player.resume()
    player.set_rate(0.0)
    for message in player.play():  # what held it back by the window lets go after `stall_s` each
        listener.hear(message)
    assert player.ended
    for source, epoch in listener.epoch.items():
        last = listener.given[source, epoch]
        assert (source, epoch) in listener.ended
        assert listener.told[source, epoch].next_epoch == -1
        if last:
            assert last[-1].stamp.sequence == FRAMES - 1, "played to the end"
