from __future__ import annotations

from pathlib import Path

import pytest

from nodes.sources.faults.clouds import CLOUD_FAULTS
from nodes.sources.faults.deliveries import DELIVERY_FAULTS
from nodes.sources.faults.fault import FOREVER_NS, befalls_nothing, parse_fault
from nodes.sources.faults.images import IMAGE_FAULTS
from nodes.sources.faults.scans import SCAN_FAULTS
from nodes.sources.faults.table import FAULTS, as_markdown
from pipeline.core.errors import BadInput
from tests.small_drive import small_drive, small_rig

TOPICS = small_drive().topics


def test_a_name_alone_is_the_strongest_on_all_that_it_befalls() -> None:
    fault = parse_fault("fog", small_rig(), TOPICS)
    assert fault.sensors == ("front", "top", "bumper")
    assert (fault.amount, fault.label, fault.start_ns, fault.end_ns) == (50, "fog:3", 0, FOREVER_NS)


def test_all_parts() -> None:
    fault = parse_fault("top.beam_loss:2@0.5-2", small_rig(), TOPICS)
    assert fault.sensors == ("top",)
    assert (fault.amount, fault.label) == (8, "beam_loss:2")
    assert (fault.start_ns, fault.end_ns) == (500_000_000, 2_000_000_000)
    assert parse_fault("packet_loss=0.25@1-", small_rig(), TOPICS).end_ns == FOREVER_NS
    assert parse_fault("top.clock_step=-7.5", small_rig(), TOPICS).label == "clock_step=-7.5"


def test_a_modality_stands_for_all_of_its_sensors() -> None:
    assert parse_fault("lidar.stale:1", small_rig(), TOPICS).sensors == ("top",)
    assert befalls_nothing("radar.stale:1", small_rig(), ("lidar/top",))
    assert not befalls_nothing("stale:1", small_rig(), ("lidar/top",))
    assert not befalls_nothing("rear.stale:1", small_rig(), ("lidar/top",)), "a wrong name is a fault of the list"


def test_the_pose_is_befallen_only_where_it_is_named() -> None:
    assert "ego" not in parse_fault("packet_loss:1", small_rig(), TOPICS).sensors
    assert parse_fault("ego.packet_loss:1", small_rig(), TOPICS).sensors == ("ego",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hail:2", "one of: fog, rain"),
        ("fog:4", "severity 1, 2 or 3"),
        ("fog:1.5", "severity 1, 2 or 3"),
        ("fog=1", "5 to 10000 m of visibility"),
        ("rear.fog:1", "front, top, bumper, camera, lidar, radar"),
        ("front.beam_loss:1", "top"),
        ("fog:1@5-2", "ends after it starts"),
        ("fog:1@5", "SENSOR"),
        ("top.misaligned:1@0-1", "no time"),
        ("", "SENSOR"),
        ("fog:1;rain:2", "SENSOR"),
        ("f" * 10_000, "SENSOR"),
    ],
)
def test_what_cannot_be_is_refused_and_told_what_could(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        parse_fault(text, small_rig(), TOPICS)


def test_a_fault_of_a_modality_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="one of: none here"):
        parse_fault("gnss_loss", small_rig(), ("lidar/top",))


def test_every_row_of_the_table_is_built_for_every_modality_that_it_names() -> None:
    built = {"camera": IMAGE_FAULTS, "lidar": CLOUD_FAULTS, "radar": SCAN_FAULTS}
    for kind in FAULTS:
        if kind.stage == "air" or (kind.stage == "sensor" and kind.name not in DELIVERY_FAULTS):
            assert all(kind.name in built[modality] for modality in kind.befalls), kind.name
        elif kind.stage == "link":
            assert kind.name in DELIVERY_FAULTS
        assert kind.lowest <= min(kind.amounts) <= max(kind.amounts) <= kind.highest, kind.name
    assert len({kind.name for kind in FAULTS}) == len(FAULTS)


def test_the_page_shows_the_table() -> None:
    page = (Path(__file__).resolve().parents[5] / "docs" / "faults.md").read_text(encoding="utf-8")
    assert as_markdown() in page, "written by python -m nodes.sources.faults.table"
