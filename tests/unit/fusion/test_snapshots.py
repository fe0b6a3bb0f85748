from __future__ import annotations

import msgspec
import numpy as np
import pytest

from fusion.noise import AdaptiveSettings
from fusion.tracker import Tracker, TrackerSettings
from tests.scenes import Sensor, Thing, drive

SETTINGS = TrackerSettings(weigh=AdaptiveSettings())


@pytest.fixture
def tracker() -> Tracker:
    made = Tracker(SETTINGS)
    for frame, time_ns in drive([Thing((10, 0, 0.8), (1, 0))], [Sensor("roof", "lidar")], 8):
        made.step(frame, time_ns)
    return made


def changed(snapshot: bytes, **fields: object) -> bytes:
    return msgspec.msgpack.encode(msgspec.msgpack.decode(snapshot) | fields)


def test_a_snapshot_says_the_same_again(tracker):
    other = Tracker(SETTINGS)
    other.restore(tracker.snapshot())
    assert other.snapshot() == tracker.snapshot()


def test_a_snapshot_is_of_its_moment(tracker):
    before = tracker.snapshot()
    frame, time_ns = drive([Thing((10, 0, 0.8), (1, 0))], [Sensor("roof", "lidar")], 9)[-1]
    tracker.step(frame, time_ns)
    assert tracker.snapshot() != before
    tracker.restore(before)
    assert tracker.snapshot() == before


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kind": "syncline.graph"}, "syncline.graph"),
        ({"version": 99}, "99"),
        ({"tracks": {}}, "columns"),
        ({"sensors": [["roof"], ["<f8", [2, 2, 2], bytes(64)]]}, "rows"),
        ({"sensors": [["roof"], ["<f8", [1, 2, 2], bytes(8)]]}, "8 bytes"),
        ({"visibility": [["roof"], ["|O8", [1, 108, 2], bytes(1728)]]}, "O8"),
        ({"unknown": 1}, "unknown"),
        ({"next_id": "one"}, "next_id"),
    ],
)
def test_bytes_that_do_not_fit_are_refused_and_change_nothing(tracker, fields, complaint):
    before = tracker.snapshot()
    with pytest.raises(ValueError, match=complaint):
        tracker.restore(changed(before, **fields))
    assert tracker.snapshot() == before


def test_a_column_of_another_type_or_length_is_refused(tracker):
    document = msgspec.msgpack.decode(tracker.snapshot())
    document["tracks"]["mean"] = ["<f8", [1, 4], np.zeros(4).tobytes()]
    with pytest.raises(ValueError, match="mean"):
        tracker.restore(msgspec.msgpack.encode(document))
