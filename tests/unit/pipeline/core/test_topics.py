from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.topics import TOPICS, as_markdown, topic_matches, topic_row

DOCS = Path(__file__).parents[4] / "docs"


def test_the_documented_table_is_the_table() -> None:
    assert (DOCS / "topics.md").read_text().strip() == as_markdown().strip(), (
        "run: python -m pipeline.core.topics > docs/topics.md"
    )


def test_a_name_finds_its_row_and_a_strange_one_none() -> None:
    assert topic_row("camera/front").pattern == "camera/*"
    assert topic_row("scene").pattern == "scene"
    for strange in ("camera", "camera/front/left", "scenes", "", "/front"):
        with pytest.raises(KeyError):
            topic_row(strange)


def test_no_name_fits_two_rows() -> None:
    for row in TOPICS:
        name = row.pattern.replace("*", "x")
        assert [other for other in TOPICS if topic_matches(other.pattern, name)] == [row]


def test_truth_is_heard_by_none_but_those_who_ask_for_it_by_name() -> None:
    assert {row.role for row in TOPICS if row.pattern.startswith("truth")} == {"truth"}
    assert not any(topic_matches(row.pattern, "truth/objects") for row in TOPICS if row.role != "truth")
