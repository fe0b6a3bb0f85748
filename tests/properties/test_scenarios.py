"""Whatever the scenario and the seed: nobody drives through anybody, and everybody moves as bodies can."""

from __future__ import annotations

import functools
import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest

from fusion.contact import first_contact
from nodes.simulator.scenario.load import open_world, scenario_names
from nodes.simulator.world.world import World

QUICK = ("left_turn_across", "cut_in", "night_rural", "construction")
MOST_TRIANGLES = 60_000


@functools.cache
def world_of(name: str, seed: int | None) -> World:
    return open_world(name, seed)


def _cases() -> list[object]:
    named = [(name, seed) for name in scenario_names() for seed in (None, 101, 102)]
    drawn = [(f"random:{seed}", None) for seed in range(30)]
    quick = {(name, None) for name in QUICK}
    return [
        pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=() if case in quick else pytest.mark.slow)
        for case in named + drawn
    ]


@pytest.mark.parametrize(("name", "seed"), _cases())
def test_nobody_drives_through_anybody(name: str, seed: int | None) -> None:
    world = world_of(name, seed)
    t = np.arange(0.0, world.duration, 0.05)
    boxes = [world.ego_box(t), *(actor.box(t) for actor in world.actors)]
    half = np.array([world.ego_size, *(actor.size for actor in world.actors)])[:, :2] / 2
    moves = [np.ptp(box.translation, axis=0).max() > 1e-6 for box in boxes]

    def towed(a: int, b: int) -> bool:
        """Boxes of a tractor and its trailer overlap at the hitch. 0 is the ego."""
        return a > 0 and world.actors[b - 1].towed_by == world.actors[a - 1].object_id

    for a, b in itertools.combinations(range(len(boxes)), 2):
        if not (moves[a] or moves[b]) or towed(a, b):
            continue
        centre = np.stack([boxes[a].translation[:, :2], boxes[b].translation[:, :2]], axis=1)
        near = np.linalg.norm(centre[:, 0] - centre[:, 1], axis=1) < np.linalg.norm(half[[a, b]], axis=1).sum()
        yaw = np.stack([boxes[a].yaw, boxes[b].yaw], axis=1)
        touch = first_contact(centre[near], yaw[near], np.broadcast_to(half[[a, b]], (near.sum(), 2, 2)))
        assert not (touch == 0.0).any(), f"{a} and {b} at {t[near][touch == 0.0][0]:.2f} s"


@pytest.mark.parametrize(("name", "seed"), _cases())
def test_everybody_moves_as_bodies_can(name: str, seed: int | None) -> None:
    world = world_of(name, seed)
    t = np.arange(0.1, world.duration - 0.1, 0.02)
    motions = {"ego": world.ego, **{f"{actor.kind} {actor.object_id}": actor.motion for actor in world.actors}}
    for who, motion in motions.items():
        yaw = motion.yaw(t)
        forward = np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
        pull = motion.acceleration(t)[:, :2]
        along = (pull * forward).sum(axis=1)
        across = forward[:, 0] * pull[:, 1] - forward[:, 1] * pull[:, 0]
        assert np.abs(along).max() <= 9.5, who
        assert np.abs(across).max() <= 5.0, who
        assert np.abs(np.diff(along) / 0.02).max() <= 60.0, who
        velocity = motion.velocity(t)[:, :2]
        assert np.linalg.norm(velocity, axis=1).max() <= 60.0, who
        assert (velocity * forward).sum(axis=1).min() >= -0.05, f"{who} drives backwards"


@pytest.mark.parametrize(("name", "seed"), _cases())
def test_a_world_is_small_enough_to_be_seen_by_sensors(name: str, seed: int | None) -> None:
    world = world_of(name, seed)
    assert len(world.static.triangles) <= MOST_TRIANGLES
    assert np.isfinite(world.static.vertices).all()


def _fingerprint(world: World) -> str:
    digest = hashlib.sha256()
    t = np.linspace(0.0, world.duration, 50)
    for motion in (world.ego, *(actor.motion for actor in world.actors)):
        digest.update(motion.pose(t).translation.tobytes() + motion.pose(t).rotation.tobytes())
    digest.update(repr([(a.shape, a.paint, a.manoeuvres) for a in world.actors]).encode())
    for array in world.static:
        digest.update(array.tobytes())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_world_in_another_process() -> None:
    program = (
        "from tests.properties.test_scenarios import _fingerprint\n"
        "from nodes.simulator.scenario.load import open_world\n"
        "print(_fingerprint(open_world('cut_in', 5)))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == _fingerprint(open_world("cut_in", 5))
    assert other.stdout.strip() != _fingerprint(world_of("cut_in", None))
