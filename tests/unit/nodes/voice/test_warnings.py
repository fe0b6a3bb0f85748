"""Warnings come in time, once, the urgent first, and not of what passes by."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.voice.warnings import Warned, Warnings, time_to_collision
from pipeline.core.messages import CLASSES, C, Scene


def at(seconds: float, *tracks: tuple[float, float, float, float], ego_mps: float = 20.0, age: int = 9) -> Scene:
    """Ego along odom x; tracks: x, y at time 0 and their velocity, all in odom."""
    n = len(tracks)
    score = np.zeros((n, C), "<f4")
    score[:, CLASSES.index("truck")] = 0.9
    return Scene(
        index=0,
        position=(ego_mps * seconds, 0.0, 0.0),
        rotation_wxyz=(1.0, 0.0, 0.0, 0.0),
        sensors=(),
        missing=(),
        track_id=np.arange(n, dtype="<i8"),
        track_position=np.array([(x + u * seconds, y + v * seconds, 1) for x, y, u, v in tracks], "<f8").reshape(n, 3),
        track_velocity=np.array([(u, v) for _, _, u, v in tracks], "<f8").reshape(n, 2),
        track_size=np.full((n, 3), 4.0, "<f4"),
        track_yaw=np.zeros(n, "<f8"),
        state_cov=np.zeros((n, 5, 5), "<f4"),
        class_score=score,
        existence=np.ones(n, "<f4"),
        weight=np.zeros((n, 0), "<f4"),
        age=np.full(n, age, "<i4"),
        coasted=np.zeros(n, "<i4"),
    )


def drive(
    seconds: float, *tracks: tuple[float, float, float, float], muted: bool = False
) -> list[tuple[float, Warned]]:
    warnings = Warnings()
    warnings.muted = muted
    told = [(i / 10, warnings.step(at(i / 10, *tracks), i * 100_000_000)) for i in range(round(seconds * 10))]
    return [(when, warned) for when, warned in told if warned is not None]


def test_time_to_collision_is_the_gap_over_the_closing_speed() -> None:
    scene = at(0.0, (45.7, 0.0, 0.0, 0.0), (45.7, 8.0, 0.0, 0.0), (45.7, 0.0, 25.0, 0.0))
    assert time_to_collision(scene, np.array([20.0, 0.0]), 1.5) == pytest.approx([2.0, np.inf, np.inf])


def test_a_standing_truck_is_warned_of_once_at_each_level() -> None:
    told = drive(5.0, (100.0, 0.0, 0.0, 0.0))
    assert [w.level for _, w in told] == [1, 2]
    assert told[0][1].seconds == pytest.approx(2.9, abs=0.15)
    assert told[1][1].seconds == pytest.approx(1.55, abs=0.15)
    assert told[1][1].english == "Brake! truck ahead."
    assert told[1][1].chinese == "刹车！前方卡车。"


def test_the_scene_that_shows_the_hazard_is_the_one_that_warns() -> None:
    warnings = Warnings()
    assert warnings.step(at(0.0, (25.0, 0.0, 0.0, 0.0)), 0) is None  # no speed is known yet
    warned = warnings.step(at(0.1, (25.0, 0.0, 0.0, 0.0)), 100_000_000)
    assert warned is not None
    assert warned.level == 2


def test_what_passes_by_is_not_warned_of() -> None:
    assert drive(5.0, (100.0, 3.5, 0.0, 0.0), (60.0, 0.0, 30.0, 0.0)) == []


def test_time_about_the_threshold_does_not_nag() -> None:
    warnings, told = Warnings(), 0
    for i in range(100):  # the gap swings about the threshold for ten seconds
        far = 20.0 * i / 10 + 5.7 + (58.0 if i % 2 else 62.0)
        warned = warnings.step(at(i / 10, (far, 0.0, 0.0, 0.0)), i * 100_000_000) if i else None
        told += warned is not None
    assert told <= 3


def test_the_most_urgent_comes_first() -> None:
    assert drive(0.2, (70.0, 0.0, 0.0, 0.0), (30.0, 0.0, 0.0, 0.0))[0][1].track_id == 1


def test_muted_only_the_urgent_is_spoken() -> None:
    assert [w.level for _, w in drive(5.0, (100.0, 0.0, 0.0, 0.0), muted=True)] == [2]


def test_a_track_just_born_is_not_warned_of() -> None:
    warnings = Warnings()
    told = [warnings.step(at(i / 10, (25.0, 0.0, 0.0, 0.0), age=i), i * 100_000_000) for i in range(8)]
    assert [warned is not None for warned in told] == [False] * 5 + [True] + [False] * 2


def test_who_comes_from_behind_is_no_reason_to_brake() -> None:
    assert [w.level for _, w in drive(2.0, (-30.0, 0.0, 35.0, 0.0))] == [1]


def test_a_jump_in_time_warns_of_nothing() -> None:
    warnings = Warnings()
    warnings.step(at(0.0, (25.0, 0.0, 0.0, 0.0)), 0)
    assert warnings.step(at(9.0, (205.0, 0.0, 0.0, 0.0)), 9_000_000_000) is None
