"""Each key asks for what the help says, and for nothing where a run cannot be controlled."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.cli.keys import Keys
from pipeline.cli.play import named_graph, run_config
from pipeline.run.config import RunConfig
from tests.simulated import street_drive

DRIVE = street_drive(4.0)
NOW = DRIVE.start_ns + 2_000_000_000


@pytest.fixture
def config() -> RunConfig:
    return run_config("street", DRIVE, named_graph("simulated", ray=False), 0.0, 0.0, None)


def test_space_pauses_ahead_of_fusion_and_goes_on(config: RunConfig) -> None:
    keys = Keys(config)
    pause = keys.control(" ", NOW)
    assert pause is not None
    assert (pause.command, pause.time_ns > NOW) == ("pause", True)
    resume = keys.control(" ", NOW)
    assert resume is not None
    assert resume.command == "resume"


def test_seeking_stays_inside_the_part_that_is_played(config: RunConfig) -> None:
    keys = Keys(config)
    back, on = keys.control(",", config.start_ns + 100), keys.control(".", config.end_ns - 100)
    assert back is not None
    assert on is not None
    assert back.time_ns == config.start_ns
    assert config.start_ns <= on.time_ns < config.end_ns


def test_speed_doubles_and_halves_from_real_time(config: RunConfig) -> None:
    keys = Keys(config)
    rates = [control.rate for key in "++-" if (control := keys.control(key, NOW)) is not None]
    assert rates == [2.0, 4.0, 2.0]


def test_a_drive_without_a_recording_has_no_events(config: RunConfig) -> None:
    assert Keys(config).control("e", NOW) is None


def test_a_live_run_and_one_that_has_not_begun_obey_no_key(config: RunConfig) -> None:
    live = Keys(msgspec.structs.replace(config, live=True))
    assert [live.control(key, NOW) for key in " s,.+-e"] == [None] * 7
    assert [Keys(config).control(key, 0) for key in " s,.+-e"] == [None] * 7


def test_q_interrupts(config: RunConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        Keys(config).control("q", NOW)


def test_any_other_key_asks_for_nothing(config: RunConfig) -> None:
    keys = Keys(config)
    assert [keys.control(chr(code), NOW) for code in range(128) if chr(code) not in " s,.+-eq"] == [None] * 120
