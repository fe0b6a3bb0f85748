"""Played sources: a source that was started again says so in every stamp that it gives."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nodes.sources.stamp import EPOCHS_PER_RESTART
from pipeline.cli.play import run_config
from pipeline.core.messages import Message, StreamStatus
from pipeline.graph import Graph
from pipeline.run.config import run_info
from pipeline.run.drives import open_named
from pipeline.run.source import Source
from pipeline.sync.sequence import Arrival, Sequencer
from pipeline.transport.in_process import InProcessBus
from tests.faults.stubborn_drive import SECOND, START, StampFault, write_drive

TOPIC = "radar/bumper"


def play(drive: Path, restart: int) -> list[Message]:
    """All that the source of a radar says of it, from the middle of the drive where it was started again."""
    config = run_config(str(drive), open_named(str(drive)), Graph(name="record", nodes=()), 0.0, 0.0, None)
    config = msgspec.structs.replace(config, start_ns=START + (2 * SECOND if restart else 0), window=0)
    bus = InProcessBus()
    heard = bus.subscribe([TOPIC, "stream/bumper"])
    messages: list[Message] = []

    def stopping() -> bool:
        while (message := heard.receive(0.0)) is not None:
            messages.append(message)
        return False

    source = Source(config, [TOPIC], bus, restart, stopping, lambda: True)
    bus.publish(run_info(config, 0, 0))
    source.play()
    stopping()
    return messages


def test_lives_and_steps_of_the_clock_never_share_an_epoch(tmp_path: Path) -> None:
    write_drive(tmp_path / "drive.mcap", 5.0, [StampFault(TOPIC, "jumped", 1, 1), StampFault(TOPIC, "jumped", 3, 3)])
    lives = [play(tmp_path / "drive.mcap", restart) for restart in range(2)]
    epochs = [list(dict.fromkeys(m.stamp.epoch for m in life if m.topic == TOPIC)) for life in lives]
    assert epochs == [[0, 1, 2], [EPOCHS_PER_RESTART + 1, EPOCHS_PER_RESTART + 2]]
    told = [m.payload.next_epoch for life in lives for m in life if isinstance(m.payload, StreamStatus)]
    assert [epoch for epoch in told if epoch >= 0] == [1, 2, EPOCHS_PER_RESTART + 2]


def test_whoever_follows_both_lives_is_left_waiting_for_nothing(tmp_path: Path) -> None:
    write_drive(tmp_path / "drive.mcap", 5.0, [StampFault(TOPIC, "jumped", 3, 3)])
    sequencer: Sequencer[Message] = Sequencer(depth=0)
    for message in [*play(tmp_path / "drive.mcap", 0)[:60], *play(tmp_path / "drive.mcap", 1)]:
        if isinstance(message.payload, StreamStatus):
            sequencer.status(message.stamp.epoch, message.payload)
        else:
            assert sequencer.push(message) is Arrival.NEW
    assert not sequencer.outstanding
    assert sequencer.numbers.awaited == 0
