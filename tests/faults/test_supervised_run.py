"""Whole runs in real time, whose processes are killed and stopped and whose stamps are wrong: the books balance.

What the test injects: SIGKILL, SIGSTOP with SIGCONT, messages said twice and out of order, clocks that jump. What must
hold: every message of every sensor is fused or dropped with a reason, no payload is torn, no process grows, and the
recording can be read.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from nodes.sources.recording import RecordedDrive
from nodes.sources.stamp import EPOCHS_PER_RESTART
from pipeline.cli.play import named_graph, run_config
from pipeline.core.clock import SystemClock
from pipeline.core.messages import FrameSet, LedgerState, Message, NodeStatus, Scene, StreamStatus
from pipeline.core.recording import RecordingReader
from pipeline.core.run_recording import recording_parts
from pipeline.core.wire import digest
from pipeline.evaluate.reasons import REASONS
from pipeline.run.drives import open_named
from pipeline.run.supervise import RunState, Supervisor
from tests.faults.stubborn_drive import PERIOD_NS, SECOND, StampFault, payload, write_drive

KILL, STOP, CONTINUE = int(signal.SIGKILL), int(signal.SIGSTOP), int(signal.SIGCONT)
MIB = 1 << 20
SENSORS = {"front": "camera/front", "top": "lidar/top", "bumper": "radar/bumper"}
Key = tuple[str, int, int]  # topic or sensor, epoch, sequence


class Blow(NamedTuple):
    """A signal to a process, so long after the run has begun."""

    at_s: float
    process: str
    signal: int


def stopped(process: str, start_s: float, seconds: float) -> list[Blow]:
    return [Blow(start_s, process, STOP), Blow(start_s + seconds, process, CONTINUE)]


class Run:
    """A run of the drive with blows and stamp faults, and what its recording tells."""

    def __init__(self, folder: Path, seconds: float, blows: list[Blow], faults: list[StampFault]) -> None:
        self.keys = write_drive(folder / "drive.mcap", seconds, faults)
        drive = str(folder / "drive.mcap")
        config = run_config(drive, open_named(drive), named_graph("simulated", ray=False), 0.0, 0.0, None)
        self.folder = folder / "run"
        self._blows = sorted(blows)
        self._clock, self._began_ns = SystemClock(), 0
        self._supervisor = Supervisor(
            msgspec.structs.replace(config, live=True, rate=1.0, restarts=100), self.folder, self._strike
        )
        self.state = self._supervisor.run()
        assert not self._blows
        assert not self.state.given_up
        kills = Counter(blow.process for blow in blows if blow.signal == KILL)
        assert self.state.restarts == kills

    def _strike(self, state: RunState) -> None:
        """Called by the supervisor many times a second."""
        if not state.started:
            return
        self._began_ns = self._began_ns or self._clock.now_ns()
        while self._blows and self._clock.now_ns() >= self._began_ns + self._blows[0].at_s * 1e9:
            blow = self._blows.pop(0)
            pid = self._supervisor.pid(blow.process)
            assert pid is not None
            os.kill(pid, blow.signal)

    def messages(self, *topics: str) -> Iterator[Message]:
        """Of the recording, all its parts."""
        for part in recording_parts(self.folder):
            with RecordingReader(part) as recording:
                yield from recording.messages([t for t in recording.topics if t.startswith(topics)])

    @property
    def ledger(self) -> dict[str, LedgerState]:
        assert self.state.ledger is not None
        return {row.sensor: row for row in self.state.ledger.rows}

    def fused(self) -> Counter[Key]:
        """Messages in frame sets."""
        return Counter(
            (slot.sensor, slot.epoch, slot.sequence)
            for message in self.messages("frames")
            if isinstance(message.payload, FrameSet)
            for slot in message.payload.slots
            if slot.sequence >= 0 and not slot.missing
        )

    def given_out(self, sensor: str) -> int:
        """How many numbers the lives of a source gave out, as far as anyone heard, and how many messages twice."""
        first: dict[int, int] = defaultdict(lambda: 1 << 62)
        end: dict[int, int] = defaultdict(int)
        heard: Counter[tuple[int, int]] = Counter()
        for message in self.messages(SENSORS[sensor], f"detections/{sensor}", f"stream/{sensor}"):
            epoch, told = message.stamp.epoch, message.payload
            if isinstance(told, StreamStatus):
                first[epoch] = min(first[epoch], told.first_sequence)
                end[epoch] = max(end[epoch], told.first_sequence + told.sent + sum(told.losses.values()))
            else:
                end[epoch] = max(end[epoch], message.stamp.sequence + 1)
                heard[epoch, message.stamp.sequence] += message.topic == f"detections/{sensor}"
        return sum(end[epoch] - first[epoch] for epoch in end) + sum(n - 1 for n in heard.values() if n > 1)

    def check_payloads(self) -> None:
        """What was recorded is what the drive holds, byte for byte."""
        checked = 0
        for message in self.messages(*PERIOD_NS):
            stamp = message.stamp
            key = self.keys[message.topic, stamp.epoch % EPOCHS_PER_RESTART, stamp.sequence]
            assert digest(message) == digest(Message(message.topic, stamp, payload(message.topic, key))), stamp
            checked += 1
        assert checked > 0.5 * len(self.keys)

    def check_balance(self) -> None:
        for row in self.ledger.values():
            assert row.received == row.fused + sum(row.dropped.values()), row
            assert row.in_flight == 0, row
            assert row.dropped.keys() <= REASONS.keys(), row

    def check_memory(self) -> None:
        """No life of a process is larger in its last third than in its second."""
        lives: dict[tuple[str, int], list[int]] = defaultdict(list)
        received: Counter[str] = Counter()
        life: Counter[str] = Counter()
        for message in self.messages("status/"):
            status = message.payload
            assert isinstance(status, NodeStatus)
            if status.rss_bytes:
                life[status.node] += status.received < received[status.node]
                received[status.node] = status.received
                lives[status.node, life[status.node]].append(status.rss_bytes)
        assert {node for node, _ in lives} >= {"align", "fuse", "record", *(f"source_{s}" for s in SENSORS)}
        for who, sizes in lives.items():
            if len(sizes) >= 30:  # two a second
                third = len(sizes) // 3
                grown = float(np.median(sizes[2 * third :]) - np.median(sizes[third : 2 * third]))
                assert grown < 8 * MIB, (who, [size // MIB for size in sizes])

    def check_all_take_part_at_the_end(self, last_s: float) -> None:
        until_ns = max(message.stamp.time_ns for message in self.messages("frames"))
        late: Counter[str] = Counter()
        for message in self.messages("frames"):
            if isinstance(message.payload, FrameSet) and message.stamp.time_ns > until_ns - last_s * SECOND:
                late.update(slot.sensor for slot in message.payload.slots if not slot.missing)
        assert late.keys() == SENSORS.keys(), late
        scenes = [m.stamp.time_ns for m in self.messages("scene") if isinstance(m.payload, Scene)]
        assert max(scenes) > until_ns - last_s * SECOND


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_source_and_every_worker_in_turn(tmp_path: Path) -> None:
    blows: list[Blow] = []
    faults: list[StampFault] = []
    for turn, topic in enumerate(PERIOD_NS):
        source, start_s = f"source_{topic.rpartition('/')[2]}", 3 + 21.0 * turn
        faults += [
            StampFault(topic, "duplicated", start_s, start_s + 3),
            StampFault(topic, "reordered", start_s + 4, start_s + 7),
            StampFault(topic, "jumped", start_s + 8, start_s + 8),
            StampFault(topic, "jumped", start_s + 14, start_s + 14),
        ]
        blows += [Blow(start_s + 11, source, KILL), *stopped(source, start_s + 17, 1.5)]
    blows += [Blow(87, "detect_front", KILL), Blow(90, "detect_top", KILL), Blow(93, "detect_bumper", KILL)]
    blows += [*stopped("detect_top", 96, 1.0), Blow(99, "fuse", KILL), *stopped("align", 102, 1.0)]
    run = Run(tmp_path, 110, blows, faults)

    with RecordingReader(run.folder / "run.mcap", strict=True) as recording:
        assert recording.complete
    run.check_payloads()
    run.check_balance()
    run.check_memory()
    run.check_all_take_part_at_the_end(4)
    fused = run.fused()
    assert max(fused.values()) == 1
    for sensor, row in run.ledger.items():
        assert row.fused == sum(key[0] == sensor for key in fused)
        assert row.received == run.given_out(sensor), row
        assert row.dropped["duplicate"] > 0
        assert "lost_in_transit" not in row.dropped, row


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_aligner_and_recorder(tmp_path: Path) -> None:
    blows = [Blow(8, "align", KILL), Blow(14, "record", KILL), *stopped("record", 20, 1.0), Blow(24, "align", KILL)]
    run = Run(tmp_path, 35, blows, [])

    parts = recording_parts(run.folder)
    assert [part.name for part in parts] == ["run.mcap", "run_001.mcap"]
    with RecordingReader(parts[0]) as first, RecordingReader(parts[1], strict=True) as second:
        assert not first.complete
        assert second.complete
    assert RecordedDrive(run.folder).counts["pose/ego"] > 0.7 * 35 * 100
    run.check_payloads()
    run.check_balance()
    run.check_all_take_part_at_the_end(4)
    assert max(run.fused().values()) == 1
    sets = sorted((m.stamp for m in run.messages("frames")), key=lambda stamp: stamp.time_ns)
    places = [(stamp.epoch, stamp.sequence) for stamp in sets]
    assert places == sorted(set(places)), "fusion takes no frame set for one that it had"
    for row in run.ledger.values():
        assert row.dropped["aligner_died"] > 0
        assert "lost_in_transit" not in row.dropped, row
