from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fusion.graph.alarm import follow, named
from fusion.graph.registration import LAG_UNIT, REMEMBERED, SIGNS, TURN_UNIT, accumulate, carried, signs
from fusion.tracker import Tracker
from pipeline.core.messages import FrameSet
from tests.scenes import PERIOD_NS, Sensor, Thing, detections, frame_set, slot

CAMERA = Sensor("front", "camera", (1.0, 0.3, 0.2))
LIDAR = Sensor("roof", "lidar", (0.1, 0.1, 0.1))
RADAR = Sensor("bumper", "radar", (0.3, 0.3, 0.5))
THINGS = [
    Thing((18, -9, 0.8), (4, 3)), Thing((25, 8, 0.8), (-6, 0)), Thing((33, -3, 0.8), (3, -2)),
    Thing((14, 6, 0.8), (0, 5)), Thing((40, 12, 0.8), (-5, -4)), Thing((22, 15, 0.8), (6, 2)),
    Thing((30, -16, 0.8), (-2, 5)),
]  # fmt: skip


def seen(turn: float = 0.0, lag: float = 0.0, frames: int = 40, frozen: bool = False) -> np.ndarray:
    """Signs of camera, LiDAR and a radar that is turned (rad), late (s) or repeats itself, the vehicle standing."""
    tracker, remembered = Tracker(), np.zeros((3, REMEMBERED))
    rng, last = np.random.default_rng(0), None
    for i in range(frames):
        of_radar = detections(RADAR, [turned(thing, turn) for thing in THINGS], 0.1 * i - lag, rng)
        last = of_radar if last is None or not frozen else last
        of_others = [detections(sensor, THINGS, 0.1 * i, rng) for sensor in (CAMERA, LIDAR)]
        said = [scored(d, rng) for d in of_others] + [last if frozen else scored(of_radar, rng)]
        met = tracker.meet(
            frame_set(i, [slot(s, d) for s, d in zip((CAMERA, LIDAR, RADAR), said, strict=True)]), i * PERIOD_NS
        )
        remembered = accumulate(remembered, met)
        tracker.settle(met, tracker.weigher.weigh(met))
    return signs(remembered)


def turned(thing: Thing, angle: float) -> Thing:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    (x, y), (vx, vy) = turn @ thing.start[:2], turn @ thing.velocity
    return dataclasses.replace(thing, start=(x, y, thing.start[2]), velocity=(vx, vy))


def scored(d, rng):
    """Scores of a detector that looks again: never quite the same."""
    return d.updated(score=(d.score - 1e-3 * rng.random(len(d.score))).astype(np.float32))


@pytest.mark.parametrize("turn", [0.02, -0.03])
def test_a_turned_sensor_is_told_from_the_others_and_by_how_much(turn):
    found = seen(turn=turn)
    assert found[2, SIGNS.index("turn")] * TURN_UNIT == pytest.approx(turn, abs=0.006)
    assert abs(found[2, SIGNS.index("lag")] * LAG_UNIT) < 0.03
    assert found[:, SIGNS.index("margin")].argmax() == 2


def test_a_late_sensor_is_told_from_the_others_and_by_how_much():
    found = seen(lag=0.1)
    assert found[2, SIGNS.index("lag")] * LAG_UNIT == pytest.approx(0.1, abs=0.03)
    assert abs(found[2, SIGNS.index("turn")] * TURN_UNIT) < 0.006
    assert found[:, SIGNS.index("margin")].argmax() == 2


def test_healthy_sensors_show_nothing():
    found = seen()
    assert np.abs(found[:, SIGNS.index("turn")] * TURN_UNIT).max() < 0.006
    assert np.expm1(found[:, SIGNS.index("score")]).max() < 3.5
    assert not found[:, SIGNS.index("repeats")].any()


def test_a_payload_that_comes_again_is_a_repeat():
    found = seen(frozen=True)
    assert found[2, SIGNS.index("repeats")] > 0.5
    assert not found[:2, SIGNS.index("repeats")].any()


def test_nothing_is_measured_where_only_one_sensor_looks():
    tracker, remembered = Tracker(), np.zeros((1, REMEMBERED))
    for i in range(10):
        d = detections(LIDAR, THINGS, 0.1 * i, np.random.default_rng(i))
        met = tracker.meet(frame_set(i, [slot(LIDAR, d)]), i * PERIOD_NS)
        remembered = accumulate(remembered, met)
        tracker.settle(met, tracker.weigher.weigh(met))
    assert not remembered[:, :5].any()
    assert np.isfinite(signs(remembered)).all()


def test_what_stands_still_moves_as_seen_from_a_vehicle_that_drives_and_turns():
    tracker = Tracker()
    for i in range(3):
        heading = 0.05 * i
        frames = FrameSet(
            index=i, position=(1.0 * i, 0.0, 0.0), slots=(slot(LIDAR, None, "silent"),),
            rotation_wxyz=(float(np.cos(heading / 2)), 0.0, 0.0, float(np.sin(heading / 2))),
        )  # fmt: skip
        met = tracker.meet(frames, i * PERIOD_NS)
        tracker.settle(met, tracker.weigher.weigh(met))
    np.testing.assert_allclose(met.ego_motion, [10.0, 0.0, 0.5], atol=1e-9)
    np.testing.assert_allclose(carried(met, np.array([[2.0, 20.0]])), [[10.0 - 0.5 * 20.0, 0.0]], atol=1e-9)


def test_a_fault_is_named_when_it_lasts_and_forgotten_when_it_ends():
    ill, well = np.array([[0.0, 3.0, 0.0]]), np.array([[3.0, 0.0, 0.0]])
    sums = np.zeros((1, 2))
    for _ in range(3):
        sums = follow(sums, ill, 0.1, 2.0)
    assert named(sums, 2.0).tolist() == [0]
    for _ in range(10):
        sums = follow(sums, ill, 0.1, 2.0)
    assert named(sums, 2.0).tolist() == [1]
    for _ in range(5):
        sums = follow(sums, well, 0.1, 2.0)
    assert named(sums, 2.0).tolist() == [0]


def test_a_frame_now_and_then_names_nothing():
    sums = np.zeros((1, 2))
    for frame in range(200):
        sums = follow(sums, np.array([[0.0, 8.0 if frame % 4 == 0 else -2.0, 0.0]]), 0.1, 2.0)
        assert named(sums, 2.0).tolist() == [0]
