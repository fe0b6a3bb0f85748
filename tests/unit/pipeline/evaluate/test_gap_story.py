"""The gap frame by frame: sights, what the track used, and the picture of it."""

from __future__ import annotations

from pathlib import Path

from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.gap_story import StoryFrame, picture
from pipeline.evaluate.reasons import REASONS
from pipeline.evaluate.sight import SensorView, Sight

FRAMES = [
    StoryFrame(1_000_000_000, False, 7, 0.6, ("top",), {"top": Sight("saw", 0.4), "front": Sight("elsewhere")}),
    StoryFrame(1_100_000_000, True, 7, 0.3, (), {"top": Sight("saw", 0.1), "front": Sight("silent")}),
    StoryFrame(
        1_200_000_000, True, -1, float("nan"), (), {"top": Sight("silent"), "front": Sight("missing", 0, "late")}
    ),
]


def test_picture_tells_used_from_unused_silent_and_missing() -> None:
    svg = picture(
        FRAMES, EvalConfig(name="test", class_range_m={"car": 50.0}), {"top": "lidar-0", "front": "camera-0"}, 0
    )
    assert "top: score 0.40, used by track 7" in svg
    assert "top: score 0.10, not used by track 7" in svg
    assert "top: no detection near it" in svg
    assert "front: late" in svg
    assert svg.count("existence 0.") == 2, "no existence where there is no track"
    assert "nan" not in svg


def test_views_count_the_sights() -> None:
    view = SensorView.of("front", [frame.sights["front"] for frame in FRAMES])
    assert (view.saw, view.silent, view.elsewhere, view.missing) == (0, 1, 1, {"late": 1})


def test_every_reason_of_the_pipeline_is_explained() -> None:
    """The words of docs/time.md, which lists what each fault does, all have their sentence in the report."""
    text = Path("docs/time.md").read_text(encoding="utf-8").partition("## What each fault does")[2]
    table = [line for line in text.partition("##")[0].splitlines() if line.startswith("| ")][1:]
    counted = {word for line in table for word in line.split("|")[3].split("`") if "_" in word and "/" not in word}
    assert counted - {"residual_m"}
    assert {word for word in counted if word.isidentifier()} <= REASONS.keys()
