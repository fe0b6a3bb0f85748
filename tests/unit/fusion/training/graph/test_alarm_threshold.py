"""The alarm lies above what healthy sensors come to, whatever one odd clip does."""

from __future__ import annotations

import pytest

from fusion.training.graph.calibrate import threshold_above


@pytest.mark.parametrize("clips", [1, 20, 199])
def test_of_few_clips_none_comes_near(clips: int) -> None:
    assert threshold_above([26.0, *[2.0] * (clips - 1)]) > 26.0


def test_one_odd_clip_in_two_hundred_does_not_count() -> None:
    assert 4.0 < threshold_above([1.0] * 100 + [26.0, 4.0] + [0.0] * 98) < 5.0


def test_a_second_one_does() -> None:
    assert threshold_above([26.0, 25.0] + [1.0] * 250) > 25.0


def test_quiet_sensors_leave_a_least_threshold() -> None:
    assert threshold_above([0.0] * 300) > 0.1
