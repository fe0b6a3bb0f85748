"""The assistant as a process of a run: asked over the bus while the drive is played, it answers from its scene."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest

from pipeline.cli.play import named_graph, run_config
from pipeline.core.speech import Answer
from pipeline.run.ask import asking
from pipeline.run.drives import open_named
from pipeline.run.supervise import RunState, Supervisor
from tests.simulated import record_street


@pytest.mark.slow
def test_a_run_answers_from_its_own_scene(tmp_path: Path) -> None:
    drive = str(record_street(tmp_path / "drive", 4.0))
    config = run_config(drive, open_named(drive), named_graph("assistant", ray=False), 0.0, 0.0, None)
    some_scenes, replies = threading.Event(), list[Answer]()

    def watch(state: RunState) -> None:
        if state.index >= 8:
            some_scenes.set()

    def ask() -> None:
        assert some_scenes.wait(250)
        with asking(tmp_path / "run") as asker:
            replies.extend(asker.ask(text)[1] for text in ("what is around us", "is it safe to change lanes"))

    person = threading.Thread(target=ask)
    person.start()
    state = Supervisor(config, tmp_path / "run", watch).run()
    person.join(60)
    assert not state.given_up
    around, safe = replies
    assert around.text.startswith("I see")
    assert around.tracks
    assert not safe.text.lower().startswith("yes")
    assert not math.isnan(safe.scene_age_s)
