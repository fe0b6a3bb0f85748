"""Scenes come at the pace at which they were made, and their age is known while they do."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from pipeline.core.clock import ManualClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, RunInfo, Stamp
from pipeline.run.process import run_name
from pipeline.run.scenes import SceneFeed
from pipeline.transport.shared_memory import SharedMemoryBus
from tests.recordings import messages, perceived, write_recording
from tests.unit.nodes.test_assistant import seen

NEVER = threading.Event()


def test_a_recording_is_played_at_its_pace(tmp_path: Path) -> None:
    write_recording(tmp_path / "run.mcap", perceived(10))
    clock, found = ManualClock(10**18), list[tuple[int, int]]()
    feed = SceneFeed(clock)
    assert feed.now_ns() == 0

    def see(message: Message) -> None:
        found.append((message.stamp.time_ns, clock.now_ns()))
        assert feed.now_ns() == message.stamp.time_ns

    feed.play(tmp_path / "run.mcap", see, NEVER.is_set)
    made, shown = zip(*found, strict=True)
    assert len(made) > 5
    assert [a - made[0] for a in made] == [b - shown[0] for b in shown]
    clock.sleep_until(clock.now_ns() + 700_000_000)
    assert feed.now_ns() == made[-1] + 700_000_000  # it grows old though nothing comes


def test_a_recording_without_scenes_is_refused(tmp_path: Path) -> None:
    write_recording(tmp_path / "run.mcap", messages(2))
    with pytest.raises(BadInput, match="scene"):
        SceneFeed(ManualClock()).play(tmp_path / "run.mcap", lambda _: None, NEVER.is_set)


@pytest.mark.parametrize(("rate", "behind_ns"), [(0.0, 0), (1.0, 3_000_000_000)])
def test_a_run_that_falls_behind_its_pace_is_seen_to(tmp_path: Path, rate: float, behind_ns: int) -> None:
    """The run began 3.5 s ago and should be there; its newest scene is that of half a second."""
    clock, done, came = ManualClock(10**18), threading.Event(), threading.Event()
    feed = SceneFeed(clock)
    follower = threading.Thread(target=feed.follow, args=(tmp_path, lambda _: came.set(), done.is_set))
    follower.start()
    try:
        with contextlib.closing(SharedMemoryBus(run_name(tmp_path), "fuse")) as bus:
            assert bus.wait_for_subscribers("scene", 1, 30)
            started_ns = clock.now_ns() - 3_500_000_000
            stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0)
            info = RunInfo(drive="x", started_ns=started_ns, rate=rate, version="1", rig_yaml="", graph_yaml="")
            bus.publish(Message("run/info", stamp, info))
            bus.publish(seen(5))
            assert came.wait(30)
            assert feed.now_ns() == 500_000_000 + behind_ns
    finally:
        done.set()
        follower.join()
