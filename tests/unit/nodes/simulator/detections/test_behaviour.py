"""What a clip says of behaviour is what `truth/behaviour` says of the same world."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.se3 import SE3
from fusion.training.clips import Clip
from nodes.simulator.detections.curriculum import heads_clip
from nodes.simulator.detections.draw import draw_clip
from nodes.simulator.scenario.eventful import eventful, eventful_world
from nodes.simulator.truth import behaviour
from pipeline.core.truth import MANOEUVRES
from tests.clips import rig, small_clip

_HERE = SE3(np.eye(3), np.zeros(3))


def test_a_clip_says_what_the_drive_says() -> None:
    world = eventful_world(3)
    clip = draw_clip(world, rig(), 3)
    for frame in range(5, len(clip), 23):
        told = behaviour(world, np.arange(len(world.actors)), 0.1 * (frame + 1), _HERE)
        rows = slice(int(clip.truth_first[frame]), int(clip.truth_first[frame + 1]))
        actor = np.searchsorted(told.object_id, clip.truth["object_id"][rows])
        np.testing.assert_array_equal(clip.behaviour["manoeuvre"][rows], told.manoeuvre[actor])
        np.testing.assert_array_equal(clip.behaviour["hazard"][rows], told.hazard[actor])
        seconds = told.time_to_collision[actor]
        near = seconds < 8.0
        np.testing.assert_allclose(clip.behaviour["time_to_collision"][rows][near], seconds[near], rtol=0.03, atol=0.1)


def test_of_traffic_without_a_script_only_the_collisions_are_known() -> None:
    clip = small_clip(5)
    assert set(clip.behaviour["manoeuvre"].tolist()) == set(clip.behaviour["hazard"].tolist()) == {-1}
    assert not np.isnan(clip.behaviour["time_to_collision"]).any()


def test_eventful_scenarios_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    assert eventful(11) == eventful(11) != eventful(12)


@pytest.mark.slow
def test_in_most_eventful_worlds_somebody_does_something_that_matters() -> None:
    clips: list[Clip] = [heads_clip(seed)[0] for seed in (0, 1, 4, 5)]
    lasting = [MANOEUVRES.index(name) for name in ("keep", "park", "accelerate")]
    assert sum((~np.isin(clip.behaviour["manoeuvre"], lasting)).any() for clip in clips) >= 3
    assert sum((clip.behaviour["hazard"] == 1).any() for clip in clips) >= 2
