"""Questions about a simulated drive are asked in both languages, and most are answered about the right object."""

from __future__ import annotations

from calibration.rig import Rig
from nodes.intent.language.understand import shipped
from pipeline.cli.paths import config_file
from pipeline.cli.play import named_graph
from pipeline.core.settings import load_yaml
from pipeline.evaluate.grounding import figures
from pipeline.run.clips import ClipSettings
from pipeline.run.questions import ask_clip


def test_a_drive_is_asked_about() -> None:
    clips = ClipSettings(count=1, seconds=3.0, label_every=10, first=7_000)
    rig = load_yaml(config_file("rigs", "demo"), Rig)
    asked = list(ask_clip(named_graph("baseline", ray=False), rig, clips, 0, shipped()))
    found = figures(asked)
    assert found["questions"] >= 4
    assert found["one_perceived_right"] >= 0.6
    assert asked == list(ask_clip(named_graph("baseline", ray=False), rig, clips, 0, shipped()))
