"""A trailer hangs on its tractor, its wheels do not slip sideways, and it cuts bends by as much as geometry says."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.simulator.scenario import trailer
from nodes.simulator.scenario.load import open_world
from nodes.simulator.world.bodies.trucks import TRAILER_TAIL
from nodes.simulator.world.world import Actor, World

SCENARIO = """\
name: bends
duration: 12
road: {lanes: 2, lane_width: 3.6, speed_limit: 14, line: [{length: 90}, {length: 160, radius: 60}, {length: 90}]}
ego: {lane: 1, speed: 8}
vehicles:
  - {shape: tractor, lane: 2, ahead: 30, speed: 8, wants: 8, does: [{lane: 1, when: {time: 1}}]}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    path = tmp_path_factory.mktemp("trailer") / "bends.yaml"
    path.write_text(SCENARIO)
    return open_world(path)


def _pair(world: World) -> tuple[Actor, Actor]:
    drawn = next(actor for actor in world.actors if actor.kind == "trailer")
    return next(actor for actor in world.actors if actor.object_id == drawn.towed_by), drawn


def _point(actor: Actor, t: np.ndarray, ahead: float) -> np.ndarray:
    """(T, 2) of a point so far ahead of the middle of a body."""
    yaw = actor.motion.yaw(t)
    return actor.motion.position(t)[:, :2] + ahead * np.stack([np.cos(yaw), np.sin(yaw)], axis=1)


def test_the_kingpin_stays_in_the_fifth_wheel(world: World) -> None:
    tractor, drawn = _pair(world)
    t = np.linspace(0.0, world.duration, 400)
    hitch = _point(tractor, t, (0.21 - 0.5) * tractor.size[0] + trailer._FIFTH_WHEEL)
    kingpin = _point(drawn, t, 0.5 * drawn.size[0] - trailer._KINGPIN)
    assert np.linalg.norm(hitch - kingpin, axis=1).max() < 0.01


def test_its_axles_roll_and_do_not_slip(world: World) -> None:
    _, drawn = _pair(world)
    t, h = np.linspace(0.2, world.duration - 0.2, 300), 1e-3
    to_axle = (TRAILER_TAIL - 0.5) * drawn.size[0]
    velocity = (_point(drawn, t + h, to_axle) - _point(drawn, t - h, to_axle)) / (2 * h)
    yaw = drawn.motion.yaw(t)
    across = -np.sin(yaw) * velocity[:, 0] + np.cos(yaw) * velocity[:, 1]
    assert np.abs(across).max() < 0.1
    assert np.abs(across).mean() < 0.02


def test_in_a_bend_it_runs_on_a_smaller_circle() -> None:
    turn = np.linspace(0.0, 4 * np.pi, 4000)
    x, y = 20.0 * np.sin(turn), -20.0 * np.cos(turn)
    angle = trailer._drawn(x, y, 0.0)
    bar = trailer._drawbar()
    axle = np.hypot(x - bar * np.cos(angle), y - bar * np.sin(angle))
    assert axle[-1] == pytest.approx(np.sqrt(20.0**2 - bar**2), abs=0.01)
    assert np.abs(np.diff(angle)).max() < 0.01


def test_it_turns_with_its_tractor_and_lags(world: World) -> None:
    tractor, drawn = _pair(world)
    t = np.linspace(0.0, world.duration, 200)
    articulation = tractor.motion.yaw(t) - drawn.motion.yaw(t)
    assert np.degrees(articulation.max()) > 5.0
    assert np.degrees(np.abs(articulation).max()) < 20.0
